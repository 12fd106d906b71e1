#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "cache/entry.hpp"
#include "cache/policy.hpp"
#include "cache/readers.hpp"
#include "cache/versions.hpp"

namespace millrace::cache {

/// A part of the L1 cache: a hash table that is read without a lock and changed under the shard's mutex, with the
/// policy that says what goes. Thread-safe.
///
/// The table has open addressing: a slot is an entry's address with 16 bits of its hash above, empty, or a grave. An
/// entry that is unlinked, and a table that was outgrown, are freed when no reader can be looking at them (`Readers`).
/// What a look-up came upon.
struct Found {
  Readers::Outcome how = Readers::Outcome::absent;
  std::int64_t stored_ns = 0;  ///< of the entry that was there, whether it was answered or not
  Dependency stale_by = 0;     ///< for `stale`: the first that has changed
};

class alignas(64) L1Shard {
 public:
  struct Tally {
    std::uint64_t inserted = 0, replaced = 0, refused = 0, evicted = 0, erased = 0, purged = 0;
    std::size_t entries = 0;
    std::size_t entry_bytes = 0;  // of those entries
    std::size_t other_bytes = 0;  // the table and what the policy knows

    Tally& operator+=(const Tally& other);
  };

  L1Shard(Readers& readers, const Versions& versions, std::shared_ptr<Ledger> ledger);
  L1Shard(const L1Shard&) = delete;
  L1Shard& operator=(const L1Shard&) = delete;
  ~L1Shard();

  /// `found`: how it came out.
  EntryPtr find(std::string_view key, std::uint64_t hash, std::int64_t now_ns, Found& found);
  /// False: it isn't kept, since all else is worth more, or since over `limit_bytes` are allocated in all shards.
  bool insert(const NewEntry& entry, std::size_t capacity_bytes, std::size_t limit_bytes);
  bool erase(std::string_view key, std::uint64_t hash);
  EntryPtr peek(std::string_view key, std::uint64_t hash);
  bool is_live(const Entry& entry, std::int64_t now_ns) const {
    Readers::Outcome why;
    return is_live(entry, now_ns, why);
  }
  /// Rebuilds the table where it could be smaller or has graves; answers how many entries got a new place.
  std::size_t compact();
  /// Evicts down to the capacity; answers the bytes that went.
  std::size_t trim(std::size_t capacity_bytes);
  void clear();
  /// Drops what can't be returned any more; answers how many.
  std::size_t purge(std::int64_t now_ns);
  Tally tally();
  /// All entries, held: visited later without a lock.
  void collect(std::vector<EntryPtr>& into);
  /// Whether the books agree with what is there.
  bool audit();

 private:
  using Slot = std::atomic<std::uint64_t>;
  struct Table;
  /// What was unlinked, and the stripes that haven't been seen without a reader since.
  struct Batch {
    Entry* entries = nullptr;
    Table* tables = nullptr;
    std::uint32_t busy = 0;

    bool empty() const { return !entries && !tables; }
  };

  bool is_live(const Entry& entry, std::int64_t now_ns, Readers::Outcome& why) const;
  Slot* slot_of(std::string_view key, std::uint64_t hash);
  Slot* slot_of(const Entry& entry);
  void link(Entry* entry);
  Entry* unlink(Slot& slot);  // answers the entry, which is still to be retired
  void count_in(const Entry& entry);
  void count_out(const Entry& entry);
  void evict_down_to(std::size_t capacity_bytes);
  void make_room_in_table();
  void rebuild_table(std::size_t size);
  void drop_table(Table* table);
  void retire(Entry* entry);
  void reclaim();
  void free(Batch& batch);
  std::size_t other_bytes() const;

  Readers& readers_;
  const Versions& versions_;
  std::shared_ptr<Ledger> ledger_;
  std::atomic<Table*> table_;

  alignas(64) std::mutex mutex_;  // guards all below, and is held by whoever changes the table
  Policy policy_;
  Tally tally_;
  std::size_t graves_ = 0;
  Batch open_, waiting_;
};

}  // namespace millrace::cache
