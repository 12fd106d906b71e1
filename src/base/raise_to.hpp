#pragma once

#include <atomic>
#include <cstdint>

namespace millrace {

/// `moment` is `to` from now on, unless it is later already. Thread-safe; whoever reads it (acquiring) also sees what
/// was done before it was raised.
inline void raise_to(std::atomic<std::int64_t>& moment, std::int64_t to) {
  auto was = moment.load(std::memory_order_relaxed);
  while (was < to && !moment.compare_exchange_weak(was, to, std::memory_order_acq_rel)) {
  }
}

}  // namespace millrace
