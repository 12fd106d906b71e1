#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "cache/versions.hpp"
#include "pipeline/consistency.hpp"

namespace millrace::pipeline {

/// What asking memory first has brought of late for one template: a statement with its constants taken out, in one
/// database, at one level of consistency, as what is waited for is another at each. Times are means, in ns: what is
/// waited for by all that are counted in the ratio, as few wait, and those in crowds; the rest of the last few dozen.
struct PayoffFigures {
  double origin_ns = 0;      ///< until the server has answered; 0: not known
  double hit_ns = 0;         ///< an answer from memory, with what it waits for: a proof, or somebody else's answer
  double miss_extra_ns = 0;  ///< what it takes more to ask memory in vain, and to keep the answer, than to pass on
  double hit_ratio = 0;
  /// Above this hit ratio it pays: (miss - origin) / (miss - hit). Over 1: never.
  double break_even() const;
  bool pays() const { return origin_ns == 0 || hit_ratio > break_even(); }
};

/// "5 % of the last asked were answered from memory, and it takes 9 % to pay: ..."
std::string words_of(const PayoffFigures& figures);

/// Measures and decides, for one template: memory is asked for a while; where that has turned out not to pay, what
/// comes is passed on, for longer each time, and then memory is tried anew. Moments are of now_ns(). Thread-safe;
/// without a lock: a count that gets lost does no harm.
class Payoff {
 public:
  /// How long it is tried before it is judged; by the second half, as in the first one it has yet to be kept what is
  /// asked for again. Nor is it later judged by less time than that half.
  static constexpr std::int64_t trial_ns = 2'000'000'000;
  static constexpr std::int64_t first_pause_ns = 2'000'000'000, longest_pause_ns = 32'000'000'000;
  /// What is asked for less often in a second is never passed on: there is nothing to be gained.
  static constexpr std::int64_t rarely = 32;

  /// Whether memory is to be asked, and the answer kept.
  bool is_for_memory(std::int64_t now) const { return now >= tried_since(); }
  /// Since when it is tried, or from when on it will be. What was kept before says nothing: nobody asked for it anew.
  std::int64_t tried_since() const { return passed_until_.load(std::memory_order_relaxed); }

  void hit() { add(hits_); }
  void hit_waited(std::int64_t ns) { add_wait(hits_waited_ns_, ns); }
  void hit_took(std::int64_t ns) { learn(hit_ns_, ns); }  ///< beside waiting; of some
  /// It was stale, or pushed out, or for want of a proof the server is asked. `waited`: so long, in vain.
  void missed(std::int64_t now, std::int64_t waited = 0);
  void origin_took(std::int64_t ns) { learn(origin_ns_, ns); }
  void filling_took(std::int64_t ns) { learn(fill_ns_, ns); }  ///< beside looking up; of some

  bool is_filling_known() const { return fill_ns_.load(std::memory_order_relaxed) != 0; }

  PayoffFigures figures() const;

 private:
  friend class Payoffs;

  static void add(std::atomic<std::uint32_t>& count) {
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  static void learn(std::atomic<float>& mean, std::int64_t ns);
  /// Most wait for nothing, and don't write then what other threads read.
  static void add_wait(std::atomic<std::int64_t>& sum, std::int64_t ns) {
    if (ns != 0) sum.store(sum.load(std::memory_order_relaxed) + ns, std::memory_order_relaxed);
  }
  void begin_counting(std::int64_t now);
  void count_half(std::int64_t now, std::int64_t since);
  void clear();
  std::uint32_t weight() const {
    return hits_.load(std::memory_order_relaxed) + misses_.load(std::memory_order_relaxed);
  }

  std::atomic<std::int64_t> passed_until_ = 0, pause_ns_ = 0;
  std::atomic<std::int64_t> trial_began_ = 0;                            ///< 0: with the next miss
  std::atomic<std::int64_t> counted_since_ = 0;                          ///< 0: it has just begun
  std::atomic<std::uint32_t> hits_ = 0, misses_ = 0;                     ///< since then; the older, the less
  std::atomic<std::int64_t> hits_waited_ns_ = 0, misses_waited_ns_ = 0;  ///< all of these together
  /// As it was judged last; the ratio is negative: never.
  std::atomic<float> last_ratio_ = -1, last_hit_wait_ns_ = 0, last_miss_wait_ns_ = 0;
  std::atomic<float> origin_ns_ = 0, hit_ns_ = 0, fill_ns_ = 0;
};

/// Those of all templates, in a table that doesn't grow: where there are more, what was asked least is forgotten.
/// Thread-safe, without a lock. A Payoff lives as long as the table, but may come to be another template's, whose
/// figures then are a little wrong for a while.
class Payoffs {
 public:
  static constexpr std::size_t most = 4096;

  Payoffs();

  /// `fingerprint`: the statement's. `everything`: the database's. Null: nothing is known of it.
  Payoff* find(std::uint64_t fingerprint, cache::Dependency everything, Consistency::Level level) const;
  /// The one that there is, or one that knows nothing.
  Payoff& make(std::uint64_t fingerprint, cache::Dependency everything, Consistency::Level level);

 private:
  static constexpr std::size_t ways = 4;
  struct alignas(64) Set {
    std::array<std::atomic<std::uint64_t>, ways> tags = {};  ///< 0: free
    std::array<Payoff, ways> payoffs = {};
  };
  std::uint64_t tag_of(std::uint64_t fingerprint, cache::Dependency everything, Consistency::Level level) const;
  Set& set_of(std::uint64_t tag) const { return sets_[(tag >> 32) % (most / ways)]; }

  const std::uint64_t seed_;  ///< so that nobody outside can make templates collide
  const std::unique_ptr<Set[]> sets_;
};

}  // namespace millrace::pipeline
