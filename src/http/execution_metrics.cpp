#include "http/execution_metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace millrace::http {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

ClientMetric metric(MetricType type, double value, std::string_view label = {}, std::string_view of = {}) {
  ClientMetric made;
  if (!label.empty()) made.label = {{.name = std::string(label), .value = std::string(of)}};
  (type == MetricType::Counter ? made.counter.value : made.gauge.value) = value;
  return made;
}

}  // namespace

std::string execution_metrics_text(const executor::AdaptiveQueryExecutor::Figures& figures) {
  std::vector<MetricFamily> families;
  const auto add = [&](const char* name, const char* help, MetricType type, std::vector<ClientMetric> metrics) {
    families.push_back({std::string("millrace_") + name, help, type, std::move(metrics)});
  };
  const auto add_one = [&](const char* name, const char* help, MetricType type, double value) {
    add(name, help, type, {metric(type, value)});
  };
  using enum MetricType;
  add_one("queries_running", "Queries and transactions that hold a slot.", Gauge, static_cast<double>(figures.running));
  add_one("queries_limit", "How many may at present.", Gauge, static_cast<double>(figures.limit));
  add_one("queries_limit_most", "How many may at most.", Gauge, static_cast<double>(figures.most));
  std::vector<ClientMetric> waiting, refused;
  for (std::size_t at = 0; at < figures.waiting.size(); ++at) {
    waiting.push_back(
        metric(Gauge, static_cast<double>(figures.waiting.at(at)), "priority", executor::priority_names.at(at)));
  }
  for (std::size_t at = 0; at < figures.refused.size(); ++at) {
    refused.push_back(
        metric(Counter, static_cast<double>(figures.refused.at(at)), "reason", executor::refused_names.at(at)));
  }
  add("queries_waiting", "Queries that wait for their turns, by the priority that they have come to.", Gauge,
      std::move(waiting));
  add_one("queries_oldest_wait_seconds", "For how long who waits longest has waited.", Gauge,
          static_cast<double>(figures.oldest_wait) / 1e9);
  add_one("queries_waited_total", "Queries that were let in after they had waited.", Counter,
          static_cast<double>(figures.waited));
  add_one("queries_left_total", "Queries that stopped waiting: cancelled, waited too long, or their client gone.",
          Counter, static_cast<double>(figures.left));
  add("queries_refused_total", "Queries that weren't let in, by the reason.", Counter, std::move(refused));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace millrace::http
