#include "optimizer/index_advisor.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>

namespace millrace::optimizer {
namespace {

using Set = std::vector<std::size_t>;

/// A statement is as cheap as the best of its indexes makes it.
struct World {
  AdvisorTask task;
  std::vector<std::vector<double>> with;  ///< of each statement: its cost with each candidate alone

  explicit World(std::vector<std::vector<double>> costs, std::vector<double> bytes, double budget, double base = 100)
      : with(std::move(costs)) {
    for (const double size : bytes) task.candidates.push_back({.bytes = size});
    for (const auto& each : with) {
      AdvisorTask::Statement statement{.cost = base, .candidates = {}};
      for (std::size_t i = 0; i < each.size(); ++i) {
        if (each[i] < base) statement.candidates.push_back(i);
      }
      task.statements.push_back(std::move(statement));
    }
    task.budget_bytes = budget;
    task.cost = [this](std::size_t statement, std::span<const std::size_t> set) {
      double least = task.statements[statement].cost;
      for (const auto each : set) least = std::min(least, with[statement][each]);
      return least;
    };
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() = default;

  double total(unsigned set) const {
    double sum = 0;
    for (std::size_t s = 0; s < task.statements.size(); ++s) {
      double least = task.statements[s].cost;
      for (std::size_t i = 0; i < task.candidates.size(); ++i) {
        if ((set >> i & 1U) != 0) least = std::min(least, with[s][i]);
      }
      sum += least * task.statements[s].weight;
    }
    for (std::size_t i = 0; i < task.candidates.size(); ++i) {
      if ((set >> i & 1U) != 0) sum += task.candidates[i].write_cost;
    }
    return sum;
  }
  /// The oracle: all sets that fit.
  double best() const {
    double least = total(0);
    for (unsigned set = 0; set < 1U << task.candidates.size(); ++set) {
      double bytes = 0;
      for (std::size_t i = 0; i < task.candidates.size(); ++i)
        bytes += (set >> i & 1U) != 0 ? task.candidates[i].bytes : 0;
      if (bytes <= task.budget_bytes) least = std::min(least, total(set));
    }
    return least;
  }
};

constexpr double mb = 1 << 20;

TEST(IndexAdvisor, TheBestPerByteComesFirstAndTheBudgetHolds) {
  World world({{1, 100, 100}, {100, 1, 100}, {100, 100, 1}}, {1 * mb, 2 * mb, 4 * mb}, 3 * mb);
  const auto advised = advise_indexes(world.task);
  EXPECT_EQ(advised.chosen, (Set{0, 1}));
  EXPECT_EQ(advised.bytes, 3 * mb);
  EXPECT_EQ(advised.cost_before, 300);
  EXPECT_EQ(advised.cost_after, 102);
  EXPECT_EQ(advised.gains, (std::vector<double>{99, 99}));
  EXPECT_EQ(advised.costs, (std::vector<double>{1, 1, 100}));
}

TEST(IndexAdvisor, WhatIsWrittenMoreThanItGainsIsNotChosen) {
  World world({{1, 100}, {100, 1}}, {mb, mb}, 10 * mb);
  world.task.candidates[0].write_cost = 200;
  EXPECT_EQ(advise_indexes(world.task).chosen, Set{1});
  world.task.statements[0].weight = 10;
  EXPECT_EQ(advise_indexes(world.task).chosen.size(), 2);
}

TEST(IndexAdvisor, ALongerOneTakesThePlaceOfItsBeginning) {
  // 0: (a), small and good for both; 1: (a, b), far better for the second.
  World world({{10, 12}, {50, 1}}, {1 * mb, 1.5 * mb}, 10 * mb);
  world.task.candidates[1].replaces = {0};
  EXPECT_EQ(advise_indexes(world.task).chosen, Set{1});
}

TEST(IndexAdvisor, ALargeOneThatAloneGainsMoreThanAllSmallOnes) {
  World world({{90, 1}, {100, 1}, {100, 1}}, {0.01 * mb, 10 * mb}, 10 * mb);
  EXPECT_EQ(advise_indexes(world.task).chosen, Set{1});
}

TEST(IndexAdvisor, WhatGainsLittleIsLeftOut) {
  World world({{99.5}}, {mb}, 10 * mb);
  EXPECT_TRUE(advise_indexes(world.task).chosen.empty());
  EXPECT_EQ(advise_indexes(world.task).cost_after, 100);
}

TEST(IndexAdvisor, ACostIsAskedOnceAndNoneOfWhatIsNoneOfItsBusiness) {
  World world({{1, 100, 30}, {100, 1, 100}}, {mb, mb, mb}, 10 * mb);
  std::vector<std::pair<std::size_t, Set>> asked;
  const auto cost = world.task.cost;
  world.task.cost = [&](std::size_t statement, std::span<const std::size_t> set) {
    EXPECT_FALSE(set.empty());
    asked.emplace_back(statement, Set(set.begin(), set.end()));
    for (const auto each : set)
      EXPECT_TRUE(std::ranges::binary_search(world.task.statements[statement].candidates, each));
    return cost(statement, set);
  };
  const auto advised = advise_indexes(world.task);
  EXPECT_EQ(advised.costs_asked, asked.size());
  std::ranges::sort(asked);
  EXPECT_TRUE(std::ranges::adjacent_find(asked) == asked.end());
}

TEST(IndexAdvisor, WhoIsOutOfTimeSaysSoAndPromisesNothingThatWasNotAsked) {
  World world({{1, 2}, {2, 1}}, {mb, mb}, 10 * mb);
  int left = 3;
  world.task.out_of_time = [&] { return left-- <= 0; };
  const auto advised = advise_indexes(world.task);
  EXPECT_TRUE(advised.out_of_time);
  unsigned set = 0;
  for (const auto each : advised.chosen) set |= 1U << each;
  EXPECT_GE(advised.cost_after, world.total(set));
  EXPECT_LE(advised.cost_after, advised.cost_before);
}

/// On random small worlds: never less than the factor that the header states of what the best set gains, and on average
/// nearly all of it.
TEST(IndexAdvisor, AgainstAllSets) {
  std::mt19937 draw(7);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same cases each time
  const auto number = [&](double from, double to) { return std::uniform_real_distribution(from, to)(draw); };
  constexpr double factor = (1 - 1 / 2.718281828459045) / 2;
  double reached = 0, possible = 0;
  for (int round = 0; round < 300; ++round) {
    const std::size_t candidates = 2 + draw() % 8, statements = 1 + draw() % 8;
    std::vector<std::vector<double>> costs(statements, std::vector<double>(candidates, 100));
    for (auto& each : costs) {
      for (auto& cost : each) cost = number(0, 1) < 0.4 ? number(1, 99) : 100;
    }
    std::vector<double> bytes;
    for (std::size_t i = 0; i < candidates; ++i) bytes.push_back(number(0.1, 10) * mb);
    World world(std::move(costs), std::move(bytes), number(1, 20) * mb);
    world.task.margin = 0;
    for (auto& statement : world.task.statements) statement.weight = number(0.1, 10);
    for (auto& candidate : world.task.candidates) candidate.write_cost = number(0, 1) < 0.3 ? number(0, 50) : 0;
    const auto advised = advise_indexes(world.task);
    ASSERT_LE(advised.bytes, world.task.budget_bytes);
    unsigned set = 0;
    for (const auto each : advised.chosen) set |= 1U << each;
    ASSERT_EQ(std::popcount(set), advised.chosen.size());
    ASSERT_NEAR(advised.cost_after, world.total(set), 1e-6);
    const double most = world.total(0) - world.best(), gained = advised.cost_before - advised.cost_after;
    ASSERT_GE(gained, factor * most - 1e-6) << "round " << round;
    reached += gained;
    possible += most;
  }
  EXPECT_GE(reached, 0.97 * possible);
}

}  // namespace
}  // namespace millrace::optimizer
