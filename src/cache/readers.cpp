#include "cache/readers.hpp"

namespace millrace::cache {

std::size_t Readers::of_thread() {
  static std::atomic<std::size_t> threads = 0;
  thread_local const std::size_t mine = threads.fetch_add(1, std::memory_order_relaxed) % stripes;
  return mine;
}

std::uint32_t Readers::busy(std::uint32_t mask) const {
  for (std::size_t i = 0; i < stripes; ++i) {
    const auto bit = std::uint32_t{1} << i;
    if ((mask & bit) && stripes_[i].word.load(std::memory_order_seq_cst) % one_hit == 0) mask &= ~bit;
  }
  return mask;
}

std::uint64_t Readers::count(Outcome outcome) const {
  std::uint64_t sum = 0;
  for (const auto& stripe : stripes_) {
    sum += outcome == Outcome::hit
               ? stripe.word.load(std::memory_order_relaxed) / one_hit
               : stripe.misses[static_cast<std::size_t>(outcome) - 1].load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace millrace::cache
