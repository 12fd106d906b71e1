#include "executor/shedding.hpp"

#include <cmath>

namespace millrace::executor {

bool Shedding::on_turn(std::int64_t waited, std::int64_t now) {
  if (target_ == 0) return false;
  if (waited < target_) {
    above_since_ = next_ = 0;
    return false;
  }
  if (above_since_ == 0) above_since_ = now;
  if (now - above_since_ < interval_) return false;
  if (next_ == 0) {
    // Who was at it not long ago goes on about where it was (RFC 8289, 5.5).
    count_ = count_ > 2 ? count_ - 2 : 1;
  } else if (now < next_) {
    return false;
  } else {
    ++count_;
  }
  next_ = now + static_cast<std::int64_t>(static_cast<double>(interval_) / std::sqrt(static_cast<double>(count_)));
  return true;
}

}  // namespace millrace::executor
