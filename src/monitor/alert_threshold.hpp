#pragma once

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "monitor/performance_types.hpp"

namespace millrace {

/// What a rule looks at, and in which unit; percentages are 0 to 100.
enum class PerformanceMetricType : std::uint8_t {
  execution_time,           ///< ms; an occurrence is a query
  cpu_usage,                ///< percent of the machine's processors
  memory_usage,             ///< MiB, resident, of this process
  io_operations,            ///< isn't measured
  network_latency,          ///< isn't measured
  queue_depth,              ///< clients that wait for a server connection
  lock_contention,          ///< isn't measured
  error_rate,               ///< percent of the queries
  throughput,               ///< queries a second
  concurrency,              ///< clients that hold a server connection
  memory_usage_percentage,  ///< percent of the machine's memory
  slow_query_percentage,    ///< percent of the queries, over SLOW_QUERY_THRESHOLD_MS
  cache_hit_rate            ///< percent of the reads that may be answered from memory
};
BOOST_DESCRIBE_ENUM(PerformanceMetricType, execution_time, cpu_usage, memory_usage, io_operations, network_latency,
                    queue_depth, lock_contention, error_rate, throughput, concurrency, memory_usage_percentage,
                    slow_query_percentage, cache_hit_rate)

bool is_measured(PerformanceMetricType metric);

/// What it means if there is nothing to look at.
enum class NoDataPolicy : std::uint8_t {
  keep,  ///< nothing: all stays as it is
  ok,    ///< that the threshold is kept
  alert  ///< that it isn't
};
BOOST_DESCRIBE_ENUM(NoDataPolicy, keep, ok, alert)

/// A rule: fires when there were `min_occurrences` within `window_minutes`. An occurrence is a query, of
/// execution_time; of all else ten seconds whose figure is beyond the threshold.
struct AlertThreshold {
  PerformanceMetricType metric_type = PerformanceMetricType::execution_time;
  double threshold_value = 0;
  std::string comparison_operator = ">";  ///< > < >= <= ==
  int window_minutes = 5;
  int min_occurrences = 1;
  AlertSeverity severity = AlertSeverity::medium;
  bool enabled = true;
  std::vector<std::string> notification_channels = {};  ///< names, for whoever routes what the webhook is sent
  /// What the figure must be back at for the alert to be over; by default a tenth inside the threshold, or half the way
  /// to 100 % if that is less.
  std::optional<double> clear_value = {};
  /// With fewer queries (or reads) than this in ten seconds a percentage says nothing.
  int min_samples = 10;
  NoDataPolicy no_data = NoDataPolicy::keep;

  bool operator==(const AlertThreshold&) const = default;
};
BOOST_DESCRIBE_STRUCT(AlertThreshold, (),
                      (metric_type, threshold_value, comparison_operator, window_minutes, min_occurrences, severity,
                       enabled, notification_channels, clear_value, min_samples, no_data))

bool is_comparison(std::string_view text);
/// Whether it is one of percent, 0 to 100.
bool is_share(PerformanceMetricType metric);
/// Whether a figure can be beyond the threshold at all: none is below 0, and no share is above 100.
bool can_be_beyond(const AlertThreshold& threshold);
bool compares(double value, std::string_view comparison, double with);

/// Whether a figure is so far inside the threshold that an alert is over.
bool is_clear(const AlertThreshold& threshold, double value);

/// "execution time", and " ms".
std::string_view title_of(PerformanceMetricType metric);
std::string_view unit_of(PerformanceMetricType metric);

/// What to look at when it fires.
std::vector<std::string> suggested_actions(PerformanceMetricType metric);

}  // namespace millrace
