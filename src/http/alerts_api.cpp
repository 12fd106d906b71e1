#include "http/alerts_api.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "http/alerts_types.hpp"

namespace millrace::http {
namespace {

using Watch = std::shared_ptr<PerformanceWatch>;
using Problems = std::vector<ValidationProblem>;

constexpr std::size_t most_channels = 10;
constexpr std::size_t channel_bytes = 64;
constexpr std::size_t name_bytes = 200;
constexpr int most_occurrences = 1'000'000;

Timestamp now() { return std::chrono::system_clock::now(); }

Response absent() { return problem(503, "performance isn't watched: PERFORMANCE_MONITORING_ENABLED is off"); }
Response no_alert() { return problem(404, "there is no such alert"); }

void check_at_least(const std::string& field, int value, int least, Problems& problems) {
  if (value < least)
    problems.push_back({{"body", field}, fmt::format("must be {} or more", least), "greater_than_equal"});
}

void check_range(const std::string& field, int value, int least, int most, Problems& problems) {
  check_at_least(field, value, least, problems);
  if (value > most) problems.push_back({{"body", field}, fmt::format("must be {} or less", most), "less_than_equal"});
}

void check_channels(const std::vector<std::string>& channels, Problems& problems) {
  if (channels.size() > most_channels) {
    problems.push_back(
        {{"body", "notification_channels"}, fmt::format("must have {} items at most", most_channels), "too_long"});
    return;
  }
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const std::string& name = channels[i];
    if (!name.empty() && name.size() <= channel_bytes && name.find_first_not_of(allowed) == std::string::npos) continue;
    problems.push_back({{"body", "notification_channels", i},
                        fmt::format("must be 1 to {} letters, digits, '_', '-' or '.'", channel_bytes),
                        "value_error"});
  }
}

/// A share that is none, and what would be taken as a rule and never fire.
void check_can_fire(const AlertThreshold& threshold, Problems& problems) {
  const bool by_queries = threshold.metric_type == PerformanceMetricType::execution_time;
  const int most = by_queries ? most_occurrences : threshold.window_minutes * AlertRules::slices_a_minute;
  if (threshold.min_occurrences > most) {
    const auto why = by_queries ? std::string()
                                : fmt::format(": an occurrence is ten seconds, of which so many are in {} min",
                                              threshold.window_minutes);
    problems.push_back(
        {{"body", "min_occurrences"}, fmt::format("must be {} or less{}", most, why), "less_than_equal"});
  }
  const auto is_percent = [](double value) { return value >= 0 && value <= 100; };
  if (is_share(threshold.metric_type)) {
    constexpr auto range = "must be 0 to 100, as it is in percent";
    if (!is_percent(threshold.threshold_value)) {
      problems.push_back({{"body", "threshold_value"}, range, "value_error"});
      return;
    }
    if (threshold.clear_value && !is_percent(*threshold.clear_value))
      problems.push_back({{"body", "clear_value"}, range, "value_error"});
  }
  if (threshold.no_data != NoDataPolicy::alert && !can_be_beyond(threshold)) {
    problems.push_back(
        {{"body", "threshold_value"},
         fmt::format("no {} is ever {} that", title_of(threshold.metric_type), threshold.comparison_operator),
         "value_error"});
  }
}

/// What is wrong is added to `problems`.
AlertThreshold threshold_of(NewAlert asked, Problems& problems) {
  AlertThreshold threshold{.metric_type = asked.metric_type,
                           .threshold_value = asked.threshold_value,
                           .notification_channels = {},
                           .clear_value = asked.clear_value};
  const auto take = [](auto& given, auto& into) {
    if (given) into = *std::move(given);
  };
  take(asked.comparison_operator, threshold.comparison_operator);
  take(asked.window_minutes, threshold.window_minutes);
  take(asked.min_occurrences, threshold.min_occurrences);
  take(asked.severity, threshold.severity);
  take(asked.enabled, threshold.enabled);
  take(asked.notification_channels, threshold.notification_channels);
  take(asked.min_samples, threshold.min_samples);
  take(asked.no_data, threshold.no_data);

  const bool known = is_comparison(threshold.comparison_operator);
  if (!known) problems.push_back({{"body", "comparison_operator"}, "must be one of: >, <, >=, <=, ==", "enum"});
  if (!is_measured(threshold.metric_type)) {
    problems.push_back({{"body", "metric_type"}, "isn't measured in this version", "value_error"});
  }
  if (known && threshold.comparison_operator == "==" &&
      threshold.metric_type == PerformanceMetricType::execution_time) {
    problems.push_back({{"body", "comparison_operator"}, "no query takes exactly as long as that", "value_error"});
  }
  const std::size_t before = problems.size();
  check_range("window_minutes", threshold.window_minutes, 1, AlertRules::most_window_minutes, problems);
  check_at_least("min_occurrences", threshold.min_occurrences, 1, problems);
  if (known && problems.size() == before) check_can_fire(threshold, problems);
  check_range("min_samples", threshold.min_samples, 0, most_occurrences, problems);
  check_channels(threshold.notification_channels, problems);
  if (threshold.clear_value && known && !is_clear(threshold, *threshold.clear_value)) {
    problems.push_back({{"body", "clear_value"}, "must be on the other side of threshold_value", "value_error"});
  }
  return threshold;
}

asio::awaitable<Reply<CreatedAlert>> create(Watch watch, NewAlert asked, Principal who) {
  if (!watch) co_return absent();
  Problems problems;
  const AlertThreshold threshold = threshold_of(std::move(asked), problems);
  if (!problems.empty()) co_return unprocessable(problems);
  const Timestamp at = now();
  auto created = watch->alerts().create(threshold, at);
  if (!created) {
    co_return problem(409, fmt::format("there are {} rules already; delete one first", AlertRules::most_rules));
  }
  watch->changed();
  log::info("alert rule created", {{"rule", created->rule.rule_id}, {"by", who.name}});
  CreatedAlert answer{.alert_id = "pending",
                      .rule_id = created->rule.rule_id,
                      .threshold = created->rule.threshold,
                      .description = "Alert threshold configured - monitoring for violations",
                      .current_value = created->rule.current_value,
                      .triggered_at = at,
                      .suggested_actions = suggested_actions(threshold.metric_type)};
  if (created->alert) {
    answer.alert_id = created->alert->alert_id;
    answer.description = created->alert->description;
    answer.current_value = created->alert->current_value;
    answer.triggered_at = created->alert->triggered_at;
  }
  co_return answer;
}

asio::awaitable<Reply<AlertList>> list(Watch watch, AlertListQuery query) {
  if (!watch) co_return absent();
  AlertList answer;
  for (Alert& alert : watch->alerts().alerts(query.active_only.value_or(true))) {
    answer.alerts.push_back(listed(std::move(alert)));
  }
  answer.total_count = answer.alerts.size();
  co_return answer;
}

asio::awaitable<Reply<ListedAlert>> acknowledge(Watch watch, AlertPath path, AcknowledgeQuery query, Principal who) {
  if (!watch) co_return absent();
  if (query.acknowledged_by && query.acknowledged_by->size() > name_bytes) {
    co_return unprocessable(
        {{{"query", "acknowledged_by"}, fmt::format("must have {} bytes at most", name_bytes), "string_too_long"}});
  }
  auto alert = watch->alerts().acknowledge(path.alert_id, query.acknowledged_by.value_or(who.name));
  if (!alert) co_return no_alert();
  watch->changed();
  log::info("alert acknowledged", {{"alert", path.alert_id}, {"by", who.name}});
  co_return listed(*std::move(alert));
}

asio::awaitable<Reply<ListedAlert>> resolve(Watch watch, AlertPath path, Principal who) {
  if (!watch) co_return absent();
  auto alert = watch->alerts().resolve(path.alert_id, now());
  if (!alert) co_return no_alert();
  watch->changed();
  log::info("alert resolved by hand", {{"alert", path.alert_id}, {"by", who.name}});
  co_return listed(*std::move(alert));
}

asio::awaitable<Reply<NoContent>> remove(Watch watch, AlertPath path, Principal who) {
  if (!watch) co_return absent();
  if (!watch->alerts().remove_alert(path.alert_id, now())) co_return no_alert();
  watch->changed();
  log::info("alert deleted", {{"alert", path.alert_id}, {"by", who.name}});
  co_return NoContent();
}

asio::awaitable<Reply<AlertRuleList>> list_rules(Watch watch) {
  if (!watch) co_return absent();
  AlertRuleList answer{.rules = watch->alerts().rules()};
  answer.total_count = answer.rules.size();
  co_return answer;
}

asio::awaitable<Reply<NoContent>> remove_rule(Watch watch, AlertRulePath path, Principal who) {
  if (!watch) co_return absent();
  switch (watch->alerts().remove_rule(path.rule_id, now())) {
    case AlertRules::Removal::absent:
      co_return problem(404, "there is no such rule");
    case AlertRules::Removal::is_built_in:
      co_return problem(409, "this rule is PERFORMANCE_ALERT_THRESHOLDS'; change that setting instead");
    case AlertRules::Removal::done:
      break;
  }
  watch->changed();
  log::info("alert rule deleted", {{"rule", path.rule_id}, {"by", who.name}});
  co_return NoContent();
}

asio::awaitable<Reply<AnomalyList>> anomalies(Watch watch) {
  if (!watch) co_return absent();
  if (!watch->detects_anomalies()) co_return problem(503, "ENABLE_ANOMALY_DETECTION is off");
  AnomalyList answer{.anomalies = watch->anomalies().anomalies(), .marks = watch->anomalies().marks()};
  answer.total_count = answer.anomalies.size();
  co_return answer;
}

/// Where the application that the paths come from has them.
std::vector<std::string> also_at(std::string_view path) {
  return {fmt::format("/api/v1/optimization{}", path), fmt::format("/api/v1/optimization/optimization{}", path)};
}

About about(std::string path, std::string summary, std::string description, std::map<int, std::string> problems,
            int status = 200) {
  problems.emplace(503, "Performance isn't watched");
  return {.path = "/api/v1" + path,
          .summary = std::move(summary),
          .description = std::move(description),
          .also_at = also_at(path),
          .status = status,
          .problems = std::move(problems)};
}

}  // namespace

