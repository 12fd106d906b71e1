#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "monitor/alert_rules.hpp"
#include "monitor/anomaly_watch.hpp"
#include "monitor/new_history.hpp"
#include "monitor/query_performance_monitor.hpp"
#include "monitor/template_latencies.hpp"
#include "monitor/template_series.hpp"

namespace millrace {

/// Looks at the monitor's figures once a second, on a thread of its own: finds anomalies, judges the alerts' rules, and
/// tells of both. What it calls may take its time; then it looks less often, and nobody else waits.
class PerformanceWatch {
 public:
  struct Hooks {
    std::function<void(const IntervalFigures&)> looked = [](const IntervalFigures&) {};  ///< each second
    std::function<void(const PerformanceAnomaly&)> anomaly = [](const PerformanceAnomaly&) {};
    std::function<void(const Alert&)> alert = [](const Alert&) {};  ///< began or ended
    /// What is to survive a restart; whether it is saved: if not, the next look tries again.
    std::function<bool(const StoredAlerts&)> save = [](const StoredAlerts&) { return true; };
  };
  struct Options {
    bool detect_anomalies = true;
    DetectorProfile profile = DetectorProfile::medium;
    std::chrono::milliseconds slow_query_threshold{1000};
  };

  /// `plans`: of templates, as far as somebody asks for them.
  PerformanceWatch(std::shared_ptr<const QueryPerformanceMonitor> monitor, const Options& options, Hooks hooks,
                   std::shared_ptr<const TemplatePlans> plans = {});
  /// Ends the thread.
  ~PerformanceWatch();

  void start();
  void stop();

  AlertRules& alerts() { return alerts_; }
  const AlertRules& alerts() const { return alerts_; }
  const AnomalyWatch& anomalies() const { return anomalies_; }
  const TemplateSeries& templates() const { return templates_; }
  bool detects_anomalies() const { return options_.detect_anomalies; }

  /// From now on a query that takes longer is slow; 0: none is.
  void slow_from(std::chrono::milliseconds threshold) { slow_from_ms_ = threshold.count(); }

  /// Saves what has changed soon, not only with the next look.
  void changed();

 private:
  void run(const std::stop_token& stop);
  void find_anomalies(const IntervalFigures& figures);
  std::vector<TemplateChange> changed_templates(const IntervalFigures& figures, std::span<const IntervalPtr> intervals);
  void tell();

  const std::shared_ptr<const QueryPerformanceMonitor> monitor_;
  const Options options_;
  const Hooks hooks_;
  const std::shared_ptr<const TemplatePlans> plans_;
  std::atomic<std::int64_t> slow_from_ms_;
  AlertRules alerts_;
  AnomalyWatch anomalies_;
  TemplateSeries templates_;
  TemplateLatencies latencies_;
  NewHistory new_history_;
  std::uint64_t saved_changes_ = 0;  // what was restored is no change

  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool changed_ = false;
  std::jthread thread_;
};

}  // namespace millrace
