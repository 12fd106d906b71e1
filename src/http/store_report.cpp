#include "http/store_report.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <vector>

namespace millrace::http {
namespace {

constexpr std::array<std::string_view, 4> state_names = {"opening", "open", "unavailable", "closed"};

}  // namespace

StoreReport store_report(const backend::EmbeddedStore* store, const PerformanceStore* kept) {
  if (store == nullptr) return {.state = "off"};
  const auto status = store->status();
  StoreReport report{.state = std::string(state_names[static_cast<std::size_t>(status.state)]),
                     .reason = status.why.empty() ? std::nullopt : std::optional(status.why),
                     .path = status.path,
                     .size_bytes = status.bytes,
                     .batches_written = status.written,
                     .batches_failed = status.failed_writes,
                     .files_set_aside = status.set_aside};
  if (kept != nullptr) {
    report.lost_seconds = kept->counts().lost_seconds;
    report.lost_slow_queries = kept->counts().lost_slow_queries;
    report.figures_kept_days = static_cast<std::uint32_t>(kept->figures_for().count());
  }
  return report;
}

std::string store_metrics_text(const backend::EmbeddedStore* store, const PerformanceStore* kept) {
  if (store == nullptr) return "";
  const StoreReport report = store_report(store, kept);
  std::vector<prometheus::MetricFamily> families;
  const auto add = [&](const char* name, const char* help, prometheus::MetricType type, double value) {
    prometheus::ClientMetric metric;
    (type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    families.push_back({name, help, type, {metric}});
  };
  const auto gauge = prometheus::MetricType::Gauge;
  const auto counter = prometheus::MetricType::Counter;
  const auto number = [](std::uint64_t count) { return static_cast<double>(count); };
  add("millrace_store_open", "1 if what is to survive a restart can be kept, else 0.", gauge,
      report.state == "open" ? 1 : 0);
  add("millrace_store_bytes", "The store's file.", gauge, number(report.size_bytes));
  add("millrace_store_batches_written_total", "Batches that were written to the store.", counter,
      number(report.batches_written));
  add("millrace_store_batches_failed_total", "Batches that couldn't be written.", counter,
      number(report.batches_failed));
  add("millrace_store_files_set_aside_total", "Files of the store that couldn't be read.", counter,
      number(report.files_set_aside));
  add("millrace_store_lost_seconds_total", "Time of which the store has no figures.", counter,
      number(report.lost_seconds));
  add("millrace_store_lost_slow_queries_total", "Slow queries that came too quickly for the store.", counter,
      number(report.lost_slow_queries));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace millrace::http
