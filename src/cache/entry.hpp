#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cache/policy.hpp"
#include "cache/versions.hpp"

namespace millrace::cache {

/// Whether what an answer depends on is known to be told when it changes.
enum class Follows : std::uint8_t {
  no,       ///< some changes aren't told: it is fresh for a time
  yes,      ///< the versions of all that it saw grow with every change, sooner or later
  nothing,  ///< it depends on no data
};

/// What is to be cached. Everything is copied but `owner`, which is shared.
struct NewEntry {
  std::string_view key;
  std::uint64_t hash = 0;       ///< of the key, by `hash_of`
  std::string_view head, body;  ///< as in Entry
  std::span<const Seen> seen;   ///< taken before the answer was asked for
  std::span<const std::string> tags;
  std::uint64_t rows = 0;
  std::uint64_t fingerprint = 0;
  std::uint64_t columns = 0;  ///< identifies the result's columns; 0: not known
  std::uint64_t meant = 0;    ///< by the statement's names, when it was asked; 0: not known, or it has none
  Follows follows = Follows::no;
  std::int64_t now_ns = 0;
  std::int64_t ttl_ns = 0;   ///< from now_ns on
  std::int64_t cost_ns = 0;  ///< what it took to have it computed
  std::shared_ptr<const void> owner;
};

/// Of all entries of a cache. An entry may outlive the cache, so it has a share in this.
struct Ledger {
  std::atomic<std::size_t> bytes = 0;   ///< allocated
  std::atomic<std::size_t> linked = 0;  ///< of those that can be found

  /// Of those that were evicted and that somebody still holds.
  std::size_t held() const {
    const auto in_cache = linked.load(std::memory_order_relaxed);
    const auto all = bytes.load(std::memory_order_relaxed);
    return all > in_cache ? all - in_cache : 0;
  }
};

/// A cached answer: immutable but for what the policy counts, in one block of memory with its key and bytes. Shared by
/// count (EntryPtr); it lives as long as somebody holds it, also when it is evicted meanwhile, or the cache gone. Any
/// thread may read it.
class Entry : public PolicyNode {
 public:
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  std::string_view key() const { return {text() + key_at_, key_size_}; }
  /// The answer's messages in the protocol: a RowDescription, or nothing if it wasn't seen, ...
  std::string_view head() const { return {text() + key_at_ + key_size_, head_size_}; }
  /// ... and DataRow messages and CommandComplete.
  std::string_view body() const { return {text() + key_at_ + key_size_ + head_size_, body_size_}; }
  std::span<const Seen> seen() const { return {reinterpret_cast<const Seen*>(text()), seen_count_}; }
  std::vector<std::string_view> tags() const;  ///< valid as long as the entry; allocates: not for a query's way
  bool has_tag(std::string_view tag) const;
  std::uint64_t rows() const { return rows_; }
  std::uint64_t fingerprint() const { return fingerprint_; }  ///< of the statement
  std::uint64_t columns() const { return columns_; }          ///< identifies the result's columns; 0: not known
  std::uint64_t meant() const { return meant_; }              ///< by the statement's names; 0: not known
  Follows follows() const { return follows_; }
  std::int64_t stored_ns() const { return stored_ns_; }    ///< the clock is the caller's: `now_ns()`
  std::int64_t expires_ns() const { return expires_ns_; }  ///< from then on it isn't returned
  std::int64_t cost_ns() const { return cost_ns_; }
  const std::shared_ptr<const void>& owner() const { return owner_; }
  std::uint64_t hash() const { return PolicyNode::hash; }
  std::size_t memory_bytes() const {
    return PolicyNode::bytes;
  }  ///< all that it occupies, the allocator's part included

 private:
  friend class EntryPtr;
  friend class L1Shard;

  Entry() = default;
  ~Entry() = default;

  const char* text() const { return reinterpret_cast<const char*>(this + 1); }
  char* text() { return reinterpret_cast<char*>(this + 1); }
  template <typename Visit>
  void each_tag(Visit visit) const;

  /// With one reference, which is the caller's; null if there is no memory.
  static Entry* make(const NewEntry& entry, std::shared_ptr<Ledger> ledger);
  void hold() const { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() const {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }
  void destroy() const;

  mutable std::atomic<std::uint32_t> references_ = 1;
  std::uint32_t seen_count_ = 0;
  std::uint32_t tag_count_ = 0;
  std::uint32_t key_at_ = 0;  // after the Seen and the tags
  std::uint32_t key_size_ = 0;
  std::uint32_t head_size_ = 0;
  std::uint32_t body_size_ = 0;
  Follows follows_ = Follows::no;
  std::int64_t expires_ns_ = 0;
  std::uint64_t rows_ = 0;
  std::uint64_t fingerprint_ = 0;
  std::uint64_t columns_ = 0;
  std::uint64_t meant_ = 0;
  std::int64_t stored_ns_ = 0;
  std::int64_t cost_ns_ = 0;
  std::shared_ptr<const void> owner_;
  std::shared_ptr<Ledger> ledger_;
  Entry* next_retired_ = nullptr;  // the shard's, once it is unlinked
};

/// Holds an entry, or nothing. Copies are made and dropped on any thread; one EntryPtr is one thread's at a time.
class EntryPtr {
 public:
  EntryPtr() = default;
  EntryPtr(const EntryPtr& other) : entry_(other.entry_) {
    if (entry_) entry_->hold();
  }
  EntryPtr(EntryPtr&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
  EntryPtr& operator=(EntryPtr other) noexcept {
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~EntryPtr() {
    if (entry_) entry_->release();
  }

  explicit operator bool() const { return entry_ != nullptr; }
  const Entry* operator->() const { return entry_; }
  const Entry& operator*() const { return *entry_; }
  const Entry* get() const { return entry_; }
  void reset() { *this = EntryPtr(); }

 private:
  friend class L1Shard;
  explicit EntryPtr(const Entry* held) : entry_(held) {}

  const Entry* entry_ = nullptr;
};

}  // namespace millrace::cache
