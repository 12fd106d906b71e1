#include "http/performance_metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <boost/describe/enum_to_string.hpp>

#include "base/log.hpp"
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

struct TemplateMetric {
  const char* name;
  const char* help;
  double (*value)(const QueryFigures& figures);
};

constexpr std::array template_metrics = {
    TemplateMetric{"queries_total", "Queries, by the template (its template_id in REST) of those that take the most.",
                   [](const QueryFigures& figures) { return static_cast<double>(figures.calls); }},
    TemplateMetric{"seconds_total", "What they took, by the template.",
                   [](const QueryFigures& figures) { return static_cast<double>(figures.total_ns) / 1e9; }},
    TemplateMetric{"errors_total", "Those that failed, by the template.",
                   [](const QueryFigures& figures) { return static_cast<double>(figures.errors); }},
    TemplateMetric{"answered_from_memory_total", "Those that were answered from memory, by the template.",
                   [](const QueryFigures& figures) { return static_cast<double>(figures.hits); }},
};

void add_templates(std::vector<MetricFamily>& families, const TemplateSeries& templates) {
  const auto series = templates.series();
  if (series.empty()) return;
  for (const TemplateMetric& one : template_metrics) {
    MetricFamily family{fmt::format("millrace_template_{}", one.name), one.help, MetricType::Counter, {}};
    for (const auto& each : series) {
      const std::string name = each.fingerprint ? fmt::format("{:016x}", *each.fingerprint) : "other";
      family.metric.push_back(
          metric(MetricType::Counter, one.value(each.figures), {{.name = "template", .value = name}}));
    }
    families.push_back(std::move(family));
  }
}

void add_live(std::vector<MetricFamily>& families, const LiveUpdates& live) {
  families.push_back({"millrace_live_clients",
                      "Clients that listen to live updates.",
                      MetricType::Gauge,
                      {metric(MetricType::Gauge, static_cast<double>(live.clients()))}});
  families.push_back({"millrace_live_messages_dropped_total",
                      "Live updates that a client didn't read in time.",
                      MetricType::Counter,
                      {metric(MetricType::Counter, static_cast<double>(live.dropped()))}});
}

}  // namespace

std::string performance_metrics_text(PerformanceWatch& watch, const NotificationChannels& channels,
                                     const LiveUpdates& live) {
  std::vector<MetricFamily> families{alerts_firing(watch)};
  add_templates(families, watch.templates());
  add_live(families, live);
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
