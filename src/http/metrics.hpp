#pragma once

#include <string>

#include "monitor/query_performance_monitor.hpp"

namespace millrace::http {

/// Prometheus' text format.
std::string metrics_text(const MonitorSnapshot& snapshot, const std::string& version);

}  // namespace millrace::http
