#include "executor/turn_rate.hpp"

namespace millrace::executor {

void TurnRate::begin(std::int64_t now) {
  begun_ = last_ = now;
  turns_ = 0;
  between_ = 0;
}

void TurnRate::on_turn(std::int64_t now) {
  last_ = now;
  if (++turns_ < measured_by) return;
  between_ = static_cast<double>(now - begun_) / turns_;
  begun_ = now;
  turns_ = 0;
}

}  // namespace millrace::executor
