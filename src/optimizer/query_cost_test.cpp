#include "optimizer/query_cost.hpp"

#include <gtest/gtest.h>

namespace millrace::optimizer {
namespace {

PlannedQuery planned(PlanNode plan) {
  return {.plan = std::move(plan),
          .tables = {{.schema = "public", .name = "pages", .rows = 10'000, .pages = 100, .indexes = {}}},
          .settings = {}};
}

PlanNode scan(std::string operation, double cost, double rows) {
  return {.operation = std::move(operation),
          .schema = "public",
          .relation = "pages",
          .total_cost = cost,
          .rows = rows,
          .width = 100};
}

TEST(QueryCost, OfATableThatIsReadWhole) {
  const auto cost = cost_of(planned(scan("Seq Scan", 225, 10'000)));  // 100 pages, and 10,000 rows with a condition
  EXPECT_DOUBLE_EQ(cost.io_cost, 100);
  EXPECT_DOUBLE_EQ(cost.cpu_cost, 125);
  EXPECT_DOUBLE_EQ(cost.total_cost, 225);
  EXPECT_EQ(cost.memory_cost, 0);
}

TEST(QueryCost, OfWhatAnIndexFinds) {
  const auto cost = cost_of(planned(scan("Index Scan", 8.3, 1)));
  EXPECT_NEAR(cost.io_cost, 8.285, 1e-9);
  EXPECT_NEAR(cost.cpu_cost, 0.015, 1e-9);
}

TEST(QueryCost, MemoryIsWhatIsHeldAndAtMostWorkMem) {
  auto sort = scan("Sort", 1000, 1000);
  sort.inputs.push_back(scan("Seq Scan", 225, 1000));
  EXPECT_DOUBLE_EQ(cost_of(planned(sort)).memory_cost, 1000 * 124 / 8192.0);
  sort.rows = 1e9;
  EXPECT_DOUBLE_EQ(cost_of(planned(sort)).memory_cost, (4 << 20) / 8192.0);
}

TEST(QueryCost, PartsAreNeverMoreThanTheWhole) {
  auto limit = PlanNode{.operation = "Limit", .total_cost = 2, .rows = 1};
  limit.inputs.push_back(scan("Seq Scan", 225, 10'000));
  const auto cost = cost_of(planned(limit));
  EXPECT_DOUBLE_EQ(cost.io_cost, 2);
  EXPECT_DOUBLE_EQ(cost.cpu_cost, 0);
}

}  // namespace
}  // namespace millrace::optimizer
