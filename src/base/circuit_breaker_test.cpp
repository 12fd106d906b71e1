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
  State state() const { return breaker.status().state; }
};

TEST(CircuitBreaker, OpensAtTheFifthFailureOfTheLastTen) {
  Watched watched;
  watched.fail(4, second);
  EXPECT_FALSE(watched.breaker.refuses());
  watched.fail(1, second);
  EXPECT_TRUE(watched.breaker.refuses());
  EXPECT_EQ(watched.state(), State::open);
  EXPECT_EQ(watched.told, std::vector{false});
}

TEST(CircuitBreaker, FailuresThatAreGoneByDontCount) {
  Watched watched;
  for (int round = 0; round < 20; ++round) {
    watched.fail(4, second);
    for (int i = 0; i < 7; ++i) watched.breaker.answered(second, ms);
  }
  EXPECT_EQ(watched.state(), State::closed);
}

TEST(CircuitBreaker, LostConnectionsCountButOnlyAFailedAttemptOpensIt) {
  Watched watched;
  for (int i = 0; i < 50; ++i) watched.breaker.lost(second);
  EXPECT_FALSE(watched.breaker.refuses());
  watched.fail(1, second);
  EXPECT_TRUE(watched.breaker.refuses());
}

TEST(CircuitBreaker, AServerThatAnswersOnOtherConnectionsIsntDown) {
  Watched watched;
  for (int i = 0; i < 100; ++i) {
    watched.fail(1, second);
    for (int heard = 0; heard < 3 && watched.breaker.listens(); ++heard) watched.breaker.heard(second);
  }
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
  watched.fail(5, 3 * second);
  EXPECT_FALSE(watched.breaker.is_silent(30 * second));  // it is open: there is an attempt in any case
}

TEST(CircuitBreaker, OneAttemptIsMadeWhenItsTimeHasCome) {
  Watched watched;
  watched.fail(5, second);
  EXPECT_FALSE(watched.breaker.begin_attempt(second + 374 * ms));  // half a second, and a quarter of that
  EXPECT_TRUE(watched.breaker.begin_attempt(second + 626 * ms));
  EXPECT_EQ(watched.state(), State::half_open);
  EXPECT_TRUE(watched.breaker.refuses());
  EXPECT_FALSE(watched.breaker.begin_attempt(second + 700 * ms));
  watched.breaker.answered(second + 700 * ms, ms);
  watched.breaker.end_attempt(second + 700 * ms);
  EXPECT_EQ(watched.state(), State::closed);
  EXPECT_FALSE(watched.breaker.refuses());
  EXPECT_EQ(watched.told, (std::vector{false, true}));
}

TEST(CircuitBreaker, EachFailedAttemptDoublesTheTimeUpToItsMost) {
  Watched watched;
  watched.fail(5, 0);
  std::int64_t usual = 500 * ms;
  for (int attempt = 0; attempt < 8; ++attempt) {
    const std::int64_t now = watched.breaker.status().next_attempt;
    ASSERT_TRUE(watched.breaker.begin_attempt(now));
    watched.fail(1, now);
    watched.breaker.end_attempt(now);
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
    watched.fail(5, 0);
    times.push_back(watched.breaker.status().next_attempt);
  }
  EXPECT_NE(std::ranges::min(times), std::ranges::max(times));
}

TEST(CircuitBreaker, AnAttemptWithoutAnOutcomeIsMadeAgain) {
  Watched watched;
  watched.fail(5, 0);
  ASSERT_TRUE(watched.breaker.begin_attempt(second));
  watched.breaker.end_attempt(second);
  EXPECT_EQ(watched.state(), State::open);
  EXPECT_TRUE(watched.breaker.begin_attempt(2 * second));
}

TEST(CircuitBreaker, AnAnswerOfAnyAttemptClosesIt) {
  Watched watched;
  watched.fail(5, 0);
  watched.breaker.answered(ms, ms);
  EXPECT_EQ(watched.state(), State::closed);
  watched.fail(4, second);  // what was before is forgotten
  EXPECT_EQ(watched.state(), State::closed);
}

TEST(CircuitBreaker, WhatIsHeardWhileItIsOpenMakesTheAttemptDue) {
  Watched watched;
  watched.fail(5, second);
  ASSERT_TRUE(watched.breaker.listens());
  watched.breaker.heard(second + ms);
  EXPECT_TRUE(watched.breaker.refuses());
  EXPECT_TRUE(watched.breaker.begin_attempt(second + ms));
}

TEST(CircuitBreaker, OffItNeverOpensAndClosesIfItWas) {
  Watched watched;
  watched.fail(5, second);
  watched.breaker.turn(false);
  EXPECT_FALSE(watched.breaker.refuses());
  EXPECT_EQ(watched.told, (std::vector{false, true}));
  watched.fail(50, second);
  EXPECT_FALSE(watched.breaker.refuses());
  watched.breaker.turn(true);
  watched.fail(1, second);
  EXPECT_TRUE(watched.breaker.refuses());
}

TEST(CircuitBreaker, TheRefusalSaysSinceWhenAndWhatIsNext) {
  Watched watched;
  watched.fail(5, second);
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

TEST(CircuitBreaker, ManyThreadsMayTellIt) {
  CircuitBreaker breaker("db:5432");
  std::atomic<int> opened = 0, closed = 0;
  breaker.on_change([&](bool is_closed) { ++(is_closed ? closed : opened); });
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&breaker] {
        for (std::int64_t now = 1; now < 2000; ++now) {
          breaker.failed(now * ms, "no");
          if (breaker.refuses()) breaker.refuse(now * ms);
          if (now % 50 == 0) breaker.answered(now * ms, 1);
          if (breaker.begin_attempt(now * ms)) breaker.end_attempt(now * ms);
        }
      });
    }
  }
  breaker.answered(3 * second, 1);
  EXPECT_GT(opened, 0);
  EXPECT_EQ(opened, closed);
}

}  // namespace
}  // namespace millrace
