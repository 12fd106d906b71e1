#include "cache/intelligent_cache_manager.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "cache/by_hand.hpp"

namespace millrace::cache {
namespace {

using std::chrono::seconds;
using enum InvalidationScope;
using Kept = IntelligentCacheManager::Kept;

constexpr std::size_t mib = std::size_t{1} << 20;

class IntelligentCacheManagerTest : public testing::Test {
 protected:
  Kept put(const std::string& key, std::vector<std::string> tags = {}, std::vector<std::string> dependencies = {},
           seconds ttl = seconds(60)) {
    return manager_.cache_result(key, "{\"of\":\"" + key + "\"}", ttl, std::move(tags), std::move(dependencies));
  }
  bool has(const std::string& key) { return manager_.get_cached_result(key).has_value(); }
  std::size_t entries() { return manager_.l1().counts().entries; }

  /// An answer of the wire.
  bool put_wire(std::uint32_t number, std::uint64_t fingerprint, std::vector<Seen> seen = {}, std::size_t size = 10) {
    std::string key(reinterpret_cast<const char*>(&number), sizeof number);
    key += "SELECT 1";
    const std::string body(size, 'D');
    NewEntry entry;
    entry.key = key;
    entry.hash = hash_of(key);
    entry.body = body;
    entry.seen = seen;
    entry.fingerprint = fingerprint;
    entry.now_ns = now_ns();
    entry.ttl_ns = 60'000'000'000;
    entry.cost_ns = 1;
    return manager_.l1().insert(entry);
  }

