#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace millrace::executor {

/// Counts the slots that are taken. They may be made not to count, all at once: each is of a round, and those of the
/// last one count. Thread-safe, without a lock.
class TakenSlots {
 public:
  using Round = std::uint32_t;

  std::size_t count() const { return static_cast<Round>(taken_.load(std::memory_order::seq_cst)); }

  /// Where fewer than `limit` count: its round. 0: as many do.
  Round try_take(std::size_t limit) {
    std::uint64_t taken = taken_.load(std::memory_order::seq_cst);
    do {
      if (static_cast<Round>(taken) >= limit) return 0;
    } while (!taken_.compare_exchange_weak(taken, taken + 1, std::memory_order::seq_cst));
    return round_of(taken);
  }
  /// False: it didn't count.
  bool give_back(Round round) {
    std::uint64_t taken = taken_.load(std::memory_order::seq_cst);
    do {
      if (round_of(taken) != round) return false;
    } while (!taken_.compare_exchange_weak(taken, taken - 1, std::memory_order::seq_cst));
    return true;
  }
  struct Ended {
    Round round;
    std::size_t count;
  };
  /// None counts from now on. Answers which round that was, and how many did.
  Ended begin_round() {
    std::uint64_t taken = taken_.load(std::memory_order::seq_cst);
    while (!taken_.compare_exchange_weak(taken, (std::uint64_t{round_of(taken)} + 1) << round_at,
                                         std::memory_order::seq_cst)) {
    }
    return {.round = round_of(taken), .count = static_cast<Round>(taken)};
  }

 private:
  static constexpr int round_at = 32;
  static Round round_of(std::uint64_t taken) { return static_cast<Round>(taken >> round_at); }

  std::atomic<std::uint64_t> taken_ = std::uint64_t{1} << round_at;  ///< the round, then how many
};

}  // namespace millrace::executor
