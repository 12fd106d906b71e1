#include "executor/queue_delay.hpp"

#include <gtest/gtest.h>

#include <deque>

namespace millrace::executor {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr QueueDelay::Limits limits{.target = 100 * ms, .interval = 1000 * ms};

/// A turn each 10 ms; who comes, and isn't refused, waits. In milliseconds.
struct Queue {
  QueueDelay delay;
  std::deque<int> waiting;
  int now = 0, refused = 0, longest = 0;

  void come() {
    if (waiting.empty()) delay.begin(now * ms);
    if (!waiting.empty() && delay.is_too_long(waiting.size(), limits, now * ms)) {
      ++refused;
    } else {
      waiting.push_back(now);
    }
  }
  void run(int until, int every) {
    for (; now < until; ++now) {
      if (every > 0 && now % every == 0) come();
      if (now % 10 != 0 || waiting.empty()) continue;
      longest = std::max(longest, now - waiting.front());
      delay.on_turn((now - waiting.front()) * ms, limits, now * ms);
      waiting.pop_front();
    }
  }
};

TEST(QueueDelay, ABurstThatIsWorkedOffCostsNobodyAnything) {
  Queue queue;
  for (int burst = 0; burst < 5; ++burst) {
    for (int many = 0; many < 40; ++many) queue.come();
    queue.run(queue.now + 2000, 20);
  }
  EXPECT_EQ(queue.refused, 0);
}

TEST(QueueDelay, WhoWaitsAlreadyGoesOn) {
  Queue queue;
  for (int many = 0; many < 1000; ++many) queue.come();
  queue.run(11'000, 0);
  EXPECT_EQ(queue.refused, 0);
  EXPECT_TRUE(queue.waiting.empty());
}

TEST(QueueDelay, WhereMoreComeThanGetTurnsTheWaitIsTheTarget) {
  Queue queue;
  queue.run(10'000, 2);
  queue.longest = queue.refused = 0;
  queue.run(20'000, 2);
  EXPECT_LE(queue.longest, 150);
  EXPECT_NEAR(queue.refused, 4000, 50) << "no turn is lost";
  queue.run(30'000, 20);  // it is over
  queue.refused = 0;
  queue.run(40'000, 20);
  EXPECT_EQ(queue.refused, 0);
}

TEST(QueueDelay, WhereNobodyGetsATurnNoMoreCome) {
  QueueDelay delay;
  delay.begin(0);
  EXPECT_FALSE(delay.is_too_long(5, limits, 999 * ms));
  EXPECT_TRUE(delay.is_too_long(5, limits, 1001 * ms));
  EXPECT_FALSE(delay.is_too_long(0, limits, 1001 * ms));
}

TEST(QueueDelay, WithoutATargetNobodyIsRefused) {
  QueueDelay delay;
  delay.begin(0);
  EXPECT_FALSE(delay.is_too_long(1000, {}, 1'000'000 * ms));
}

}  // namespace
}  // namespace millrace::executor
