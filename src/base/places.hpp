#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

namespace millrace {

/// The connections of a pool, for who decides which query gets one. The pool says how many could be had at once, or
/// opened; of them some are promised to queries that haven't taken theirs yet. Thread-safe.
class Places {
 public:
  /// `on_free`: somebody wants one, and there is one; on whatever thread it has become free on.
  explicit Places(std::function<void()> on_free = {}) : on_free_(std::move(on_free)) {}

  /// The pool's, under its lock. Of what is taken the promise is ended afterwards.
  void set_free(std::int64_t count) {
    const auto free = static_cast<std::int32_t>(count);
    Counts counts = counts_.load(std::memory_order::seq_cst);
    while (!counts_.compare_exchange_weak(counts, Counts{.free = free, .promised = counts.promised},
                                          std::memory_order::seq_cst)) {
    }
  }
  /// The pool's, when it has set it; without a lock.
  void tell() const {
    if (wanted() && any() && on_free_) on_free_();
  }

  /// One that isn't promised.
  bool any() const { return counts_.load(std::memory_order::seq_cst).any(); }
  /// False: there is none.
  bool promise() {
    Counts counts = counts_.load(std::memory_order::seq_cst);
    do {
      if (!counts.any()) return false;
    } while (!counts_.compare_exchange_weak(counts, Counts{.free = counts.free, .promised = counts.promised + 1},
                                            std::memory_order::seq_cst));
    return true;
  }
  /// It was taken, or isn't wanted any more.
  void end_promise() {
    Counts counts = counts_.load(std::memory_order::seq_cst);
    while (!counts_.compare_exchange_weak(counts, Counts{.free = counts.free, .promised = counts.promised - 1},
                                          std::memory_order::seq_cst)) {
    }
    tell();
  }

  /// Whether there are queries that could run if there was one. Who says so has to look for one afterwards, as what
  /// has become free before isn't told.
  void set_wanted(bool wanted) { wanted_.store(wanted, std::memory_order::seq_cst); }
  bool wanted() const { return wanted_.load(std::memory_order::seq_cst); }

 private:
  /// Together, as another's promise may end, and his connection be taken, while one is being made.
  struct Counts {
    std::int32_t free, promised;
    bool any() const { return free > promised; }
  };
  static_assert(std::atomic<Counts>::is_always_lock_free);

  std::atomic<Counts> counts_{Counts{.free = 0, .promised = 0}};
  std::atomic<bool> wanted_ = false;
  const std::function<void()> on_free_;
};

}  // namespace millrace
