#include "executor/shedding.hpp"

#include <gtest/gtest.h>

namespace millrace::executor {
namespace {

constexpr std::int64_t ms = 1'000'000;

Shedding shedding() {
  Shedding made;
  made.set(100 * ms, 1000 * ms);
  return made;
}

TEST(Shedding, ABurstCostsNobodyAnything) {
  auto shed = shedding();
  for (std::int64_t now = 1; now < 999; now += 10) EXPECT_FALSE(shed.on_turn(500 * ms, now * ms));
  EXPECT_FALSE(shed.on_turn(50 * ms, 1000 * ms));
  EXPECT_FALSE(shed.on_turn(500 * ms, 1010 * ms));
  EXPECT_FALSE(shed.on_turn(500 * ms, 1900 * ms));
}

TEST(Shedding, AStandingQueueIsShedAtAGrowingPace) {
  auto shed = shedding();
  int early = 0, late = 0;
  for (std::int64_t now = 1; now < 20'000; now += 1) {
    const bool gives_up = shed.on_turn(500 * ms, now * ms);
    if (now < 1000) EXPECT_FALSE(gives_up);
    if (now >= 1000 && now < 5000) early += gives_up ? 1 : 0;
    if (now >= 15'000 && now < 19'000) late += gives_up ? 1 : 0;
  }
  EXPECT_GT(early, 3);
  EXPECT_GT(late, 2 * early);
}

TEST(Shedding, WithoutATargetNobodyIsGivenUp) {
  Shedding shed;
  for (std::int64_t now = 1; now < 10'000; ++now) EXPECT_FALSE(shed.on_turn(1000'000 * ms, now * ms));
}

}  // namespace
}  // namespace millrace::executor
