#pragma once

#include <memory>

#include "http/api_table.hpp"
#include "http/live_updates.hpp"

namespace millrace::http {

/// Adds the WebSocket by which figures, slow queries, anomalies and alerts are told as they come. Null: performance
/// isn't watched.
void add_live(ApiTable& table, std::shared_ptr<LiveUpdates> updates);

}  // namespace millrace::http