ListedAlert listed(Alert alert) {
  return {.alert_id = std::move(alert.alert_id),
          .rule_id = std::move(alert.rule_id),
          .metric_type = alert.threshold.metric_type,
          .severity = alert.threshold.severity,
          .description = std::move(alert.description),
          .threshold_value = alert.threshold.threshold_value,
          .comparison_operator = alert.threshold.comparison_operator,
          .current_value = alert.current_value,
          .triggered_at = alert.triggered_at,
          .acknowledged = alert.acknowledged,
          .acknowledged_by = std::move(alert.acknowledged_by),
          .resolved = alert.resolved,
          .resolved_at = alert.resolved_at,
          .affected_resources = std::move(alert.affected_resources),
          .suggested_actions = std::move(alert.suggested_actions)};
}

void add_alerts(ApiTable& table, Watch watch) {
  const std::string none = "There is no such alert";
  table.add(
      "POST",
      about("/performance/create-alert", "Makes a rule that raises an alert",
            "Fires when there were min_occurrences within window_minutes: of execution_time an occurrence is a "
            "query, of all else ten seconds whose figure is beyond the threshold. alert_id is \"pending\" unless "
            "that is so already. A rule that is there already isn't made twice.",
            {{409, "There are too many rules"}}),
      [watch](Body<NewAlert> body, Principal who) { return create(watch, std::move(body.value), std::move(who)); });
  table.add(
      "GET",
      about("/performance/alerts", "Alerts, the newest first", "Those that fire, unless active_only is false.", {}),
      [watch](Query<AlertListQuery> query) { return list(watch, query.value); });
  table.add("POST",
            about("/performance/alerts/{alert_id}/acknowledge", "Says that somebody looks after it",
                  "acknowledged_by is who asks, unless it is said.", {{404, none}}),
            [watch](Path<AlertPath> path, Query<AcknowledgeQuery> query, Principal who) {
              return acknowledge(watch, std::move(path.value), std::move(query.value), std::move(who));
            });
  table.add(
      "POST",
      about("/performance/alerts/{alert_id}/resolve", "Ends it", "Its rule counts from the beginning.", {{404, none}}),
      [watch](Path<AlertPath> path, Principal who) { return resolve(watch, std::move(path.value), std::move(who)); });
  table.add(
      "DELETE",
      about("/performance/alerts/{alert_id}", "Forgets it", "One that fires is resolved first. Its rule stays.",
            {{404, none}}, 204),
      [watch](Path<AlertPath> path, Principal who) { return remove(watch, std::move(path.value), std::move(who)); });
  table.add("GET", about("/performance/alert-rules", "The rules, and how it is with each", "", {}),
            [watch] { return list_rules(watch); });
  table.add("DELETE",
            about("/performance/alert-rules/{rule_id}", "Deletes a rule", "Its alert, if it fires, is resolved.",
                  {{404, "There is no such rule"}, {409, "It is a built-in rule"}}, 204),
            [watch](Path<AlertRulePath> path, Principal who) {
              return remove_rule(watch, std::move(path.value), std::move(who));
            });
  table.add("GET",
            about("/performance/anomalies", "What isn't as it was",
                  "The newest first. An anomaly is what more than one series says; marks are single series that were "
                  "unusual for a moment, which alone means nothing.",
                  {}),
            [watch] { return anomalies(watch); });
}

}  // namespace millrace::http
