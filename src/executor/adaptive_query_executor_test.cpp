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

TEST(AdaptiveQueryExecutor, LetsInAsManyAsMayAndThenByTurns) {
  AdaptiveQueryExecutor executor(fixed(2));
  const auto ada = executor.party("ada", "");
  auto first = executor.try_take(ada, 1), second = executor.try_take(ada, 1);
  EXPECT_TRUE(first);
  EXPECT_TRUE(second);
  EXPECT_FALSE(executor.try_take(ada, 1));
  int woken = 0;
  const auto low = executor.wait({.party = ada, .priority = Priority::low}, [&] { ++woken; }, 2);
  const auto high = executor.wait({.party = ada, .priority = Priority::high}, [&] { ++woken; }, 3);
  EXPECT_EQ(woken, 0);
  first.give_back(4);
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(high->state(), State::let_in);
  EXPECT_EQ(low->state(), State::waits);
  EXPECT_FALSE(executor.try_take(ada, 4));
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

TEST(AdaptiveQueryExecutor, TakesAnywayWhatGoesOn) {
  AdaptiveQueryExecutor executor(fixed(1));
  const auto ada = executor.party("ada", "");
  auto first = executor.try_take(ada, 1), on = executor.take_anyway(ada, 2);
  EXPECT_TRUE(on);
  EXPECT_EQ(executor.figures(3).running, 2);
  first.give_back(3);
  EXPECT_FALSE(executor.try_take(ada, 3));
  on.give_back(4);
  EXPECT_TRUE(executor.try_take(ada, 4));
}

TEST(AdaptiveQueryExecutor, ARefusalIsOfWhoMattersLeast) {
  AdaptiveQueryExecutor executor(fixed(1, 2));
  const auto ada = executor.party("ada", "");
  const auto running = executor.try_take(ada, 1);
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
  const auto running = executor.try_take(ada, 1);
  const auto query = executor.wait({.party = ada}, {}, 2);
  EXPECT_EQ(query->state(), State::refused);
  EXPECT_EQ(query->why(), Refused::no_queue);
}

TEST(AdaptiveQueryExecutor, MoreMayRunAtOnceWhenTheLimitGrows) {
  AdaptiveQueryExecutor executor(fixed(1));
  const auto ada = executor.party("ada", "");
  const auto running = executor.try_take(ada, 1);
  const auto first = executor.wait({.party = ada}, {}, 2), second = executor.wait({.party = ada}, {}, 2);
  executor.set_limits(fixed(2));
  EXPECT_EQ(first->state(), State::let_in);
  EXPECT_EQ(second->state(), State::waits);
  executor.stop_waiting(*first, 3);
  EXPECT_EQ(second->state(), State::let_in);
  executor.stop_waiting(*second, 3);
}

TEST(AdaptiveQueryExecutor, NoMoreRunBecauseAllFails) {
  constexpr std::int64_t ms = 1'000'000;
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
    running.erase(running.begin());  // it has failed
    executor.tick(now);
    EXPECT_LE(executor.limit(), at_first);
  }
  for (const auto& query : all) executor.stop_waiting(*query, 20'000 * ms);
}

TEST(AdaptiveQueryExecutor, AStandingQueueIsShedFromTheLowestOn) {
  constexpr std::int64_t ms = 1'000'000;
  auto limits = fixed(1);
  limits.wait = std::chrono::seconds(1);
  AdaptiveQueryExecutor executor(limits);
  const auto ada = executor.party("ada", "");
  auto running = executor.try_take(ada, 0);
  std::vector<std::shared_ptr<WaitingQuery>> low, normal;
  std::size_t shed = 0;
  for (std::int64_t now = 0; now < 3000 * ms; now += 10 * ms) {
    low.push_back(executor.wait({.party = ada, .priority = Priority::low}, {}, now));
    for (int twice = 0; twice < 2; ++twice) normal.push_back(executor.wait({.party = ada}, {}, now));
    running.give_back(now);
    for (const auto& query : normal) {
      EXPECT_NE(query->state(), State::refused);
      if (query->state() == State::let_in && !running) running = executor.take(*query, now);
    }
  }
  for (const auto& query : low) shed += query->state() == State::refused && query->why() == Refused::overload ? 1 : 0;
  EXPECT_GT(shed, 0);
  for (const auto& query : low) executor.stop_waiting(*query, 3000 * ms);
  for (const auto& query : normal) executor.stop_waiting(*query, 3000 * ms);
}

/// However queries come, wait, are given up and end, on whatever thread: no more run than may, nobody waits for ever,
/// and at the end there is nothing left.
TEST(AdaptiveQueryExecutor, LosesNoSlotWhateverHappens) {
  constexpr int threads = 4, queries = 4000;
  constexpr std::size_t most = 3;
  AdaptiveQueryExecutor executor(fixed(most, 5));
  std::atomic<int> running = 0, let_in = 0;
  const auto work = [&](std::uint32_t seed) {
    std::mt19937 random(seed);
    const auto draw = [&](int below) { return std::uniform_int_distribution<>(0, below - 1)(random); };
    std::mutex mutex;
    std::condition_variable news;
    for (int at = 0; at < queries; ++at) {
      const auto party = executor.party("user" + std::to_string(draw(3)), draw(2) == 0 ? "" : "project");
      auto permit = executor.try_take(party, now_ns());
      if (!permit) {
        const auto query = executor.wait(
            {.party = party, .priority = static_cast<Priority>(1 + draw(5)), .predicted = draw(1000) * 1000},
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
      EXPECT_LE(++running, static_cast<int>(most));
      ++let_in;
      if (draw(8) == 0) std::this_thread::yield();
      --running;
      if (draw(2) == 0) permit.give_back(now_ns(), draw(1000));
    }
  };
  std::vector<std::jthread> workers;
  for (std::uint32_t seed = 0; seed < threads; ++seed) workers.emplace_back(work, seed);
  workers.clear();
  const auto figures = executor.figures(now_ns());
  EXPECT_EQ(figures.running, 0);
  for (const std::size_t waiting : figures.waiting) EXPECT_EQ(waiting, 0);
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
