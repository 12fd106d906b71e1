#include "cli/alerts.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>

#include "cli/answer_text.hpp"
#include "cli/figures.hpp"
#include "cli/one_line.hpp"
#include "cli/running_millrace.hpp"

namespace millrace::cli {
namespace {

namespace json = boost::json;
using What = AlertsCommand::What;

std::string rule_of(const AlertsCommand& command) {
  json::object rule{{"metric_type", command.metric_type}, {"threshold_value", command.threshold_value}};
  const auto add = [&rule](const char* name, const auto& given) {
    if (given) rule[name] = json::value_from(*given);
  };
  add("comparison_operator", command.comparison_operator);
  add("window_minutes", command.window_minutes);
  add("min_occurrences", command.min_occurrences);
  add("min_samples", command.min_samples);
  add("severity", command.severity);
  add("no_data", command.no_data);
  add("clear_value", command.clear_value);
  return json::serialize(rule);
}

HttpCall call_for(const AlertsCommand& command) {
  const std::string base = "/api/v1/performance/";
  const std::string alert = base + "alerts/" + encoded(command.id);
  switch (command.what) {
    case What::list:
      return {.path = base + (command.all ? "alerts?active_only=false" : "alerts")};
    case What::rules:
      return {.path = base + "alert-rules"};
    case What::create:
      return {.method = "POST", .path = base + "create-alert", .body = rule_of(command)};
    case What::acknowledge:
      return {.method = "POST",
              .path = alert + "/acknowledge" + (command.by ? "?acknowledged_by=" + encoded(*command.by) : "")};
    case What::resolve:
      return {.method = "POST", .path = alert + "/resolve"};
    case What::remove:
      return {.method = "DELETE", .path = alert};
    case What::remove_rule:
      return {.method = "DELETE", .path = base + "alert-rules/" + encoded(command.id)};
  }
  return {};
}

std::string alert_text(const json::value& alert) {
  const Figures f(alert);
  std::string state = text_of(alert, "/resolved") == "true" ? "over" : "fires";
  if (const auto by = text_of(alert, "/acknowledged_by"); !by.empty()) state += ", acknowledged by " + in_one_line(by);
  return fmt::format("{}  {}  {}  {}\n    {}\n", f.text("/alert_id"), f.text("/severity"),
                     f.text("/triggered_at").substr(0, 19), state, in_one_line(f.text("/description")));
}

std::string rule_text(const json::value& rule) {
  const Figures f(rule);
  const std::string t = "/threshold/";
  return fmt::format("{}  {}  {} {} {}  {} in {} min  {}{}\n", f.text("/rule_id"), f.text(t + "severity"),
                     f.text(t + "metric_type"), f.text(t + "comparison_operator"), text_of(rule, t + "threshold_value"),
                     text_of(rule, t + "min_occurrences"), text_of(rule, t + "window_minutes"), f.text("/state"),
                     text_of(rule, "/built_in") == "true" ? "  built in" : "");
}

template <typename Text>
std::string list_text(const json::value& root, const std::string& pointer, Text text, std::string_view none) {
  const auto* list = Figures(root).find(pointer);
  if (list == nullptr || !list->is_array() || list->get_array().empty()) return std::string(none);
  std::string out;
  for (const auto& one : list->get_array()) out += text(one);
  return out;
}

std::string answer_text(const AlertsCommand& command, std::string_view body) {
  if (command.what == What::remove || command.what == What::remove_rule) return "deleted\n";
  boost::system::error_code error;
  const json::value root = json::parse({body.data(), body.size()}, error);
  if (error) return "the answer is not JSON\n";
  switch (command.what) {
    case What::list:
      return list_text(root, "/alerts", alert_text, command.all ? "there was no alert\n" : "no alert fires\n");
    case What::rules:
      return list_text(root, "/rules", rule_text, "there is no rule\n");
    case What::create: {
      const std::string id = text_of(root, "/alert_id");
      const std::string fires =
          id == "pending" ? "" : fmt::format("it fires: {}\n    {}\n", id, text_of(root, "/description"));
      return fmt::format("rule {}\n{}", text_of(root, "/rule_id"), fires);
    }
    default:
      return alert_text(root);
  }
}

}  // namespace

int alerts(const config::Sources& sources, const AlertsCommand& command, bool json) {
  const auto answer = ask_running(sources, call_for(command), "answer about alerts");
  if (answer.body.empty()) json = false;
  return print(answer, json, [&](std::string_view body) { return answer_text(command, body); });
}

}  // namespace millrace::cli
