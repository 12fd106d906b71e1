#include "monitor/alert_threshold.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace millrace {
namespace {

struct Metric {
  std::string_view title;
  std::string_view unit;
  std::array<std::string_view, 2> actions;
};

// In the order of the enumerators.
constexpr std::array metrics = {
    Metric{"execution time",
           " ms",
           {"See which statements were slow: GET /api/v1/performance/slow-queries, or the log",
            "Look at such a statement's plan with EXPLAIN (ANALYZE, BUFFERS), and whether an index is missing"}},
    Metric{"CPU usage",
           " %",
           {"See what runs beside Millrace on this machine", "Compare with the number of queries: GET /metrics"}},
    Metric{
        "memory usage",
        " MiB",
        {"Lower L1_CACHE_SIZE_MB, or MAX_HELD_MESSAGES_MB", "See what the cache holds: GET /api/v1/cache/statistics"}},
    Metric{"I/O operations", "", {}},
    Metric{"network latency", " ms", {}},
    Metric{"queue depth",
           " clients waiting",
           {"Look for transactions that stay open: pg_stat_activity, state 'idle in transaction'",
            "Raise POOL_SIZE if PostgreSQL has room for more connections, or use POOL_MODE transaction"}},
    Metric{"lock contention", "", {}},
    Metric{"error rate",
           " %",
           {"See which errors: millrace_query_errors_total by sqlstate_class in /metrics, and PostgreSQL's log",
            "Ask whether PostgreSQL can be reached: GET /health"}},
    Metric{"throughput",
           " queries/s",
           {"See whether clients can connect and whether they wait: millrace status",
            "Compare with the applications' own figures"}},
    Metric{"concurrency",
           " clients with a server connection",
           {"See what runs: pg_stat_activity", "Compare with POOL_SIZE and PostgreSQL's max_connections"}},
    Metric{"memory in use", " %", {"See what uses this machine's memory", "Lower L1_CACHE_SIZE_MB if it is Millrace"}},
    Metric{"slow queries",
           " %",
           {"See which statements were slow: GET /api/v1/performance/slow-queries, or the log",
            "See whether answers still come from memory: GET /api/v1/cache/statistics"}},
    Metric{"cache hit rate",
           " %",
           {"See what makes answers stale: invalidations in GET /api/v1/cache/statistics",
            "Ask why a statement isn't kept: EXPLAIN (MILLRACE)"}},
};

const Metric& metric_of(PerformanceMetricType metric) { return metrics[static_cast<std::size_t>(metric)]; }

constexpr double inside = 0.1;
constexpr double most_percent = 100;

/// How far inside the threshold a figure must be, unless the rule says it.
double default_clear_value(const AlertThreshold& threshold) {
  const double value = threshold.threshold_value;
  const double tenth = inside * std::abs(value);
  if (threshold.comparison_operator.starts_with('>')) return value - tenth;
  // Under 95 %: a tenth more is more than there can be, and all of it hardly ever is.
  const bool has_end = is_share(threshold.metric_type) && value <= most_percent;
  return has_end ? std::min(value + tenth, (value + most_percent) / 2) : value + tenth;
}

}  // namespace

bool is_measured(PerformanceMetricType metric) { return !metric_of(metric).actions[0].empty(); }
std::string_view title_of(PerformanceMetricType metric) { return metric_of(metric).title; }
std::string_view unit_of(PerformanceMetricType metric) { return metric_of(metric).unit; }

std::vector<std::string> suggested_actions(PerformanceMetricType metric) {
  const auto& actions = metric_of(metric).actions;
  return {actions.begin(), actions.end()};
}

bool is_comparison(std::string_view text) {
  constexpr std::array<std::string_view, 5> known = {">", "<", ">=", "<=", "=="};
  return std::ranges::find(known, text) != known.end();
}

bool is_share(PerformanceMetricType metric) { return unit_of(metric) == " %"; }

bool can_be_beyond(const AlertThreshold& threshold) {
  const double value = threshold.threshold_value;
  const double most = is_share(threshold.metric_type) ? most_percent : std::numeric_limits<double>::infinity();
  if (threshold.comparison_operator == ">") return value < most;
  if (threshold.comparison_operator == "<") return value > 0;
  if (threshold.comparison_operator == ">=") return value <= most;
  if (threshold.comparison_operator == "<=") return value >= 0;
  return value >= 0 && value <= most;
}

bool compares(double value, std::string_view comparison, double with) {
  if (comparison == ">") return value > with;
  if (comparison == "<") return value < with;
  if (comparison == ">=") return value >= with;
  if (comparison == "<=") return value <= with;
  return value == with;
}

bool is_clear(const AlertThreshold& threshold, double value) {
  if (compares(value, threshold.comparison_operator, threshold.threshold_value)) return false;
  if (threshold.comparison_operator == "==") return true;
  const double limit = threshold.clear_value ? *threshold.clear_value : default_clear_value(threshold);
  return threshold.comparison_operator.starts_with('>') ? value <= limit : value >= limit;
}

}  // namespace millrace
