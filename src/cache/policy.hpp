#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace::cache {

/// What the policy knows of an entry. `hash`, `bytes` and `cost` are set before it is inserted, and stay.
struct PolicyNode {
  std::uint64_t hash = 0;
  std::size_t bytes = 0;  ///< what keeping it takes
  double cost = 0;        ///< what it takes to have it again, in any unit, the same for all; over 0

  /// The hits that were counted since it was inserted: as many as there were, or a few less (`Policy::hit`). Any
  /// thread.
  std::uint64_t hits() const {
    return std::uint64_t{settled_hits_.load(std::memory_order_relaxed)} + hits_.load(std::memory_order_relaxed);
  }

 private:
  friend class Policy;

  // Readers write these, without a lock: a hit that gets lost does no harm.
  std::atomic<double> touched_ = 0;              // the policy's clock at the last hit
  std::atomic<std::uint32_t> hits_ = 0;          // since the policy last looked
  std::atomic<std::uint32_t> settled_hits_ = 0;  // until then

  enum class Stay : std::uint8_t { first, returned, in_passing };

  std::uint32_t place_ = 0;  // in the heap
  float frequency_ = 0;
  float frequency_before_ = 0;  // when it was inserted
  Stay stay_ = Stay::first;
};

/// What to evict: whose frequency × cost ÷ bytes is least, with ageing. Not thread-safe but for `hit`; holds no entry,
/// and forgets one that it has answered from `evict`.
///
/// An entry's priority is the clock at its last use plus its worth; the clock is the priority of what was evicted last,
/// so that what isn't used is overtaken (GreedyDual-Size-Frequency). Four things are different:
///  - What was evicted is remembered by its hash (ghosts), so that it comes back with its frequency.
///  - What hasn't been asked for twice is worth less, so that a scan displaces other parts of the scan.
///  - Where what comes back is nearly always evicted again before it is used, all of it can't be kept (a loop over more
///    than fits): then most of it is put where it goes next, and a part that stays gets hits.
///  - A hit is a store or two into the entry, without a lock. Priorities are put right when they come to be the least,
///    which gives the same order, since a use can only raise one.
class Policy {
 public:
  Policy();

  /// Any thread, while others change the policy; the entry must not be freed meanwhile.
  void hit(PolicyNode& node) const {
    const double clock = clock_.load(std::memory_order_relaxed);
    if (node.touched_.load(std::memory_order_relaxed) != clock) node.touched_.store(clock, std::memory_order_relaxed);
    const auto hits = node.hits_.load(std::memory_order_relaxed);
    if (hits < max_hits) node.hits_.store(hits + 1, std::memory_order_relaxed);
  }

  void insert(PolicyNode& node);
  /// `fresh` takes the place of `old`, of the same key.
  void replace(PolicyNode& old, PolicyNode& fresh);
  void erase(PolicyNode& node);
  /// Takes out what should go first; null if there is nothing.
  PolicyNode* evict();
  void clear();
  void shrink() { heap_.shrink_to_fit(); }  ///< gives back memory that it doesn't use now

  std::size_t size() const { return heap_.size(); }
  std::size_t memory_bytes() const;

 private:
  struct Ranked {
    double priority;
    PolicyNode* node;
  };
  struct Ghost {
    std::uint32_t print = 0;  // of the hash; 0: none
    float frequency = 0;
  };

  static constexpr std::uint32_t max_hits = 1U << 31;

  double worth(const PolicyNode& node) const;
  void settle(PolicyNode& node);  // counts the hits since the last look
  void add(PolicyNode& node, double priority);
  void put(std::size_t place, Ranked ranked);
  void sift_up(std::size_t place, Ranked ranked);
  void sift_down(std::size_t place, Ranked ranked);
  Ghost* bucket(std::uint64_t hash);
  void remember(const PolicyNode& node);
  float recall(const PolicyNode& node);
  bool only_in_passing();

  std::atomic<double> clock_ = 0;
  double futile_ = 0;  // of what came back lately, the share that was evicted without a hit
  std::uint64_t random_ = 1;
  std::vector<Ranked> heap_;   // the least first
  std::vector<Ghost> ghosts_;  // buckets, the newest first in each
};

}  // namespace millrace::cache
