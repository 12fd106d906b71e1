#include "http/live_api.hpp"

#include <utility>

namespace millrace::http {
namespace {

/// A subscription is small.
constexpr std::uint64_t longest_message = 4096;

Response listen(const std::shared_ptr<LiveUpdates>& updates) {
  if (!updates) return problem(503, "performance isn't watched: PERFORMANCE_MONITORING_ENABLED is off");
  auto client = LiveClient::join(updates);
  if (!client) {
    return problem(503, fmt::format("{} clients listen already", LiveUpdates::most_clients), {{"Retry-After", "5"}});
  }
  return {.status = 101,
          .websocket = [client = std::move(client)](WebSocket& socket) { return LiveClient::serve(client, socket); }};
}

}  // namespace

void add_live(ApiTable& table, std::shared_ptr<LiveUpdates> updates) {
  table.add(
      "GET",
      {.path = "/api/v1/ws",
       .summary = "A WebSocket that tells figures each second, slow queries, anomalies and alerts",
       .description =
           "Messages are JSON objects of type, dropped and data; docs/live.md has their shapes. All "
           "are told until the client sends {\"subscribe\": [...]}, with types of metrics, slow_query, "
           "anomaly, alert and plan_change. What a client doesn't read is dropped, and dropped says how many that "
           "were. A page may give its API key as a subprotocol: millrace, millrace.key.KEY.",
       .status = 101,
       .problems = {{426, "The request doesn't ask for a WebSocket"},
                    {503, "Performance isn't watched, or too many listen"}},
       .body_bytes = longest_message},
      [updates = std::move(updates)] { return ready(listen(updates)); });
}

}  // namespace millrace::http
