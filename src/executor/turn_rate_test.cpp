#include "executor/turn_rate.hpp"

#include <gtest/gtest.h>

namespace millrace::executor {
namespace {

constexpr std::int64_t ms = 1'000'000;

TEST(TurnRate, IsKnownAfterSomeTurns) {
  TurnRate rate;
  std::int64_t now = 5000 * ms;
  rate.begin(now);
  EXPECT_EQ(rate.wait(1000), 0);
  for (int turn = 1; turn < TurnRate::measured_by; ++turn) rate.on_turn(now += 10 * ms);
  EXPECT_EQ(rate.wait(1000), 0);
  rate.on_turn(now += 10 * ms);
  EXPECT_DOUBLE_EQ(rate.wait(7), 70 * ms);
  EXPECT_EQ(rate.last_turn(), now);
  for (int turn = 0; turn < TurnRate::measured_by; ++turn) rate.on_turn(now += 2 * ms);
  EXPECT_DOUBLE_EQ(rate.wait(7), 14 * ms);
  rate.begin(now);
  EXPECT_EQ(rate.wait(1000), 0);
}

/// As of twenty reports that end together.
TEST(TurnRate, APauseIsNoPace) {
  TurnRate rate;
  rate.begin(0);
  for (int turn = 0; turn < 200; ++turn) {
    rate.on_turn((1 + turn / 20) * 10'000 * ms);
    EXPECT_LT(rate.wait(1), 1000 * ms) << turn;
  }
}

}  // namespace
}  // namespace millrace::executor
