#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "monitor/counter.hpp"

namespace millrace {

/// How nanoseconds are cut into buckets: 32 in each power of two, so that a bucket's middle is at most 1/64 off.
///
/// Below 64 ns every value has its own bucket; the last bucket holds everything from 2^44 ns (almost five hours) on.
struct LogLinear {
  static constexpr unsigned sub_bits = 5;
  static constexpr unsigned max_bits = 44;
  static constexpr std::uint64_t max_value = (std::uint64_t{1} << max_bits) - 1;
  static constexpr std::size_t buckets = (max_bits - sub_bits + 1) << sub_bits;

  static constexpr std::size_t index(std::uint64_t value) {
    if (value > max_value) value = max_value;
    const unsigned width = static_cast<unsigned>(std::bit_width(value));
    const unsigned shift = width > sub_bits + 1 ? width - sub_bits - 1 : 0;
    return (std::size_t{shift} << sub_bits) + (value >> shift);
  }

  /// The smallest value of a bucket; that of `bucket + 1` is where it ends.
  static constexpr std::uint64_t lower(std::size_t bucket) {
    const std::size_t octave = bucket >> sub_bits;
    const std::size_t shift = octave > 1 ? octave - 1 : 0;
    return static_cast<std::uint64_t>(bucket - (shift << sub_bits)) << shift;
  }

  /// What stands for a bucket's values.
  static constexpr std::uint64_t middle(std::size_t bucket) { return (lower(bucket) + lower(bucket + 1) - 1) / 2; }
};

/// The sum of histograms at a moment. Merges, and subtracts an earlier one of its own, which gives what lies between.
class HistogramTotals {
 public:
  void add(std::size_t bucket, std::uint64_t n) { counts_[bucket] += n; }
  void add_sum(std::uint64_t n) { sum_ += n; }

  HistogramTotals& operator+=(const HistogramTotals& other);
  HistogramTotals& operator-=(const HistogramTotals& earlier);

  std::uint64_t count() const;
  std::uint64_t count_of(std::size_t bucket) const { return counts_[bucket]; }
  std::uint64_t sum() const { return sum_; }

  /// The value that the share `q` (0 to 1) of all values doesn't exceed, within 1/64; 0 if there are none.
  std::uint64_t quantile(double q) const;

  /// How many values are at most `limit`. Values of the bucket that `limit` falls into count only if the whole bucket
  /// does.
  std::uint64_t count_up_to(std::uint64_t limit) const;

 private:
  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(LogLinear::buckets);
  std::uint64_t sum_ = 0;
};

/// Counts nanoseconds; one writer, any number of readers. Never allocates.
class Histogram {
 public:
  void record(std::uint64_t value) noexcept {
    counts_[LogLinear::index(value)].add();
    sum_.add(value);
  }

  void add_to(HistogramTotals& totals) const;
  void clear() noexcept;

 private:
  std::array<Counter, LogLinear::buckets> counts_;
  Counter sum_;
};

}  // namespace millrace
