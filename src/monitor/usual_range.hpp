#pragma once

#include <array>
#include <cstddef>

namespace millrace {

/// The quantiles of a series' last few thousand values, by at most 256 of them, evenly spaced. Not thread-safe.
class UsualRange {
 public:
  void add(double value);

  std::size_t size() const { return size_; }

  /// `share` from 0 to 1; 0 if there is no value.
  double quantile(double share) const;

  double median() const { return quantile(0.5); }

  /// Which part of the values is below this one, those that equal it counted half; from 1/2 of a value to all but that.
  double rank(double value) const;

  void clear() { *this = UsualRange(); }

  /// The standard deviation of normal values with these quartiles.
  double scale() const;

 private:
  static constexpr std::size_t most = 256;
  static constexpr unsigned largest_stride = 16;

  void insert(double value);
  void remove(double value);
  void thin();

  std::array<double, most> in_time_ = {};  // a ring, once the stride is the largest
  std::array<double, most> sorted_ = {};
  std::size_t size_ = 0;
  std::size_t oldest_ = 0;
  unsigned stride_ = 1;
  unsigned until_next_ = 0;
};

}  // namespace millrace
