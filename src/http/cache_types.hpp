#pragma once

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cache/intelligent_cache_manager.hpp"
#include "http/json_types.hpp"
#include "pipeline/invalidations.hpp"

namespace millrace::cache {
BOOST_DESCRIBE_ENUM(CacheLevel, memory, redis, persistent)
BOOST_DESCRIBE_ENUM(InvalidationScope, key_exact, key_pattern, table_based, project_based, user_based, global,
                    tag_based)
}  // namespace millrace::cache

/// What the cache's operations take and answer. Rates are percentages, 0 to 100.
namespace millrace::http {

struct CacheLevelStats {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t evictions = 0;
  double hit_rate = 0;
};
BOOST_DESCRIBE_STRUCT(CacheLevelStats, (), (hits, misses, evictions, hit_rate))

struct CacheLevels {
  CacheLevelStats memory;
  CacheLevelStats redis;
  CacheLevelStats persistent;
};
BOOST_DESCRIBE_STRUCT(CacheLevels, (), (memory, redis, persistent))

struct TopKey {
  std::string key;
  std::uint64_t access_count = 0;
};
BOOST_DESCRIBE_STRUCT(TopKey, (), (key, access_count))

/// How often answers were made stale by changes of a table. `table`: with its schema; null: of all tables, or nobody
/// knows which, or whoever asks may not know its name. `database`: null: of all.
struct TableInvalidations {
  std::optional<std::string> database;
  std::optional<std::string> table;
  pipeline::InvalidationReason reason = pipeline::InvalidationReason::write;
  std::uint64_t count = 0;
};
BOOST_DESCRIBE_STRUCT(TableInvalidations, (), (database, table, reason, count))

/// How fresh answers of a database's are at present, at most; optimization/status says why not more.
struct CacheGuarantee {
  std::string database;
  std::vector<std::string> levels;  ///< of consistency that can be met
  std::optional<double> lag_ms;     ///< from the last transaction's commit until it was told
  std::optional<double> proof_ms;   ///< what a proof takes, for the levels that need it
};
BOOST_DESCRIBE_STRUCT(CacheGuarantee, (), (database, levels, lag_ms, proof_ms))

struct CacheStatistics {
  std::uint64_t total_entries = 0;
  std::uint64_t total_size_bytes = 0;
  double total_size_mb = 0;
  double hit_rate = 0;
  double miss_rate = 0;
  double eviction_rate = 0;
  double average_access_time_ms = 0;
  CacheLevels level_stats;
  std::vector<TopKey> top_keys;
  double memory_pressure = 0;
  double fragmentation_ratio = 0;
  std::optional<Timestamp> last_cleanup;
  std::map<std::string, std::uint64_t> refusals;  ///< statements whose answer wasn't kept, by the reason
  std::vector<TableInvalidations> invalidations;  ///< the most frequent first, a hundred at most
  std::vector<CacheGuarantee> guarantees;         ///< of databases whose changes are followed, or are to be
};
BOOST_DESCRIBE_STRUCT(CacheStatistics, (),
                      (total_entries, total_size_bytes, total_size_mb, hit_rate, miss_rate, eviction_rate,
                       average_access_time_ms, level_stats, top_keys, memory_pressure, fragmentation_ratio,
                       last_cleanup, refusals, invalidations, guarantees))

/// `patterns` may be left out where the scope is global; `scope` is key_pattern unless it is said.
struct CacheInvalidation {
  std::optional<std::vector<std::string>> patterns;
  std::optional<cache::InvalidationScope> scope;
  std::optional<std::string> reason;

  static auto bare_list() { return &CacheInvalidation::patterns; }
};
BOOST_DESCRIBE_STRUCT(CacheInvalidation, (), (patterns, scope, reason))

/// Of an invalidation whose body is the list of patterns alone; what the body says wins.
struct CacheInvalidationQuery {
  std::optional<cache::InvalidationScope> scope;
  std::optional<std::string> reason;
};
BOOST_DESCRIBE_STRUCT(CacheInvalidationQuery, (), (scope, reason))

struct CrossDatabaseInvalidation {
  std::string invalidation_id;
  cache::InvalidationScope scope = cache::InvalidationScope::key_pattern;
  std::vector<std::string> patterns;
  std::vector<std::string> affected_databases;
  std::uint64_t estimated_impact = 0;
  Timestamp triggered_at;
};
BOOST_DESCRIBE_STRUCT(CrossDatabaseInvalidation, (),
                      (invalidation_id, scope, patterns, affected_databases, estimated_impact, triggered_at))

struct CacheOptimizationResult {
  std::vector<std::string> optimizations_applied;
  std::uint64_t space_saved_bytes = 0;
  double space_saved_mb = 0;
  double performance_improvement_ms = 0;
  std::uint64_t entries_relocated = 0;
  std::uint64_t entries_compressed = 0;
  std::uint64_t entries_evicted = 0;
};
BOOST_DESCRIBE_STRUCT(CacheOptimizationResult, (),
                      (optimizations_applied, space_saved_bytes, space_saved_mb, performance_improvement_ms,
                       entries_relocated, entries_compressed, entries_evicted))

struct CacheKey {
  std::string key;
};
BOOST_DESCRIBE_STRUCT(CacheKey, (), (key))

struct NewCachedResult {
  RawJson result;
  std::optional<std::int64_t> ttl;  ///< seconds; 3600 unless it is said
  std::optional<std::vector<std::string>> tags;
  std::optional<std::vector<std::string>> dependencies;
};
BOOST_DESCRIBE_STRUCT(NewCachedResult, (), (result, ttl, tags, dependencies))

/// Whether a result was kept; if not, `reason` says why: "too_large" or "no_room".
struct CacheAnswer {
  std::string cache_key;
  bool cached = false;
  std::optional<std::string> reason;
  std::int64_t ttl_seconds = 0;
};
BOOST_DESCRIBE_STRUCT(CacheAnswer, (), (cache_key, cached, reason, ttl_seconds))

struct CachedResultMetadata {
  std::vector<std::string> tags;
  std::vector<std::string> dependencies;
  std::uint64_t size_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(CachedResultMetadata, (), (tags, dependencies, size_bytes))

struct CachedResult {
  RawJson data;
  CachedResultMetadata metadata;
  std::string cache_key;
  Timestamp cached_at;
  std::int64_t ttl_seconds = 0;
  cache::CacheLevel source_level = cache::CacheLevel::memory;
  std::uint64_t hit_count = 0;
};
BOOST_DESCRIBE_STRUCT(CachedResult, (), (data, metadata, cache_key, cached_at, ttl_seconds, source_level, hit_count))

}  // namespace millrace::http
