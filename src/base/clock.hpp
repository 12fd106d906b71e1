#pragma once

#include <chrono>
#include <cstdint>

namespace millrace {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

/// Nanoseconds of the monotonic clock; for durations of queries (a vDSO call, no system call).
std::int64_t now_ns();

}  // namespace millrace
