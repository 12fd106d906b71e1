#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "monitor/histogram.hpp"

namespace millrace {

/// How many values a bucket of `LogLinear` has.
struct BucketCount {
  std::uint16_t bucket;
  std::uint64_t count;
};

/// A histogram at rest: only the buckets that have values, in two to four bytes each, so that thousands of them fit
/// into memory. The buckets are LogLinear's, so that a quantile is as exact as a `Histogram`'s. It merges, and doesn't
/// change otherwise. Not thread-safe.
class CompactHistogram {
 public:
  CompactHistogram() = default;
  /// `counts`: by ascending buckets, each of which has values.
  explicit CompactHistogram(std::span<const BucketCount> counts);
  explicit CompactHistogram(const HistogramTotals& totals);

  CompactHistogram& operator+=(const CompactHistogram& other);
  /// Counts only: the sum of the values isn't known here.
  void add_to(HistogramTotals& totals) const;
  /// Likewise, of each value times this.
  void add_scaled_to(HistogramTotals& totals, double factor) const;

  /// As it is kept in a file; of_bytes makes one of it again. Nothing: these bytes are none.
  std::string_view bytes() const { return bytes_; }
  static std::optional<CompactHistogram> of_bytes(std::string_view bytes);

  bool empty() const { return bytes_.empty(); }
  std::uint64_t count() const;
  /// As HistogramTotals::quantile.
  std::uint64_t quantile(double q) const;
  /// How many values are larger, by the middles of their buckets.
  std::uint64_t count_beyond(double limit) const;
  /// Of the natural logarithms of its values; one of 0 counts as 1.
  double sum_of_logs() const;
  /// What it occupies beside the object itself.
  std::size_t heap_bytes() const;

  /// Its values but for so many of the smallest; empty if it has no more.
  CompactHistogram without_lowest(std::uint64_t count) const;

  bool operator==(const CompactHistogram&) const = default;

 private:
  class Reader;

  void append(std::uint16_t bucket, std::uint64_t count);

  // Of each bucket, how far it is from the last one (from 0: the first), and its count; both in LEB128.
  std::string bytes_;
  std::uint16_t last_ = 0;  ///< the last bucket that was appended
};

}  // namespace millrace
