#include "optimizer/rounds.hpp"

#include <gtest/gtest.h>

namespace millrace::optimizer {
namespace {

const PlanNode table{.operation = "Seq Scan", .relation = "orders", .total_cost = 3000, .rows = 200'000};

PlanNode groups(double rows) {
  return {.operation = "HashAggregate", .total_cost = 3400, .rows = rows, .inputs = {table}};
}

PlanNode recursion() {
  return {.operation = "CTE Scan", .rows = 100, .inputs = {{.operation = "Recursive Union", .rows = 101}}};
}

TEST(Rounds, AreAsManyAsThereAreGroups) {
  EXPECT_EQ(rounds_factor(groups(5), recursion()), 1) << "PostgreSQL takes it for more";
  EXPECT_EQ(rounds_factor(groups(50'000), recursion()), 500);
  const PlanNode within{.operation = "Sort", .rows = 10, .inputs = {groups(1000)}};
  EXPECT_EQ(rounds_factor(within, recursion()), 10);
}

TEST(Rounds, OnlyOfRecursionsThatAreNew) {
  EXPECT_EQ(rounds_factor(groups(50'000), table), 1);
  EXPECT_EQ(rounds_factor(recursion(), recursion()), 1);
}

}  // namespace
}  // namespace millrace::optimizer
