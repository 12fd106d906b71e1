#include "http/live_feed.hpp"

#include <algorithm>
#include <cmath>

#include "base/clock.hpp"
#include "http/alerts_types.hpp"
#include "http/json_write.hpp"
#include "http/performance_reports.hpp"

namespace millrace::http {
namespace {

std::optional<double> if_any(double value) { return std::isnan(value) ? std::nullopt : std::optional(value); }

LiveMetrics metrics_of(const IntervalFigures& figures) {
  LiveMetrics metrics{.at = figures.at,
                      .window_seconds = figures.seconds,
                      .throughput = figures.queries_per_second(),
                      .p50_ms = if_any(figures.quantile_ms(0.5)),
                      .p95_ms = if_any(figures.quantile_ms(0.95)),
                      .p99_ms = if_any(figures.quantile_ms(0.99)),
                      .error_rate = if_any(figures.error_rate()),
                      .cache_hit_rate = if_any(figures.cache_hit_rate()),
                      .slow_queries = figures.slow,
                      .queue_depth = figures.waiting,
                      .concurrency = figures.active,
                      .connections = figures.connected,
                      .cpu_usage = if_any(figures.system.cpu_percent),
                      .memory_usage_mb = if_any(figures.system.process_mb)};
  if (figures.queries > 0) {
    metrics.execution_time = static_cast<double>(figures.durations.sum()) / static_cast<double>(figures.queries) / 1e6;
  }
  return metrics;
}

}  // namespace

void LiveFeed::looked(const IntervalFigures& figures) {
  const bool anybody = updates_->clients() > 0;
  if (anybody) updates_->publish(LiveTopic::metrics, to_json(metrics_of(figures)));
  if (monitor_->history() == nullptr) return;
  // Who comes later isn't told of what was before.
  const std::uint64_t told = slow_queries_told_;
  const auto found = monitor_->history()->slow_queries([&](const SlowQuery& query) {
    slow_queries_told_ = std::max(slow_queries_told_, query.number);
    return anybody && query.number > told;
  });
  for (const SlowQuery& query : found) {
    updates_->publish(LiveTopic::slow_query, to_json(slow_query_answer(*monitor_, plans_.get(), query)));
  }
}

void LiveFeed::found(const PerformanceAnomaly& anomaly) { updates_->publish(LiveTopic::anomaly, to_json(anomaly)); }

void LiveFeed::changed(const Alert& alert) { updates_->publish(LiveTopic::alert, to_json(listed(alert))); }

void LiveFeed::changed(const PlanChange& change) {
  updates_->publish(LiveTopic::plan_change, to_json(plan_change_answer(*monitor_, change)));
}

}  // namespace millrace::http
