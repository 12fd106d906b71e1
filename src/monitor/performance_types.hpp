#pragma once

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

/// What anomalies and alerts are said in.
namespace millrace {

enum class AlertSeverity : std::uint8_t { low, medium, high, critical };
BOOST_DESCRIBE_ENUM(AlertSeverity, low, medium, high, critical)

enum class AnomalyType : std::uint8_t {
  slow_query,
  high_cpu,
  high_memory,
  resource_contention,
  error_spike,
  throughput_drop,
  queue_buildup,
  deadlock
};
BOOST_DESCRIBE_ENUM(AnomalyType, slow_query, high_cpu, high_memory, resource_contention, error_spike, throughput_drop,
                    queue_buildup, deadlock)

/// Something that isn't as it was, that more than one series says.
struct PerformanceAnomaly {
  std::string anomaly_id = {};
  AnomalyType anomaly_type = AnomalyType::slow_query;
  AlertSeverity severity = AlertSeverity::medium;
  std::chrono::system_clock::time_point detected_at = {};
  std::string description = {};                    ///< a sentence or two
  std::vector<std::string> affected_queries = {};  ///< template_ids; empty where it isn't known which
  std::map<std::string, double> metrics = {};      ///< of the second in which it was found: latency_p95_ms, ...
  double threshold_value = 0;                      ///< what was usual
  double actual_value = 0;
  double confidence_score = 0;  ///< 0 to 1
  std::string likely_cause = {};
  std::vector<std::string> suggested_actions = {};
  std::map<std::string, std::string> related_context = {};
};
BOOST_DESCRIBE_STRUCT(PerformanceAnomaly, (),
                      (anomaly_id, anomaly_type, severity, detected_at, description, affected_queries, metrics,
                       threshold_value, actual_value, confidence_score, likely_cause, suggested_actions,
                       related_context))

/// One series was unusual for a moment, which alone means nothing.
struct AnomalyMark {
  std::chrono::system_clock::time_point at = {};
  std::string series = {};  ///< load, latency, latency_change, errors, queue, cache_hits, template_latency
  std::string kind = {};    ///< spike, level_shift, drift, variance_change, season_broken, missing_data
  double score = 0;         ///< 0 to 1
  double value = 0;
  double usual = 0;
  std::string template_id = {};  ///< whose calls take longer; empty: it is a series of all queries
};
BOOST_DESCRIBE_STRUCT(AnomalyMark, (), (at, series, kind, score, value, usual, template_id))

}  // namespace millrace
