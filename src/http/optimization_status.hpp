#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "http/json_types.hpp"
#include "http/store_report.hpp"
#include "integration/stream_status.hpp"
#include "monitor/query_performance_monitor.hpp"

/// The answer of `GET /api/v1/optimization/status`. What this version doesn't have is false or null, and `warnings`
/// says so.
namespace millrace::http {

struct CacheSizes {
  std::optional<std::uint64_t> optimization_cache_size;
  std::optional<std::uint64_t> plan_cache_size;
  std::optional<std::uint64_t> cost_cache_size;
  std::optional<std::uint64_t> table_stats_cache_size;
};
BOOST_DESCRIBE_STRUCT(CacheSizes, (),
                      (optimization_cache_size, plan_cache_size, cost_cache_size, table_stats_cache_size))

struct OptimizationCounts {
  std::optional<std::uint64_t> total_optimizations;
  std::optional<std::uint64_t> cache_hits;
  std::optional<std::uint64_t> cache_misses;
};
BOOST_DESCRIBE_STRUCT(OptimizationCounts, (), (total_optimizations, cache_hits, cache_misses))

struct ServiceState {
  std::optional<std::string> circuit_breaker_state;
  bool thread_pool_active = false;
  std::optional<Timestamp> last_cleanup;
};
BOOST_DESCRIBE_STRUCT(ServiceState, (), (circuit_breaker_state, thread_pool_active, last_cleanup))

struct WireClients {
  std::uint64_t connected = 0;
  std::uint64_t active = 0;
  std::uint64_t waiting = 0;
  std::uint64_t total = 0;
  std::uint64_t refused = 0;
  std::uint64_t logins_failed = 0;
};
BOOST_DESCRIBE_STRUCT(WireClients, (), (connected, active, waiting, total, refused, logins_failed))

struct WireServers {
  std::uint64_t idle = 0;
  std::uint64_t active = 0;
  std::uint64_t opened = 0;
  std::uint64_t closed = 0;
  std::uint64_t failed = 0;
};
BOOST_DESCRIBE_STRUCT(WireServers, (), (idle, active, opened, closed, failed))

struct WireQueries {
  std::uint64_t total = 0;
  std::uint64_t failed = 0;
  double recent_seconds = 0;  ///< the time that the next three are about
  double per_second = 0;
  std::optional<double> p50_ms;
  std::optional<double> p99_ms;
};
BOOST_DESCRIBE_STRUCT(WireQueries, (), (total, failed, recent_seconds, per_second, p50_ms, p99_ms))

struct WireState {
  std::string version;
  double uptime_seconds = 0;
  WireClients clients;
  WireServers servers;
  WireQueries queries;
};
BOOST_DESCRIBE_STRUCT(WireState, (), (version, uptime_seconds, clients, servers, queries))

struct OptimizationStatus {
  std::string status = "active";
  bool optimization_engine_available = false;
  CacheSizes cache_stats;
  OptimizationCounts optimization_counts;
  ServiceState service_health;
  WireState wire;
  std::vector<integration::StreamStatus> change_streams;  ///< one a database whose answers are kept
  StoreReport store;                                      ///< what survives a restart
  std::vector<std::string> warnings;
};
BOOST_DESCRIBE_STRUCT(OptimizationStatus, (),
                      (status, optimization_engine_available, cache_stats, optimization_counts, service_health, wire,
                       change_streams, store, warnings))

OptimizationStatus optimization_status(const MonitorSnapshot& snapshot, std::string version,
                                       std::vector<integration::StreamStatus> change_streams);

}  // namespace millrace::http
