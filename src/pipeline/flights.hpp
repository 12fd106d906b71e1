#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

namespace millrace::pipeline {

/// Reads that the server is asked for, so that others who ask the same meanwhile can wait for the answer instead of
/// asking, too. Known by the hash of their key: two that are told apart by nothing else wait for each other in vain.
/// Thread-safe.
class Flights {
 public:
  /// Whoever waits longer asks the server itself: the leader may be blocked by a lock. One whose client takes
  /// nothing for a while leads no longer.
  static constexpr auto longest_wait = std::chrono::seconds(5);

  static constexpr std::size_t most_waiting = 1024;  ///< for one; those that have given up since count, too

  Flights();

  /// It is under way as long as what is answered lives. Null: somebody else leads already.
  std::shared_ptr<const void> lead(std::uint64_t key);
  bool is_led(std::uint64_t key) const;
  /// `landed` is called once, on whichever thread, and kept until then. False: there is nothing to wait for, or too
  /// many do, and it isn't.
  bool wait(std::uint64_t key, std::function<void()> landed);

 private:
  struct Shards;
  std::shared_ptr<Shards> shards_;
};

}  // namespace millrace::pipeline
