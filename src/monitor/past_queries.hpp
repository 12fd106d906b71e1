#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "backend/embedded_store.hpp"
#include "monitor/performance_store.hpp"
#include "monitor/query_performance_monitor.hpp"

namespace millrace {

struct SlowQueryReport {
  std::vector<SlowQuery> slowest = {};  ///< the slowest first
  std::uint64_t count = 0;              ///< of all that were asked for, beyond the limit too
  double total_ns = 0;                  ///< of these
};

/// What was recorded: what is in the monitor's memory, and what of the time before is in the store. Without a store, or
/// where it doesn't answer within `patience`, it is what is in memory: where a report begins tells how far back it
/// goes. Thread-safe; not for an I/O thread.
class PastQueries {
 public:
  static constexpr auto patience = std::chrono::seconds(10);

  /// The monitor must have a history. `store`, `kept`: null: there is no store.
  explicit PastQueries(std::shared_ptr<const QueryPerformanceMonitor> monitor,
                       std::shared_ptr<backend::EmbeddedStore> store = {},
                       std::shared_ptr<const PerformanceStore> kept = {});

  /// As PerformanceHistory::report.
  PeriodReport report(SubjectKind kind, std::optional<std::chrono::nanoseconds> window, const Moment& now) const;
  /// As PerformanceHistory::since. Of subjects only what `subject` was (one of a report); null: of none.
  std::vector<IntervalPtr> since(std::int64_t from_ns, const SubjectReport* subject, const Moment& now) const;
  /// Those of so long that took at least so long, the slowest `limit` of them. Null: of all that is remembered.
  SlowQueryReport slow_queries(std::optional<std::chrono::nanoseconds> window, std::chrono::nanoseconds least,
                               std::size_t limit, const Moment& now) const;

  const QueryPerformanceMonitor& monitor() const { return *monitor_; }

 private:
  template <typename F>
  auto ask(F read) const;

  const std::shared_ptr<const QueryPerformanceMonitor> monitor_;
  const std::shared_ptr<backend::EmbeddedStore> store_;
  const std::shared_ptr<const PerformanceStore> kept_;
};

}  // namespace millrace
