#pragma once

#include <memory>

#include "cache/intelligent_cache_manager.hpp"
#include "http/api_table.hpp"
#include "pipeline/read_cache.hpp"

namespace millrace::http {

/// Adds the cache's operations: statistics, invalidate, optimize, and entries by hand. Without a cache each of them
/// answers 503. `reads`: where refusals are counted; null: nowhere; else it outlives the table's router. What walks
/// through the cache, and large bodies, are left to threads of their own.
void add_cache(ApiTable& table, std::shared_ptr<cache::IntelligentCacheManager> cache,
               const pipeline::ReadCache* reads = nullptr);

}  // namespace millrace::http
