#include "monitor/new_history.hpp"

#include <utility>

namespace millrace {

std::vector<IntervalPtr> NewHistory::take(const PerformanceHistory* history, const IntervalFigures& figures,
                                          std::int64_t now) {
  if (history == nullptr) {
    Interval all{.from_ns = std::exchange(to_ns_, now), .to_ns = now};
    all.subjects.push_back({.id = all_queries,
                            .figures = {.calls = figures.queries, .errors = figures.failed, .hits = figures.cache_hits},
                            .durations = CompactHistogram(figures.durations)});
    return {std::make_shared<const Interval>(std::move(all))};
  }
  std::vector<IntervalPtr> intervals = history->since(to_ns_);
  std::erase_if(intervals, [&](const IntervalPtr& interval) { return interval->from_ns < to_ns_; });
  if (!intervals.empty()) to_ns_ = intervals.back()->to_ns;
  return intervals;
}

}  // namespace millrace
