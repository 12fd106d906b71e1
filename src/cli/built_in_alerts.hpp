#pragma once

#include <string>
#include <utility>
#include <vector>

#include "config/settings.hpp"
#include "monitor/alert_threshold.hpp"

namespace millrace::cli {

/// The rules that PERFORMANCE_ALERT_THRESHOLDS stand for, by their names: "builtin_error_rate", ...
std::vector<std::pair<std::string, AlertThreshold>> built_in_alerts(const config::AlertThresholds& thresholds);

}  // namespace millrace::cli
