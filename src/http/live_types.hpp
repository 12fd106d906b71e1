#pragma once

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "http/json_types.hpp"

/// What `GET /api/v1/ws` takes and tells. Each message is a JSON object: `type` (a topic, or "subscribed", "error"),
/// `dropped` (how many messages were left out since the one before, as the client didn't read), `data`.
namespace millrace::http {

/// A topic is also the type of its messages. Their data: LiveMetrics, SlowQueryAnswer, PerformanceAnomaly, ListedAlert,
/// PlanChangeAnswer.
enum class LiveTopic { metrics, slow_query, anomaly, alert, plan_change };
BOOST_DESCRIBE_ENUM(LiveTopic, metrics, slow_query, anomaly, alert, plan_change)

/// What a client may send: from now on it is told of these only. The data of the answer, "subscribed", is the same.
struct LiveSubscription {
  std::vector<LiveTopic> subscribe = {};
};
BOOST_DESCRIBE_STRUCT(LiveSubscription, (), (subscribe))

/// Of a second. Rates are percentages, 0 to 100; null: there was nothing to take it of.
struct LiveMetrics {
  Timestamp at = {};  ///< its end
  double window_seconds = 1;
  double throughput = 0;                      ///< queries a second
  std::optional<double> execution_time = {};  ///< their mean, in milliseconds
  std::optional<double> p50_ms;
  std::optional<double> p95_ms;
  std::optional<double> p99_ms;
  std::optional<double> error_rate = {};
  std::optional<double> cache_hit_rate = {};
  std::uint64_t slow_queries = 0;
  std::uint64_t queue_depth = 0;          ///< clients that wait for a server connection
  std::uint64_t concurrency = 0;          ///< clients that hold one
  std::uint64_t connections = 0;          ///< clients
  std::optional<double> cpu_usage;        ///< percent of the machine's processors
  std::optional<double> memory_usage_mb;  ///< resident, of Millrace; MiB
};
BOOST_DESCRIBE_STRUCT(LiveMetrics, (),
                      (at, window_seconds, throughput, execution_time, p50_ms, p95_ms, p99_ms, error_rate,
                       cache_hit_rate, slow_queries, queue_depth, concurrency, connections, cpu_usage, memory_usage_mb))

}  // namespace millrace::http
