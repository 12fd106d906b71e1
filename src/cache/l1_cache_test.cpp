#include "cache/l1_cache.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace millrace::cache {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;
constexpr std::int64_t second = 1'000'000'000;

class L1CacheTest : public testing::Test {
 protected:
  bool put(const std::string& key, std::string_view body, std::int64_t now = 0, std::int64_t ttl = 60 * second,
           std::span<const Seen> seen = {}) {
    NewEntry entry;
    entry.key = key;
    entry.hash = hash_of(key);
    entry.head = "head";
    entry.body = body;
    entry.seen = seen;
    entry.now_ns = now;
    entry.ttl_ns = ttl;
    entry.cost_ns = 1'000'000;
    return cache_.insert(entry);
  }
  EntryPtr get(const std::string& key, std::int64_t now = 1) { return cache_.find(key, hash_of(key), now); }

  std::unique_ptr<Versions> versions_ = std::make_unique<Versions>();
  L1Cache cache_{mib, *versions_};
};

TEST_F(L1CacheTest, AnswersWhatWasInserted) {
  const std::vector<std::string> tags = {"reports", "", "analytics"};
  const std::vector<Seen> seen = {versions_->see(1), versions_->see(65'535)};
  const auto owner = std::make_shared<int>(42);
  NewEntry made;
  made.key = "key";
  made.hash = hash_of("key");
  made.head = "T...";
  made.body = std::string_view("D\0\0C", 4);
  made.seen = seen;
  made.tags = tags;
  made.rows = 3;
  made.fingerprint = 77;
  made.now_ns = 5;
  made.ttl_ns = 10;
  made.cost_ns = 123;
  made.owner = owner;
  ASSERT_TRUE(cache_.insert(made));
  const EntryPtr entry = get("key", 6);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->key(), "key");
  EXPECT_EQ(entry->hash(), hash_of("key"));
  EXPECT_EQ(entry->head(), "T...");
  EXPECT_EQ(entry->body(), std::string_view("D\0\0C", 4));
  ASSERT_EQ(entry->seen().size(), 2U);
  EXPECT_EQ(entry->seen()[1].dependency, 65'535U);
  EXPECT_EQ(entry->tags(), (std::vector<std::string_view>{"reports", "", "analytics"}));
  EXPECT_TRUE(entry->has_tag("analytics"));
  EXPECT_FALSE(entry->has_tag("analytic"));
  EXPECT_EQ(entry->rows(), 3U);
  EXPECT_EQ(entry->fingerprint(), 77U);
  EXPECT_EQ(entry->stored_ns(), 5);
  EXPECT_EQ(entry->expires_ns(), 15);
  EXPECT_EQ(entry->cost_ns(), 123);
  EXPECT_EQ(entry->owner(), owner);
  EXPECT_FALSE(get("kez"));
  EXPECT_EQ(cache_.counts().hits, 1U);
  EXPECT_EQ(cache_.counts().absent, 1U);
}

TEST_F(L1CacheTest, ComparesTheKeyAndNotOnlyItsHash) {
  NewEntry entry;
  entry.key = "one";
  entry.hash = 99;
  entry.ttl_ns = second;
  ASSERT_TRUE(cache_.insert(entry));
  EXPECT_FALSE(cache_.find("two", 99, 1));
  entry.key = "two";
  ASSERT_TRUE(cache_.insert(entry));
  EXPECT_EQ(cache_.find("one", 99, 1)->key(), "one");
  EXPECT_EQ(cache_.find("two", 99, 1)->key(), "two");
  EXPECT_TRUE(cache_.erase("one", 99));
  EXPECT_FALSE(cache_.find("one", 99, 1));
  EXPECT_TRUE(cache_.find("two", 99, 1));
}

TEST_F(L1CacheTest, KeepsEmptyKeysAndAnswers) {
  NewEntry entry;
  entry.hash = hash_of("");
  entry.ttl_ns = second;
  ASSERT_TRUE(cache_.insert(entry));
  const EntryPtr found = get("");
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->key().empty() && found->head().empty() && found->body().empty() && found->tags().empty());
}

TEST_F(L1CacheTest, AnExpiredEntryIsAMiss) {
  ASSERT_TRUE(put("key", "body", 100, 10));
  EXPECT_TRUE(get("key", 109));
  EXPECT_FALSE(get("key", 110));
  EXPECT_EQ(cache_.counts().expired, 1U);
  EXPECT_EQ(cache_.purge(110), 1U);
  EXPECT_EQ(cache_.counts().entries, 0U);
  EXPECT_FALSE(get("key", 110));
  EXPECT_EQ(cache_.counts().absent, 1U);
}

TEST_F(L1CacheTest, AClockThatStepsBackHarmsNothing) {
  ASSERT_TRUE(put("key", "old", 100 * second, 10 * second));
  EXPECT_FALSE(get("key", 110 * second));
  EXPECT_TRUE(get("key", 50 * second));
  ASSERT_TRUE(put("key", "new", 50 * second, 10 * second));
  EXPECT_EQ(get("key", 59 * second)->body(), "new");
  EXPECT_FALSE(get("key", 60 * second));
  EXPECT_TRUE(get("key", -second));
}

TEST_F(L1CacheTest, ATimeToLiveDoesNotOverflow) {
  ASSERT_TRUE(put("long", "body", 100, std::numeric_limits<std::int64_t>::max()));
  EXPECT_TRUE(get("long", std::numeric_limits<std::int64_t>::max() - 1));
  ASSERT_TRUE(put("none", "body", 100, 0));
  EXPECT_FALSE(get("none", 100));
  ASSERT_TRUE(put("negative", "body", -100, std::numeric_limits<std::int64_t>::min()));
  EXPECT_FALSE(get("negative", -100));
}

TEST_F(L1CacheTest, AnEntryIsStaleWhenAnythingItSawHasChanged) {
  for (std::size_t changed = 0; changed < 3; ++changed) {
    const std::vector<Seen> seen = {versions_->see(1), versions_->see(2), versions_->see(3)};
    ASSERT_TRUE(put("key", "body", 0, second, seen));
    versions_->changed(4);
    EXPECT_TRUE(get("key"));
    versions_->changed(seen[changed].dependency);
    EXPECT_FALSE(get("key"));
    EXPECT_EQ(cache_.counts().stale, changed + 1);
  }
  EXPECT_EQ(cache_.counts().expired, 0U);
  EXPECT_EQ(cache_.purge(1), 1U);
}

TEST_F(L1CacheTest, WhatIsHeldLivesOn) {
  EntryPtr held;
  std::weak_ptr<int> owner;
  {
    const auto shared = std::make_shared<int>(1);
    owner = shared;
    NewEntry entry;
    entry.key = "key";
    entry.hash = hash_of("key");
    entry.body = "the body";
    entry.ttl_ns = second;
    entry.owner = shared;
    auto cache = std::make_unique<L1Cache>(mib, *versions_);
    ASSERT_TRUE(cache->insert(entry));
    held = cache->find("key", hash_of("key"), 1);
    EXPECT_TRUE(cache->erase("key", hash_of("key")));
    EXPECT_FALSE(cache->find("key", hash_of("key"), 1));
    EXPECT_EQ(cache->counts().entries, 0U);
    EXPECT_EQ(cache->counts().held, held->memory_bytes());
  }
  EXPECT_EQ(held->body(), "the body");
  EXPECT_FALSE(owner.expired());
  const EntryPtr copy = held;
  held.reset();
  EXPECT_EQ(copy->key(), "key");
  EXPECT_FALSE(owner.expired());
  const_cast<EntryPtr&>(copy).reset();
  EXPECT_TRUE(owner.expired());
}

TEST_F(L1CacheTest, AGiantAnswerIsRefusedAndDisplacesNothing) {
  ASSERT_TRUE(put("small", "body"));
  EXPECT_FALSE(put("giant", std::string(8 * mib, 'x')));
  EXPECT_FALSE(put("large", std::string(cache_.max_entry_bytes(), 'x')));
  EXPECT_EQ(cache_.counts().too_large, 2U);
  EXPECT_TRUE(put("just", std::string(cache_.max_entry_bytes() - 1024, 'x')));
  EXPECT_TRUE(get("small"));
  EXPECT_TRUE(get("just"));
  EXPECT_EQ(cache_.counts().evicted, 0U);
}

TEST_F(L1CacheTest, StaysWithinItsCapacity) {
  for (int i = 0; i < 20'000; ++i)
    put("key " + std::to_string(i), std::string(static_cast<std::size_t>(i % 3000), 'x'));
  const auto counts = cache_.counts();
  EXPECT_LE(counts.bytes, mib);
  EXPECT_GT(counts.bytes, mib * 9 / 10);
  EXPECT_GT(counts.evicted, 1000U);
  EXPECT_TRUE(cache_.audit());
  const std::size_t gone = L1Cache(mib, *versions_).set_capacity(2 * mib);
  EXPECT_EQ(gone, 0U);
}

TEST_F(L1CacheTest, ASmallerCapacityHoldsAtOnce) {
  L1Cache cache(64 * mib, *versions_);
  const std::string body(1000, 'x');
  for (int i = 0; i < 40'000; ++i) {
    const std::string key = std::to_string(i);
    NewEntry entry;
    entry.key = key;
    entry.hash = hash_of(key);
    entry.body = body;
    entry.ttl_ns = second;
    cache.insert(entry);
  }
  const std::size_t before = cache.counts().bytes;
  ASSERT_GT(before, 40 * mib);
  EXPECT_GT(cache.set_capacity(8 * mib), 30 * mib);
  EXPECT_LE(cache.counts().bytes, 8 * mib);
  EXPECT_GT(cache.counts().entries, 1000U);
  EXPECT_TRUE(cache.audit());
}

TEST_F(L1CacheTest, WhatIsHeldCountsAgainstTheCapacity) {
  std::vector<EntryPtr> held;
  for (int i = 0; i < 10'000; ++i) {
    const std::string key = std::to_string(i);
    put(key, std::string(1000, 'x'));
    if (EntryPtr entry = get(key)) held.push_back(std::move(entry));
    ASSERT_LE(cache_.counts().bytes, mib + mib / 8);
  }
  EXPECT_GT(cache_.counts().refused, 0U);
  held.clear();
  EXPECT_TRUE(put("after", "body"));
  EXPECT_TRUE(get("after"));
}

TEST_F(L1CacheTest, VisitsAndErasesByCondition) {
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(put((i % 2 ? "odd:" : "even:") + std::to_string(i), "body"));
  std::size_t visited = 0;
  cache_.for_each([&](const Entry&) { ++visited; });
  EXPECT_EQ(visited, 100U);
  EXPECT_EQ(cache_.erase_if([](const Entry& entry) { return entry.key().starts_with("odd:"); }), 50U);
  EXPECT_FALSE(get("odd:1"));
  EXPECT_TRUE(get("even:2"));
  cache_.clear();
  EXPECT_FALSE(get("even:2"));
  EXPECT_EQ(cache_.counts().entries, 0U);
  EXPECT_EQ(cache_.counts().held, 0U);
  EXPECT_TRUE(cache_.audit());
}

/// Against a map that never evicts: what is found is what was put there last, and is neither expired nor stale.
TEST_F(L1CacheTest, AgreesWithAModel) {
  struct Made {
    std::string body;
    std::int64_t expires;
    Seen seen;
  };
  std::mt19937_64 random(11);
  std::map<std::string, Made> model;
  std::size_t found = 0;
  std::int64_t now = 1000;
  for (int step = 0; step < 200'000; ++step) {
    const std::string key = "key " + std::to_string(random() % 2000);
    switch (random() % 20) {
      case 0:
        now += static_cast<std::int64_t>(random() % 50) - 10;
        break;
      case 1:
        if (random() % 10 == 0) versions_->changed(static_cast<Dependency>(random() % 8));
        break;
      case 2:
        EXPECT_TRUE(!cache_.erase(key, hash_of(key)) || model.contains(key));
        model.erase(key);
        break;
      case 3:
        if (random() % 1000 == 0) cache_.purge(now);
        if (random() % 5000 == 0) cache_.clear(), model.clear();
        break;
      case 4:
      case 5:
      case 6: {
        const auto ttl = static_cast<std::int64_t>(random() % 5000);
        const Made made{std::string(random() % 2000, static_cast<char>('a' + random() % 26)), now + ttl,
                        versions_->see(static_cast<Dependency>(random() % 8))};
        if (put(key, made.body, now, ttl, {&made.seen, 1})) {
          model[key] = made;
        } else {
          model.erase(key);
        }
        break;
      }
      default:
        if (const EntryPtr entry = get(key, now)) {
          ++found;
          const auto made = model.find(key);
          ASSERT_NE(made, model.end());
          ASSERT_EQ(entry->body(), made->second.body);
          ASSERT_LT(now, made->second.expires);
          ASSERT_TRUE(versions_->is_current(made->second.seen));
        }
    }
    if (step % 5000 == 0) {
      ASSERT_TRUE(cache_.audit());
      ASSERT_LE(cache_.counts().bytes, mib);
    }
  }
  EXPECT_GT(found, 10'000U);
  EXPECT_GT(cache_.counts().evicted, 1000U);
}

}  // namespace
}  // namespace millrace::cache
