#include "executor/adaptive_query_executor.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <random>
#include <thread>

#include "base/clock.hpp"

namespace millrace::executor {
namespace {

using State = WaitingQuery::State;

AdaptiveQueryExecutor::Limits fixed(std::size_t most, std::size_t most_waiting = 1000) {
  return {.most = most, .finds_best = false, .most_waiting = most_waiting, .wait = {}};
}

constexpr std::int64_t ms = 1'000'000;

/// As many as may run.
std::vector<Permit> take_all(AdaptiveQueryExecutor& executor, const std::shared_ptr<Party>& party, std::int64_t now) {
  std::vector<Permit> taken;
  while (auto permit = executor.try_take(*party, nullptr, now)) taken.push_back(std::move(permit));
  return taken;
}

TEST(AdaptiveQueryExecutor, LetsInAsManyAsMayAndThenByTurns) {
  AdaptiveQueryExecutor executor(fixed(2));
  const auto ada = executor.party("ada", "");
  auto first = executor.try_take(*ada, nullptr, 1), second = executor.try_take(*ada, nullptr, 1);
  EXPECT_TRUE(first);
  EXPECT_TRUE(second);
  EXPECT_FALSE(executor.try_take(*ada, nullptr, 1));
  int woken = 0;
  const auto low = executor.wait({.party = ada, .priority = Priority::low}, [&] { ++woken; }, 2);
  const auto high = executor.wait({.party = ada, .priority = Priority::high}, [&] { ++woken; }, 3);
  EXPECT_EQ(woken, 0);
  first.give_back(4);
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(high->state(), State::let_in);
  EXPECT_EQ(low->state(), State::waits);
  EXPECT_FALSE(executor.try_take(*ada, nullptr, 4));
  {
    const auto permit = executor.take(*high, 5);
    EXPECT_TRUE(permit);
    EXPECT_FALSE(executor.take(*high, 5));
  }  // given back
  EXPECT_EQ(low->state(), State::let_in);
  executor.stop_waiting(*low, 6);
  second.give_back(7);
  const auto figures = executor.figures(8);
  EXPECT_EQ(figures.running, 0);
  EXPECT_EQ(figures.waited, 2);
}

TEST(AdaptiveQueryExecutor, TakesAnywayWhatGoesOnInASlotWhereOneIsFree) {
  AdaptiveQueryExecutor executor(fixed(1));
  const auto ada = executor.party("ada", "");
  auto on = executor.take_anyway(*ada, 1), besides = executor.take_anyway(*ada, 2);
  EXPECT_EQ(executor.figures(3).running, 2);
  besides.give_back(3);
  EXPECT_FALSE(executor.try_take(*ada, nullptr, 3));
  on.give_back(4);
  EXPECT_TRUE(executor.try_take(*ada, nullptr, 4));
  EXPECT_EQ(executor.figures(5).running, 0);
}

/// However many there are of these, and however often they come.
TEST(AdaptiveQueryExecutor, WhatIsTakenAnywayTakesNobodysTurn) {
  AdaptiveQueryExecutor executor(fixed(2));
  const auto ada = executor.party("ada", ""), bob = executor.party("bob", "");
  std::vector<Permit> crowd;
  for (std::int64_t now = 1; now <= 5; ++now) crowd.push_back(executor.take_anyway(*ada, now));
  for (std::int64_t now = 6; now < 100; ++now) {
    const auto waits = executor.wait({.party = bob}, {}, now);
    for (Permit& one : crowd) {
      one.give_back(now);
      one = executor.take_anyway(*ada, now);
    }
    EXPECT_EQ(waits->state(), State::let_in);
    executor.take(*waits, now).give_back(now, 1);
  }
}

/// `Pool`'s part: connections are taken and given back.
struct Connections {
  explicit Connections(AdaptiveQueryExecutor& executor, std::int64_t count)
      : free(count), places(std::make_shared<Places>([&executor] { executor.look_again(100); })) {
    places->set_free(count);
  }
  void take(Permit& permit) {
    places->set_free(--free);
    permit.has_place();
  }
  void give_back() {
    places->set_free(++free);
    places->tell();
  }

