#include "executor/queue_delay.hpp"

#include <algorithm>

namespace millrace::executor {

void QueueDelay::begin(std::int64_t now) {
  soon_ = last_ = now;
  between_ = 0;
}

void QueueDelay::on_turn(std::int64_t waited, const Limits& limits, std::int64_t now) {
  constexpr std::int64_t weight = 8;
  // As it is held about at the target, that alone doesn't tell that no more than get turns come.
  if (waited < limits.target / 2) soon_ = now;
  const std::int64_t gap = now - last_;
  between_ = between_ == 0 ? gap : between_ + (gap - between_) / weight;
  last_ = now;
}

bool QueueDelay::is_too_long(std::size_t ahead, const Limits& limits, std::int64_t now) const {
  if (limits.target == 0 || now - soon_ < limits.interval) return false;
  return static_cast<double>(ahead) * static_cast<double>(std::max(between_, now - last_)) >
         static_cast<double>(limits.target);
}

}  // namespace millrace::executor
