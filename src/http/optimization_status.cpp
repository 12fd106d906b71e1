#include "http/optimization_status.hpp"

namespace millrace::http {
namespace {

WireQueries queries_of(const MonitorSnapshot& snapshot) {
  const HistogramTotals& recent = snapshot.recent_durations;
  const std::uint64_t count = recent.count();
  WireQueries queries{.total = snapshot.queries(),
                      .failed = snapshot.failed_queries(),
                      .recent_seconds = snapshot.recent_seconds,
                      .per_second = 0,
                      .p50_ms = {},
                      .p99_ms = {}};
  if (snapshot.recent_seconds > 0) queries.per_second = static_cast<double>(count) / snapshot.recent_seconds;
  if (count > 0) {
    queries.p50_ms = static_cast<double>(recent.quantile(0.5)) / 1e6;
    queries.p99_ms = static_cast<double>(recent.quantile(0.99)) / 1e6;
  }
  return queries;
}

}  // namespace

OptimizationStatus optimization_status(const MonitorSnapshot& snapshot, std::string version,
                                       std::vector<integration::StreamStatus> change_streams) {
  const WireTotals& wire = snapshot.wire;
  OptimizationStatus status;
  status.wire = {.version = std::move(version),
                 .uptime_seconds = snapshot.uptime_seconds,
                 .clients = {.connected = wire.clients_connected,
                             .active = wire.clients_active,
                             .waiting = wire.clients_waiting,
                             .total = wire.clients_total,
                             .refused = wire.clients_refused,
                             .logins_failed = wire.logins_failed},
                 .servers = {.idle = wire.servers_idle,
                             .active = wire.servers_active,
                             .opened = wire.servers_opened,
                             .closed = wire.servers_closed,
                             .failed = wire.servers_failed},
                 .queries = queries_of(snapshot)};
  status.change_streams = std::move(change_streams);
  status.warnings = {
      "optimization engine: its figures are null; what is rewritten on traffic, if it is (ENABLE_TRAFFIC_REWRITING), "
      "is at /optimization/rewrites",
      "executor: its figures are at /execution/metrics; there is no thread pool and no clean-up to report in this "
      "version",
  };
  return status;
}

}  // namespace millrace::http
