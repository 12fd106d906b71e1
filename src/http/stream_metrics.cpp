#include "http/stream_metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace millrace::http {
namespace {

using integration::StreamStatus;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

struct StreamMetric {
  const char* name;
  const char* help;
  MetricType type;
  double (*value)(const StreamStatus& stream);
};

constexpr std::array stream_metrics = {
    StreamMetric{"change_stream_live", "1 while what is committed in the database is followed, else 0.",
                 MetricType::Gauge,
                 [](const StreamStatus& one) { return one.state == integration::StreamState::live ? 1.0 : 0.0; }},
    StreamMetric{"change_stream_starts_total", "How often it became live; each but the first was after a gap.",
                 MetricType::Counter, [](const StreamStatus& one) { return static_cast<double>(one.starts); }},
    StreamMetric{"change_stream_transactions_total", "Committed transactions that were told.", MetricType::Counter,
                 [](const StreamStatus& one) { return static_cast<double>(one.transactions); }},
    StreamMetric{"change_stream_rows_total", "Rows that were changed by them.", MetricType::Counter,
                 [](const StreamStatus& one) { return static_cast<double>(one.rows); }},
    StreamMetric{"change_stream_rows_known",
                 "Of which a column's value is remembered, to know it when the row changes.", MetricType::Gauge,
                 [](const StreamStatus& one) { return static_cast<double>(one.rows_known); }},
    StreamMetric{"change_stream_lag_bytes", "Of the server's log, not yet looked at when that was asked last.",
                 MetricType::Gauge, [](const StreamStatus& one) { return static_cast<double>(one.lag_bytes); }},
    StreamMetric{"change_stream_retained_bytes", "Of the server's log, kept for the slot.", MetricType::Gauge,
                 [](const StreamStatus& one) { return static_cast<double>(one.retained_bytes); }},
    StreamMetric{"change_stream_settled", "1 while it is live and what was under way when it became so is over.",
                 MetricType::Gauge, [](const StreamStatus& one) { return one.settled ? 1.0 : 0.0; }},
    StreamMetric{"change_stream_lag_seconds", "From the last transaction's commit until it was sent.",
                 MetricType::Gauge, [](const StreamStatus& one) { return one.lag_ms.value_or(0) / 1e3; }},
    StreamMetric{"change_stream_tables_unfollowed", "Tables some of whose changes aren't told.", MetricType::Gauge,
                 [](const StreamStatus& one) { return static_cast<double>(one.tables_unfollowed); }},
};

}  // namespace

std::string stream_metrics_text(const std::vector<StreamStatus>& streams) {
  std::vector<MetricFamily> families;
  for (const auto& metric : stream_metrics) {
    std::vector<ClientMetric> series;
    for (const auto& stream : streams) {
      ClientMetric one;
      one.label = {{.name = "database", .value = stream.database}};
      (metric.type == MetricType::Counter ? one.counter.value : one.gauge.value) = metric.value(stream);
      series.push_back(std::move(one));
    }
    families.push_back({"millrace_" + std::string(metric.name), metric.help, metric.type, std::move(series)});
  }
  return streams.empty() ? std::string() : prometheus::TextSerializer().Serialize(families);
}

}  // namespace millrace::http
