#include "http/alert_store.hpp"

#include <utility>

#include "http/json_read.hpp"
#include "http/json_write.hpp"

namespace millrace::http {
namespace {

using Time = std::chrono::system_clock::time_point;

/// As an Alert, with times in milliseconds since 1970.
struct AlertInFile {
  std::string alert_id;
  std::string rule_id;
  AlertThreshold threshold;
  std::int64_t triggered_at = 0;
  double current_value = 0;
  std::string description;
  std::vector<std::string> affected_resources;
  std::vector<std::string> suggested_actions;
  bool acknowledged = false;
  std::optional<std::string> acknowledged_by;
  bool resolved = false;
  std::optional<std::int64_t> resolved_at;
};
BOOST_DESCRIBE_STRUCT(AlertInFile, (),
                      (alert_id, rule_id, threshold, triggered_at, current_value, description, affected_resources,
                       suggested_actions, acknowledged, acknowledged_by, resolved, resolved_at))

struct AlertsFile {
  int version = 1;
  std::vector<StoredRule> rules;
  std::vector<AlertInFile> alerts;
};
BOOST_DESCRIBE_STRUCT(AlertsFile, (), (version, rules, alerts))

std::int64_t to_ms(Time time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}
Time of_ms(std::int64_t ms) { return Time(std::chrono::milliseconds(ms)); }

AlertInFile to_file(Alert alert) {
  return {.alert_id = std::move(alert.alert_id),
          .rule_id = std::move(alert.rule_id),
          .threshold = std::move(alert.threshold),
          .triggered_at = to_ms(alert.triggered_at),
          .current_value = alert.current_value,
          .description = std::move(alert.description),
          .affected_resources = std::move(alert.affected_resources),
          .suggested_actions = std::move(alert.suggested_actions),
          .acknowledged = alert.acknowledged,
          .acknowledged_by = std::move(alert.acknowledged_by),
          .resolved = alert.resolved,
          .resolved_at = alert.resolved_at ? std::optional(to_ms(*alert.resolved_at)) : std::nullopt};
}

Alert of_file(AlertInFile alert) {
  return {.alert_id = std::move(alert.alert_id),
          .rule_id = std::move(alert.rule_id),
          .threshold = std::move(alert.threshold),
          .triggered_at = of_ms(alert.triggered_at),
          .current_value = alert.current_value,
          .description = std::move(alert.description),
          .affected_resources = std::move(alert.affected_resources),
          .suggested_actions = std::move(alert.suggested_actions),
          .acknowledged = alert.acknowledged,
          .acknowledged_by = std::move(alert.acknowledged_by),
          .resolved = alert.resolved,
          .resolved_at = alert.resolved_at ? std::optional(of_ms(*alert.resolved_at)) : std::nullopt};
}

}  // namespace

AlertStore::AlertStore(std::string folder)
    : file_(folder.empty() ? "" : std::move(folder) + "/alerts.json", "alerts") {}

StoredAlerts AlertStore::load() {
  StoredAlerts stored;
  const auto text = file_.read();
  if (!text) return stored;
  auto read = read_body<AlertsFile>(*text);
  if (!read || read->version != stored.version) {
    file_.set_aside(read ? "another version" : read.error().front().msg);
    return stored;
  }
  stored.rules = std::move(read->rules);
  for (AlertInFile& alert : read->alerts) stored.alerts.push_back(of_file(std::move(alert)));
  return stored;
}

Result<> AlertStore::save(const StoredAlerts& stored) const {
  AlertsFile all{.version = stored.version, .rules = stored.rules, .alerts = {}};
  for (const Alert& alert : stored.alerts) all.alerts.push_back(to_file(alert));
  return file_.replace(to_json(all));
}

}  // namespace millrace::http
