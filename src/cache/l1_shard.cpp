#include "cache/l1_shard.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

namespace millrace::cache {

namespace {

constexpr std::uint64_t empty = 0;
constexpr std::uint64_t grave = 1;  // an entry was here: the search goes on
constexpr int address_bits = 48;
constexpr std::uint64_t address_mask = (std::uint64_t{1} << address_bits) - 1;
constexpr std::size_t min_slots = 64;

std::uint64_t tag_of(std::uint64_t hash) { return hash & ~address_mask; }

std::uint64_t word_of(const Entry* entry) {
  const auto address = reinterpret_cast<std::uintptr_t>(entry);
  assert((address & ~address_mask) == 0);
  return tag_of(entry->hash()) | address;
}

Entry* entry_of(std::uint64_t word) {
  if ((word & address_mask) <= grave) return nullptr;
  return reinterpret_cast<Entry*>(word & address_mask);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace

struct L1Shard::Table {
  explicit Table(std::size_t size) : mask(size - 1), slots(size) {}

  std::size_t mask;
  std::vector<Slot> slots;
  Table* next_retired = nullptr;
};

L1Shard::Tally& L1Shard::Tally::operator+=(const Tally& other) {
  inserted += other.inserted;
  replaced += other.replaced;
  refused += other.refused;
  evicted += other.evicted;
  erased += other.erased;
  purged += other.purged;
  entries += other.entries;
  entry_bytes += other.entry_bytes;
  other_bytes += other.other_bytes;
  return *this;
}

L1Shard::L1Shard(Readers& readers, const Versions& versions, std::shared_ptr<Ledger> ledger)
    : readers_(readers), versions_(versions), ledger_(std::move(ledger)), table_(new Table(min_slots)) {}

L1Shard::~L1Shard() {
  // Nobody reads any more: that is the owner's duty.
  Table* table = table_.load(std::memory_order_relaxed);
  for (auto& slot : table->slots) {
    if (Entry* entry = entry_of(slot.load(std::memory_order_relaxed))) entry->release();
  }
  delete table;
  free(open_);
  free(waiting_);
}

EntryPtr L1Shard::find(std::string_view key, std::uint64_t hash, std::int64_t now_ns, Found& found) {
  found = {};
  Readers::Stay stay(readers_);
  const Table& table = *table_.load(std::memory_order_seq_cst);
  for (std::size_t at = hash & table.mask;; at = (at + 1) & table.mask) {
    const std::uint64_t word = table.slots[at].load(std::memory_order_seq_cst);
    if (word == empty) return {};
    if (((word ^ hash) & ~address_mask) != 0) continue;
    Entry* entry = entry_of(word);
    if (!entry || entry->hash() != hash || entry->key() != key) continue;
    const bool live = is_live(*entry, now_ns, stay.outcome);
    found = {.how = stay.outcome, .stored_ns = entry->stored_ns()};
    if (stay.outcome == Readers::Outcome::stale) {
      const auto changed =
          std::ranges::find_if(entry->seen(), [&](const Seen& seen) { return !versions_.is_current(seen); });
      if (changed != entry->seen().end()) found.stale_by = changed->dependency;
    }
    if (!live) return {};
    policy_.hit(*entry);
    // The table's own reference can't go before this stay ends, so the count isn't zero.
    entry->hold();
    return EntryPtr(entry);
  }
}

bool L1Shard::is_live(const Entry& entry, std::int64_t now_ns, Readers::Outcome& why) const {
  if (now_ns >= entry.expires_ns()) {
    why = Readers::Outcome::expired;
    return false;
  }
  for (const Seen& seen : entry.seen()) {
    if (versions_.is_current(seen)) continue;
    why = Readers::Outcome::stale;
    return false;
  }
  why = Readers::Outcome::hit;
  return true;
}

bool L1Shard::insert(const NewEntry& fresh, std::size_t capacity_bytes, std::size_t limit_bytes) {
  // Before the lock: copying a large answer takes its time.
  Entry* entry = Entry::make(fresh, ledger_);
  const std::lock_guard lock(mutex_);
  reclaim();
  // What is held, or can't be freed yet since a reader was interrupted, must not add up.
  if (!entry || ledger_->bytes.load(std::memory_order_relaxed) > limit_bytes) {
    ++tally_.refused;
    if (entry) entry->release();
    return false;
  }
  if (Slot* slot = slot_of(fresh.key, fresh.hash)) {
    // In its slot, so that no reader misses both.
    Entry* old = entry_of(slot->load(std::memory_order_relaxed));
    slot->store(word_of(entry), std::memory_order_seq_cst);
    policy_.replace(*old, *entry);
    count_in(*entry);
    count_out(*old);
    retire(old);
    ++tally_.replaced;
  } else {
    make_room_in_table();
    policy_.insert(*entry);
    link(entry);
    ++tally_.inserted;
  }
  entry->hold();  // it may be the one that goes
  evict_down_to(capacity_bytes);
  const bool kept = slot_of(*entry) != nullptr;
  entry->release();
  reclaim();
  return kept;
}

bool L1Shard::erase(std::string_view key, std::uint64_t hash) {
  const std::lock_guard lock(mutex_);
  Slot* slot = slot_of(key, hash);
  if (!slot) return false;
  Entry* entry = unlink(*slot);
  policy_.erase(*entry);
  retire(entry);
  ++tally_.erased;
  reclaim();
  return true;
}

std::size_t L1Shard::trim(std::size_t capacity_bytes) {
  const std::lock_guard lock(mutex_);
  const std::size_t before = tally_.entry_bytes;
  evict_down_to(capacity_bytes);
  reclaim();
  return before - tally_.entry_bytes;
}

void L1Shard::clear() {
  const std::lock_guard lock(mutex_);
  Table* old = table_.exchange(new Table(min_slots), std::memory_order_seq_cst);
  for (auto& slot : old->slots) {
    Entry* entry = entry_of(slot.load(std::memory_order_relaxed));
    if (!entry) continue;
    count_out(*entry);
    ++tally_.erased;
    retire(entry);
  }
  drop_table(old);
  graves_ = 0;
  policy_.clear();
  reclaim();
}

std::size_t L1Shard::purge(std::int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  std::size_t purged = 0;
  for (auto& slot : table_.load(std::memory_order_relaxed)->slots) {
    Entry* entry = entry_of(slot.load(std::memory_order_relaxed));
    Readers::Outcome why;
    if (!entry || is_live(*entry, now_ns, why)) continue;
    unlink(slot);
    policy_.erase(*entry);
    retire(entry);
    ++purged;
  }
  tally_.purged += purged;
  reclaim();
  return purged;
}

EntryPtr L1Shard::peek(std::string_view key, std::uint64_t hash) {
  const std::lock_guard lock(mutex_);
  Slot* slot = slot_of(key, hash);
  if (!slot) return {};
  const Entry* entry = entry_of(slot->load(std::memory_order_relaxed));
  entry->hold();
  return EntryPtr(entry);
}

std::size_t L1Shard::compact() {
  const std::lock_guard lock(mutex_);
  policy_.shrink();
  // Half empty, so that it doesn't grow again at once.
  const std::size_t size = std::max(std::bit_ceil(2 * tally_.entries + 1), min_slots);
  const std::size_t before = table_.load(std::memory_order_relaxed)->slots.size();
  if (graves_ == 0 && size >= before) return 0;
  rebuild_table(std::min(size, before));
  reclaim();
  return tally_.entries;
}

L1Shard::Tally L1Shard::tally() {
  const std::lock_guard lock(mutex_);
  reclaim();
  tally_.other_bytes = other_bytes();
  return tally_;
}

void L1Shard::collect(std::vector<EntryPtr>& into) {
  const std::lock_guard lock(mutex_);
  into.reserve(into.size() + tally_.entries);
  for (auto& slot : table_.load(std::memory_order_relaxed)->slots) {
    if (Entry* entry = entry_of(slot.load(std::memory_order_relaxed))) {
      entry->hold();
      into.push_back(EntryPtr(entry));
    }
  }
}

bool L1Shard::audit() {
  const std::lock_guard lock(mutex_);
  std::size_t entries = 0, bytes = 0, graves = 0;
  for (auto& slot : table_.load(std::memory_order_relaxed)->slots) {
    const std::uint64_t word = slot.load(std::memory_order_relaxed);
    graves += word == grave;
    if (const Entry* entry = entry_of(word)) {
      ++entries;
      bytes += entry->memory_bytes();
      if (slot_of(*entry) != &slot) return false;
    }
  }
  return entries == tally_.entries && entries == policy_.size() && bytes == tally_.entry_bytes && graves == graves_;
}

L1Shard::Slot* L1Shard::slot_of(std::string_view key, std::uint64_t hash) {
  Table& table = *table_.load(std::memory_order_relaxed);
  for (std::size_t at = hash & table.mask;; at = (at + 1) & table.mask) {
    const std::uint64_t word = table.slots[at].load(std::memory_order_relaxed);
    if (word == empty) return nullptr;
    const Entry* entry = entry_of(word);
    if (entry && entry->hash() == hash && entry->key() == key) return &table.slots[at];
  }
}

L1Shard::Slot* L1Shard::slot_of(const Entry& entry) {
  Table& table = *table_.load(std::memory_order_relaxed);
  for (std::size_t at = entry.hash() & table.mask;; at = (at + 1) & table.mask) {
    const std::uint64_t word = table.slots[at].load(std::memory_order_relaxed);
    if (word == empty) return nullptr;
    if (entry_of(word) == &entry) return &table.slots[at];
  }
}

void L1Shard::link(Entry* entry) {
  Table& table = *table_.load(std::memory_order_relaxed);
  std::size_t at = entry->hash() & table.mask;
  while (entry_of(table.slots[at].load(std::memory_order_relaxed))) at = (at + 1) & table.mask;
  if (table.slots[at].load(std::memory_order_relaxed) == grave) --graves_;
  table.slots[at].store(word_of(entry), std::memory_order_seq_cst);
  count_in(*entry);
}

Entry* L1Shard::unlink(Slot& slot) {
  Entry* entry = entry_of(slot.load(std::memory_order_relaxed));
  slot.store(grave, std::memory_order_seq_cst);
  ++graves_;
  count_out(*entry);
  return entry;
}

void L1Shard::count_in(const Entry& entry) {
  ++tally_.entries;
  tally_.entry_bytes += entry.memory_bytes();
  ledger_->linked.fetch_add(entry.memory_bytes(), std::memory_order_relaxed);
}

void L1Shard::count_out(const Entry& entry) {
  --tally_.entries;
  tally_.entry_bytes -= entry.memory_bytes();
  ledger_->linked.fetch_sub(entry.memory_bytes(), std::memory_order_relaxed);
}

void L1Shard::evict_down_to(std::size_t capacity_bytes) {
  while (tally_.entry_bytes + other_bytes() > capacity_bytes) {
    auto* entry = static_cast<Entry*>(policy_.evict());
    if (!entry) break;
    unlink(*slot_of(*entry));
    retire(entry);
    ++tally_.evicted;
  }
}

void L1Shard::make_room_in_table() {
  Table* old = table_.load(std::memory_order_relaxed);
  const std::size_t size = old->slots.size();
  if ((tally_.entries + graves_ + 1) * 4 <= size * 3) return;
  // With many graves the same size will do.
  rebuild_table(tally_.entries * 2 >= size ? size * 2 : size);
}

void L1Shard::rebuild_table(std::size_t size) {
  Table* old = table_.load(std::memory_order_relaxed);
  auto* table = new Table(size);
  for (auto& slot : old->slots) {
    const std::uint64_t word = slot.load(std::memory_order_relaxed);
    const Entry* entry = entry_of(word);
    if (!entry) continue;
    std::size_t at = entry->hash() & table->mask;
    while (table->slots[at].load(std::memory_order_relaxed) != empty) at = (at + 1) & table->mask;
    table->slots[at].store(word, std::memory_order_relaxed);
  }
  table_.store(table, std::memory_order_seq_cst);
  graves_ = 0;
  drop_table(old);
}

void L1Shard::drop_table(Table* table) { table->next_retired = std::exchange(open_.tables, table); }

void L1Shard::retire(Entry* entry) { entry->next_retired_ = std::exchange(open_.entries, entry); }

void L1Shard::reclaim() {
  for (int round = 0; round < 2; ++round) {
    if (!waiting_.empty()) {
      waiting_.busy = readers_.busy(waiting_.busy);
      if (waiting_.busy != 0) return;
      free(waiting_);
    }
    // What was unlinked so far waits from here on; what will be, in a batch of its own.
    waiting_ = std::exchange(open_, {});
    waiting_.busy = Readers::all;
  }
}

void L1Shard::free(Batch& batch) {
  while (batch.entries) {
    Entry* entry = std::exchange(batch.entries, batch.entries->next_retired_);
    entry->release();
  }
  while (batch.tables) delete std::exchange(batch.tables, batch.tables->next_retired);
}

std::size_t L1Shard::other_bytes() const {
  return table_.load(std::memory_order_relaxed)->slots.size() * sizeof(Slot) + policy_.memory_bytes();
}

}  // namespace millrace::cache