  std::unique_ptr<IntelligentCacheManager> owned_ = std::make_unique<IntelligentCacheManager>(mib);
  IntelligentCacheManager& manager_ = *owned_;
};

TEST_F(IntelligentCacheManagerTest, AnswersWhatWasCached) {
  const auto before = std::chrono::system_clock::now() - seconds(1);
  EXPECT_EQ(manager_.cache_result("a key", R"([1, 2.50, "x"])", seconds(3600), {"reports", "analytics", "reports"},
                                  {"table:projects", "user:7"}),
            Kept::yes);
  manager_.get_cached_result("a key");
  const auto found = manager_.get_cached_result("a key");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->data, R"([1, 2.50, "x"])");
  EXPECT_EQ(found->cache_key, "a key");
  EXPECT_EQ(found->metadata.tags, (std::vector<std::string>{"analytics", "reports"}));
  EXPECT_EQ(found->metadata.dependencies, (std::vector<std::string>{"table:projects", "user:7"}));
  EXPECT_GT(found->metadata.size_bytes, found->data.size());
  EXPECT_EQ(found->ttl_seconds, 3600);
  EXPECT_EQ(found->source_level, CacheLevel::memory);
  EXPECT_EQ(found->hit_count, 2);
  EXPECT_GT(found->cached_at, before);
  EXPECT_LT(found->cached_at, std::chrono::system_clock::now() + seconds(1));
  EXPECT_FALSE(has("a ke"));
}

TEST_F(IntelligentCacheManagerTest, AKeyOfTheWireIsNeverFoundByHand) {
  ASSERT_TRUE(put_wire(1, 5));
  std::uint32_t one = 1;
  EXPECT_FALSE(has(std::string(reinterpret_cast<const char*>(&one), sizeof one) + "SELECT 1"));
  EXPECT_FALSE(has("SELECT 1"));
}

TEST_F(IntelligentCacheManagerTest, ExpiresAfterItsTtl) {
  EXPECT_EQ(put("short", {}, {}, seconds(0)), Kept::yes);
  EXPECT_EQ(put("long", {}, {}, seconds(std::numeric_limits<std::int64_t>::max())), Kept::yes);
  EXPECT_FALSE(has("short"));
  EXPECT_TRUE(has("long"));
  EXPECT_EQ(manager_.statistics().total_entries, 1);
  EXPECT_EQ(manager_.l1().counts().expired, 1);
}

TEST_F(IntelligentCacheManagerTest, WhatIsNotKeptLeavesNothingOlderBehind) {
  put("key");
  ASSERT_TRUE(has("key"));
  EXPECT_EQ(manager_.cache_result("key", std::string(mib, '1'), seconds(60)), Kept::too_large);
  EXPECT_FALSE(has("key"));
}

TEST_F(IntelligentCacheManagerTest, ErasesByKey) {
  put("one");
  put("gone", {}, {}, seconds(0));
  EXPECT_TRUE(manager_.erase("one"));
  EXPECT_FALSE(manager_.erase("one"));
  EXPECT_FALSE(manager_.erase("gone"));
  EXPECT_EQ(entries(), 0);
  EXPECT_EQ(manager_.l1().counts().hits + manager_.l1().counts().absent, 0) << "it is no lookup";
}

TEST_F(IntelligentCacheManagerTest, InvalidatesByExactKey) {
  for (const char* key : {"a", "b", "c"}) put(key);
  EXPECT_EQ(manager_.invalidate(key_exact, {"a", "c", "nosuch", "a"}), 2);
  EXPECT_FALSE(has("a"));
  EXPECT_TRUE(has("b"));
  EXPECT_EQ(manager_.invalidate(key_exact, {"*"}), 0);
}

TEST_F(IntelligentCacheManagerTest, InvalidatesByPattern) {
  for (const char* key : {"user:123:a", "user:123:b", "user:1234:a", "project:1"}) put(key);
  put("user:123:old", {}, {}, seconds(0));
  EXPECT_EQ(manager_.invalidate(key_pattern, {"user:123:*", "*:b"}), 2) << "what had expired isn't affected";
  EXPECT_FALSE(has("user:123:a"));
  EXPECT_FALSE(has("user:123:b"));
  EXPECT_TRUE(has("user:1234:a"));
  EXPECT_EQ(entries(), 2);
}

TEST_F(IntelligentCacheManagerTest, NamesEntriesOfTheWireByTheirStatement) {
  put_wire(1, 0xabc);
  put_wire(2, 0xabc);
  put_wire(3, 0xabd);
  put("query:0000000000000abc");
  EXPECT_EQ(manager_.invalidate(key_exact, {"query:0000000000000abc"}), 3);
  EXPECT_EQ(manager_.invalidate(key_pattern, {"query:*"}), 1);
  EXPECT_EQ(entries(), 0);
}

TEST_F(IntelligentCacheManagerTest, InvalidatesByWhatEntriesDependOn) {
  const auto fill = [&] {
    put("p", {"reports"}, {"table:projects"});
    put("pu", {"reports", "analytics"}, {"table:projects", "user:7"});
    put("u", {}, {"user:7", "project:456"});
    put("none");
  };
  fill();
  EXPECT_EQ(manager_.invalidate(table_based, {"projects"}), 2);
  EXPECT_EQ(manager_.invalidate(table_based, {"projects"}), 0) << "they are stale already";
  EXPECT_FALSE(has("p"));
  EXPECT_FALSE(has("pu"));
  EXPECT_TRUE(has("u"));
  fill();
  EXPECT_EQ(manager_.invalidate(table_based, {"table:projects", "table:projects:*"}), 2);
  fill();
  EXPECT_EQ(manager_.invalidate(user_based, {"7"}), 2);
  EXPECT_TRUE(has("p"));
  fill();
  EXPECT_EQ(manager_.invalidate(project_based, {"project:456:*"}), 1);
  fill();
  EXPECT_EQ(manager_.invalidate(tag_based, {"analytics"}), 1);
  EXPECT_EQ(manager_.invalidate(tag_based, {"tag:reports"}), 1);
  EXPECT_EQ(manager_.invalidate(tag_based, {"projects", "7"}), 0) << "a tag is no table and no user";
  EXPECT_TRUE(has("u"));
  EXPECT_TRUE(has("none"));
}

TEST_F(IntelligentCacheManagerTest, HostileNames) {
  for (const std::string& name : {std::string("tag:"), std::string("*"), std::string("\0\0\0\0", 4),
                                  std::string(5000, 'x'), std::string("\xff\xfe"), std::string("table:")}) {
    EXPECT_EQ(put("key", {name}, {"table:" + name}), Kept::yes);
    EXPECT_EQ(manager_.get_cached_result("key")->metadata.tags, std::vector{name});
    EXPECT_EQ(manager_.get_cached_result("key")->metadata.dependencies, std::vector{"table:" + name});
    EXPECT_EQ(manager_.invalidate(tag_based, {"tag:" + name}), 1) << name;
    put("key", {}, {"table:" + name});
    EXPECT_EQ(manager_.invalidate(table_based, {"table:" + name}), 1) << name;
  }
}

TEST_F(IntelligentCacheManagerTest, ATablesNameReachesWhatTheWireHasRead) {
  const Dependency table = Versions::of("table:16384:5");
  manager_.set_tables_of([&](std::string_view name) {
    return name == "projects" ? std::vector<Dependency>{table, Versions::of("table:16384:6")}
                              : std::vector<Dependency>();
  });
  put_wire(1, 1, {manager_.versions().see(table)});
  put_wire(2, 1, {manager_.versions().see(Versions::of("table:1:5"))});
  put("by hand", {}, {"table:projects"});
  EXPECT_EQ(manager_.invalidate(table_based, {"pages"}), 0);
  EXPECT_EQ(manager_.invalidate(table_based, {"table:projects"}), 2);
  put("by hand", {}, {"table:projects"});
  EXPECT_TRUE(has("by hand"));
  manager_.versions().changed(table);  // a write that the wire has seen
  EXPECT_FALSE(has("by hand"));
  manager_.set_tables_of({});
  put("by hand", {}, {"table:projects"});
  manager_.versions().changed(table);
  EXPECT_TRUE(has("by hand"));
}

TEST_F(IntelligentCacheManagerTest, GlobalIsEverything) {
  const Seen before = manager_.versions().see(Versions::of("table:1:1"));
  put("a", {"t"});
  put_wire(1, 1);
  put("expired", {}, {}, seconds(0));
  EXPECT_EQ(manager_.invalidate(global, {}), 2);
  EXPECT_EQ(entries(), 0);
  put_wire(2, 1, {before});
  EXPECT_EQ(manager_.statistics().total_entries, 0) << "what was asked for before is stale when it comes";
}

TEST_F(IntelligentCacheManagerTest, StatisticsAreTrue) {
  EXPECT_EQ(manager_.statistics().hit_rate, 0);
  EXPECT_EQ(manager_.statistics().average_access_time_ms, 0);
  put("a");
  put("b", {"t"});
  put_wire(1, 0xf00);
  for (int i = 0; i < 3; ++i) has("a");
  has("b");
  has("nosuch");
  CacheStats stats = manager_.statistics();
  EXPECT_EQ(stats.total_entries, 3);
  EXPECT_EQ(stats.total_size_bytes, manager_.l1().counts().bytes);
  EXPECT_DOUBLE_EQ(stats.hit_rate, 80);
  EXPECT_DOUBLE_EQ(stats.miss_rate, 20);
  EXPECT_EQ(stats.eviction_rate, 0);
  EXPECT_EQ(stats.memory.hits, 4);
  EXPECT_EQ(stats.memory.misses, 1);
  EXPECT_EQ(stats.redis.hits + stats.persistent.misses, 0);
  EXPECT_EQ(stats.top_keys, (std::vector<std::pair<std::string, std::uint64_t>>{{"a", 3}, {"b", 1}}));
  EXPECT_GT(stats.average_access_time_ms, 0);
  EXPECT_LT(stats.average_access_time_ms, 100);
  EXPECT_GT(stats.memory_pressure, 0);
  EXPECT_LT(stats.memory_pressure, 1);
  EXPECT_GT(stats.fragmentation_ratio, 0);
  EXPECT_LT(stats.fragmentation_ratio, 1);
  EXPECT_FALSE(stats.last_cleanup);
  manager_.invalidate(tag_based, {"t"});
  EXPECT_EQ(manager_.statistics().total_entries, 2);
  EXPECT_GT(manager_.statistics().fragmentation_ratio, stats.fragmentation_ratio);
}

TEST_F(IntelligentCacheManagerTest, TopKeysAreTheTenMostUsed) {
  for (int i = 0; i < 30; ++i) put(std::to_string(i));
  for (int i = 0; i < 30; ++i) {
    for (int hits = 0; hits < i * 7 % 30; ++hits) has(std::to_string(i));
  }
  const auto top = manager_.statistics().top_keys;
  ASSERT_EQ(top.size(), 10);
  for (std::uint64_t i = 0; i < 10; ++i) EXPECT_EQ(top[i].second, 29 - i);
  EXPECT_EQ(top[0].first, "17");
}

TEST_F(IntelligentCacheManagerTest, EvictsInAMebibyte) {
  const std::string text(4000, '1');
  for (int i = 0; i < 1000; ++i)
    ASSERT_NE(manager_.cache_result(std::to_string(i), text, seconds(60)), Kept::too_large);
  const CacheStats stats = manager_.statistics();
  EXPECT_LT(stats.total_entries, 270);
  EXPECT_GT(stats.total_entries, 150);
  EXPECT_LE(stats.total_size_bytes, mib);
  EXPECT_GT(stats.memory.evictions, 600);
  EXPECT_GT(stats.eviction_rate, 60);
  EXPECT_LE(stats.eviction_rate, 100);
  EXPECT_GT(stats.memory_pressure, 0.9);
  EXPECT_TRUE(manager_.l1().audit());
}

TEST_F(IntelligentCacheManagerTest, OptimizeDropsTheDeadAndSaysSo) {
  const CacheOptimizationResult nothing = manager_.optimize();
  EXPECT_TRUE(nothing.optimizations_applied.empty());
  EXPECT_EQ(nothing.entries_evicted, 0);
  for (int i = 0; i < 500; ++i) put("stale" + std::to_string(i), {"t"});
  for (int i = 0; i < 100; ++i) put("expired" + std::to_string(i), {}, {}, seconds(0));
  for (int i = 0; i < 10; ++i) put("live" + std::to_string(i));
  EXPECT_EQ(manager_.invalidate(tag_based, {"t"}), 500);
  const std::size_t before = manager_.l1().counts().bytes;
  const CacheOptimizationResult done = manager_.optimize();
  EXPECT_EQ(done.entries_evicted, 600);
  EXPECT_EQ(done.entries_relocated, 10);
  EXPECT_EQ(done.entries_compressed, 0);
  EXPECT_EQ(done.optimizations_applied.size(), 2);
  EXPECT_EQ(done.space_saved_bytes, before - manager_.l1().counts().bytes);
  EXPECT_GT(done.space_saved_bytes, 600 * 100);
  EXPECT_EQ(entries(), 10);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(has("live" + std::to_string(i)));
  EXPECT_TRUE(manager_.l1().audit());
  EXPECT_TRUE(manager_.statistics().last_cleanup);
  EXPECT_TRUE(manager_.optimize().optimizations_applied.empty()) << "there is nothing left to do";
}

TEST_F(IntelligentCacheManagerTest, ManyThreadsAtOnce) {
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> found = 0;
  std::atomic<std::uint64_t> wrong = 0;
  std::atomic<std::uint64_t> generation = 0;  // a result of an older one than this mustn't be found
  std::vector<std::thread> threads;
  for (std::uint64_t seed = 0; seed < 2; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937_64 random(seed);
      while (!stop) {
        const auto least = generation.load();
        const std::string key = "key:" + std::to_string(random() % 50);
        const auto got = manager_.get_cached_result(key);
        if (!got) continue;
        ++found;
        if (std::stoull(got->data) < least || got->metadata.tags != std::vector<std::string>{"t"}) ++wrong;
      }
    });
  }
  threads.emplace_back([&] {
    std::mt19937_64 random(9);
    while (!stop) {
      switch (random() % 4) {
        case 0:
          manager_.optimize();
          break;
        case 1:
          manager_.statistics();
          break;
        case 2:
          manager_.invalidate(key_pattern, {"key:1*"});
          break;
        default:
          manager_.set_tables_of([](std::string_view) { return std::vector<Dependency>{1}; });
      }
    }
  });
  // One thread puts and invalidates, so that it knows what may be found.
  std::mt19937_64 random(3);
  for (std::uint64_t i = 1; i < 300; ++i) {
    for (int n = 0; n < 30; ++n) {
      manager_.cache_result("key:" + std::to_string(random() % 50), std::to_string(i), seconds(60), {"t"}, {"table:x"});
    }
    EXPECT_LE(i % 2 == 0 ? manager_.invalidate(tag_based, {"t"}) : manager_.invalidate(table_based, {"x"}), 50);
    generation = i + 1;
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_GT(found, 0);
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(manager_.l1().audit());
}

TEST(ByHand, Limits) {
  EXPECT_FALSE(objection_to_key("analytics:-123 \u00e9/?"));
  EXPECT_FALSE(objection_to_key(std::string(1024, 'x')));
  EXPECT_TRUE(objection_to_key(std::string(1025, 'x')));
  EXPECT_TRUE(objection_to_key(""));
  EXPECT_TRUE(objection_to_key("a\nb"));
  EXPECT_TRUE(objection_to_key(std::string_view("a\0b", 3)));
  EXPECT_TRUE(objection_to_name(std::string(257, 'x')));
  EXPECT_TRUE(objection_to_pattern(std::string(1025, '*')));
}

}  // namespace
}  // namespace millrace::cache
