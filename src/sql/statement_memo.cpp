#include "sql/statement_memo.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "sql/reference_list.hpp"
#include "sql/template_key.hpp"

namespace millrace::sql {

namespace {

constexpr std::size_t kBytesPerEntry = 2048;

enum class KeyKind : bool { text, with_constants_out };

struct Key {
  std::string_view text;
  KeyKind kind;
  std::uint64_t hash;
};

std::size_t bytes_of(const Statement& statement) {
  std::size_t sum = sizeof(Statement) + statement.why_unparsed.size() + statement.text.size();
  for (const auto& change : statement.changes) sum += sizeof change + change.name.size() + change.text.size();
  for (const auto& name : statement.unused_databases) sum += sizeof(std::string) + name.size();
  if (statement.references != nullptr) sum += sql::bytes(*statement.references);
  return sum;
}

struct Entry {
  std::string text;
  KeyKind kind = KeyKind::text;
  bool used = false;  ///< since the clock's hand last passed
  std::uint64_t hash = 0;
  std::uint64_t last_text = 0;                 ///< of a key with constants out: the hash of the text that last found it
  std::shared_ptr<const Statement> statement;  ///< null: the slot is free

  bool holds(const Key& key) const { return text == key.text && kind == key.kind; }
  std::size_t bytes() const {
    std::size_t sum = sizeof(Entry) + text.size() + bytes_of(*statement);
    if (statement->explained) sum += bytes_of(*statement->explained);
    return sum;
  }
};

/// The hash is a key already.
struct AsItIs {
  using is_avalanching = void;
  std::size_t operator()(std::uint64_t hash) const { return hash; }
};

/// What a Statement of these kinds says doesn't depend on constants, if it changes nothing in the session. Of others
/// it does: EXPLAIN (ANALYZE 0), SET x = 1, ...
bool same_for_all_constants(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::select:
    case StatementKind::insert:
    case StatementKind::update:
    case StatementKind::delete_:
    case StatementKind::merge:
      return statement.changes.empty() && statement.other_settings.empty() && statement.steps.empty();
    default:
      return false;
  }
}

/// Counted by one thread, read by any.
template <typename T>
class Count {
 public:
  void add(T delta) { value_.store(value_.load(std::memory_order_relaxed) + delta, std::memory_order_relaxed); }
  T get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<T> value_ = 0;
};

}  // namespace

struct StatementMemo::Impl {
  Impl(std::size_t max_entries, ParseLimits limits)
      : max_entries(std::max<std::size_t>(max_entries, 1)),
        max_bytes(this->max_entries * kBytesPerEntry),
        limits(limits),
        seed(std::random_device{}()),
        template_buffer(limits.inline_bytes),
        too_long(unparsed("the text is longer than the limit")) {}

  Key key_of(std::string_view text, KeyKind kind) const {
    return {text, kind, XXH3_64bits_withSeed(text.data(), text.size(), seed + static_cast<std::uint64_t>(kind))};
  }

  Entry* find(const Key& key) {
    const auto found = slots.find(key.hash);
    if (found == slots.end()) return nullptr;
    Entry& entry = entries[found->second];
    if (!entry.holds(key)) return nullptr;
    entry.used = true;
    return &entry;
  }

  void insert(const Key& key, std::shared_ptr<const Statement> statement) {
    if (const auto found = slots.find(key.hash); found != slots.end()) erase(found->second);
    Entry entry{.text = std::string(key.text), .kind = key.kind, .hash = key.hash, .statement = std::move(statement)};
    const std::size_t size = entry.bytes();
    if (size > max_bytes / 4) return;
    while (slots.size() == max_entries || bytes.get() + size > max_bytes) evict_one();
    const std::uint32_t slot = take_slot();
    entries[slot] = std::move(entry);
    slots.emplace(key.hash, slot);
    bytes.add(size);
    count.add(1);
  }

  std::uint32_t take_slot() {
    if (free_slots.empty()) {
      entries.emplace_back();
      return static_cast<std::uint32_t>(entries.size() - 1);
    }
    const std::uint32_t slot = free_slots.back();
    free_slots.pop_back();
    return slot;
  }

  /// The clock's hand passes over those that were used since it last came by. There is at least one entry.
  void evict_one() {
    while (true) {
      hand = hand + 1 < entries.size() ? hand + 1 : 0;
      Entry& entry = entries[hand];
      if (entry.statement == nullptr) continue;
      if (!entry.used) return erase(static_cast<std::uint32_t>(hand));
      entry.used = false;
    }
  }

  void erase(std::uint32_t slot) {
    Entry& entry = entries[slot];
    bytes.add(-entry.bytes());
    count.add(-std::size_t{1});
    slots.erase(entry.hash);
    Entry freed;
    std::swap(entry, freed);  // assignment would keep the string's memory
    free_slots.push_back(slot);
  }

  const std::size_t max_entries;
  const std::size_t max_bytes;
  const ParseLimits limits;
  const std::uint64_t seed;  ///< so that nobody outside can make texts collide
  std::vector<char> template_buffer;
  const std::shared_ptr<const Statement> too_long;

  std::vector<Entry> entries;
  std::vector<std::uint32_t> free_slots;
  std::size_t hand = 0;
  boost::unordered_flat_map<std::uint64_t, std::uint32_t, AsItIs> slots;  ///< by hash

  Count<std::uint64_t> hits;
  Count<std::uint64_t> misses;
  Count<std::size_t> count;
  Count<std::size_t> bytes;
};

StatementMemo::StatementMemo(std::size_t max_entries, ParseLimits limits)
    : impl_(std::make_unique<Impl>(max_entries, limits)) {}

StatementMemo::~StatementMemo() = default;

std::shared_ptr<const Statement> StatementMemo::find_or_parse(std::string_view text) {
  Impl& memo = *impl_;
  if (text.size() > memo.limits.max_bytes) return memo.too_long;

  const Key exact = memo.key_of(text, KeyKind::text);
  if (const Entry* found = memo.find(exact)) {
    memo.hits.add(1);
    return found->statement;
  }
  if (text.size() > memo.limits.inline_bytes) {
    memo.misses.add(1);
    return nullptr;
  }

  const std::string_view without_constants = template_key(text, memo.template_buffer);
  const Key shared = memo.key_of(without_constants, KeyKind::with_constants_out);
  if (!without_constants.empty()) {
    if (Entry* found = memo.find(shared)) {
      memo.hits.add(1);
      auto statement = found->statement;
      // The same text twice in a row: its constants don't change, and the shorter way is worth an entry.
      if (found->last_text == exact.hash)
        memo.insert(exact, statement);
      else
        found->last_text = exact.hash;
      return statement;
    }
  }

  memo.misses.add(1);
  auto statement = parse(text);
  const bool share = !without_constants.empty() && same_for_all_constants(*statement);
  memo.insert(share ? shared : exact, statement);
  return statement;
}

void StatementMemo::remember(std::string_view text, std::shared_ptr<const Statement> statement) {
  if (text.size() <= impl_->limits.max_bytes) {
    impl_->insert(impl_->key_of(text, KeyKind::text), std::move(statement));
  }
}

StatementMemo::Counts StatementMemo::counts() const {
  return {.hits = impl_->hits.get(),
          .misses = impl_->misses.get(),
          .entries = impl_->count.get(),
          .bytes = impl_->bytes.get()};
}

}  // namespace millrace::sql
