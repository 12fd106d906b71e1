#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "http/json_types.hpp"
#include "monitor/alert_rules.hpp"
#include "monitor/performance_types.hpp"

/// What the operations about alerts and anomalies take and answer.
namespace millrace::http {

/// A rule to be made. Which defaults: those of `AlertThreshold`.
struct NewAlert {
  PerformanceMetricType metric_type = PerformanceMetricType::execution_time;
  double threshold_value = 0;
  std::optional<std::string> comparison_operator = {};
  std::optional<int> window_minutes = {};
  std::optional<int> min_occurrences = {};
  std::optional<AlertSeverity> severity = {};
  std::optional<bool> enabled = {};
  std::optional<std::vector<std::string>> notification_channels = {};
  std::optional<double> clear_value = {};
  std::optional<int> min_samples = {};
  std::optional<NoDataPolicy> no_data = {};
};
BOOST_DESCRIBE_STRUCT(NewAlert, (),
                      (metric_type, threshold_value, comparison_operator, window_minutes, min_occurrences, severity,
                       enabled, notification_channels, clear_value, min_samples, no_data))

/// `alert_id` is "pending" unless the rule fires already.
struct CreatedAlert {
  std::string alert_id = {};
  std::string rule_id = {};
  AlertThreshold threshold = {};
  std::string description = {};
  std::optional<double> current_value = {};  ///< null: there was nothing to take it of yet
  Timestamp triggered_at = {};
  std::vector<std::string> suggested_actions = {};
};
BOOST_DESCRIBE_STRUCT(CreatedAlert, (),
                      (alert_id, rule_id, threshold, description, current_value, triggered_at, suggested_actions))

struct ListedAlert {
  std::string alert_id = {};
  std::string rule_id = {};
  PerformanceMetricType metric_type = PerformanceMetricType::execution_time;
  AlertSeverity severity = AlertSeverity::medium;
  std::string description = {};
  double threshold_value = 0;
  std::string comparison_operator = {};
  double current_value = 0;
  Timestamp triggered_at = {};
  bool acknowledged = false;
  std::optional<std::string> acknowledged_by = {};
  bool resolved = false;
  std::optional<Timestamp> resolved_at = {};
  std::vector<std::string> affected_resources = {};
  std::vector<std::string> suggested_actions = {};
};
BOOST_DESCRIBE_STRUCT(ListedAlert, (),
                      (alert_id, rule_id, metric_type, severity, description, threshold_value, comparison_operator,
                       current_value, triggered_at, acknowledged, acknowledged_by, resolved, resolved_at,
                       affected_resources, suggested_actions))

ListedAlert listed(Alert alert);

struct AlertList {
  std::vector<ListedAlert> alerts = {};
  std::uint64_t total_count = 0;
};
BOOST_DESCRIBE_STRUCT(AlertList, (), (alerts, total_count))

struct AlertListQuery {
  std::optional<bool> active_only = {};
};
BOOST_DESCRIBE_STRUCT(AlertListQuery, (), (active_only))

struct AlertPath {
  std::string alert_id = {};
};
BOOST_DESCRIBE_STRUCT(AlertPath, (), (alert_id))

struct AcknowledgeQuery {
  std::optional<std::string> acknowledged_by = {};
};
BOOST_DESCRIBE_STRUCT(AcknowledgeQuery, (), (acknowledged_by))

struct AlertRulePath {
  std::string rule_id = {};
};
BOOST_DESCRIBE_STRUCT(AlertRulePath, (), (rule_id))

struct AlertRuleList {
  std::vector<AlertRule> rules = {};
  std::uint64_t total_count = 0;
};
BOOST_DESCRIBE_STRUCT(AlertRuleList, (), (rules, total_count))

/// `marks`: single series that were unusual for a moment.
struct AnomalyList {
  std::vector<PerformanceAnomaly> anomalies = {};
  std::uint64_t total_count = 0;
  std::vector<AnomalyMark> marks = {};
};
BOOST_DESCRIBE_STRUCT(AnomalyList, (), (anomalies, total_count, marks))

}  // namespace millrace::http
