#include "executor/retries.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace millrace::executor {
namespace {

constexpr std::int64_t second = 1'000'000'000;

int taken(RetryBudget& budget, std::int64_t now, int wanted) {
  int got = 0;
  for (int i = 0; i < wanted; ++i) got += budget.take(now) ? 1 : 0;
  return got;
}

TEST(RetryBudget, ATenthOfWhatIsSent) {
  RetryBudget budget;
  EXPECT_EQ(taken(budget, second, 100), 10);  // what there is at first
  for (int i = 0; i < 255; ++i) budget.sent();
  EXPECT_EQ(taken(budget, second, 100), 25);
}

TEST(RetryBudget, NoMoreThanAHundredAreSavedUp) {
  RetryBudget budget;
  for (int i = 0; i < 1'000'000; ++i) budget.sent();
  EXPECT_EQ(taken(budget, second, 1000), 100);
}

TEST(RetryBudget, OneASecondWhereLittleIsAsked) {
  RetryBudget budget;
  EXPECT_EQ(taken(budget, second, 100), 10);
  EXPECT_EQ(taken(budget, 4 * second, 100), 3);
  EXPECT_EQ(taken(budget, 1000 * second, 100), 10);
}

TEST(Backoff, ThePausesGrowUpToTheirMost) {
  const Backoff backoff(2);
  using std::chrono::milliseconds;
  EXPECT_EQ(backoff.longest(0), milliseconds(50));
  EXPECT_EQ(backoff.longest(1), milliseconds(100));
  EXPECT_EQ(backoff.longest(9), milliseconds(2000));
  EXPECT_EQ(Backoff(1).longest(9), milliseconds(50));
}

TEST(Backoff, EachIsAnythingUpToThat) {
  const Backoff backoff(2);
  std::minstd_rand random(7);
  std::chrono::nanoseconds least = std::chrono::hours(1), most{0};
  for (int i = 0; i < 1000; ++i) {
    const auto pause = backoff.pause(3, random);
    least = std::min(least, pause);
    most = std::max(most, pause);
  }
  EXPECT_LT(least, backoff.longest(3) / 20);
  EXPECT_GT(most, backoff.longest(3) * 19 / 20);
  EXPECT_LE(most, backoff.longest(3));
}

}  // namespace
}  // namespace millrace::executor
