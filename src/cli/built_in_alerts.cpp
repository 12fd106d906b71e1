#include "cli/built_in_alerts.hpp"

namespace millrace::cli {
namespace {

// Of fewer queries in ten seconds one that fails, or is slow, is a large part.
constexpr int least_queries = 50;

}  // namespace

std::vector<std::pair<std::string, AlertThreshold>> built_in_alerts(const config::AlertThresholds& thresholds) {
  using enum PerformanceMetricType;
  using enum AlertSeverity;
  // Occurrences are ten seconds: three of them in five minutes are half a minute.
  return {
      {"builtin_slow_queries",
       {.metric_type = slow_query_percentage,
        .threshold_value = thresholds.slow_query_percentage,
        .window_minutes = 5,
        .min_occurrences = 6,
        .severity = medium,
        .min_samples = least_queries}},
      {"builtin_error_rate",
       {.metric_type = error_rate,
        .threshold_value = thresholds.error_rate_percentage,
        .window_minutes = 5,
        .min_occurrences = 3,
        .severity = high,
        .min_samples = least_queries}},
      {"builtin_memory_usage",
       {.metric_type = memory_usage_percentage,
        .threshold_value = thresholds.memory_usage_percentage,
        .window_minutes = 10,
        .min_occurrences = 30,
        .severity = medium}},
      {"builtin_cpu_usage",
       {.metric_type = cpu_usage,
        .threshold_value = thresholds.cpu_usage_percentage,
        .window_minutes = 10,
        .min_occurrences = 30,
        .severity = medium}},
      // A cache that has just been started, or emptied, is filled within that.
      {"builtin_cache_hit_rate",
       {.metric_type = cache_hit_rate,
        .threshold_value = thresholds.cache_hit_rate_minimum,
        .comparison_operator = "<",
        .window_minutes = 30,
        .min_occurrences = 120,
        .severity = low,
        .min_samples = least_queries}},
      {"builtin_queue_depth",
       {.metric_type = queue_depth,
        .threshold_value = thresholds.queue_depth_threshold,
        .window_minutes = 5,
        .min_occurrences = 3,
        .severity = high}},
  };
}

}  // namespace millrace::cli
