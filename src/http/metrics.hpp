#pragma once

#include <string>

#include "cache/intelligent_cache_manager.hpp"
#include "monitor/query_performance_monitor.hpp"

namespace millrace::http {

/// Prometheus' text format. `cache` may be null: then there are no figures of one.
std::string metrics_text(const MonitorSnapshot& snapshot, const std::string& version,
                         cache::IntelligentCacheManager* cache);

}  // namespace millrace::http
