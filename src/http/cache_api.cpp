#include "http/cache_api.hpp"

#include <algorithm>
#include <utility>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/utf8.hpp"
#include "cache/by_hand.hpp"
#include "http/cache_types.hpp"
#include "http/worker.hpp"

namespace millrace::http {
namespace {

using cache::ByHandLimits;
using cache::IntelligentCacheManager;
using cache::InvalidationScope;
using Problems = std::vector<ValidationProblem>;

constexpr std::uint64_t body_bytes = 4 * 1024 * 1024;
// Up to here a body is read in less time than it takes to ask another thread.
constexpr std::size_t small_body_bytes = 16 * 1024;
constexpr std::size_t most_waiting = 16;
constexpr std::int64_t default_ttl = 3600;
constexpr std::size_t reason_bytes = 1000;
// Statistics walk through the cache, and anybody may ask for them: of the thread's time they get this part.
constexpr std::int64_t rest_after_statistics = 10;

double in_mb(std::size_t bytes) { return static_cast<double>(bytes) / (1024.0 * 1024.0); }

CacheLevelStats of_level(const cache::LevelStats& stats) {
  return {.hits = stats.hits, .misses = stats.misses, .evictions = stats.evictions, .hit_rate = stats.hit_rate};
}

CacheStatistics described(const cache::CacheStats& stats) {
  CacheStatistics said{.total_entries = stats.total_entries,
                       .total_size_bytes = stats.total_size_bytes,
                       .total_size_mb = in_mb(stats.total_size_bytes),
                       .hit_rate = stats.hit_rate,
                       .miss_rate = stats.miss_rate,
                       .eviction_rate = stats.eviction_rate,
                       .average_access_time_ms = stats.average_access_time_ms,
                       .level_stats = {.memory = of_level(stats.memory),
                                       .redis = of_level(stats.redis),
                                       .persistent = of_level(stats.persistent)},
                       .top_keys = {},
                       .memory_pressure = stats.memory_pressure,
                       .fragmentation_ratio = stats.fragmentation_ratio,
                       .last_cleanup = stats.last_cleanup,
                       .refusals = {},
                       .invalidations = {},
                       .guarantees = {}};
  for (const auto& [key, hits] : stats.top_keys) said.top_keys.push_back({.key = key, .access_count = hits});
  return said;
}

CacheOptimizationResult described(const cache::CacheOptimizationResult& result) {
  return {.optimizations_applied = result.optimizations_applied,
          .space_saved_bytes = result.space_saved_bytes,
          .space_saved_mb = in_mb(result.space_saved_bytes),
          .performance_improvement_ms = result.performance_improvement_ms,
          .entries_relocated = result.entries_relocated,
          .entries_compressed = result.entries_compressed,
          .entries_evicted = result.entries_evicted};
}

CachedResult described(cache::CachedResult result) {
  return {.data = {std::move(result.data)},
          .metadata = {.tags = std::move(result.metadata.tags),
                       .dependencies = std::move(result.metadata.dependencies),
                       .size_bytes = result.metadata.size_bytes},
          .cache_key = std::move(result.cache_key),
          .cached_at = result.cached_at,
          .ttl_seconds = result.ttl_seconds,
          .source_level = result.source_level,
          .hit_count = result.hit_count};
}

using Objection = std::optional<std::string> (*)(std::string_view);

void check_list(std::string_view field, const std::vector<std::string>& texts, std::size_t most, Objection objection,
                Problems& problems) {
  if (texts.size() > most) {
    problems.push_back({{"body", std::string(field)}, fmt::format("must have {} items at most", most), "too_long"});
    return;
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (auto why = objection(texts[i])) {
      problems.push_back({{"body", std::string(field), i}, *std::move(why), "value_error"});
    }
  }
}

Problems problems_of(const CacheKey& path) {
  auto why = cache::objection_to_key(path.key);
  if (!why && !is_utf8(path.key)) why = "must be UTF-8";
  if (!why) return {};
  return {{{"path", "key"}, *std::move(why), "value_error"}};
}

Problems problems_of(const NewCachedResult& body) {
  Problems problems;
  const auto least = ByHandLimits::least_ttl.count();
  const auto most = ByHandLimits::most_ttl.count();
  const std::int64_t ttl = body.ttl.value_or(default_ttl);
  if (ttl < least) {
    problems.push_back({{"body", "ttl"}, fmt::format("must be {} or more", least), "greater_than_equal"});
  }
  if (ttl > most) problems.push_back({{"body", "ttl"}, fmt::format("must be {} or less", most), "less_than_equal"});
  if (body.tags) check_list("tags", *body.tags, ByHandLimits::names, cache::objection_to_name, problems);
  if (body.dependencies) {
    check_list("dependencies", *body.dependencies, ByHandLimits::names, cache::objection_to_name, problems);
  }
  return problems;
}

Problems problems_of(const CacheInvalidation& asked, InvalidationScope scope) {
  Problems problems;
  if (scope != InvalidationScope::global && (!asked.patterns || asked.patterns->empty())) {
    problems.push_back({{"body", "patterns"}, "is required, but for the scope global", "missing"});
  }
  if (asked.patterns) {
    check_list("patterns", *asked.patterns, ByHandLimits::patterns, cache::objection_to_pattern, problems);
  }
  if (asked.reason && asked.reason->size() > reason_bytes) {
    problems.push_back(
        {{"body", "reason"}, fmt::format("must have {} bytes at most", reason_bytes), "string_too_long"});
  }
  return problems;
}

Response absent() { return problem(503, "there is no cache: ENABLE_MULTI_LEVEL_CACHING is off"); }
Response busy() { return problem(503, "too many such requests wait already", {{"Retry-After", "1"}}); }

std::string_view name_of(InvalidationScope scope) { return boost::describe::enum_to_string(scope, "unknown"); }

std::string to_id(Timestamp time) {
  using namespace std::chrono;
  return fmt::format("inv_{}", duration_cast<milliseconds>(time.time_since_epoch()).count());
}

std::vector<TableInvalidations> invalidations_of(pipeline::ReadCache& reads) {
  constexpr std::size_t most = 100;
  std::vector<TableInvalidations> all;
  for (auto& one : reads.invalidations().counts(most)) {
    auto name = one.table == 0 ? std::string() : reads.name_of_table(one.database, one.table);
    TableInvalidations said{.database = {}, .table = {}, .reason = one.reason, .count = one.count};
    if (!name.empty()) said.table = std::move(name);
    if (!one.database.empty()) said.database = std::move(one.database);
    all.push_back(std::move(said));
  }
  return all;
}

/// For who may not know the tables' names.
std::vector<TableInvalidations> without_names(const std::vector<TableInvalidations>& all) {
  std::vector<TableInvalidations> sums;
  for (const auto& one : all) {
    const auto same = [&](const auto& sum) { return sum.database == one.database && sum.reason == one.reason; };
    if (const auto sum = std::ranges::find_if(sums, same); sum != sums.end()) {
      sum->count += one.count;
    } else {
      sums.push_back({.database = one.database, .table = {}, .reason = one.reason, .count = one.count});
    }
  }
  return sums;
}

/// What the operations share.
struct Operations {
  Operations(std::shared_ptr<IntelligentCacheManager> manager, pipeline::ReadCache* read_cache,
             StreamStatuses stream_statuses)
      : cache(std::move(manager)), reads(read_cache), streams(std::move(stream_statuses)) {}

