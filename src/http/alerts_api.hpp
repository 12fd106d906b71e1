#pragma once

#include <memory>

#include "http/api_table.hpp"
#include "monitor/performance_watch.hpp"

namespace millrace::http {

/// Alerts and their rules, and anomalies. `watch` null: 503.
void add_alerts(ApiTable& table, std::shared_ptr<PerformanceWatch> watch);

}  // namespace millrace::http
