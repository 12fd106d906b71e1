#include "executor/concurrency_limit.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <queue>
#include <random>

#include "executor/adaptive_query_executor.hpp"
#include "executor/template_times.hpp"

namespace millrace::executor {
namespace {

constexpr std::int64_t ms = 1'000'000, second = 1000 * ms;
/// Most are short; a tenth are of a template that takes longer.
constexpr double mean_of_short = 2.0 * ms, mean_of_long = 20.0 * ms,
                 mean_duration = 0.9 * mean_of_short + 0.1 * mean_of_long;

/// A backend with so many processors, which share themselves out between what runs; each that runs too many makes all
/// slower by `thrashing`. Clients ask again as soon as they are answered. In its own time.
class Backend {
 public:
  Backend(double processors, double thrashing, std::uint32_t seed)
      : processors_(processors), thrashing_(thrashing), random_(seed) {}

  /// Queries a second, over `seconds` after as long to settle.
  double answers(AdaptiveQueryExecutor::Limits limits, std::size_t clients, int seconds) {
    AdaptiveQueryExecutor executor(limits);
    const auto party = executor.party("ada", "");
    TemplateTimes times;
    std::vector<Client> all(clients);
    for (auto& client : all) ask(executor, party, client, 0);
    std::size_t answered = 0;
    std::int64_t now = 0, next_tick = 500 * ms;
    while (now < 2 * seconds * second) {
      Client* first = nullptr;
      std::size_t running = 0;
      for (auto& client : all) {
        if (!client.permit && client.waiting && client.waiting->state() == WaitingQuery::State::let_in) {
          client.permit = executor.take(*client.waiting, now);
          client.waiting.reset();
        }
        if (!client.permit) continue;
        ++running;
        if (first == nullptr || client.left < first->left) first = &client;
      }
      const double n = static_cast<double>(running);
      const double over = std::max(0.0, n - processors_);
      const double pace = std::min(1.0, processors_ / n) / (1 + thrashing_ * over);  // of each that runs
      const auto step = std::max<std::int64_t>(1, static_cast<std::int64_t>(first->left / pace));
      for (auto& client : all) {
        if (client.permit) client.left -= pace * static_cast<double>(step);
      }
      now += step;
      first->permit.give_back(now, times.note(first->kind, now - first->permit.since(), now));
      answered += now > seconds * second ? 1 : 0;
      ask(executor, party, *first, now);
      for (; now >= next_tick; next_tick += 500 * ms) executor.tick(now);
    }
    for (auto& client : all) {
      if (client.waiting) executor.stop_waiting(*client.waiting, now);
      client.permit.give_back(now);
    }
    EXPECT_EQ(executor.figures(now).running, 0);
    return static_cast<double>(answered) / seconds;
  }

 private:
  struct Client {
    Permit permit;
    std::shared_ptr<WaitingQuery> waiting;
    double left = 0;
    std::uint64_t kind = 1;
  };

  /// Durations of each kind differ by orders of magnitude.
  void ask(AdaptiveQueryExecutor& executor, const std::shared_ptr<Party>& party, Client& client, std::int64_t now) {
    client.kind = std::uniform_int_distribution<>(0, 9)(random_) == 0 ? 2 : 1;
    const double mean = client.kind == 2 ? mean_of_long : mean_of_short;
    client.left = mean * std::exp(std::normal_distribution<>(-0.5, 1)(random_));
    client.permit = executor.try_take(*party, nullptr, now);
    if (!client.permit) client.waiting = executor.wait({.party = party}, {}, now);
  }

