#include "cache/l1_cache.hpp"

#include <malloc.h>

#include <algorithm>
#include <bit>
#include <random>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace millrace::cache {

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;
constexpr std::size_t shard_bytes = 16 * mib;  // so that the largest entry is a quarter of a shard
constexpr std::size_t max_shards = 16;

std::size_t shards_for(std::size_t capacity_bytes) {
  return std::bit_floor(std::clamp<std::size_t>(capacity_bytes / shard_bytes, 1, max_shards));
}

std::uint64_t make_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

}  // namespace

std::uint64_t hash_of(std::string_view key) {
  static const std::uint64_t seed = make_seed();
  return XXH3_64bits_withSeed(key.data(), key.size(), seed);
}

L1Cache::L1Cache(std::size_t capacity_bytes, const Versions& versions)
    : capacity_(std::max(capacity_bytes, mib)), ledger_(std::make_shared<Ledger>()) {
  const std::size_t count = shards_for(capacity_bytes);
  for (std::size_t i = 0; i < count; ++i) shards_.emplace_back(readers_, versions, ledger_);
}

bool L1Cache::insert(const NewEntry& entry) {
  std::size_t bytes = sizeof(Entry) + entry.key.size() + entry.head.size() + entry.body.size();
  bytes += entry.seen.size() * sizeof(Seen);
  for (const auto& tag : entry.tags) bytes += sizeof(std::uint32_t) + tag.size();
  if (bytes > max_entry_bytes()) {
    too_large_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  const std::size_t capacity = capacity_bytes();
  return shard_of(entry.hash).insert(entry, shard_capacity(), capacity + capacity / 16);
}

bool L1Cache::erase(std::string_view key, std::uint64_t hash) { return shard_of(hash).erase(key, hash); }

std::size_t L1Cache::purge(std::int64_t now_ns) {
  std::size_t purged = 0;
  for (auto& shard : shards_) purged += shard.purge(now_ns);
  return purged;
}

void L1Cache::clear() {
  for (auto& shard : shards_) shard.clear();
}

std::size_t L1Cache::compact() {
  std::size_t moved = 0;
  for (auto& shard : shards_) moved += shard.compact();
  malloc_trim(0);
  return moved;
}

std::size_t L1Cache::set_capacity(std::size_t capacity_bytes) {
  capacity_.store(std::max(capacity_bytes, mib), std::memory_order_relaxed);
  std::size_t gone = 0;
  for (auto& shard : shards_) gone += shard.trim(shard_capacity());
  if (gone > 0) malloc_trim(0);
  return gone;
}

std::size_t L1Cache::max_entry_bytes() const {
  const std::size_t capacity = capacity_bytes();
  return std::min({4 * mib, capacity / 16, capacity / shards_.size() / 4});
}

std::size_t L1Cache::shard_capacity() const {
  // What slow clients still hold is memory too; but it can't push out more than half of the cache.
  const std::size_t capacity = capacity_bytes();
  return (capacity - std::min(ledger_->held(), capacity / 2)) / shards_.size();
}

L1Cache::Counts L1Cache::counts() {
  L1Shard::Tally sum;
  for (auto& shard : shards_) sum += shard.tally();
  Counts counts;
  counts.hits = readers_.count(Readers::Outcome::hit);
  counts.absent = readers_.count(Readers::Outcome::absent);
  counts.expired = readers_.count(Readers::Outcome::expired);
  counts.stale = readers_.count(Readers::Outcome::stale);
  counts.inserted = sum.inserted;
  counts.replaced = sum.replaced;
  counts.too_large = too_large_.load(std::memory_order_relaxed);
  counts.refused = sum.refused;
  counts.evicted = sum.evicted;
  counts.erased = sum.erased;
  counts.purged = sum.purged;
  counts.entries = sum.entries;
  counts.overhead = sum.other_bytes;
  counts.held = ledger_->held();
  counts.bytes = sum.entry_bytes + sum.other_bytes + counts.held;
  counts.capacity = capacity_bytes();
  return counts;
}

bool L1Cache::audit() {
  bool right = true;
  for (auto& shard : shards_) right = shard.audit() && right;
  return right;
}

}  // namespace millrace::cache
