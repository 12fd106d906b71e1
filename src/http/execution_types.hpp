#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "http/json_types.hpp"

/// What the executor's operations answer. Shares are percentages, 0 to 100; null: it isn't known.
namespace millrace::http {

struct ResourceUtilization {
  std::optional<double> cpu;          ///< of this machine's processors, since it was asked last
  std::optional<double> memory;       ///< of this machine's
  std::optional<double> connections;  ///< server connections that are used, of those that may be
  std::optional<double> io;
  std::optional<double> network;
};
BOOST_DESCRIBE_STRUCT(ResourceUtilization, (), (cpu, memory, connections, io, network))

struct QueuedByPriority {
  std::uint64_t low = 0;
  std::uint64_t normal = 0;
  std::uint64_t high = 0;
  std::uint64_t critical = 0;
  std::uint64_t emergency = 0;
};
BOOST_DESCRIBE_STRUCT(QueuedByPriority, (), (low, normal, high, critical, emergency))

/// Since the start.
struct RefusedQueries {
  std::uint64_t queue_full = 0;
  std::uint64_t overload = 0;
  std::uint64_t no_queue = 0;
  std::uint64_t quota = 0;
};
BOOST_DESCRIBE_STRUCT(RefusedQueries, (), (queue_full, overload, no_queue, quota))

/// Times are in seconds.
struct CircuitBreakerConfig {
  std::uint64_t failure_threshold = 0;
  std::uint64_t success_threshold = 1;
  double timeout_seconds = 0;
  double max_timeout_seconds = 0;
  bool exponential_backoff = true;
  std::uint64_t sliding_window_size = 0;
};
BOOST_DESCRIBE_STRUCT(CircuitBreakerConfig, (),
                      (failure_threshold, success_threshold, timeout_seconds, max_timeout_seconds, exponential_backoff,
                       sliding_window_size))

/// Since the start; requests are attempts to connect.
struct CircuitBreakerMetrics {
  std::uint64_t total_requests = 0;
  std::uint64_t successful_requests = 0;
  std::uint64_t failed_requests = 0;
  std::optional<double> success_rate;  ///< a share, 0 to 1
  std::uint64_t circuit_open_count = 0;
  std::optional<double> avg_response_time;  ///< of those that were answered
  std::optional<Timestamp> last_failure_time;
  std::optional<Timestamp> last_success_time;
  std::uint64_t lost_connections = 0;
  std::uint64_t refused_queries = 0;
};
BOOST_DESCRIBE_STRUCT(CircuitBreakerMetrics, (),
                      (total_requests, successful_requests, failed_requests, success_rate, circuit_open_count,
                       avg_response_time, last_failure_time, last_success_time, lost_connections, refused_queries))

struct CircuitBreakerStatus {
  std::string name;                   ///< of the server: its host and port
  std::string state;                  ///< closed, open, half_open
  std::uint64_t failure_count = 0;    ///< since the last success
  std::uint64_t success_count = 0;    ///< since the last failure
  std::uint64_t recent_failures = 0;  ///< of the last `sliding_window_size` outcomes
  std::optional<Timestamp> next_attempt_time;
  std::optional<double> seconds_until_retry;
  CircuitBreakerConfig config;
  CircuitBreakerMetrics metrics;
};
BOOST_DESCRIBE_STRUCT(CircuitBreakerStatus, (),
                      (name, state, failure_count, success_count, recent_failures, next_attempt_time,
                       seconds_until_retry, config, metrics))

struct ExecutionMetrics {
  std::uint64_t active_queries = 0;
  std::uint64_t queued_queries = 0;
  std::optional<std::uint64_t> completed_queries_last_hour;
  std::optional<std::uint64_t> failed_queries_last_hour;
  std::optional<double> average_execution_time_ms;  ///< of the last hour's, without their waits
  ResourceUtilization resource_utilization;
  std::optional<double> queue_wait_time_ms;  ///< mean of the last hour's
  std::optional<double> system_load;         ///< of this machine, the mean of the last minute
  std::optional<double> connection_pool_usage;

  std::uint64_t concurrency_limit = 0;       ///< so many may run at present
  std::uint64_t max_concurrent_queries = 0;  ///< and so many at most
  QueuedByPriority queued_by_priority;
  double oldest_wait_ms = 0;
  RefusedQueries refused_queries;
  std::vector<CircuitBreakerStatus> circuit_breakers;
};
BOOST_DESCRIBE_STRUCT(ExecutionMetrics, (),
                      (active_queries, queued_queries, completed_queries_last_hour, failed_queries_last_hour,
                       average_execution_time_ms, resource_utilization, queue_wait_time_ms, system_load,
                       connection_pool_usage, concurrency_limit, max_concurrent_queries, queued_by_priority,
                       oldest_wait_ms, refused_queries, circuit_breakers))

struct UserPath {
  std::string user_id;
};
BOOST_DESCRIBE_STRUCT(UserPath, (), (user_id))

struct ProjectPath {
  std::string project_id;
};
BOOST_DESCRIBE_STRUCT(ProjectPath, (), (project_id))

/// Null: as much as it wants. What a ResourceQuota says besides is ignored, so that one can be sent back.
struct NewResourceQuota {
  using Ignored = std::optional<RawJson>;

  std::optional<std::uint32_t> max_concurrent_queries = {};
  std::optional<std::uint64_t> hourly_query_limit = {};
  std::optional<std::uint64_t> daily_query_limit = {};
  std::optional<std::uint32_t> max_memory_mb = {};
  std::optional<std::uint32_t> max_execution_time_seconds = {};
  std::optional<std::int32_t> priority_boost = {};
  std::optional<double> max_cpu_percent = {};  ///< can't be limited: only null is taken

  Ignored user_id, project_id, enforced, counted_across_nodes, running_queries, hour, day;
};
BOOST_DESCRIBE_STRUCT(NewResourceQuota, (),
                      (max_concurrent_queries, hourly_query_limit, daily_query_limit, max_memory_mb,
                       max_execution_time_seconds, priority_boost, max_cpu_percent, user_id, project_id, enforced,
                       counted_across_nodes, running_queries, hour, day))

/// What is used of a quota in a window. Null: there is no limit, or nothing was used.
struct QuotaWindow {
  std::uint64_t used = 0;
  std::optional<std::uint64_t> left;
  std::optional<double> resets_in_seconds;
};
BOOST_DESCRIBE_STRUCT(QuotaWindow, (), (used, left, resets_in_seconds))

struct ResourceQuota {
  std::optional<std::string> user_id;
  std::optional<std::string> project_id;
  std::optional<std::uint32_t> max_concurrent_queries;
  std::optional<std::uint32_t> max_memory_mb;
  std::optional<std::uint32_t> max_cpu_percent;
  std::optional<std::uint32_t> max_execution_time_seconds;
  std::optional<std::uint64_t> hourly_query_limit;
  std::optional<std::uint64_t> daily_query_limit;
  std::int32_t priority_boost = 0;

  bool enforced = false;              ///< ENABLE_RESOURCE_QUOTAS
  bool counted_across_nodes = false;  ///< REDIS_URL is set, and Redis can be used
  std::uint32_t running_queries = 0;
  QuotaWindow hour;
  QuotaWindow day;
};
BOOST_DESCRIBE_STRUCT(ResourceQuota, (),
                      (user_id, project_id, max_concurrent_queries, max_memory_mb, max_cpu_percent,
                       max_execution_time_seconds, hourly_query_limit, daily_query_limit, priority_boost, enforced,
                       counted_across_nodes, running_queries, hour, day))

}  // namespace millrace::http