  const double processors_, thrashing_;
  std::mt19937 random_;
};

struct Case {
  double processors, thrashing;
  int seconds;  ///< the less gets done, the longer it takes to tell one limit from another
};

class AnyBackend : public testing::TestWithParam<Case> {};

TEST_P(AnyBackend, IsNearlyAsFastAsWithTheBestFixedLimit) {
  constexpr std::size_t clients = 70;
  const auto& [processors, thrashing, settles] = GetParam();
  Backend backend(processors, thrashing, 7);
  const double found = backend.answers({.most = 64, .finds_best = true, .wait = {}}, clients, settles);
  // No more than its processors do, if nothing is in their way.
  const double best = processors * second / mean_duration;
  const double unlimited = best / (1 + thrashing * (static_cast<double>(clients) - processors));
  EXPECT_GT(found, 0.9 * best);
  EXPECT_LT(found, 1.1 * best);
  EXPECT_TRUE(thrashing == 0 || found > 1.2 * unlimited) << found << " " << unlimited;
}

/// With a few more nobody waits any longer.
TEST(ConcurrencyLimit, FindsWhatIsBetweenTheLimitAndTwiceAsMany) {
  Backend backend(16, 0, 7);
  constexpr double mean_per_second = 16.0 * second / mean_duration;
  EXPECT_GT(backend.answers({.most = 20, .finds_best = true, .wait = {}}, 17, 5), 0.85 * mean_per_second);
}

INSTANTIATE_TEST_SUITE_P(Backends, AnyBackend,
                         testing::Values(Case{2, 0, 20}, Case{2, 0.02, 60}, Case{8, 0, 10}, Case{8, 0.05, 20},
                                         Case{32, 0.02, 8}));

TEST(ConcurrencyLimit, IsNeverAboveWhatIsAllowed) {
  for (const std::size_t most : {1, 3, 7, 100}) {
    ConcurrencyLimit limit(most);
    for (int at = 1; at < 1000; ++at) {  // twice as much gets done with twice the limit
      limit.end({.ended = 100 * limit.limit(), .saturated = true, .begun = (at - 1) * second, .now = at * second});
      EXPECT_LE(limit.limit(), most);
    }
    EXPECT_GE(2 * limit.limit(), most);
  }
}

/// Pools come and go.
TEST(ConcurrencyLimit, IsWhatItWasOnceThatIsAllowedAgain) {
  ConcurrencyLimit limit(2);
  EXPECT_EQ(limit.limit(), 2);
  limit.set_most(100);
  EXPECT_EQ(limit.limit(), ConcurrencyLimit::at_first);
  for (int at = 1; at < 10; ++at) limit.end({.saturated = true, .begun = (at - 1) * second, .now = at * second});
  EXPECT_EQ(limit.limit(), 100);
  limit.set_most(5);
  EXPECT_EQ(limit.limit(), 5);
  limit.end({.saturated = true, .begun = 10 * second, .now = 11 * second});
  EXPECT_EQ(limit.limit(), 5);
  limit.set_most(100);
  EXPECT_EQ(limit.limit(), 100);
}

/// Also where that is lower than what was found. The more run, the less gets done.
TEST(ConcurrencyLimit, ComesDownFromWhatIsAllowed) {
  ConcurrencyLimit limit(5);
  for (int at = 1; at < 200; ++at) {
    limit.end({.ended = 10000 / (limit.limit() * limit.limit()),
               .saturated = true,
               .begun = (at - 1) * second,
               .now = at * second});
  }
  EXPECT_LT(limit.limit(), 4);
  limit.set_most(100);
  EXPECT_LT(limit.limit(), 4);
}

TEST(ConcurrencyLimit, GrowsWhereNothingEnds) {
  ConcurrencyLimit limit(100);
  for (int at = 1; at < 10; ++at) limit.end({.saturated = true, .begun = (at - 1) * second, .now = at * second});
  EXPECT_EQ(limit.limit(), 100);
}

TEST(ConcurrencyLimit, DoesNotGrowWhereAllFails) {
  ConcurrencyLimit limit(100);
  for (int at = 1; at < 40; ++at) {
    limit.end({.in_vain = 500, .saturated = true, .begun = (at - 1) * second, .now = at * second});
    EXPECT_LE(limit.limit(), ConcurrencyLimit::at_first);
  }
}

/// As where all but one slot are held by what takes long, and the limit is the only one above that.
TEST(ConcurrencyLimit, ATrialOfLessEndsAsSoonAsThatIsClearlyWorse) {
  ConcurrencyLimit limit(ConcurrencyLimit::at_first);
  int trials = 0;
  std::int64_t now = 0;
  for (int at = 0; at < 60; ++at) {
    ConcurrencyLimit::Window window{.saturated = true, .begun = now, .now = now};
    const bool is_less = limit.limit() < ConcurrencyLimit::at_first;
    while (!limit.is_due(window)) {
      window.now += 10 * ms;
      if (!is_less) window.ended += 20;
    }
    if (is_less) {
      EXPECT_LE(window.now - window.begun, 200 * ms);
      ++trials;
    }
    now = window.now;
    limit.end(window);
    EXPECT_LE(limit.limit(), ConcurrencyLimit::at_first);
    if (is_less) {
      EXPECT_EQ(limit.limit(), ConcurrencyLimit::at_first);
    }
  }
  EXPECT_EQ(trials, 1) << "it isn't tried again soon";
}

/// More fail the more run at a time: what comes to a good end counts, not what ends.
TEST(ConcurrencyLimit, WhatFailsIsNotDone) {
  ConcurrencyLimit limit(100);
  for (int at = 1; at < 400; ++at) {
    const std::size_t runs = limit.limit();
    const std::size_t good = 4000 / (10 + runs);
    limit.end(
        {.ended = good, .in_vain = 100 * runs, .saturated = true, .begun = (at - 1) * second, .now = at * second});
  }
  EXPECT_LT(limit.limit(), ConcurrencyLimit::at_first);
}

TEST(ConcurrencyLimit, StaysWhereNobodyNeedsMore) {
  ConcurrencyLimit limit(100);
  for (int at = 1; at < 40; ++at) {
    limit.end({.ended = 100, .begun = (at - 1) * second, .now = at * second});
    EXPECT_EQ(limit.limit(), ConcurrencyLimit::at_first);
  }
}

TEST(TemplateTimes, SayHowLongTheyUsuallyTake) {
  TemplateTimes times;
  EXPECT_EQ(times.mean(1), 0);
  int size = 0;
  for (int at = 0; at < 100; ++at) size = times.note(1, at % 2 == 0 ? 4 * ms : 16 * ms, at * ms);
  EXPECT_NEAR(size, log2_256(8 * ms), 16);
  EXPECT_NEAR(static_cast<double>(times.mean(1)), 10.0 * ms, 1.0 * ms);
  EXPECT_EQ(times.mean(2), 0);
}

TEST(ConcurrencyLimit, TheCeilingFallsWhateverIsTried) {
  for (std::size_t most = 1; most < 6; ++most) {
    ConcurrencyLimit limit(most);
    std::int64_t now = 0;
    for (int i = 0; i < 40; ++i) {
      const auto begun = now;
      now += 2'000'000'000;
      limit.end({.ended = 1000, .size = 10, .saturated = true, .begun = begun, .now = now});
      auto falls = limit;
      falls.set_most(1);
      EXPECT_EQ(falls.limit(), 1u);
    }
  }
}

}  // namespace
}  // namespace millrace::executor
