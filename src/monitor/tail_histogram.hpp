#pragma once

#include <array>
#include <cstddef>

namespace millrace {

/// How large magnitudes usually are, and how surprising one is: a histogram with eight buckets in each power of two,
/// in which what is long ago fades (half of it in `half_life` values).
///
/// Past the largest two percent the tail is taken to be Pareto's, with the exponent by Hill's estimator (B. M. Hill,
/// Annals of Statistics 3, 1975). For lighter tails that surprises too little rather than too much. 3.5 kB, never
/// allocates; not thread-safe.
class TailHistogram {
 public:
  static constexpr double half_life = 4000;

  /// `magnitude` is at least 0 and finite.
  void add(double magnitude);

  /// -log10 of the probability of a magnitude of at least this. `floor`: below which magnitudes don't differ. The fewer
  /// there were, the less can surprise.
  double surprise(double magnitude, double floor) const;

 private:
  static constexpr int per_octave = 8;
  static constexpr int lowest_octave = -50;
  static constexpr int octaves = 110;
  static constexpr std::size_t buckets = std::size_t{per_octave} * octaves;

  static std::size_t index(double magnitude);
  static double lower(std::size_t bucket);

  std::array<float, buckets> weights_ = {};
  double total_ = 0;
  double weight_of_next_ = 1;
  std::size_t used_ = 0;  ///< buckets from here on are empty
};

}  // namespace millrace