  std::int64_t free;
  const std::shared_ptr<Places> places;
};

TEST(AdaptiveQueryExecutor, WhosePoolHasNoConnectionWaitsInOrderAndHoldsNobodyBack) {
  AdaptiveQueryExecutor executor(fixed(10));
  const auto ada = executor.party("ada", ""), bob = executor.party("bob", "");
  Connections connections(executor, 1);
  auto first = executor.try_take(*ada, connections.places.get(), 1);
  EXPECT_TRUE(first);
  EXPECT_FALSE(executor.try_take(*ada, connections.places.get(), 1)) << "it is promised";
  connections.take(first);
  EXPECT_FALSE(executor.try_take(*ada, connections.places.get(), 2)) << "it is taken";
  const auto low = executor.wait({.party = ada, .priority = Priority::low, .places = connections.places}, {}, 3);
  const auto high = executor.wait({.party = ada, .priority = Priority::high, .places = connections.places}, {}, 4);
  EXPECT_EQ(high->state(), State::waits);
  EXPECT_FALSE(executor.anybody_waits()) << "for a slot";
  EXPECT_TRUE(connections.places->wanted());
  EXPECT_TRUE(executor.try_take(*bob, nullptr, 5));
  EXPECT_TRUE(executor.try_take(*ada, nullptr, 5)) << "who has a connection needs none";
  first.give_back(6, 1);
  EXPECT_EQ(high->state(), State::waits);
  connections.give_back();
  EXPECT_EQ(high->state(), State::let_in);
  EXPECT_EQ(low->state(), State::waits);
  EXPECT_FALSE(executor.try_take(*ada, connections.places.get(), 7));
  executor.stop_waiting(*high, 8);
  EXPECT_EQ(low->state(), State::let_in) << "what was promised to who doesn't want it";
  executor.stop_waiting(*low, 9);
  EXPECT_FALSE(connections.places->wanted());
  EXPECT_TRUE(executor.try_take(*ada, connections.places.get(), 10));
}

TEST(AdaptiveQueryExecutor, NobodyWaitsBehindWhoWaitsForHisQuotaOnly) {
  AdaptiveQueryExecutor executor(fixed(10));
  executor.quotas().set_defaults(true, {.max_concurrent_queries = 1});
  const auto ada = executor.party("ada", ""), bob = executor.party("bob", "");
  auto running = executor.try_take(*ada, nullptr, 1);
  const auto waits = executor.wait({.party = ada}, {}, 2);
  EXPECT_EQ(waits->state(), State::waits);
  EXPECT_FALSE(executor.anybody_waits());
  EXPECT_TRUE(executor.try_take(*bob, nullptr, 3));
  running.give_back(4);
  EXPECT_EQ(waits->state(), State::let_in);
  running = executor.take(*waits, 5);
  const auto gone = executor.wait({.party = ada}, {}, 6);
  executor.stop_waiting(*gone, 7);
  running.give_back(8);
  EXPECT_TRUE(executor.try_take(*ada, nullptr, 9));
}

TEST(AdaptiveQueryExecutor, ARefusalIsOfWhoMattersLeast) {
  AdaptiveQueryExecutor executor(fixed(1, 2));
  const auto ada = executor.party("ada", "");
  const auto running = executor.try_take(*ada, nullptr, 1);
  const auto low = executor.wait({.party = ada, .priority = Priority::low}, {}, 2);
  const auto normal = executor.wait({.party = ada}, {}, 3);
  const auto late = executor.wait({.party = ada, .priority = Priority::low}, {}, 4);
  EXPECT_EQ(late->state(), State::refused);
  EXPECT_EQ(late->why(), Refused::queue_full);
  const auto high = executor.wait({.party = ada, .priority = Priority::high}, {}, 5);
  EXPECT_EQ(high->state(), State::waits);
  EXPECT_EQ(low->state(), State::refused);
  EXPECT_EQ(executor.figures(6).refused[0], 2);
  for (const auto& query : {normal, high}) executor.stop_waiting(*query, 7);
  EXPECT_EQ(executor.figures(8).left, 2);
}

TEST(AdaptiveQueryExecutor, WithoutAQueueNobodyWaits) {
  AdaptiveQueryExecutor executor(fixed(1, 0));
  const auto ada = executor.party("ada", "");
  const auto running = executor.try_take(*ada, nullptr, 1);
  const auto query = executor.wait({.party = ada}, {}, 2);
  EXPECT_EQ(query->state(), State::refused);
  EXPECT_EQ(query->why(), Refused::no_queue);
}

TEST(AdaptiveQueryExecutor, MoreMayRunAtOnceWhenTheLimitGrows) {
  AdaptiveQueryExecutor executor(fixed(1));
  const auto ada = executor.party("ada", "");
  const auto running = executor.try_take(*ada, nullptr, 1);
  const auto first = executor.wait({.party = ada}, {}, 2), second = executor.wait({.party = ada}, {}, 2);
  executor.set_limits(fixed(2));
  EXPECT_EQ(first->state(), State::let_in);
  EXPECT_EQ(second->state(), State::waits);
  executor.stop_waiting(*first, 3);
  EXPECT_EQ(second->state(), State::let_in);
  executor.stop_waiting(*second, 3);
}

TEST(AdaptiveQueryExecutor, NoMoreRunBecauseAllFails) {
  AdaptiveQueryExecutor executor({.most = 100, .finds_best = true, .wait = {}});
  const std::size_t at_first = executor.limit();
  const auto ada = executor.party("ada", "");
  std::vector<std::shared_ptr<WaitingQuery>> all;
  std::vector<Permit> running;
  for (std::int64_t now = 1; now < 20'000 * ms; now += 20 * ms) {
    while (all.size() < 200) all.push_back(executor.wait({.party = ada}, {}, now));
    std::erase_if(all, [&](const auto& query) {
      if (query->state() != State::let_in) return false;
      running.push_back(executor.take(*query, now));
      return true;
    });
    running.front().give_back(now, Permit::End::failed);
    running.erase(running.begin());
    executor.tick(now);
    EXPECT_LE(executor.limit(), at_first);
  }
  for (const auto& query : all) executor.stop_waiting(*query, 20'000 * ms);
}

/// What runs waits for something that a query in the queue would do, and some are cancelled, or lend their turns.
TEST(AdaptiveQueryExecutor, MoreRunWhereNothingEnds) {
  constexpr std::int64_t second = 1'000'000'000;
  AdaptiveQueryExecutor executor({.most = 100, .finds_best = true, .wait = {}});
  const std::size_t at_first = executor.limit();
  const auto ada = executor.party("ada", "");
  auto running = take_all(executor, ada, 1);
  std::vector<std::shared_ptr<WaitingQuery>> all;
  for (std::int64_t now = 1; now < 4 * second; now += second / 2) {
    for (int many = 0; many < 100; ++many) all.push_back(executor.wait({.party = ada}, {}, now));
    running.back().give_back(now);
    running.pop_back();
    executor.tick(now);
  }
  EXPECT_GT(executor.limit(), at_first);
  for (const auto& query : all) executor.stop_waiting(*query, 5 * second);
}

/// Whatever else goes on besides, such as a cursor that is read in a transaction.
TEST(AdaptiveQueryExecutor, MoreRunWhereNothingEndsButWhatRunsBesides) {
  for (const bool fails : {false, true}) {
    AdaptiveQueryExecutor executor({.most = 100, .finds_best = true, .wait = {}});
    const std::size_t at_first = executor.limit();
    const auto ada = executor.party("ada", "");
    auto running = take_all(executor, ada, 1);
    std::vector<std::shared_ptr<WaitingQuery>> all;
    for (int many = 0; many < 100; ++many) all.push_back(executor.wait({.party = ada}, {}, 1));
    for (std::int64_t now = 1; now < 3000 * ms; now += 100 * ms) {
      auto besides = executor.take_anyway(*ada, now);
      fails ? besides.give_back(now, Permit::End::failed) : besides.give_back(now, 8 * 256);
      executor.tick(now);
    }
    EXPECT_GT(executor.figures(3000 * ms).limit, at_first) << fails;
    for (const auto& query : all) executor.stop_waiting(*query, 3000 * ms);
  }
}

/// As many reports as may run, say.
TEST(AdaptiveQueryExecutor, NobodyWaitsForWhatTakesLong) {
  AdaptiveQueryExecutor executor({.most = 100, .finds_best = true, .wait = {}});
  const auto ada = executor.party("ada", "");
  auto reports = take_all(executor, ada, 1);
  std::vector<std::shared_ptr<WaitingQuery>> all;
  for (int many = 0; many < 100; ++many) all.push_back(executor.wait({.party = ada}, {}, 100 * ms));
  executor.tick(340 * ms);
  EXPECT_EQ(all.front()->state(), State::waits) << "it has only just come";
  executor.tick(360 * ms);
  EXPECT_EQ(all.front()->state(), State::let_in);
  EXPECT_EQ(executor.limit(), ConcurrencyLimit::at_first);
  std::int64_t now = 400 * ms;
  reports.back().give_back(now, 1);
  reports.pop_back();
  EXPECT_EQ(all.back()->state(), State::waits) << "what doesn't count makes no room";
  for (const auto& query : all) {  // one after the other, they go on
    EXPECT_EQ(query->state(), State::let_in);
    executor.take(*query, now).give_back(now, 1);
    executor.tick(now += 10 * ms);
  }
  EXPECT_EQ(executor.figures(now).running, reports.size());
  reports.clear();
  EXPECT_EQ(executor.figures(now).running, 0);
  reports = take_all(executor, ada, now);
  EXPECT_EQ(reports.size(), executor.limit());
}

/// For ten seconds, in which nothing ends.
TEST(AdaptiveQueryExecutor, NoMoreRunThanMayAtMost) {
  constexpr std::size_t most = ConcurrencyLimit::at_first + 10;
  AdaptiveQueryExecutor executor({.most = most, .finds_best = true, .wait = {}});
  const auto ada = executor.party("ada", "");
  std::vector<Permit> reports;
  std::vector<std::shared_ptr<WaitingQuery>> all;
  for (std::size_t many = 0; many < most + 1; ++many) all.push_back(executor.wait({.party = ada}, {}, 1));
  const auto take = [&](std::int64_t now) {
    for (const auto& query : all) {
      if (auto permit = executor.take(*query, now)) reports.push_back(std::move(permit));
    }
    return reports.size();
  };
  EXPECT_EQ(take(1), ConcurrencyLimit::at_first);
  executor.tick(300 * ms);
  EXPECT_EQ(take(300 * ms), most);
  std::int64_t now = 800 * ms;
  for (; now < 10'000 * ms; now += 500 * ms) executor.tick(now);
  EXPECT_EQ(all.back()->state(), State::waits);
  reports.front().give_back(now, 1);
  EXPECT_EQ(take(now), most + 1) << "one of them makes room for another";
  all.push_back(executor.wait({.party = ada}, {}, now));
  executor.tick(now += 9'900 * ms);
  EXPECT_EQ(all.back()->state(), State::waits);
  executor.tick(now += 200 * ms);
  EXPECT_EQ(all.back()->state(), State::let_in);
  executor.stop_waiting(*all.back(), now);
  for (auto& report : reports) report.give_back(now, 1);
  EXPECT_EQ(executor.figures(now).running, 0);
  reports.clear();
  reports = take_all(executor, ada, now);
  EXPECT_EQ(reports.size(), executor.figures(now).limit) << "nothing is counted any more";
}

TEST(AdaptiveQueryExecutor, WhereSomethingEndsTheOthersWait) {
  AdaptiveQueryExecutor executor({.most = 100, .finds_best = true, .wait = {}});
  const auto ada = executor.party("ada", "");
  auto reports = take_all(executor, ada, 1);
  std::vector<std::shared_ptr<WaitingQuery>> all;
  for (int many = 0; many < 20; ++many) all.push_back(executor.wait({.party = ada}, {}, 1));
  for (std::size_t at = 0; at < 10; ++at) {
    const auto now = static_cast<std::int64_t>(at + 1) * 200 * ms;
    reports.front().give_back(now, 1);
    reports.erase(reports.begin());
    EXPECT_EQ(all[at]->state(), State::let_in);
    reports.push_back(executor.take(*all[at], now));
    executor.tick(now + 100 * ms);
    EXPECT_EQ(executor.figures(now).running, reports.size());
  }
  for (const auto& query : all) executor.stop_waiting(*query, 2000 * ms);
}

/// A limit that somebody has set is one.
TEST(AdaptiveQueryExecutor, AFixedLimitHolds) {
  AdaptiveQueryExecutor executor(fixed(2));
  const auto ada = executor.party("ada", "");
  const auto first = executor.try_take(*ada, nullptr, 1), second = executor.try_take(*ada, nullptr, 1);
  const auto waits = executor.wait({.party = ada}, {}, 2);
  for (std::int64_t second_at = 1; second_at < 30; ++second_at) executor.tick(second_at * 1'000'000'000);
  EXPECT_EQ(waits->state(), State::waits);
  executor.stop_waiting(*waits, 3);
}

TEST(TakenSlots, AreCountedOnceHoweverRoundsEnd) {
  constexpr int threads = 4, times = 20'000;
  TakenSlots slots;
  std::atomic<std::int64_t> besides = 0;
  std::vector<std::jthread> all;
  for (int number = 0; number < threads; ++number) {
    all.emplace_back([&, number] {
      for (int at = 0; at < times; ++at) {
        const auto round = slots.try_take(threads);
        if (number == 0 && at % 8 == 0) besides += static_cast<std::int64_t>(slots.begin_round().count);
        ASSERT_NE(round, 0u);
        if (!slots.give_back(round)) --besides;
      }
    });
  }
  all.clear();
  EXPECT_EQ(slots.count(), 0u);
  EXPECT_EQ(besides, 0);
}

/// A query ends each 10 ms.
TEST(AdaptiveQueryExecutor, WhoWouldBeLateIsRefusedAsHeComes) {
  auto limits = fixed(1, 100'000);
  limits.wait = std::chrono::seconds(1);
  AdaptiveQueryExecutor executor(limits);
  struct Kind {
    WaitingQuery::Wanted wanted;
    int every;  ///< ms
    int refused = 0, answered = 0;
    std::int64_t longest = 0;  ///< ms, of what was answered
  };
  const auto ada = executor.party("ada", ""), rare = executor.party("rare", ""), greedy = executor.party("greedy", ""),
             eager = executor.party("eager", "");
  std::vector<Kind> kinds = {
      {.wanted = {.party = ada, .time = 100 * ms}, .every = 50},
      {.wanted = {.party = rare, .time = 100 * ms}, .every = 2000},
      {.wanted = {.party = greedy, .priority = Priority::high, .time = 100 * ms}, .every = 50},
      {.wanted = {.party = greedy, .predicted = 20 * ms, .time = 100 * ms}, .every = 2},
      {.wanted = {.party = eager}, .every = 5},
      {.wanted = {.party = eager, .priority = Priority::low, .is_patient = true}, .every = 500},
  };
  auto running = executor.try_take(*ada, nullptr, 0);
  std::vector<std::pair<Kind*, std::shared_ptr<WaitingQuery>>> all;
  for (std::int64_t now = 0; now < 30'000; ++now) {
    for (Kind& kind : kinds) {
      if (now % kind.every == 0) all.emplace_back(&kind, executor.wait(kind.wanted, {}, now * ms));
    }
    if (now % 10 == 0) running.give_back(now * ms);
    std::erase_if(all, [&](auto& one) {
      auto& [kind, query] = one;
      if (query->state() == State::waits) return false;
      if (query->state() == State::let_in) {
        running = executor.take(*query, now * ms);
        ++kind->answered;
        if (now > 10'000) kind->longest = std::max(kind->longest, now - query->since() / ms);
      } else {
        EXPECT_EQ(query->why(), Refused::overload);
        ++kind->refused;
      }
      return true;
    });
  }
  EXPECT_EQ(kinds[0].refused, 0) << "who asks for little";
  EXPECT_EQ(kinds[1].refused, 0) << "and seldom";
  EXPECT_EQ(kinds[2].refused, 0) << "what is urgent";
  EXPECT_GT(kinds[3].answered, 500);
  EXPECT_GT(kinds[3].refused, 10'000);
  EXPECT_LT(kinds[3].longest, 200);
  EXPECT_GT(kinds[4].answered, 500);
  EXPECT_GT(kinds[4].refused, 2000);
  EXPECT_GT(kinds[4].longest, 1000) << "twice as long as it may";
  EXPECT_EQ(kinds[5].refused, 0);
  for (const auto& [kind, query] : all) executor.stop_waiting(*query, 30'000 * ms);
}

/// Not for how long the others take, but for his quota.
TEST(AdaptiveQueryExecutor, WhoWaitsForHisQuotaIsNotRefused) {
  AdaptiveQueryExecutor executor({.most = 100, .wait = std::chrono::seconds(1)});
  executor.quotas().set_defaults(true, {.max_concurrent_queries = 1});
  const auto ada = executor.party("ada", "");
  auto running = executor.try_take(*ada, nullptr, 0);
  std::vector<std::shared_ptr<WaitingQuery>> all;
  for (std::int64_t now = 0; now < 60'000; now += 100) {
    all.push_back(executor.wait({.party = ada}, {}, now * ms));
    if (now % 1000 != 0) continue;
    running.give_back(now * ms);
    for (const auto& query : all) {
      EXPECT_NE(query->state(), State::refused);
      if (auto permit = executor.take(*query, now * ms)) running = std::move(permit);
    }
  }
  for (const auto& query : all) executor.stop_waiting(*query, 60'000 * ms);
}

/// In session mode who waits for a connection waits for a client to go, and how long that takes tells of nothing.
TEST(AdaptiveQueryExecutor, WhoWaitsForWhatOthersKeepIsNotRefused) {
  for (const bool kept : {false, true}) {
    auto limits = fixed(10);
    limits.wait = std::chrono::seconds(1);
    limits.places_are_kept = kept;
    AdaptiveQueryExecutor executor(limits);
    const auto ada = executor.party("ada", "");
    const auto places = std::make_shared<Places>();
    std::vector<std::shared_ptr<WaitingQuery>> all;
    std::size_t let_in = 0;
    for (std::int64_t now = 0; now < 60'000; now += 100) {
      all.push_back(executor.wait({.party = ada, .places = places}, {}, now * ms));
      if (now % 500 != 0) continue;
      places->set_free(1);
      executor.look_again(now * ms);
      places->set_free(0);
      for (const auto& query : all) {
        auto permit = executor.take(*query, now * ms);
        if (!permit) continue;
        permit.has_place();
        permit.give_back(now * ms, 1);
        ++let_in;
      }
    }
    EXPECT_EQ(let_in, 120);
    const auto refused = executor.figures(60'000 * ms).refused[1];
    EXPECT_EQ(refused == 0, kept) << refused;
    for (const auto& query : all) executor.stop_waiting(*query, 60'000 * ms);
  }
}

/// However queries come, wait, are given up and end, on whatever thread: no more run than may, nobody waits for ever,
/// and at the end there is nothing left.
TEST(AdaptiveQueryExecutor, LosesNoSlotWhateverHappens) {
  constexpr int threads = 4, queries = 4000;
  constexpr std::size_t most = 3;
  AdaptiveQueryExecutor executor(fixed(most, 5));
  std::atomic<int> running = 0, let_in = 0;
  std::mutex pool_mutex;
  std::int64_t free = 2;
  const auto places = std::make_shared<Places>([&] { executor.look_again(now_ns()); });
  places->set_free(free);
  const auto change_free = [&](std::int64_t by) {
    {
      const std::scoped_lock lock(pool_mutex);
      EXPECT_GE(free += by, 0);
      places->set_free(free);
    }
    places->tell();
  };
  const auto work = [&](std::uint32_t seed) {
    std::mt19937 random(seed);
    const auto draw = [&](int below) { return std::uniform_int_distribution<>(0, below - 1)(random); };
    std::mutex mutex;
    std::condition_variable news;
    for (int at = 0; at < queries; ++at) {
      const auto party = executor.party("user" + std::to_string(draw(3)), draw(2) == 0 ? "" : "project");
      const auto needs = draw(3) == 0 ? nullptr : places;
      auto permit = executor.try_take(*party, needs.get(), now_ns());
      if (!permit) {
        const auto query = executor.wait(
            {.party = party,
             .priority = static_cast<Priority>(1 + draw(5)),
             .predicted = draw(1000) * 1000,
             .places = needs},
            [&] {
              const std::scoped_lock lock(mutex);
              news.notify_one();
            },
            now_ns());
        if (draw(4) == 0) {
          executor.stop_waiting(*query, now_ns());
          continue;
        }
        std::unique_lock lock(mutex);
        news.wait(lock, [&] { return query->state() != State::waits; });
        if (query->state() == State::refused) continue;
        permit = executor.take(*query, now_ns());
      }
      const bool has_place = needs && draw(8) != 0;
      if (has_place) {
        change_free(-1);
        permit.has_place();
      }
      EXPECT_LE(++running, static_cast<int>(most));
      ++let_in;
      if (draw(8) == 0) std::this_thread::yield();
      --running;
      if (draw(2) == 0) permit.give_back(now_ns(), draw(1000));
      if (has_place) change_free(1);
    }
  };
  std::vector<std::jthread> workers;
  for (std::uint32_t seed = 0; seed < threads; ++seed) workers.emplace_back(work, seed);
  workers.clear();
  const auto figures = executor.figures(now_ns());
  EXPECT_EQ(figures.running, 0);
  for (const std::size_t waiting : figures.waiting) EXPECT_EQ(waiting, 0);
  EXPECT_FALSE(places->wanted());
  EXPECT_EQ(free, 2);
  EXPECT_GT(let_in, queries);
}

TEST(Priority, IsReadByNameOrNumber) {
  EXPECT_EQ(parse_priority("HIGH"), Priority::high);
  EXPECT_EQ(parse_priority("emergency"), Priority::emergency);
  EXPECT_EQ(parse_priority("1"), Priority::low);
  EXPECT_EQ(parse_priority("6"), std::nullopt);
  EXPECT_EQ(parse_priority(""), std::nullopt);
}

}  // namespace
}  // namespace millrace::executor
