#include "http/metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <boost/describe/enum_to_string.hpp>
#include <limits>

#include "base/log.hpp"

namespace millrace::http {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

/// The edges of exported histograms, in nanoseconds: a proxied query takes from under 100 µs to minutes.
constexpr std::array<std::uint64_t, 15> edges_ns = {
    100'000,     250'000,     500'000,       1'000'000,     2'500'000,      5'000'000,      10'000'000,     25'000'000,
    100'000'000, 250'000'000, 1'000'000'000, 2'500'000'000, 10'000'000'000, 60'000'000'000, 300'000'000'000};

struct WireMetric {
  std::uint64_t WireTotals::* value;
  MetricType type;
  const char* name;
  const char* help;
};

constexpr std::array wire_metrics = {
    WireMetric{&WireTotals::clients_connected, MetricType::Gauge, "clients_connected", "Clients connected now."},
    WireMetric{&WireTotals::clients_active, MetricType::Gauge, "clients_active",
               "Clients that hold a server connection."},
    WireMetric{&WireTotals::clients_waiting, MetricType::Gauge, "clients_waiting",
               "Clients that wait for a server connection."},
    WireMetric{&WireTotals::servers_idle, MetricType::Gauge, "server_connections_idle",
               "Server connections that are free."},
    WireMetric{&WireTotals::servers_active, MetricType::Gauge, "server_connections_active",
               "Server connections that a client uses."},
    WireMetric{&WireTotals::clients_total, MetricType::Counter, "clients_total", "Clients that connected."},
    WireMetric{&WireTotals::clients_refused, MetricType::Counter, "clients_refused_total",
               "Clients turned away because there were too many."},
    WireMetric{&WireTotals::logins_failed, MetricType::Counter, "logins_failed_total", "Log-ins that failed."},
    WireMetric{&WireTotals::servers_opened, MetricType::Counter, "server_connections_opened_total",
               "Server connections opened."},
    WireMetric{&WireTotals::servers_closed, MetricType::Counter, "server_connections_closed_total",
               "Server connections closed."},
    WireMetric{&WireTotals::servers_failed, MetricType::Counter, "server_connections_failed_total",
               "Server connections that could not be opened."},
    WireMetric{&WireTotals::servers_moved, MetricType::Counter, "server_connections_moved_total",
               "Server connections moved to another I/O thread."},
    WireMetric{&WireTotals::pool_waits, MetricType::Counter, "pool_waits_total",
               "Requests that found no free server connection at once."},
    WireMetric{&WireTotals::pool_timeouts, MetricType::Counter, "pool_timeouts_total",
               "Requests that waited for a server connection in vain."},
    WireMetric{&WireTotals::cancels, MetricType::Counter, "cancels_total", "Requests to cancel a query."},
    WireMetric{&WireTotals::protocol_errors, MetricType::Counter, "protocol_errors_total",
               "Messages that broke PostgreSQL's protocol."},
    WireMetric{&WireTotals::bytes_from_clients, MetricType::Counter, "client_received_bytes_total",
               "Bytes received from clients."},
    WireMetric{&WireTotals::bytes_to_clients, MetricType::Counter, "client_sent_bytes_total", "Bytes sent to clients."},
    WireMetric{&WireTotals::statements_parsed, MetricType::Counter, "statements_parsed_total", "Statements parsed."},
    WireMetric{&WireTotals::memo_hits, MetricType::Counter, "statement_memo_hits_total",
               "Statements that were known from an earlier time."},
    WireMetric{&WireTotals::memo_misses, MetricType::Counter, "statement_memo_misses_total",
               "Statements that were not known from an earlier time."},
    WireMetric{&WireTotals::cache_hits, MetricType::Counter, "statements_answered_from_memory_total",
               "Statements that were answered from memory."},
    WireMetric{&WireTotals::cache_misses, MetricType::Counter, "statements_missed_in_memory_total",
               "Statements that might have been answered from memory, and whose answer was not there."},
    WireMetric{&WireTotals::cache_bypasses, MetricType::Counter, "statements_not_for_memory_total",
               "Statements of clients who want answers from memory, that may not be answered from there."},
    WireMetric{
        &WireTotals::retries, MetricType::Counter, "retries_total",
        "Attempts to get a server connection for a query that were made again, and queries that were sent again."},
};

ClientMetric counter(std::uint64_t value, Labels labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = static_cast<double>(value);
  return metric;
}

ClientMetric gauge(double value, Labels labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  return metric;
}

/// A gauge is summed over cores that are read one after the other: it may be a little below zero for a moment.
double gauge_value(std::uint64_t sum) {
  const auto value = static_cast<std::int64_t>(sum);
  return value > 0 ? static_cast<double>(value) : 0;
}

ClientMetric histogram(const HistogramTotals& totals, Labels labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.histogram.sample_count = totals.count();
  metric.histogram.sample_sum = static_cast<double>(totals.sum()) / 1e9;
  for (const std::uint64_t edge : edges_ns) {
    metric.histogram.bucket.push_back(
        {.cumulative_count = totals.count_up_to(edge), .upper_bound = static_cast<double>(edge) / 1e9});
  }
  metric.histogram.bucket.push_back(
      {.cumulative_count = totals.count(), .upper_bound = std::numeric_limits<double>::infinity()});
  return metric;
}

class Families {
 public:
  void add(std::string name, std::string help, MetricType type, std::vector<ClientMetric> metrics) {
    all_.push_back({"millrace_" + std::move(name), std::move(help), type, std::move(metrics)});
  }
  std::string text() const { return prometheus::TextSerializer().Serialize(all_); }

 private:
  std::vector<MetricFamily> all_;
};

void add_queries(Families& families, const MonitorSnapshot& snapshot) {
  std::vector<ClientMetric> by_kind;
  by_kind.reserve(snapshot.kinds.size());
  for (const auto& kind : snapshot.kinds) {
    by_kind.push_back(counter(kind.queries, {{.name = "kind", .value = std::string(kind.name)}}));
  }
  families.add("queries_total", "Queries answered, by the kind of statement.", MetricType::Counter, std::move(by_kind));

  std::vector<ClientMetric> by_class;
  for (std::size_t i = 0; i < snapshot.errors.size(); ++i) {
    if (snapshot.errors[i] == 0) continue;
    by_class.push_back(
        counter(snapshot.errors[i], {{.name = "sqlstate_class", .value = std::string(SqlstateClass::names[i])}}));
  }
  families.add("query_errors_total", "Queries that ended with an error, by the first two characters of its SQLSTATE.",
               MetricType::Counter, std::move(by_class));

  families.add("query_rows_total", "Rows returned or changed.", MetricType::Counter, {counter(snapshot.rows)});

  std::vector<ClientMetric> by_group;
  by_group.reserve(snapshot.durations.size());
  for (std::size_t i = 0; i < snapshot.durations.size(); ++i) {
    by_group.push_back(
        histogram(snapshot.durations[i], {{.name = "group", .value = std::string(statement_group_names[i])}}));
  }
  families.add("query_duration_seconds", "From the whole request to the last byte of the answer.",
               MetricType::Histogram, std::move(by_group));
  families.add("query_first_byte_seconds", "From the whole request to the first byte of the answer.",
               MetricType::Histogram, {histogram(snapshot.first_bytes)});
  families.add("query_queue_seconds",
               "Waiting for a server connection, a proof or the answer to somebody else, of the queries that had to.",
               MetricType::Histogram, {histogram(snapshot.queue_waits)});
}

Labels by(std::string name, std::string value) { return {{.name = std::move(name), .value = std::move(value)}}; }

void add_cache(Families& families, const cache::L1Cache::Counts& counts, Refusals refusals) {
  const auto add_gauge = [&](const char* name, const char* help, std::size_t value) {
    families.add(name, help, MetricType::Gauge, {gauge(static_cast<double>(value))});
  };
  add_gauge("cache_entries", "Entries in the cache, also those that are expired or stale.", counts.entries);
  add_gauge("cache_bytes", "Memory that the cache occupies.", counts.bytes);
  add_gauge("cache_overhead_bytes", "Of this, what no entry occupies.", counts.overhead);
  add_gauge("cache_held_bytes", "Of this, evicted entries that are still being sent.", counts.held);
  add_gauge("cache_capacity_bytes", "Memory that the cache may occupy.", counts.capacity);
  families.add("cache_hits_total", "Lookups that found an entry.", MetricType::Counter, {counter(counts.hits)});
  families.add("cache_misses_total", "Lookups that found none, by the reason.", MetricType::Counter,
               {counter(counts.absent, by("reason", "absent")), counter(counts.expired, by("reason", "expired")),
                counter(counts.stale, by("reason", "stale"))});
  families.add("cache_insertions_total", "Entries put in, by whether the key had one.", MetricType::Counter,
               {counter(counts.inserted, by("of", "new")), counter(counts.replaced, by("of", "known"))});
  refusals["too_large"] += counts.too_large;
  refusals["no_room"] += counts.refused;
  std::vector<ClientMetric> by_reason;
  for (const auto& [reason, count] : refusals) by_reason.push_back(counter(count, by("reason", reason)));
  families.add("cache_refusals_total", "Answers of statements and entries by hand that were not kept, by the reason.",
               MetricType::Counter, std::move(by_reason));
  families.add("cache_evictions_total", "Entries that made room for others.", MetricType::Counter,
               {counter(counts.evicted)});
  families.add(
      "cache_removals_total", "Entries taken out otherwise, by the reason.", MetricType::Counter,
      {counter(counts.erased, by("reason", "erased")), counter(counts.purged, by("reason", "expired_or_stale"))});
}

void add_invalidations(Families& families, const Invalidations& invalidations) {
  std::vector<ClientMetric> by_reason;
  for (const auto& [reason, count] : invalidations) {
    by_reason.push_back(counter(count, by("reason", boost::describe::enum_to_string(reason, ""))));
  }
  families.add("cache_invalidations_total", "Changes that may have made answers stale, by how they were noticed.",
               MetricType::Counter, std::move(by_reason));
}

}  // namespace

std::string metrics_text(const MonitorSnapshot& snapshot, const std::string& version,
                         cache::IntelligentCacheManager* cache, Refusals refusals, const Invalidations& invalidations) {
  Families families;
  families.add("build_info", "The version, as a label; always 1.", MetricType::Gauge,
               {gauge(1, {{.name = "version", .value = version}})});
  families.add("uptime_seconds", "Since the start.", MetricType::Gauge, {gauge(snapshot.uptime_seconds)});
  add_queries(families, snapshot);
  for (const WireMetric& metric : wire_metrics) {
    const std::uint64_t value = snapshot.wire.*metric.value;
    families.add(metric.name, metric.help, metric.type,
                 {metric.type == MetricType::Gauge ? gauge(gauge_value(value)) : counter(value)});
  }
  families.add("log_lines_lost_total", "Log lines that were never written, as nobody read them.", MetricType::Counter,
               {counter(log::lost_lines())});
  if (cache) add_cache(families, cache->l1().counts(), std::move(refusals));
  if (cache && !invalidations.empty()) add_invalidations(families, invalidations);
  return families.text();
}

}  // namespace millrace::http
