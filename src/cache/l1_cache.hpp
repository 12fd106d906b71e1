#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "cache/entry.hpp"
#include "cache/l1_shard.hpp"
#include "cache/readers.hpp"
#include "cache/versions.hpp"

namespace millrace::cache {

/// Of a key, for NewEntry and L1Cache. Seeded with a secret of this process: nobody outside can choose keys that
/// collide, and it means nothing to another process.
std::uint64_t hash_of(std::string_view key);

/// Answers in memory, by key. Thread-safe. `find` takes no lock and allocates nothing; all else locks one shard (of up
/// to 16) at a time. Counted against the capacity are the allocator's bytes of all entries, also of those that are
/// evicted and still held by somebody, and the tables. Times are nanoseconds of one clock of the caller's (`now_ns()`);
/// if it steps back, entries live on until it has come to their end again.
class L1Cache {
 public:
  struct Counts {
    std::uint64_t hits = 0;
    std::uint64_t absent = 0, expired = 0, stale = 0;  ///< why it was a miss
    std::uint64_t inserted = 0;                        ///< of a key that wasn't there; `replaced`: that was
    std::uint64_t replaced = 0;
    std::uint64_t too_large = 0;  ///< not inserted: over max_entry_bytes(); `refused`: no memory for it now
    std::uint64_t refused = 0;
    std::uint64_t evicted = 0;  ///< to make room
    std::uint64_t erased = 0;   ///< by `erase`, `erase_if` and `clear`
    std::uint64_t purged = 0;   ///< expired or stale
    std::size_t entries = 0;
    std::size_t bytes = 0;     ///< all that is counted against the capacity
    std::size_t overhead = 0;  ///< of them: tables, and what the policy knows
    std::size_t held = 0;      ///< of them: no longer in the cache, but somebody's still
    std::size_t capacity = 0;
  };

  /// `versions` must outlive it. At least a mebibyte: less is taken as that.
  L1Cache(std::size_t capacity_bytes, const Versions& versions);
  L1Cache(const L1Cache&) = delete;
  L1Cache& operator=(const L1Cache&) = delete;
  ~L1Cache() = default;  // nobody may be in a call; entries that are held live on

  /// The entry of this key, if it hasn't expired and nothing that it saw has changed since.
  EntryPtr find(std::string_view key, std::uint64_t hash, std::int64_t now_ns) {
    Found found;
    return find(key, hash, now_ns, found);
  }
  /// `found`: how it came out.
  EntryPtr find(std::string_view key, std::uint64_t hash, std::int64_t now_ns, Found& found) {
    return shard_of(hash).find(key, hash, now_ns, found);
  }
  /// Takes the place of an entry of the same key. False: it isn't kept (too large, or worth less than all others).
  bool insert(const NewEntry& entry);
  /// What is there under this key, whether it could be found or not; counted nowhere. Not for a query's way.
  EntryPtr peek(std::string_view key, std::uint64_t hash) { return shard_of(hash).peek(key, hash); }
  /// Whether `find` would answer it.
  bool is_live(const Entry& entry, std::int64_t now_ns) const { return shards_.front().is_live(entry, now_ns); }
  /// Whether there was one.
  bool erase(std::string_view key, std::uint64_t hash);
  /// Of the entries for which `condition(const Entry&)` holds, how many were erased. Not for a query's way.
  template <std::predicate<const Entry&> Condition>
  std::size_t erase_if(Condition condition) {
    std::size_t erased = 0;
    for_each([&](const Entry& entry) {
      if (condition(entry) && erase(entry.key(), entry.hash())) ++erased;
    });
    return erased;
  }
  /// Calls `visit(const Entry&)` for what is in the cache, a shard at a time, without holding a lock meanwhile; also
  /// for what has expired or is stale. Not for a query's way.
  template <std::invocable<const Entry&> Visit>
  void for_each(Visit visit) {
    std::vector<EntryPtr> held;
    for (auto& shard : shards_) {
      held.clear();
      shard.collect(held);
      for (const EntryPtr& entry : held) visit(*entry);
    }
  }
  /// Drops what has expired or is stale; answers how many.
  std::size_t purge(std::int64_t now_ns);
  void clear();
  /// Gives back what tables have more than they need; answers how many entries got a new place in one.
  std::size_t compact();
  /// Answers how many bytes of entries had to go.
  std::size_t set_capacity(std::size_t capacity_bytes);
  std::size_t capacity_bytes() const { return capacity_.load(std::memory_order_relaxed); }
  /// What is inserted now mostly displaces something.
  bool is_nearly_full() const {
    return ledger_->bytes.load(std::memory_order_relaxed) > capacity_bytes() - capacity_bytes() / 8;
  }
  /// What one entry may take with all that belongs to it: a sixteenth of the capacity, and at most 4 MiB.
  std::size_t max_entry_bytes() const;
  Counts counts();
  /// Whether the books agree with a count of what is there; slow, for tests.
  bool audit();

 private:
  L1Shard& shard_of(std::uint64_t hash) { return shards_[(hash >> 40) & (shards_.size() - 1)]; }
  std::size_t shard_capacity() const;

  std::atomic<std::size_t> capacity_;
  std::atomic<std::uint64_t> too_large_ = 0;
  std::shared_ptr<Ledger> ledger_;
  Readers readers_;
  std::deque<L1Shard> shards_;  // a power of two of them
};

}  // namespace millrace::cache
