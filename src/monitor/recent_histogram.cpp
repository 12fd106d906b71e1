#include "monitor/recent_histogram.hpp"

#include <algorithm>

namespace millrace {

void RecentHistogram::record(std::uint64_t value, std::int64_t at_ns) noexcept {
  // Queries are recorded when they end, and ends may come a little out of order.
  newest_ = std::max(newest_, at_ns / slice_ns);
  Slice& slice = slices_[static_cast<std::size_t>(newest_ % slices)];
  if (slice.number.load(std::memory_order_relaxed) != newest_) {
    slice.number.store(-1, std::memory_order_relaxed);
    slice.values.clear();
    slice.number.store(newest_, std::memory_order_release);
  }
  slice.values.record(value);
}

void RecentHistogram::add_to(HistogramTotals& totals, std::int64_t now) const {
  const std::int64_t current = now / slice_ns;
  for (const Slice& slice : slices_) {
    const std::int64_t number = slice.number.load(std::memory_order_acquire);
    if (number > current - slices && number <= current) slice.values.add_to(totals);
  }
}

}  // namespace millrace
