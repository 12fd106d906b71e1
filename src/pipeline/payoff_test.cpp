#include "pipeline/payoff.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace millrace::pipeline {
namespace {

constexpr std::int64_t us = 1000;

/// The server takes 100 us, memory 10 us, and asking it in vain 10 us more than that.
void measure(Payoff& payoff) {
  payoff.origin_took(100 * us);
  payoff.hit_took(10 * us);
  payoff.filling_took(10 * us);
}

TEST(PayoffRule, BreakEvenIsWhereBothWaysCostTheSame) {
  PayoffFigures figures{.origin_ns = 100, .hit_ns = 10, .miss_extra_ns = 10, .hit_ratio = 0};
  const double share = figures.break_even();
  EXPECT_DOUBLE_EQ(share, 0.1);
  EXPECT_DOUBLE_EQ(share * figures.hit_ns + (1 - share) * (figures.origin_ns + figures.miss_extra_ns),
                   figures.origin_ns);
}

TEST(PayoffRule, PaysAboveIt) {
  PayoffFigures figures{.origin_ns = 100, .hit_ns = 10, .miss_extra_ns = 10, .hit_ratio = 0.11};
  EXPECT_TRUE(figures.pays());
  figures.hit_ratio = 0.09;
  EXPECT_FALSE(figures.pays());
}

TEST(PayoffRule, NeverWhereMemoryTakesAsLongAsTheServer) {
  PayoffFigures figures{.origin_ns = 100, .hit_ns = 100, .miss_extra_ns = 0, .hit_ratio = 1};
  EXPECT_GT(figures.break_even(), 1);
  EXPECT_FALSE(figures.pays());
}

TEST(PayoffRule, PaysUntilItIsKnownWhatTheServerTakes) {
  EXPECT_TRUE(PayoffFigures({.origin_ns = 0, .hit_ns = 10, .miss_extra_ns = 10, .hit_ratio = 0}).pays());
}

constexpr std::int64_t ms = 1000 * us, second = 1000 * ms;

/// So many questions each millisecond, each of which is answered from memory if it is a multiple of `hit_of`.
std::int64_t ask_for(Payoff& payoff, std::int64_t from, std::int64_t time, int hit_of, std::int64_t each = ms) {
  int asked = 0;
  for (std::int64_t now = from; now < from + time; now += each) {
    if (!payoff.is_for_memory(now)) continue;
    if (++asked % hit_of == 0) {
      payoff.hit();
    } else {
      payoff.missed(now);
    }
  }
  return from + time;
}
constexpr int never = 1 << 30;

TEST(Payoff, PassesOnWhatIsStaleEachTimeOnceItHasBeenTried) {
  Payoff payoff;
  measure(payoff);
  auto now = ask_for(payoff, second, 1900 * ms, never);
  EXPECT_TRUE(payoff.is_for_memory(now)) << "it may only have been cold";
  now = ask_for(payoff, now, 200 * ms, never);
  EXPECT_FALSE(payoff.is_for_memory(now));
  EXPECT_EQ(payoff.figures().hit_ratio, 0);
  EXPECT_TRUE(payoff.is_for_memory(now + Payoff::first_pause_ns));
}

TEST(Payoff, KeepsWhatPays) {
  Payoff payoff;
  measure(payoff);
  const auto now = ask_for(payoff, second, 60 * second, 5);  // over one in six
  EXPECT_TRUE(payoff.is_for_memory(now));
  EXPECT_NEAR(payoff.figures().hit_ratio, 0.2, 0.02);
}

TEST(Payoff, WhatWasColdAtFirstDoesNotCount) {
  Payoff payoff;
  measure(payoff);
  auto now = ask_for(payoff, second, second - 10 * ms, never);
  now = ask_for(payoff, now, 4 * second, 2);
  EXPECT_TRUE(payoff.is_for_memory(now));
}

TEST(Payoff, IsNotJudgedByAMomentOfMisses) {
  Payoff payoff;
  measure(payoff);
  auto now = ask_for(payoff, second, 900 * ms, 2);
  for (int i = 0; i < 1000; ++i) payoff.hit();  // for ten seconds, nothing else
  now = ask_for(payoff, now + 10 * second, 900 * ms, never);
  EXPECT_TRUE(payoff.is_for_memory(now)) << "much was stale at once, say";
  now = ask_for(payoff, now, 200 * ms, never);
  EXPECT_FALSE(payoff.is_for_memory(now)) << "and still is";
}

TEST(Payoff, PausesGetLongerUntilItPays) {
  Payoff payoff;
  measure(payoff);
  std::int64_t tried = 0;
  for (std::int64_t now = second; now < 200 * second; now += 10 * ms) {
    if (!payoff.is_for_memory(now)) continue;
    payoff.missed(now);
    ++tried;
  }
  EXPECT_LT(tried, 200 * 100 / 8) << "of each pause and trial, the trial takes ever less";
  EXPECT_GT(tried, 200 * 100 / 50);
  const auto again = std::max<std::int64_t>(payoff.tried_since(), 200 * second);
  EXPECT_LE(again, 200 * second + Payoff::longest_pause_ns);
  const auto now = ask_for(payoff, again, 10 * second, 2);
  EXPECT_TRUE(payoff.is_for_memory(now));
  ask_for(payoff, now, 3 * second, never);
  EXPECT_LE(payoff.tried_since(), now + 3 * second + Payoff::first_pause_ns) << "it had paid in between";
}

TEST(Payoff, WhatIsAskedForRarelyIsNeverPassedOn) {
  Payoff payoff;
  measure(payoff);
  const auto now = ask_for(payoff, second, 1000 * second, never, 50 * ms);
  EXPECT_TRUE(payoff.is_for_memory(now));
}

TEST(Payoff, WaitingInVainCounts) {
  Payoff payoff;
  measure(payoff);
  auto now = ask_for(payoff, second, 5 * second, 4);
  EXPECT_TRUE(payoff.is_for_memory(now));
  for (int i = 0; i < 2000; ++i) {
    payoff.missed(now, 200 * us);
    if (i % 3 == 0) payoff.hit();
  }
  now = ask_for(payoff, now, second, 4);
  EXPECT_FALSE(payoff.is_for_memory(now));
  EXPECT_GT(payoff.figures().miss_extra_ns, 100 * us);
}

TEST(Payoff, HitsThatWaitAreNoGain) {
  Payoff payoff;
  measure(payoff);
  auto now = ask_for(payoff, second, 5 * second, 2);
  EXPECT_TRUE(payoff.is_for_memory(now));
  for (int i = 0; i < 2000; ++i) payoff.hit_waited(150 * us);
  ask_for(payoff, now, second, 2);
  EXPECT_GT(payoff.tried_since(), now);
  EXPECT_GT(payoff.figures().hit_ns, 100 * us) << "as it was judged";
}

TEST(Payoff, ACrowdThatWaitsForOneAnswerIsWeighedByAllThatDidNotWait) {
  Payoff payoff;
  measure(payoff);
  auto now = second;
  for (int at = 0; at < 100; ++at) {
    for (int i = 0; i < 1000; ++i) payoff.hit();
    for (int i = 0; i < 40; ++i) payoff.hit_waited(ms);  // of those
    now = ask_for(payoff, now, 50 * ms, 50);
    EXPECT_TRUE(payoff.is_for_memory(now)) << at;
  }
}

TEST(Payoff, WhatIsLongAgoCountsLittle) {
  Payoff payoff;
  measure(payoff);
  const auto now = ask_for(payoff, second, 1000 * second, 2);
  ask_for(payoff, now, 2 * second, never);
  EXPECT_GT(payoff.tried_since(), now);
}

using enum Consistency::Level;

TEST(Payoffs, TellsTemplatesDatabasesAndLevelsApart) {
  Payoffs all;
  EXPECT_EQ(all.find(1, 1, session), nullptr);
  auto& one = all.make(1, 1, session);
  EXPECT_EQ(all.find(1, 1, session), &one);
  EXPECT_EQ(&all.make(1, 1, session), &one);
  EXPECT_EQ(all.find(2, 1, session), nullptr);
  EXPECT_EQ(all.find(1, 2, session), nullptr);
  EXPECT_EQ(all.find(1, 1, strong), nullptr);
}

TEST(Payoffs, WhatIsAskedOftenStaysAmongAMillionOthers) {
  Payoffs all;
  auto& often = all.make(0, 1, session);
  measure(often);
  ask_for(often, second, 100 * ms, 2);
  for (std::uint64_t other = 1; other <= 1'000'000; ++other) all.make(other, 1, session).missed(second);
  ASSERT_EQ(all.find(0, 1, session), &often);
  EXPECT_EQ(often.figures().origin_ns, 100 * us);
}

TEST(Payoffs, ThreadsMayCountAtOnce) {
  Payoffs all;
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&all, thread] {
      for (std::uint64_t i = 0; i < 20'000; ++i) {
        auto& payoff = all.make((i * 7 + thread) % 6000, 1, session);
        measure(payoff);
        payoff.missed(static_cast<std::int64_t>(i) * ms);
        if (payoff.is_for_memory(static_cast<std::int64_t>(i) * ms)) payoff.hit();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_LE(all.make(1, 1, session).figures().hit_ratio, 1);
}

}  // namespace
}  // namespace millrace::pipeline
