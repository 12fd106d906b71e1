#include "executor/retries.hpp"

#include <algorithm>
#include <cmath>

namespace millrace::executor {
namespace {

constexpr double first_ns = 50'000'000, most_ns = 2'000'000'000, ns_a_second = 1e9;

}  // namespace

bool RetryBudget::take(std::int64_t now) {
  const double seconds = looked_ == 0 ? 0 : static_cast<double>(now - looked_) / ns_a_second;
  looked_ = now;
  // Time alone saves up no more than there was at first.
  if (saved_ < at_first) saved_ = std::min(saved_ + seconds * a_second, at_first);
  if (saved_ < 1) return false;
  saved_ -= 1;
  return true;
}

std::chrono::nanoseconds Backoff::longest(int times) const {
  return std::chrono::nanoseconds(
      static_cast<std::int64_t>(std::min(first_ns * std::pow(multiplier_, times), most_ns)));
}

std::chrono::nanoseconds Backoff::pause(int times, std::minstd_rand& random) const {
  return std::chrono::nanoseconds(std::uniform_int_distribution<std::int64_t>(0, longest(times).count())(random));
}

}  // namespace millrace::executor
