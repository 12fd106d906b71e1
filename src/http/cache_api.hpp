#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "cache/intelligent_cache_manager.hpp"
#include "http/api_table.hpp"
#include "integration/stream_status.hpp"
#include "pipeline/read_cache.hpp"

namespace millrace::http {

using StreamStatuses = std::function<std::vector<integration::StreamStatus>()>;

/// Adds the cache's operations: statistics, invalidate, optimize, and entries by hand. Without a cache each of them
/// answers 503. `reads`: where refusals and invalidations are counted; null: nowhere; else it outlives the table's
/// router. `streams`: how it is with the change streams; null: there are none. What walks through the cache, and large
/// bodies, are left to threads of their own.
void add_cache(ApiTable& table, std::shared_ptr<cache::IntelligentCacheManager> cache,
               pipeline::ReadCache* reads = nullptr, StreamStatuses streams = nullptr);

}  // namespace millrace::http
