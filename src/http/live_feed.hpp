#pragma once

#include <memory>

#include "http/live_updates.hpp"
#include "monitor/performance_watch.hpp"
#include "monitor/template_plans.hpp"

namespace millrace::http {

/// What the performance watch finds, told to who listens. For the watch's thread.
class LiveFeed {
 public:
  /// `plans`: null: nobody asks for plans.
  LiveFeed(std::shared_ptr<LiveUpdates> updates, std::shared_ptr<const QueryPerformanceMonitor> monitor,
           std::shared_ptr<const TemplatePlans> plans)
      : updates_(std::move(updates)), monitor_(std::move(monitor)), plans_(std::move(plans)) {}

  /// A second has passed: its figures, and the slow queries since the last call.
  void looked(const IntervalFigures& figures);
  void found(const PerformanceAnomaly& anomaly);
  /// It began or ended.
  void changed(const Alert& alert);
  void changed(const PlanChange& change);

 private:
  std::shared_ptr<LiveUpdates> updates_;
  std::shared_ptr<const QueryPerformanceMonitor> monitor_;
  std::shared_ptr<const TemplatePlans> plans_;
  std::uint64_t slow_queries_told_ = 0;
};

}  // namespace millrace::http
