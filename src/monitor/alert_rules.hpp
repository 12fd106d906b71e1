#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "monitor/alert_threshold.hpp"
#include "monitor/figures_of_slice.hpp"

namespace millrace {

/// A rule that fired, or did.
struct Alert {
  std::string alert_id = {};
  std::string rule_id = {};
  AlertThreshold threshold = {};
  std::chrono::system_clock::time_point triggered_at = {};
  double current_value = 0;
  std::string description = {};
  std::vector<std::string> affected_resources = {};
  std::vector<std::string> suggested_actions = {};
  bool acknowledged = false;
  std::optional<std::string> acknowledged_by = {};
  bool resolved = false;
  std::optional<std::chrono::system_clock::time_point> resolved_at = {};
};
BOOST_DESCRIBE_STRUCT(Alert, (),
                      (alert_id, rule_id, threshold, triggered_at, current_value, description, affected_resources,
                       suggested_actions, acknowledged, acknowledged_by, resolved, resolved_at))

enum class AlertState : std::uint8_t { inactive, pending, firing };
BOOST_DESCRIBE_ENUM(AlertState, inactive, pending, firing)

struct AlertRule {
  std::string rule_id = {};
  bool built_in = false;  ///< from PERFORMANCE_ALERT_THRESHOLDS
  AlertThreshold threshold = {};
  AlertState state = AlertState::inactive;
  std::uint64_t occurrences = 0;  ///< in the window
  std::optional<double> current_value = {};
};
BOOST_DESCRIBE_STRUCT(AlertRule, (), (rule_id, built_in, threshold, state, occurrences, current_value))

/// What is kept over a restart: rules that somebody made, and alerts.
struct StoredRule {
  std::string rule_id = {};
  AlertThreshold threshold = {};
};
BOOST_DESCRIBE_STRUCT(StoredRule, (), (rule_id, threshold))

struct StoredAlerts {
  int version = 1;
  std::vector<StoredRule> rules = {};
  std::vector<Alert> alerts = {};
};
BOOST_DESCRIBE_STRUCT(StoredAlerts, (), (version, rules, alerts))

/// All rules and what has come of them. Thread-safe.
///
/// A rule is inactive, pending from its first occurrence in the window on, and firing when there are enough. A firing
/// alert is resolved when the figure was back at `clear_value` for a minute on end, or by hand; the window begins anew
/// then. One of execution_time, when for a minute on end the window had too few queries to fire and none was new. There
/// is one alert a rule at a time.
class AlertRules {
 public:
  using Time = std::chrono::system_clock::time_point;

  static constexpr std::size_t most_rules = 200;
  static constexpr std::size_t kept_alerts = 200;  ///< resolved ones
  static constexpr int most_window_minutes = 1440;
  static constexpr int slices_a_minute = 6;  ///< of ten seconds: of all but execution_time, so many occurrences at most

  /// Replaces the built-in rules, which have names of their own. One that is as it was goes on counting.
  void built_in(const std::vector<std::pair<std::string, AlertThreshold>>& rules);

  struct Created {
    AlertRule rule;
    std::optional<Alert> alert;  ///< it fires at once, or did already
  };
  /// One that is equal to a rule that there is, is that rule. Nothing: there are too many.
  std::optional<Created> create(const AlertThreshold& threshold, Time now);

  enum class Removal { done, absent, is_built_in };
  /// Its alert, if it fires, is resolved.
  Removal remove_rule(const std::string& rule_id, Time now);

  std::vector<AlertRule> rules() const;
  std::vector<Alert> alerts(bool active_only) const;  ///< the newest first
  std::optional<Alert> acknowledge(const std::string& alert_id, const std::string& by);
  std::optional<Alert> resolve(const std::string& alert_id, Time now);
  /// Forgets it; one that fires is resolved first. False: there is none.
  bool remove_alert(const std::string& alert_id, Time now);

  /// What happened since the last call, about a second.
  void observe(const IntervalFigures& figures);

  /// Alerts that began or ended since the last call, in order.
  std::vector<Alert> take_events();

  StoredAlerts stored() const;
  void restore(StoredAlerts stored);
  /// Grows with every change of what `stored` says.
  std::uint64_t changes() const;

 private:
  struct Kept;

  Alert& fire(Kept& rule, Time now);
  /// What is answered is a copy.
  Alert finish(Alert& alert, Time now);
  void advance(Kept& rule, Time now);
  void close_slice(Kept& rule, Time now);
  /// Of those that are over, the ones that have been for longest; never this one.
  void forget_old(std::string_view but);
  Kept* find_rule(const std::string& rule_id);
  Alert* find_alert(const std::string& alert_id);
  Alert* open_alert(const std::string& rule_id);
  std::shared_ptr<Kept> keep(std::string rule_id, bool is_built_in, const AlertThreshold& threshold);

  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Kept>> rules_ = {};
  std::deque<Alert> alerts_;  // in the order in which they began
  std::vector<Alert> events_ = {};
  FiguresOfSlice slice_;
  std::optional<FiguresOfSlice> last_slice_ = {};
  std::uint64_t changes_ = 0;
  std::uint64_t numbered_ = 0;
};

}  // namespace millrace
