#include "optimizer/index_findings.hpp"

#include <gtest/gtest.h>

#include "optimizer/index_estimate.hpp"

namespace millrace::optimizer {
namespace {

using Strings = std::vector<std::string>;

ExistingIndex index_on(std::string name, Strings keys) {
  return {.schema = "public",
          .table = "t",
          .name = std::move(name),
          .method = "btree",
          .keys = std::move(keys),
          .include = {},
          .where = "",
          .bytes = 16384,
          .scans = 5};
}

std::vector<IndexFinding> found(std::vector<ExistingIndex> indexes, double scans = 5000) {
  IndexFacts facts{.tables = {{.schema = "public", .name = "t", .rows = 1000, .scans = scans}},
                   .indexes = std::move(indexes),
                   .widths = {},
                   .counted_seconds = 3 * 86400};
  return index_findings(facts);
}

Strings names(const std::vector<IndexFinding>& findings) {
  Strings all;
  for (const auto& one : findings) all.push_back(one.index);
  return all;
}

TEST(IndexFindings, OfTwoThatAreTheSameOneGoes) {
  auto used = index_on("z", {"a", "b DESC"}), spare = index_on("a", {"a", "b DESC"});
  used.scans = 9;
  const auto all = found({spare, used});
  ASSERT_EQ(names(all), Strings{"a"});
  EXPECT_EQ(all[0].kind, IndexFinding::Kind::duplicate);
  EXPECT_EQ(all[0].statements, Strings{"DROP INDEX CONCURRENTLY public.a"});
  EXPECT_EQ(all[0].sentence,
            "a has the same columns as z (a, b DESC): one of them is enough, and 16 kB are free without it");
  EXPECT_EQ(names(found({index_on("x", {"a"}), index_on("y", {"a"}), index_on("w", {"a"})})), (Strings{"x", "y"}));
}

TEST(IndexFindings, TheBeginningOfAnotherGoes) {
  EXPECT_EQ(names(found({index_on("short", {"a"}), index_on("long", {"a", "b"})})), Strings{"short"});
  EXPECT_EQ(names(found({index_on("back", {"a DESC"}), index_on("long", {"a", "b"})})), Strings{"back"});
}

TEST(IndexFindings, WhatIsNotTheSameStays) {
  auto other = index_on("x", {"a"});
  const auto stays = [&](ExistingIndex index) {
    EXPECT_EQ(names(found({std::move(index), index_on("long", {"a", "b"})})), Strings{});
  };
  stays(index_on("x", {"b"}));
  stays(index_on("x", {"a text_pattern_ops"}));
  other.method = "hash";
  stays(other);
  other = index_on("x", {"a"});
  other.where = "b > 0";
  stays(other);
  other = index_on("x", {"a"});
  other.include = {"c"};
  stays(other);
  other = index_on("x", {"a"});
  other.unique = true;  // the rows' uniqueness is by it
  stays(other);
  other = index_on("x", {"a"});
  other.needed = true;
  stays(other);
}

TEST(IndexFindings, WhoeverIsUniqueLetsTheOtherGo) {
  auto unique = index_on("u", {"a"});
  unique.unique = true;
  unique.scans = 0;
  EXPECT_EQ(names(found({unique, index_on("x", {"a"})})), Strings{"x"});
}

TEST(IndexFindings, WhatIsNeverRead) {
  auto idle = index_on("idle", {"a"});
  idle.scans = 0;
  const auto all = found({idle});
  ASSERT_EQ(names(all), Strings{"idle"});
  EXPECT_EQ(all[0].kind, IndexFinding::Kind::unused);
  EXPECT_TRUE(all[0].sentence.contains("(3 days ago at least)")) << all[0].sentence;
  EXPECT_EQ(names(found({idle}, 999)), Strings{});
  idle.unique = true;
  EXPECT_EQ(names(found({idle})), Strings{});
}

TEST(IndexFindings, WhatIsNotValid) {
  auto broken = index_on("Broken", {"a"});
  broken.valid = false;
  auto all = found({broken, index_on("x", {"a"})});
  ASSERT_EQ(names(all), Strings{"Broken"});
  EXPECT_EQ(all[0].statements,
            (Strings{"REINDEX INDEX CONCURRENTLY public.\"Broken\"", "DROP INDEX CONCURRENTLY public.\"Broken\""}));
  broken.name = "x_ccnew";
  EXPECT_EQ(found({broken})[0].statements, Strings{"DROP INDEX CONCURRENTLY public.x_ccnew"});
  broken.in_work = true;
  EXPECT_EQ(names(found({broken})), Strings{});
}

struct Estimates : testing::Test {
  IndexFacts facts{.tables = {{.schema = "public", .name = "t", .rows = 100'000, .pages = 1000}},
                   .indexes = {},
                   .widths = {{.schema = "public", .table = "t", .column = "a", .bytes = 4}}};
  PlanNode scan{.operation = "Seq Scan",
                .schema = "public",
                .relation = "t",
                .filter = "(a = 1)",
                .total_cost = 2250,
                .rows = 10};

  static IndexCandidate on(Strings columns) {
    return {.schema = "public", .table = "t", .columns = std::move(columns)};
  }
  double cost(const PlanNode& plan, TableUse use, const Strings& columns) const {
    use.schema = "public";
    use.table = "t";
    return estimated_cost(plan, std::vector{use}, std::vector{on(columns)}, facts);
  }
};

TEST_F(Estimates, FewRowsByAnIndexCostLess) {
  EXPECT_LT(cost(scan, {.equals = {"a"}}, {"a"}), 60);
  EXPECT_EQ(cost(scan, {.equals = {"a"}}, {"b"}), 2250);
  EXPECT_EQ(cost(scan, {.equals = {"b"}, .other_conditions = 1}, {"a"}), 2250);
  // Half of the conditions find more rows.
  const double half = cost(scan, {.equals = {"a", "b"}}, {"a"}), all = cost(scan, {.equals = {"a", "b"}}, {"a", "b"});
  EXPECT_LT(all, half);
  scan.rows = 90'000;
  EXPECT_EQ(cost(scan, {.equals = {"a"}}, {"a"}), 2250);
}

TEST_F(Estimates, TheFirstRowsOfAnOrderCostLess) {
  scan.rows = 100'000;
  scan.filter = "";
  PlanNode sort{.operation = "Sort", .total_cost = 6000, .rows = 100'000, .inputs = {scan}};
  const PlanNode limit{.operation = "Limit", .total_cost = 6000, .rows = 10, .inputs = {sort}};
  EXPECT_LT(cost(limit, {.order = {"a"}}, {"a"}), 60);
  EXPECT_EQ(cost(limit, {.order = {"b"}}, {"a"}), 6000);
}

TEST_F(Estimates, AFewRowsThatAreJoinedCostLess) {
  scan.rows = 100'000;
  scan.filter = "";
  const PlanNode hash{.operation = "Hash", .total_cost = 2250, .rows = 100'000, .inputs = {scan}};
  const PlanNode outer{.operation = "Index Scan", .schema = "public", .relation = "u", .total_cost = 8, .rows = 5};
  const PlanNode join{.operation = "Hash Join", .total_cost = 2500, .rows = 20, .inputs = {outer, hash}};
  EXPECT_LT(cost(join, {.joins = {"a"}}, {"a"}), 200);
  EXPECT_EQ(cost(join, {.joins = {"b"}}, {"a"}), 2500);
}

TEST_F(Estimates, SizesAndWritesGrowWithTheTable) {
  // 16 to 24 bytes a row, 90 % full.
  EXPECT_NEAR(estimated_bytes(on({"a"}), facts), 100'000 * 20 / 0.9, 20 * 8192);
  EXPECT_GT(estimated_bytes(on({"a", "b"}), facts), estimated_bytes(on({"a"}), facts));
  EXPECT_GT(row_write_cost(1e8, 2e9, {}), row_write_cost(1e4, 2e5, {}));
  EXPECT_GT(row_write_cost(1, 8192, {}), 4);
}

}  // namespace
}  // namespace millrace::optimizer
