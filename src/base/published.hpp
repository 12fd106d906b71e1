#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace millrace {

/// What one thread replaces as a whole and others look at: a shared pointer that may be read while it is replaced.
/// Thread-safe. Nobody holds its lock for longer than a pointer takes to be copied; what was replaced is freed outside.
///
/// `std::atomic<std::shared_ptr>` of libstdc++ 12 isn't used: its `load()` unlocks with `memory_order_relaxed`, so that
/// what the next writer does isn't ordered after the read (github.com/google/sanitizers/issues/1558).
template <typename T>
class Published {
 public:
  Published() = default;
  explicit Published(std::shared_ptr<const T> value) : value_(std::move(value)) {}

  std::shared_ptr<const T> load() const {
    const std::lock_guard lock(lock_);
    return value_;
  }
  void store(std::shared_ptr<const T> value) { exchange(std::move(value)); }
  /// What it was before.
  std::shared_ptr<const T> exchange(std::shared_ptr<const T> value) {
    {
      const std::lock_guard lock(lock_);
      value_.swap(value);
    }
    return value;
  }

 private:
  class SpinLock {
   public:
    void lock() {
      while (held_.test_and_set(std::memory_order_acquire)) std::this_thread::yield();
    }
    void unlock() { held_.clear(std::memory_order_release); }

   private:
    std::atomic_flag held_;
  };

  mutable SpinLock lock_;
  std::shared_ptr<const T> value_;
};

}  // namespace millrace
