#include "base/circuit_breaker.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace millrace {
namespace {

using State = CircuitBreaker::State;
constexpr std::int64_t ms = 1'000'000, second = 1000 * ms;

/// With what it has told, in order.
struct Watched {
  CircuitBreaker breaker{"db:5432"};
  std::vector<bool> told;

  Watched() {
    breaker.on_change([this](bool is_closed) { told.push_back(is_closed); });
  }
  void fail(int times, std::int64_t now) {
    for (int i = 0; i < times; ++i) breaker.failed(now, "refused");
  }
  /// As its owner does now and then, to whom the server doesn't answer either. False: it was no time for an attempt.
  bool try_in_vain(std::int64_t now) {
    if (!breaker.begin_attempt(now)) return false;
    breaker.end_attempt(now, true);
    return true;
  }
  void open(std::int64_t now) {
    fail(5, now);
    EXPECT_TRUE(try_in_vain(now));
  }
  State state() const { return breaker.status().state; }
};

TEST(CircuitBreaker, OpensWhenFiveOfTheLastTenFailedAndItsOwnersAttemptToo) {
  Watched watched;
  watched.fail(4, second);
  EXPECT_FALSE(watched.try_in_vain(second));
  watched.fail(1, second);
  EXPECT_FALSE(watched.breaker.refuses());
  EXPECT_TRUE(watched.try_in_vain(second));
  EXPECT_TRUE(watched.breaker.refuses());
  EXPECT_EQ(watched.state(), State::open);
  EXPECT_EQ(watched.told, std::vector{false});
}

TEST(CircuitBreaker, StaysClosedWhereItsOwnersAttemptIsAnswered) {
  Watched watched;
  for (int round = 0; round < 20; ++round) {
    const std::int64_t now = (round + 1) * 10 * second;
    watched.fail(10, now);
    ASSERT_TRUE(watched.breaker.begin_attempt(now));
    EXPECT_FALSE(watched.breaker.begin_attempt(now));  // one at a time
    watched.breaker.heard(now);
    watched.fail(10, now);
    watched.breaker.end_attempt(now, false);
    EXPECT_FALSE(watched.try_in_vain(now));  // it has just been heard
  }
  EXPECT_EQ(watched.state(), State::closed);
  EXPECT_TRUE(watched.told.empty());
}

TEST(CircuitBreaker, FailuresThatAreGoneByDontCount) {
  Watched watched;
  for (int round = 0; round < 20; ++round) {
    watched.fail(4, second);
    for (int i = 0; i < 7; ++i) watched.breaker.answered(second, ms);
    EXPECT_FALSE(watched.try_in_vain(10 * second));
  }
  EXPECT_EQ(watched.state(), State::closed);
}

TEST(CircuitBreaker, LostConnectionsCountButOnlyAFailedAttemptOpensIt) {
  Watched watched;
  for (int i = 0; i < 50; ++i) watched.breaker.lost(second);
  EXPECT_FALSE(watched.breaker.refuses());
  ASSERT_TRUE(watched.breaker.begin_attempt(second));
  watched.breaker.answered(second, ms);
  watched.breaker.end_attempt(second, false);
  EXPECT_FALSE(watched.breaker.refuses());
}

TEST(CircuitBreaker, StaysClosedWhileAnythingIsHeard) {
  Watched watched;
  watched.breaker.failed(second, "refused");
  watched.breaker.heard(second);
  watched.fail(10, second);
  EXPECT_FALSE(watched.try_in_vain(2 * second));
  EXPECT_TRUE(watched.try_in_vain(2 * second + 1));
}

TEST(CircuitBreaker, WhatIsHeardDuringItsOwnersAttemptKeepsItClosed) {
  Watched watched;
  watched.fail(10, second);
  ASSERT_TRUE(watched.breaker.begin_attempt(second));
  watched.breaker.heard(10 * second);
  watched.breaker.end_attempt(10 * second, true);
  EXPECT_EQ(watched.state(), State::closed);
}

TEST(CircuitBreaker, WhatIsHeardEndsTheSuspicion) {
  Watched watched;
  EXPECT_FALSE(watched.breaker.listens());
  watched.fail(1, second);
  EXPECT_TRUE(watched.breaker.listens());
  for (int i = 0; i < 10; ++i) watched.breaker.heard(second);
  EXPECT_FALSE(watched.breaker.listens());
}

TEST(CircuitBreaker, IsSilentWhenNothingIsHeardForASecond) {
  Watched watched;
  EXPECT_FALSE(watched.breaker.is_silent(second));
  EXPECT_TRUE(watched.breaker.listens());
  EXPECT_TRUE(watched.breaker.is_silent(2 * second + 1));
  watched.breaker.heard(2 * second + 2);
  EXPECT_FALSE(watched.breaker.listens());
  EXPECT_FALSE(watched.breaker.is_silent(3 * second));
  watched.open(30 * second);
  EXPECT_FALSE(watched.breaker.is_silent(40 * second));  // it is open: there is an attempt in any case
}

TEST(CircuitBreaker, OneAttemptIsMadeWhenItsTimeHasCome) {
  Watched watched;
  watched.open(second);
  EXPECT_FALSE(watched.breaker.begin_attempt(second + 374 * ms));  // half a second, and a quarter of that
  EXPECT_TRUE(watched.breaker.begin_attempt(second + 626 * ms));
  EXPECT_EQ(watched.state(), State::half_open);
  EXPECT_TRUE(watched.breaker.refuses());
  EXPECT_FALSE(watched.breaker.begin_attempt(second + 700 * ms));
  watched.breaker.answered(second + 700 * ms, ms);
  watched.breaker.end_attempt(second + 700 * ms, false);
  EXPECT_EQ(watched.state(), State::closed);
  EXPECT_FALSE(watched.breaker.refuses());
  EXPECT_EQ(watched.told, (std::vector{false, true}));
}

TEST(CircuitBreaker, EachFailedAttemptDoublesTheTimeUpToItsMost) {
  Watched watched;
  watched.open(0);
  std::int64_t usual = 500 * ms;
  for (int attempt = 0; attempt < 8; ++attempt) {
    const std::int64_t now = watched.breaker.status().next_attempt;
    watched.fail(1, now);
    ASSERT_TRUE(watched.try_in_vain(now));
    usual = std::min(usual * 2, 8 * second);
    const std::int64_t time = watched.breaker.status().next_attempt - now;
    EXPECT_GE(time, usual * 3 / 4);
    EXPECT_LE(time, usual * 5 / 4);
  }
  EXPECT_EQ(watched.told, std::vector{false});
  EXPECT_EQ(watched.breaker.status().opened, 1U);
}

TEST(CircuitBreaker, TheTimesOfTwoDiffer) {
  std::vector<std::int64_t> times;
  for (int i = 0; i < 10; ++i) {
    Watched watched;
    watched.open(0);
    times.push_back(watched.breaker.status().next_attempt);
  }
  EXPECT_NE(std::ranges::min(times), std::ranges::max(times));
}

TEST(CircuitBreaker, AnAttemptWithoutAnOutcomeIsMadeAgain) {
  Watched watched;
  watched.open(0);
  ASSERT_TRUE(watched.breaker.begin_attempt(second));
  watched.breaker.end_attempt(second, false);
  EXPECT_EQ(watched.state(), State::open);
  EXPECT_TRUE(watched.breaker.begin_attempt(2 * second));
}

TEST(CircuitBreaker, AnAnswerOfAnyAttemptClosesIt) {
  Watched watched;
  watched.open(0);
  watched.breaker.answered(ms, ms);
  EXPECT_EQ(watched.state(), State::closed);
  watched.fail(4, 10 * second);  // what was before is forgotten
  EXPECT_FALSE(watched.try_in_vain(10 * second));
}

TEST(CircuitBreaker, WhatIsHeardWhileItIsOpenClosesIt) {
  Watched watched;
  watched.open(second);
  ASSERT_TRUE(watched.breaker.listens());
  watched.breaker.heard(second + ms);
  EXPECT_FALSE(watched.breaker.refuses());
  EXPECT_EQ(watched.told, (std::vector{false, true}));
  watched.fail(4, 10 * second);
  EXPECT_FALSE(watched.try_in_vain(10 * second));
}

TEST(CircuitBreaker, WhatIsHeardWhileItIsHalfOpenClosesIt) {
  Watched watched;
  watched.open(second);
  ASSERT_TRUE(watched.breaker.begin_attempt(2 * second));
  watched.breaker.heard(2 * second);
  EXPECT_EQ(watched.state(), State::closed);
  watched.breaker.end_attempt(3 * second, true);
  EXPECT_EQ(watched.state(), State::closed);
}

TEST(CircuitBreaker, OffItNeverOpensAndClosesIfItWas) {
  Watched watched;
  watched.open(second);
  watched.breaker.turn(false);
  EXPECT_FALSE(watched.breaker.refuses());
  EXPECT_EQ(watched.told, (std::vector{false, true}));
  watched.fail(50, second);
  EXPECT_FALSE(watched.try_in_vain(second));
  watched.breaker.turn(true);
  EXPECT_TRUE(watched.try_in_vain(second));
  EXPECT_TRUE(watched.breaker.refuses());
}

TEST(CircuitBreaker, TheRefusalSaysSinceWhenAndWhatIsNext) {
  Watched watched;
  watched.open(second);
  const Error error = watched.breaker.refuse(4 * second);
  EXPECT_EQ(error.sqlstate, "57P03");
  EXPECT_EQ(error.message, "the server at db:5432 can't be reached");
  EXPECT_TRUE(error.hint.starts_with("It hasn't answered for 3.0 s, and is tried next in 0.0 s.")) << error.hint;
  EXPECT_EQ(error.detail, "refused");
  EXPECT_EQ(watched.breaker.status().refused, 1U);
  ASSERT_TRUE(watched.breaker.begin_attempt(4 * second));
  EXPECT_TRUE(watched.breaker.refuse(4 * second).hint.contains("is being tried now"));
}

TEST(CircuitBreaker, CountsWhatItIsTold) {
  Watched watched;
  watched.breaker.answered(second, 10 * ms);
  watched.breaker.answered(2 * second, 20 * ms);
  watched.breaker.failed(3 * second, "no");
  watched.breaker.lost(4 * second);
  const auto status = watched.breaker.status();
  EXPECT_EQ(status.answered, 2U);
  EXPECT_EQ(status.failed, 1U);
  EXPECT_EQ(status.lost, 1U);
  EXPECT_EQ(status.failures_in_row, 2U);
  EXPECT_EQ(status.recent_failures, 2U);
  EXPECT_EQ(status.mean_ns, 15 * ms);
  EXPECT_EQ(status.last_answer, 2 * second);
  EXPECT_EQ(status.last_failure, 4 * second);
}

TEST(CircuitBreaker, TellsOfWhatHappensInItsOrder) {
  CircuitBreaker breaker("db:5432");
  std::atomic<int> opened = 0, closed = 0;
  std::atomic<bool> alternates = true;
  bool last = true;
  breaker.on_change([&](bool is_closed) {
    ++(is_closed ? closed : opened);
    alternates = alternates && std::exchange(last, is_closed) != is_closed;
  });
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&breaker] {
        for (std::int64_t now = 1; now < 20000; now += 5) {
          for (int i = 0; i < 5; ++i) breaker.failed(now * second, "no");
          if (breaker.refuses()) breaker.refuse(now * second);
          if (breaker.begin_attempt(now * second)) breaker.end_attempt(now * second, true);
          if (now % 2 == 0) breaker.answered(now * second, 1);
        }
      });
    }
  }
  breaker.answered(30000 * second, 1);
  EXPECT_GT(opened, 0);
  EXPECT_EQ(opened, closed);
  EXPECT_TRUE(alternates);
}

}  // namespace
}  // namespace millrace
