#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "monitor/histogram.hpp"

namespace millrace {

/// The values of about the last minute: six histograms of ten seconds each, the oldest of which is emptied and used
/// again. One writer, any number of readers; no timer. A reader that meets the emptying may miss that histogram.
class RecentHistogram {
 public:
  static constexpr std::int64_t slice_ns = 10'000'000'000;
  static constexpr std::int64_t slices = 6;

  void record(std::uint64_t value, std::int64_t at_ns) noexcept;

  void add_to(HistogramTotals& totals, std::int64_t now) const;

  /// The start of the time that `add_to` covers.
  static constexpr std::int64_t covered_from(std::int64_t now) { return (now / slice_ns - slices + 1) * slice_ns; }

 private:
  struct Slice {
    std::atomic<std::int64_t> number{-1};
    Histogram values;
  };
  std::array<Slice, slices> slices_;
  std::int64_t newest_ = 0;
};

}  // namespace millrace
