#include "http/alert_metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <boost/describe/enum_to_string.hpp>

#include "http/json_types.hpp"

namespace millrace::http {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

ClientMetric metric(MetricType type, double value, std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric one;
  one.label = std::move(labels);
  (type == MetricType::Counter ? one.counter.value : one.gauge.value) = value;
  return one;
}

MetricFamily alerts_firing(PerformanceWatch& watch) {
  std::map<AlertSeverity, int> firing;
  for_each_enumerator<AlertSeverity>([&](auto severity) { firing[severity.value] = 0; });
  for (const Alert& alert : watch.alerts().alerts(true)) ++firing[alert.threshold.severity];
  MetricFamily family{"millrace_alerts_firing", "Alerts that fire now, by severity.", MetricType::Gauge, {}};
  for (const auto& [severity, count] : firing) {
    family.metric.push_back(metric(MetricType::Gauge, count,
                                   {{.name = "severity", .value = boost::describe::enum_to_string(severity, "")}}));
  }
  return family;
}

}  // namespace

std::string alert_metrics_text(PerformanceWatch& watch, const NotificationChannels& channels) {
  std::vector<MetricFamily> families{alerts_firing(watch)};
  families.push_back({"millrace_anomalies_total",
                      "Anomalies that were found.",
                      MetricType::Counter,
                      {metric(MetricType::Counter, static_cast<double>(watch.anomalies().found()))}});
  MetricFamily told{"millrace_alert_notifications_total",
                    "Of alerts that began or ended: delivered, attempts that failed, and lost.",
                    MetricType::Counter,
                    {}};
  for (const auto& channel : channels) {
    const auto counts = channel->counts();
    const auto add = [&](const char* outcome, std::uint64_t count) {
      told.metric.push_back(
          metric(MetricType::Counter, static_cast<double>(count),
                 {{.name = "channel", .value = channel->name()}, {.name = "outcome", .value = outcome}}));
    };
    add("delivered", counts.delivered);
    add("attempt_failed", counts.failed_attempts);
    add("lost", counts.lost);
  }
  if (!told.metric.empty()) families.push_back(std::move(told));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace millrace::http
