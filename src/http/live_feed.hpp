#pragma once

#include <memory>

#include "http/live_updates.hpp"
#include "monitor/performance_watch.hpp"

namespace millrace::http {

/// What the performance watch finds, told to who listens. For the watch's thread.
class LiveFeed {
 public:
  LiveFeed(std::shared_ptr<LiveUpdates> updates, std::shared_ptr<const QueryPerformanceMonitor> monitor)
      : updates_(std::move(updates)), monitor_(std::move(monitor)) {}

  /// A second has passed: its figures, and the slow queries since the last call.
  void looked(const IntervalFigures& figures);
  void found(const PerformanceAnomaly& anomaly);
  /// It began or ended.
  void changed(const Alert& alert);

 private:
  std::shared_ptr<LiveUpdates> updates_;
  std::shared_ptr<const QueryPerformanceMonitor> monitor_;
  std::uint64_t slow_queries_told_ = 0;
};

}  // namespace millrace::http
