#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cache/intelligent_cache_manager.hpp"
#include "monitor/query_performance_monitor.hpp"
#include "pipeline/invalidations.hpp"

namespace millrace::http {

/// How often a statement's answer wasn't kept, by the reason.
using Refusals = std::map<std::string, std::uint64_t, std::less<>>;
/// How often answers were made stale, by the reason.
using Invalidations = std::vector<std::pair<pipeline::InvalidationReason, std::uint64_t>>;

/// Prometheus' text format. `cache` may be null: then there are no figures of one.
std::string metrics_text(const MonitorSnapshot& snapshot, const std::string& version,
                         cache::IntelligentCacheManager* cache, Refusals refusals = {},
                         const Invalidations& invalidations = {});

}  // namespace millrace::http