  const std::shared_ptr<IntelligentCacheManager> cache;
  pipeline::ReadCache* const reads;
  const StreamStatuses streams;
  Worker walks{most_waiting};
  Worker bodies{most_waiting};

  // Of the thread of `walks` only:
  CacheStatistics last_statistics = {};
  std::int64_t statistics_again_ns = 0;

  CacheStatistics statistics() {
    const std::int64_t started = now_ns();
    if (started < statistics_again_ns) return last_statistics;
    last_statistics = described(cache->statistics());
    if (reads != nullptr) {
      const auto counted = reads->refusals();
      last_statistics.refusals = {counted.begin(), counted.end()};
      last_statistics.invalidations = invalidations_of(*reads);
    }
    const std::int64_t ended = now_ns();
    statistics_again_ns = ended + (ended - started) * rest_after_statistics;
    return last_statistics;
  }
};
using Shared = std::shared_ptr<Operations>;

asio::awaitable<Reply<CacheStatistics>> statistics(Shared shared, Principal who) {
  if (!shared->cache) co_return absent();
  auto stats = co_await shared->walks.run([&operations = *shared] { return operations.statistics(); });
  if (!stats) co_return busy();
  if (who.name.empty()) {
    stats->invalidations = without_names(stats->invalidations);
    stats->top_keys.clear();  // by hand they are names too, of users say
  }
  for (auto& stream : shared->streams ? shared->streams() : std::vector<integration::StreamStatus>()) {
    stats->guarantees.push_back({.database = std::move(stream.database),
                                 .levels = std::move(stream.levels),
                                 .lag_ms = stream.lag_ms,
                                 .proof_ms = stream.proof_ms});
  }
  co_return *std::move(stats);
}

asio::awaitable<Reply<CacheOptimizationResult>> optimize(Shared shared, Principal who) {
  if (!shared->cache) co_return absent();
  const auto result = co_await shared->walks.run([&operations = *shared] {
    operations.statistics_again_ns = 0;
    return operations.cache->optimize();
  });
  if (!result) co_return busy();
  log::info("cache optimized", {{"by", who.name},
                                {"entries_evicted", result->entries_evicted},
                                {"space_saved_bytes", result->space_saved_bytes}});
  co_return described(*result);
}

asio::awaitable<Reply<CrossDatabaseInvalidation>> invalidate(Shared shared, CacheInvalidationQuery query,
                                                             CacheInvalidation asked, Principal who) {
  if (!shared->cache) co_return absent();
  const InvalidationScope scope = asked.scope.value_or(query.scope.value_or(InvalidationScope::key_pattern));
  if (!asked.reason) asked.reason = std::move(query.reason);
  if (const Problems problems = problems_of(asked, scope); !problems.empty()) co_return unprocessable(problems);
  CrossDatabaseInvalidation done{.invalidation_id = {},
                                 .scope = scope,
                                 .patterns = std::move(asked.patterns).value_or(std::vector<std::string>()),
                                 .affected_databases = {"postgresql"},
                                 .triggered_at = std::chrono::system_clock::now()};
  done.invalidation_id = to_id(done.triggered_at);
  const auto impact = co_await shared->walks.run([&operations = *shared, scope, &patterns = done.patterns] {
    operations.statistics_again_ns = 0;
    return operations.cache->invalidate(scope, patterns);
  });
  if (!impact) co_return busy();
  if (shared->reads != nullptr) shared->reads->invalidations().add("", 0, pipeline::InvalidationReason::by_hand);
  done.estimated_impact = *impact;
  log::info("cache invalidated", {{"id", done.invalidation_id},
                                  {"by", who.name},
                                  {"scope", name_of(scope)},
                                  {"patterns", done.patterns.size()},
                                  {"entries", *impact},
                                  {"because_of", asked.reason.value_or("")}});
  co_return done;
}

asio::awaitable<Reply<CacheAnswer>> put_entry(Shared shared, CacheKey path, LaterBody<NewCachedResult> body) {
  if (!shared->cache) co_return absent();
  Problems problems = problems_of(path);
  std::optional<std::expected<NewCachedResult, Problems>> read;
  if (body.bytes() <= small_body_bytes) {
    read = body.read();
  } else {
    read = co_await shared->bodies.run([&body] { return body.read(); });
  }
  if (!read) co_return busy();
  const Problems more = *read ? problems_of(**read) : read->error();
  problems.insert(problems.end(), more.begin(), more.end());
  if (!problems.empty()) co_return unprocessable(problems);
  NewCachedResult& made = **read;
  CacheAnswer answer{.cache_key = path.key, .reason = {}, .ttl_seconds = made.ttl.value_or(default_ttl)};
  using Names = std::vector<std::string>;
  switch (shared->cache->cache_result(path.key, made.result.text, std::chrono::seconds(answer.ttl_seconds),
                                      std::move(made.tags).value_or(Names()),
                                      std::move(made.dependencies).value_or(Names()))) {
    case IntelligentCacheManager::Kept::yes:
      answer.cached = true;
      break;
    case IntelligentCacheManager::Kept::too_large:
      answer.reason = "too_large";
      break;
    case IntelligentCacheManager::Kept::no_room:
      answer.reason = "no_room";
      break;
  }
  co_return answer;
}

asio::awaitable<Reply<CachedResult>> get_entry(Shared shared, CacheKey path) {
  if (!shared->cache) co_return absent();
  if (const Problems problems = problems_of(path); !problems.empty()) co_return unprocessable(problems);
  auto found = shared->cache->get_cached_result(path.key);
  if (!found) co_return problem(404, "there is no such entry, or it isn't fresh any more");
  co_return described(*std::move(found));
}

asio::awaitable<Reply<NoContent>> delete_entry(Shared shared, CacheKey path) {
  if (!shared->cache) co_return absent();
  if (const Problems problems = problems_of(path); !problems.empty()) co_return unprocessable(problems);
  if (!shared->cache->erase(path.key)) co_return problem(404, "there is no such entry, or it isn't fresh any more");
  co_return NoContent();
}

/// Where the application that the paths come from has them.
std::vector<std::string> also_at(std::string_view path) {
  return {fmt::format("/api/v1/optimization{}", path), fmt::format("/api/v1/optimization/optimization{}", path)};
}

const std::string no_cache = "Caching is switched off";

void add_for_all_entries(ApiTable& table, const Shared& shared) {
  const std::string no_cache_now = no_cache + ", or too many such requests wait";
  table.add(
      "GET",
      {.path = "/api/v1/cache/statistics",
       .summary = "The cache's figures",
       .description = "Rates are percentages, 0 to 100; memory_pressure and fragmentation_ratio are from 0 to 1. An "
                      "answer of the wire has the key query: and its statement's fingerprint. redis and persistent "
                      "aren't in this version, and 0. refusals counts statements whose answer wasn't kept, by the "
                      "reason; invalidations what has made answers stale, by table and reason; guarantees says which "
                      "levels of consistency can be met at present. "
                      "Names of tables and top_keys are told only to who has an API key. "
                      "Where the cache is large an answer may be some time old.",
       .also_at = also_at("/cache/statistics"),
       .problems = {{503, no_cache_now}},
       .open = true},
      [shared](Principal who) { return statistics(shared, std::move(who)); });
  table.add(
      "POST",
      {.path = "/api/v1/cache/invalidate",
       .summary = "Makes entries unfindable",
       .description = "By the scope, patterns are keys, patterns of keys (* is any text, ? any character), or names "
                      "of tags, tables, projects or users: project:456 and project:456:* are the project 456. "
                      "estimated_impact is the number of entries that were fresh until then.",
       .also_at = also_at("/cache/invalidate"),
       .problems = {{503, no_cache_now}}},
      [shared](Query<CacheInvalidationQuery> query, Body<CacheInvalidation> body, Principal who) {
        return invalidate(shared, std::move(query.value), std::move(body.value), std::move(who));
      });
  table.add("POST",
            {.path = "/api/v1/cache/optimize",
             .summary = "Drops what isn't fresh, and gives back memory",
             .description = "performance_improvement_ms isn't measured, and nothing is compressed in this version: 0.",
             .also_at = also_at("/cache/optimize"),
             .problems = {{503, no_cache_now}}},
            [shared](Principal who) { return optimize(shared, std::move(who)); });
}

void add_for_one_entry(ApiTable& table, const Shared& shared) {
  const std::string path = "/api/v1/cache/entries/{key}";
  const std::string no_entry = "There is no such entry, or it isn't fresh any more";
  table.add(
      "PUT",
      {.path = path,
       .summary = "Caches a result under a key of one's own",
       .description = "ttl is in seconds, 3600 unless it is said. Dependencies are table:NAME, project:NAME, user:NAME "
                      "or any other name. cached is false, with the reason, where the cache didn't keep the result; "
                      "an older one of the key is gone then too.",
       .problems = {{400, "The body can't be read"}, {413, "The body is over 4 MiB"}, {503, no_cache}},
       .body_bytes = body_bytes},
      [shared](Path<CacheKey> key, LaterBody<NewCachedResult> body) {
        return put_entry(shared, std::move(key.value), std::move(body));
      });
  table.add("GET", {.path = path, .summary = "A cached result", .problems = {{404, no_entry}, {503, no_cache}}},
            [shared](Path<CacheKey> key) { return get_entry(shared, std::move(key.value)); });
  table.add(
      "DELETE",
      {.path = path, .summary = "Drops a cached result", .status = 204, .problems = {{404, no_entry}, {503, no_cache}}},
      [shared](Path<CacheKey> key) { return delete_entry(shared, std::move(key.value)); });
}

}  // namespace

void add_cache(ApiTable& table, std::shared_ptr<IntelligentCacheManager> cache, pipeline::ReadCache* reads,
               StreamStatuses streams) {
  const auto shared = std::make_shared<Operations>(std::move(cache), reads, std::move(streams));
  add_for_all_entries(table, shared);
  add_for_one_entry(table, shared);
}

}  // namespace millrace::http
