#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cache/l1_cache.hpp"
#include "cache/versions.hpp"

namespace millrace::cache {

enum class CacheLevel : std::uint8_t { memory = 1, redis = 2, persistent = 3 };

/// What an invalidation's patterns are: keys; patterns of keys (KeyPattern); names of tags, tables, projects or users;
/// or nothing, as all goes.
enum class InvalidationScope : std::uint8_t {
  key_exact,
  key_pattern,
  table_based,
  project_based,
  user_based,
  global,
  tag_based
};

/// An entry that was made by hand.
struct CachedResult {
  struct Metadata {
    std::vector<std::string> tags;
    std::vector<std::string> dependencies;
    std::size_t size_bytes = 0;  ///< of memory
  };
  std::string data;  ///< JSON text, as it was given
  Metadata metadata;
  std::string cache_key;
  std::chrono::system_clock::time_point cached_at;
  std::int64_t ttl_seconds = 0;  ///< as it was given, counted from cached_at
  CacheLevel source_level = CacheLevel::memory;
  std::uint64_t hit_count = 0;  ///< this one included
};

/// Rates are percentages, 0 to 100. Those of lookups are 0 where there were none.
struct LevelStats {
  std::uint64_t hits = 0, misses = 0, evictions = 0;
  double hit_rate = 0;
};

struct CacheStats {
  std::size_t total_entries = 0;     ///< that can be found: not those that are expired or stale
  std::size_t total_size_bytes = 0;  ///< memory for all, tables included
  double hit_rate = 0, miss_rate = 0;
  double eviction_rate = 0;           ///< of what was put in, how much was evicted to make room
  double average_access_time_ms = 0;  ///< of a sample of lookups; 0 if there is none
  LevelStats memory, redis, persistent;
  std::vector<std::pair<std::string, std::uint64_t>> top_keys;  ///< the ten most used: label and hits
  double memory_pressure = 0;      ///< the part of the capacity that is in use: 0 to 1, for a moment a little more
  double fragmentation_ratio = 0;  ///< the part of the memory in use that no entry that can be found occupies: 0 to 1
  std::optional<std::chrono::system_clock::time_point> last_cleanup;  ///< the end of the last `optimize`
};

struct CacheOptimizationResult {
  std::vector<std::string> optimizations_applied;  ///< what did change something
  std::size_t space_saved_bytes = 0;
  double performance_improvement_ms = 0;  ///< 0: it isn't measured
  std::size_t entries_relocated = 0;      ///< that got a new place in a table
  std::size_t entries_compressed = 0;     ///< 0: there is no compression yet
  std::size_t entries_evicted = 0;        ///< expired or stale, or over the capacity
};

/// The cache: its versions, its L1, and what people and programs do to it by hand. Thread-safe; no call but
/// `cache_result` and `get_cached_result` is for an I/O thread: they walk through all entries.
///
/// Entries of the wire and by hand lie in the same L1 and share its capacity, its policy and its counts. An entry by
/// hand depends on the names "tag:NAME" and "dependency:NAME" of `Versions`, for each of its tags and dependencies, and
/// with a dependency "table:NAME" also on what `tables_of(NAME)` answers, so that a write of the wire makes it stale.
class IntelligentCacheManager {
 public:
  /// Of the numbers that answers of the wire depend on, those of a table: in each database, each schema that has one
  /// of that name ("public.projects": in that schema). Any thread calls it.
  using TablesOf = std::function<std::vector<Dependency>(std::string_view table)>;

  explicit IntelligentCacheManager(std::size_t l1_capacity_bytes);

  Versions& versions() { return versions_; }
  L1Cache& l1() { return l1_; }

  /// Until it is set tables have no numbers but those by name. May be set again, and to nothing.
  void set_tables_of(TablesOf tables_of);

  enum class Kept : std::uint8_t { yes, too_large, no_room };
  /// Takes the place of an entry of the same key, which is gone also if this one isn't kept. The text isn't checked.
  /// What the result was computed from must not have changed meanwhile: only what changes from this call on makes it
  /// stale. Names that come twice count once.
  Kept cache_result(std::string_view query_key, std::string_view json_text, std::chrono::seconds ttl,
                    std::vector<std::string> tags = {}, std::vector<std::string> dependencies = {});

  /// Nothing if there is none, or it has expired, or what it depends on has changed.
  std::optional<CachedResult> get_cached_result(std::string_view query_key);

  /// Whether there was one that could be found.
  bool erase(std::string_view query_key);

  /// Answers how many entries can't be found any more because of it.
  ///  - key_exact, key_pattern: are about the labels of entries (`label_of`); what matches is taken out.
  ///  - tag_based, table_based, project_based, user_based: names; "project:456" and "project:456:*" are the project
  ///  456.
  ///    What depends on one is stale from the beginning of this call on; so is, as numbers are shared, a little else.
  ///  - global: everything there is, and everything that is being computed.
  std::size_t invalidate(InvalidationScope scope, const std::vector<std::string>& patterns);

  CacheStats statistics();

  /// Drops what has expired or is stale, trims to the capacity, and makes tables as small as they can be. One at a
  /// time.
  CacheOptimizationResult optimize();

  /// One that looks up in the L1 itself may say how long one in many lookups took.
  void sample_access(std::int64_t duration_ns) {
    access_ns_.fetch_add(static_cast<std::uint64_t>(duration_ns), std::memory_order_relaxed);
    accesses_sampled_.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  std::vector<Dependency> tables_of(std::string_view table);
  std::size_t erase_key(const std::string& query_key);
  std::size_t erase_matching(const std::vector<std::string>& patterns);
  std::size_t change(std::vector<Dependency> dependencies);
  std::size_t change_all();

  Versions versions_;
  L1Cache l1_;
  std::mutex tables_of_mutex_;
  std::shared_ptr<const TablesOf> tables_of_;
  std::mutex optimizing_;
  std::atomic<std::int64_t> last_cleanup_us_ = 0;  // of the system's clock; 0: none
  std::atomic<std::uint64_t> lookups_ = 0;
  std::atomic<std::uint64_t> access_ns_ = 0;
  std::atomic<std::uint64_t> accesses_sampled_ = 0;
};

}  // namespace millrace::cache
