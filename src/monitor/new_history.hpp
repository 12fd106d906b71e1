#pragma once

#include <cstdint>
#include <vector>

#include "monitor/interval_figures.hpp"
#include "monitor/performance_history.hpp"

namespace millrace {

/// Hands over what has become history since it was last asked, each interval once and in order. Not thread-safe.
class NewHistory {
 public:
  /// Of all queries, where there is no history that gives numbers to templates.
  static constexpr SubjectId all_queries = 8;

  /// From this moment of `now_ns()` on.
  explicit NewHistory(std::int64_t from_ns) : to_ns_(from_ns) {}

  /// `history`: of templates and others. Null: there is none; then it is `figures`, which are of the time from the last
  /// call to `now`, with all queries as one template.
  std::vector<IntervalPtr> take(const PerformanceHistory* history, const IntervalFigures& figures, std::int64_t now);

 private:
  std::int64_t to_ns_;  ///< where the last interval ended
};

}  // namespace millrace
