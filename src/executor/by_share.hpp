#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "executor/party.hpp"

namespace millrace::executor {

/// By which those who share are ordered.
struct ShareRank {
  std::uint32_t running = 0;
  std::int64_t used = 0;
  std::uint64_t came = 0;
  auto operator<=>(const ShareRank&) const = default;
};

/// A value for each of those who share; who has least comes first, and of equals who came first. What they have may
/// grow at any time, on any thread: that is noticed when it matters. That somebody has less is to be told. All is
/// logarithmic in how many there are. Shares must outlive their values. Not thread-safe otherwise.
template <typename Value>
class ByShare {
 public:
  bool empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }

  /// Null: it has none.
  Value* find(const Share& share) {
    const auto found = entries_.find(&share);
    return found == entries_.end() ? nullptr : &found->second.value;
  }
  /// Makes one where there is none, which came at `came`.
  Value& of(const Share& share, std::uint64_t came) {
    const auto [at, is_new] = entries_.try_emplace(&share);
    if (is_new) {
      at->second.rank = rank_of(share, came);
      order_.emplace(at->second.rank, &share);
    }
    return at->second.value;
  }
  void remove(const Share& share) {
    const auto found = entries_.find(&share);
    order_.erase({found->second.rank, &share});
    entries_.erase(found);
  }
  /// Who has least; null: all are left out, or there are none.
  Value* least() {
    while (!order_.empty()) {
      const auto [rank, share] = *order_.begin();
      auto& entry = entries_.find(share)->second;
      if (rank_of(*share, rank.came) <= rank) return &entry.value;
      rank_anew(*share, entry);
    }
    return nullptr;
  }
  const Share* least_share() const { return order_.begin()->second; }
  /// Of who has least, against another who has least.
  const ShareRank& least_rank() const { return order_.begin()->first; }
  /// Until it is said that it has less.
  void leave_out(const Share& share) { order_.erase({entries_.find(&share)->second.rank, &share}); }
  void has_less(const Share& share) {
    if (const auto found = entries_.find(&share); found != entries_.end()) rank_anew(share, found->second);
  }

 private:
  struct Entry {
    ShareRank rank;
    Value value;
  };

  static ShareRank rank_of(const Share& share, std::uint64_t came) {
    constexpr auto relaxed = std::memory_order::relaxed;
    return {.running = share.running.load(relaxed), .used = share.used.load(relaxed), .came = came};
  }
  void rank_anew(const Share& share, Entry& entry) {
    order_.erase({entry.rank, &share});
    entry.rank = rank_of(share, entry.rank.came);
    order_.emplace(entry.rank, &share);
  }

  std::map<const Share*, Entry> entries_;
  std::set<std::pair<ShareRank, const Share*>> order_;
};

}  // namespace millrace::executor
