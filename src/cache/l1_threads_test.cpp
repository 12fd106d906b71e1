#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cache/l1_cache.hpp"

namespace millrace::cache {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

/// The body says which key it belongs to, and which version it saw: a reader can tell that it has the right one, whole.
std::string body_of(std::size_t key, std::uint64_t version) {
  return std::to_string(key) + ":" + std::to_string(version) + ":" +
         std::string(key % 1500, static_cast<char>('a' + key % 26));
}

TEST(L1CacheThreads, ReadersWritersAndChangesAtOnce) {
  const auto versions = std::make_unique<Versions>();
  L1Cache cache(mib, *versions);
  constexpr std::size_t keys = 3000;
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> found = 0;
  std::atomic<std::uint64_t> wrong = 0;

  const auto read = [&](std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<EntryPtr> held(16);
    while (!stop) {
      const std::size_t number = std::min(random() % keys, random() % keys);
      const std::string key = std::to_string(number);
      const auto before = versions->current(static_cast<Dependency>(number % 16));
      EntryPtr entry = cache.find(key, hash_of(key), 1);
      if (!entry) continue;
      ++found;
      // Nothing that was stale when we began may be found.
      const bool fresh = entry->seen()[0].version >= before;
      if (!fresh || entry->key() != key || entry->body() != body_of(number, entry->seen()[0].version)) ++wrong;
      held[random() % held.size()] = std::move(entry);
      const auto& other = held[random() % held.size()];
      if (other && other->body() != body_of(std::stoul(std::string(other->key())), other->seen()[0].version)) ++wrong;
    }
  };
  const auto write = [&](std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < 20'000; ++i) {
      const std::size_t number = std::min(random() % keys, random() % keys);
      const std::string key = std::to_string(number);
      const Seen seen = versions->see(static_cast<Dependency>(number % 16));
      const std::string body = body_of(number, seen.version);
      NewEntry entry;
      entry.key = key;
      entry.hash = hash_of(key);
      entry.body = body;
      entry.seen = {&seen, 1};
      entry.ttl_ns = 1000;
      entry.cost_ns = static_cast<std::int64_t>(random() % 100'000);
      cache.insert(entry);
      switch (random() % 100) {
        case 0:
          versions->changed(static_cast<Dependency>(random() % 16));
          break;
        case 1:
          cache.erase(key, hash_of(key));
          break;
        case 2:
          if (random() % 20 == 0) cache.purge(1);
          if (random() % 100 == 0) cache.clear();
          break;
        case 3:
          cache.counts();
          break;
        default:
          break;
      }
    }
  };

  std::vector<std::thread> readers, writers;
  for (std::uint64_t i = 0; i < 3; ++i) readers.emplace_back(read, i);
  for (std::uint64_t i = 0; i < 2; ++i) writers.emplace_back(write, 100 + i);
  for (auto& thread : writers) thread.join();
  stop = true;
  for (auto& thread : readers) thread.join();

  EXPECT_GT(found, 0U);
  EXPECT_EQ(wrong, 0U);
  EXPECT_TRUE(cache.audit());
  const auto counts = cache.counts();
  EXPECT_EQ(counts.held, 0U) << "nobody holds anything any more";
  EXPECT_LE(counts.bytes, mib);
  EXPECT_GT(counts.evicted, 0U);
  EXPECT_GE(counts.hits, found);
}

TEST(L1CacheThreads, AnEntryThatIsReplacedIsNeverMissed) {
  const auto versions = std::make_unique<Versions>();
  L1Cache cache(mib, *versions);
  NewEntry entry;
  entry.key = "key";
  entry.hash = hash_of("key");
  entry.ttl_ns = 1000;
  ASSERT_TRUE(cache.insert(entry));
  std::atomic<bool> stop = false;
  std::atomic<int> missed = 0;
  std::thread reader([&] {
    while (!stop) {
      if (!cache.find("key", entry.hash, 1)) ++missed;
    }
  });
  for (int i = 0; i < 20'000; ++i) cache.insert(entry);
  // Other entries make the table grow meanwhile.
  for (int i = 0; i < 1000; ++i) {
    const std::string key = std::to_string(i);
    NewEntry other = entry;
    other.key = key;
    other.hash = hash_of(key);
    cache.insert(other);
  }
  stop = true;
  reader.join();
  EXPECT_EQ(missed, 0);
}

}  // namespace
}  // namespace millrace::cache
