#pragma once

#include <atomic>
#include <cstdint>

namespace millrace {

/// A number with one writer and any number of readers: adding costs a plain load and store, no locked instruction.
///
/// It may go down (`sub`): several of them, one a core, are then summed modulo 2^64, so that what one core opened
/// another may close.
class Counter {
 public:
  void add(std::uint64_t n = 1) noexcept { set(get() + n); }
  void sub(std::uint64_t n = 1) noexcept { set(get() - n); }
  void set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace millrace
