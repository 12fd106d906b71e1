#include "cache/intelligent_cache_manager.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <unordered_map>

#include "base/clock.hpp"
#include "cache/by_hand.hpp"
#include "cache/key_pattern.hpp"

namespace millrace::cache {

namespace {

using std::chrono::system_clock;

constexpr std::size_t top_count = 10;
constexpr std::uint64_t sample_every = 16;
// What somebody takes the trouble to cache by hand was dear; how dear, nobody says.
constexpr std::int64_t assumed_cost_ns = 10'000'000;
constexpr std::size_t label_digits = 16;

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

double share(std::size_t part, std::size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

void drop_repeated(std::vector<std::string>& names) {
  std::ranges::sort(names);
  const auto rest = std::ranges::unique(names);
  names.erase(rest.begin(), rest.end());
}

std::optional<std::string_view> after(std::string_view prefix, std::string_view text) {
  if (!text.starts_with(prefix)) return {};
  return text.substr(prefix.size());
}

/// "project:456:*", "project:456" and "456" are the project 456.
std::string_view name_in(std::string_view pattern, std::string_view prefix) {
  if (const auto rest = after(prefix, pattern)) {
    pattern = *rest;
    if (pattern.ends_with(":*")) pattern.remove_suffix(2);
  }
  return pattern;
}

Dependency numbered(std::string_view kind, std::string_view name) {
  return Versions::of(std::string(kind).append(name)) % static_cast<Dependency>(Versions::count);
}

/// The fingerprint in a label of the wire's entries.
std::optional<std::uint64_t> fingerprint_in(std::string_view label) {
  const auto digits = after("query:", label);
  if (!digits || digits->size() != label_digits) return {};
  if (digits->find_first_not_of("0123456789abcdef") != std::string_view::npos) return {};
  return std::stoull(std::string(*digits), nullptr, 16);
}

/// Keeps the entries that were hit most.
class Top {
 public:
  void look_at(const Entry& entry) {
    const std::uint64_t hits = entry.hits();
    if (hits == 0 || (most_.size() == top_count && hits <= most_.back().second)) return;
    if (most_.size() == top_count) most_.pop_back();
    const auto by_hits = [](const auto& one, const auto& other) { return one.second > other.second; };
    std::pair<std::string, std::uint64_t> one(label_of(entry), hits);
    most_.insert(std::ranges::upper_bound(most_, one, by_hits), std::move(one));
  }
  std::vector<std::pair<std::string, std::uint64_t>> take() { return std::move(most_); }

 private:
  std::vector<std::pair<std::string, std::uint64_t>> most_;
};

}  // namespace

IntelligentCacheManager::IntelligentCacheManager(std::size_t l1_capacity_bytes) : l1_(l1_capacity_bytes, versions_) {}

void IntelligentCacheManager::set_tables_of(TablesOf tables_of) {
  auto next = tables_of ? std::make_shared<const TablesOf>(std::move(tables_of)) : nullptr;
  const std::lock_guard lock(tables_of_mutex_);
  tables_of_.swap(next);
}

std::vector<Dependency> IntelligentCacheManager::tables_of(std::string_view table) {
  std::shared_ptr<const TablesOf> ask;
  {
    const std::lock_guard lock(tables_of_mutex_);
    ask = tables_of_;
  }
  return ask ? (*ask)(table) : std::vector<Dependency>();
}

IntelligentCacheManager::Kept IntelligentCacheManager::cache_result(std::string_view query_key,
                                                                    std::string_view json_text,
                                                                    std::chrono::seconds ttl,
                                                                    std::vector<std::string> tags,
                                                                    std::vector<std::string> dependencies) {
  drop_repeated(tags);
  drop_repeated(dependencies);
  std::vector<Seen> seen;
  for (const std::string& tag : tags) seen.push_back(versions_.see(numbered("tag:", tag)));
  for (const std::string& dependency : dependencies) {
    seen.push_back(versions_.see(numbered("dependency:", dependency)));
    if (const auto table = after("table:", dependency)) {
      for (const Dependency number : tables_of(*table)) seen.push_back(versions_.see(number));
    }
  }
  const std::string key = by_hand_key(query_key);
  const std::string head = by_hand_head(system_clock::now(), dependencies);
  NewEntry entry;
  entry.key = key;
  entry.hash = hash_of(key);
  entry.head = head;
  entry.body = json_text;
  entry.seen = seen;
  entry.tags = tags;
  entry.now_ns = now_ns();
  entry.ttl_ns = std::chrono::nanoseconds(std::min(ttl, ByHandLimits::most_ttl)).count();
  entry.cost_ns = assumed_cost_ns;
  if (l1_.insert(entry)) return Kept::yes;
  // What the caller has replaced must not be found.
  l1_.erase(key, entry.hash);
  return key.size() + head.size() + json_text.size() + sizeof(Entry) > l1_.max_entry_bytes() ? Kept::too_large
                                                                                             : Kept::no_room;
}

std::optional<CachedResult> IntelligentCacheManager::get_cached_result(std::string_view query_key) {
  const std::string key = by_hand_key(query_key);
  const std::uint64_t hash = hash_of(key);
  const std::int64_t started = now_ns();
  const EntryPtr entry = l1_.find(key, hash, started);
  if (lookups_.fetch_add(1, std::memory_order_relaxed) % sample_every == 0) sample_access(now_ns() - started);
  if (!entry) return {};
  ByHandHead head = read_by_hand_head(entry->head());
  CachedResult result;
  result.data = entry->body();
  for (const std::string_view tag : entry->tags()) result.metadata.tags.emplace_back(tag);
  result.metadata.dependencies = std::move(head.dependencies);
  result.metadata.size_bytes = entry->memory_bytes();
  result.cache_key = query_key;
  result.cached_at = head.cached_at;
  const std::chrono::nanoseconds lifetime(entry->expires_ns() - entry->stored_ns());
  result.ttl_seconds = std::chrono::duration_cast<std::chrono::seconds>(lifetime).count();
  result.hit_count = entry->hits();
  return result;
}

bool IntelligentCacheManager::erase(std::string_view query_key) {
  const std::string key = by_hand_key(query_key);
  const std::uint64_t hash = hash_of(key);
  const EntryPtr entry = l1_.peek(key, hash);
  if (!entry) return false;
  const bool live = l1_.is_live(*entry, now_ns());
  return l1_.erase(key, hash) && live;
}

std::size_t IntelligentCacheManager::invalidate(InvalidationScope scope, const std::vector<std::string>& patterns) {
  std::vector<Dependency> changing;
  const auto depend_on = [&](std::string_view prefix) {
    for (const std::string& pattern : patterns) {
      const std::string_view name = name_in(pattern, prefix);
      changing.push_back(numbered("dependency:", std::string(prefix).append(name)));
      if (scope != InvalidationScope::table_based) continue;
      for (const Dependency number : tables_of(name)) changing.push_back(number);
    }
  };
  switch (scope) {
    case InvalidationScope::key_exact: {
      std::size_t erased = 0;
      for (const std::string& key : patterns) erased += erase_key(key);
      return erased;
    }
    case InvalidationScope::key_pattern:
      return erase_matching(patterns);
    case InvalidationScope::global:
      return change_all();
    case InvalidationScope::tag_based:
      for (const std::string& pattern : patterns) changing.push_back(numbered("tag:", name_in(pattern, "tag:")));
      break;
    case InvalidationScope::table_based:
      depend_on("table:");
      break;
    case InvalidationScope::project_based:
      depend_on("project:");
      break;
    case InvalidationScope::user_based:
      depend_on("user:");
      break;
  }
  return change(std::move(changing));
}

std::size_t IntelligentCacheManager::erase_key(const std::string& query_key) {
  std::size_t erased = erase(query_key) ? 1 : 0;
  const auto fingerprint = fingerprint_in(query_key);
  if (!fingerprint) return erased;
  const std::int64_t now = now_ns();
  l1_.erase_if([&](const Entry& entry) {
    const bool its = entry.fingerprint() == *fingerprint && !is_by_hand(entry);
    erased += its && l1_.is_live(entry, now) ? 1 : 0;
    return its;
  });
  return erased;
}

std::size_t IntelligentCacheManager::erase_matching(const std::vector<std::string>& patterns) {
  const std::vector<KeyPattern> compiled(patterns.begin(), patterns.end());
  const std::int64_t now = now_ns();
  std::size_t live = 0;
  l1_.erase_if([&](const Entry& entry) {
    const std::string label = label_of(entry);
    const bool meant = std::ranges::any_of(compiled, [&](const KeyPattern& one) { return one.matches(label); });
    live += meant && l1_.is_live(entry, now) ? 1 : 0;
    return meant;
  });
  return live;
}

std::size_t IntelligentCacheManager::change(std::vector<Dependency> dependencies) {
  std::unordered_map<Dependency, std::uint64_t> before;
  for (const Dependency number : dependencies) {
    const Dependency one = number % static_cast<Dependency>(Versions::count);
    if (!before.contains(one)) before[one] = versions_.changed(one);
  }
  // Those that were fresh but for what this call has changed: not what another call made stale.
  const std::int64_t now = now_ns();
  std::size_t affected = 0;
  l1_.for_each([&](const Entry& entry) {
    if (now >= entry.expires_ns()) return;
    bool by_this = false;
    for (const Seen& seen : entry.seen()) {
      const auto changed = before.find(seen.dependency % static_cast<Dependency>(Versions::count));
      if (changed == before.end() ? !versions_.is_current(seen) : seen.version != changed->second) return;
      by_this = by_this || changed != before.end();
    }
    affected += by_this ? 1 : 0;
  });
  return affected;
}

std::size_t IntelligentCacheManager::change_all() {
  const std::int64_t now = now_ns();
  std::size_t live = 0;
  l1_.for_each([&](const Entry& entry) { live += l1_.is_live(entry, now) ? 1 : 0; });
  // First the numbers: what is being computed from before must not come in after the clearing and be found.
  for (Dependency number = 0; number < Versions::count; ++number) versions_.changed(number);
  l1_.clear();
  return live;
}

CacheStats IntelligentCacheManager::statistics() {
  CacheStats stats;
  const std::int64_t now = now_ns();
  std::size_t live_bytes = 0;
  Top top;
  l1_.for_each([&](const Entry& entry) {
    if (!l1_.is_live(entry, now)) return;
    ++stats.total_entries;
    live_bytes += entry.memory_bytes();
    top.look_at(entry);
  });
  stats.top_keys = top.take();

  const L1Cache::Counts counts = l1_.counts();
  const std::uint64_t misses = counts.absent + counts.expired + counts.stale;
  stats.total_size_bytes = counts.bytes;
  stats.hit_rate = percent(counts.hits, counts.hits + misses);
  stats.miss_rate = percent(misses, counts.hits + misses);
  stats.eviction_rate = percent(counts.evicted, counts.inserted + counts.replaced);
  stats.memory = {.hits = counts.hits, .misses = misses, .evictions = counts.evicted, .hit_rate = stats.hit_rate};
  stats.memory_pressure = share(counts.bytes, counts.capacity);
  stats.fragmentation_ratio = share(counts.bytes - std::min(live_bytes, counts.bytes), counts.bytes);
  if (const auto sampled = accesses_sampled_.load(std::memory_order_relaxed)) {
    const auto sum = static_cast<double>(access_ns_.load(std::memory_order_relaxed));
    stats.average_access_time_ms = sum / static_cast<double>(sampled) / 1e6;
  }
  if (const std::int64_t at = last_cleanup_us_.load(std::memory_order_relaxed)) {
    stats.last_cleanup = system_clock::time_point(std::chrono::microseconds(at));
  }
  return stats;
}

CacheOptimizationResult IntelligentCacheManager::optimize() {
  const std::lock_guard lock(optimizing_);
  CacheOptimizationResult result;
  const L1Cache::Counts before = l1_.counts();
  const std::size_t purged = l1_.purge(now_ns());
  if (purged > 0) result.optimizations_applied.push_back("dropped entries that had expired or were stale");
  const std::size_t evicted_before = l1_.counts().evicted;
  const std::size_t trimmed = l1_.set_capacity(l1_.capacity_bytes());
  if (trimmed > 0) result.optimizations_applied.push_back("evicted entries down to the capacity");
  result.entries_relocated = l1_.compact();
  if (result.entries_relocated > 0) result.optimizations_applied.push_back("rebuilt tables at the size they need");
  const L1Cache::Counts after = l1_.counts();
  result.entries_evicted = purged + (trimmed > 0 ? after.evicted - evicted_before : 0);
  result.space_saved_bytes = before.bytes - std::min(after.bytes, before.bytes);
  const auto now = system_clock::now().time_since_epoch();
  last_cleanup_us_ = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  return result;
}

}  // namespace millrace::cache
