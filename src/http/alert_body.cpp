#include "http/alert_body.hpp"

#include <fmt/format.h>

#include <boost/describe/enum_to_string.hpp>
#include <cctype>
#include <utility>

#include "http/json_write.hpp"

namespace millrace::http {
namespace {

using Labels = std::map<std::string, std::string>;

// The names are Alertmanager's.
struct WebhookAlert {
  std::string status;
  Labels labels;
  Labels annotations;
  std::string startsAt;
  std::string endsAt;
  std::string generatorURL;
  std::string fingerprint;
};
BOOST_DESCRIBE_STRUCT(WebhookAlert, (), (status, labels, annotations, startsAt, endsAt, generatorURL, fingerprint))

struct WebhookBody {
  std::string version;
  std::string groupKey;
  int truncatedAlerts = 0;
  std::string status;
  std::string receiver;
  Labels groupLabels;
  Labels commonLabels;
  Labels commonAnnotations;
  std::string externalURL;
  std::vector<WebhookAlert> alerts;
};
BOOST_DESCRIBE_STRUCT(WebhookBody, (),
                      (version, groupKey, truncatedAlerts, status, receiver, groupLabels, commonLabels,
                       commonAnnotations, externalURL, alerts))

/// "error_rate" is "MillraceErrorRate".
std::string alert_name(std::string_view metric) {
  std::string name = "Millrace";
  bool upper = true;
  for (const char c : metric) {
    if (c == '_') {
      upper = true;
    } else {
      name += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
      upper = false;
    }
  }
  return name;
}

template <typename Texts>
std::string joined(const Texts& texts, std::string_view between) {
  std::string all;
  for (const std::string& text : texts) all.append(all.empty() ? "" : between).append(text);
  return all;
}

/// The same for the same labels, as receivers tell alerts apart by it (FNV-1a).
std::string fingerprint(const Labels& labels) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  const auto mix = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    hash = (hash ^ 0xffU) * 0x100000001b3U;
  };
  for (const auto& [name, value] : labels) {
    mix(name);
    mix(value);
  }
  return fmt::format("{:016x}", hash);
}

}  // namespace

std::string alert_body(const Alert& alert, const std::string& external_url) {
  const AlertThreshold& threshold = alert.threshold;
  const std::string metric = boost::describe::enum_to_string(threshold.metric_type, "unknown");
  const std::string status = alert.resolved ? "resolved" : "firing";
  const std::string name = alert_name(metric);
  Labels labels{{"alertname", name},
                {"severity", boost::describe::enum_to_string(threshold.severity, "unknown")},
                {"metric", metric},
                {"rule_id", alert.rule_id}};
  if (!threshold.notification_channels.empty()) labels["channels"] = joined(threshold.notification_channels, ",");
  const Labels annotations{
      {"summary", alert.description},
      {"description", joined(alert.suggested_actions, "; ")},
      {"value", fmt::format("{}", alert.current_value)},
      {"threshold", fmt::format("{} {}", threshold.comparison_operator, threshold.threshold_value)},
      {"alert_id", alert.alert_id}};
  return to_json(
      WebhookBody{.version = "4",
                  .groupKey = fmt::format("{{}}:{{alertname=\"{}\", rule_id=\"{}\"}}", name, alert.rule_id),
                  .status = status,
                  .receiver = "millrace",
                  .groupLabels = {{"alertname", name}, {"rule_id", alert.rule_id}},
                  .commonLabels = labels,
                  .commonAnnotations = annotations,
                  .externalURL = external_url,
                  .alerts = {{.status = status,
                              .labels = labels,
                              .annotations = annotations,
                              .startsAt = to_iso(alert.triggered_at),
                              // As Alertmanager says "not yet".
                              .endsAt = alert.resolved_at ? to_iso(*alert.resolved_at) : "0001-01-01T00:00:00Z",
                              .generatorURL = external_url + "/api/v1/performance/alerts",
                              .fingerprint = fingerprint(labels)}}});
}

}  // namespace millrace::http
