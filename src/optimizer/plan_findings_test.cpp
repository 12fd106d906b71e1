#include "optimizer/plan_findings.hpp"

#include <gtest/gtest.h>

namespace millrace::optimizer {
namespace {

using Strings = std::vector<std::string>;

constexpr double work_mem = 4 << 20;

PlanNode scan(std::string filter, double rows = 100) {
  return {.operation = "Seq Scan",
          .schema = "public",
          .relation = "pages",
          .alias = "p",
          .filter = std::move(filter),
          .rows = rows,
          .width = 100};
}

PlanNode on(PlanNode node, std::vector<PlanNode> inputs) {
  node.inputs = std::move(inputs);
  return node;
}

PlanFindings found(const PlanNode& plan, std::string_view query, std::vector<std::vector<std::string>> indexes = {},
                   double rows = 1'000'000) {
  return findings_of(plan, query,
                     std::vector<TableFacts>{{.schema = "public", .name = "pages", .rows = rows, .indexes = indexes}},
                     work_mem);
}

TEST(PlanFindings, AnIndexThatIsMissing) {
  const auto all =
      found(scan("(p.status = 404)"), "SELECT * FROM pages p WHERE status = 404", {{"id"}, {"", "status"}});
  EXPECT_EQ(all.issues, Strings{"public.pages (about 1,000,000 rows) is read whole to find about 100 rows with "
                                "(p.status = 404): no index begins with any of its columns"});
  EXPECT_EQ(all.missing_indexes.at(0).name(), "public.pages (status)");
  EXPECT_EQ(all.suggestions, Strings{"CREATE INDEX CONCURRENTLY idx_pages_status ON public.pages (status)"});
}

TEST(PlanFindings, ColumnsThatAreEqualComeBeforeTheRange) {
  const auto all = found(scan("((p.at > '2024-01-01'::date) AND ((p.url)::text = 'x'::text) AND (p.\"Kind\" = $1))"),
                         "SELECT * FROM public.pages WHERE at > '2024-01-01' AND url = 'x' AND \"Kind\" = $1");
  EXPECT_EQ(all.missing_indexes.at(0).name(), "public.pages (\"Kind\", url, at)");
  EXPECT_EQ(all.missing_indexes.at(0).statement(),
            "CREATE INDEX CONCURRENTLY \"idx_pages_Kind_url_at\" ON public.pages (\"Kind\", url, at)");
}

TEST(PlanFindings, NoneIsAdvisedThatWouldNotServe) {
  // An expression, an index that is there, a table that is small, a condition that most rows fulfil.
  const auto cast = found(scan("(lower(p.url) = 'x'::text)"), "SELECT * FROM pages p WHERE lower(url) = 'x'");
  EXPECT_TRUE(cast.missing_indexes.empty());
  EXPECT_TRUE(cast.issues.at(0).ends_with("no index can serve this as it is written")) << cast.issues.at(0);
  const auto there = found(scan("(p.status = 404)"), "SELECT * FROM pages p WHERE status = 404", {{"status", "id"}});
  EXPECT_TRUE(there.missing_indexes.empty());
  EXPECT_TRUE(there.issues.at(0).contains("its index on status isn't used")) << there.issues.at(0);
  EXPECT_TRUE(found(scan("(p.status = 404)"), "SELECT * FROM pages p WHERE status = 404", {}, 1000).issues.empty());
  EXPECT_TRUE(
      found(scan("(p.status = 404)", 500'000), "SELECT 1 FROM pages WHERE status = 404").missing_indexes.empty());
}

TEST(PlanFindings, SortsOfWhichFewRowsAreWanted) {
  const PlanNode sort{.operation = "Sort", .sort_key = {"p.at DESC", "p.id DESC"}, .rows = 1'000'000};
  const PlanNode limit{.operation = "Limit", .rows = 50};
  const auto all =
      found(on(limit, {on(sort, {scan("", 1'000'000)})}), "SELECT * FROM pages p ORDER BY at DESC, id DESC LIMIT 50");
  EXPECT_EQ(all.issues, Strings{"about 1,000,000 rows are sorted by p.at DESC, p.id DESC for about 50 rows"});
  EXPECT_EQ(all.missing_indexes.at(0).name(), "public.pages (at, id)");

  const auto whole = found(on(sort, {scan("", 1'000'000)}), "SELECT id FROM pages p ORDER BY at DESC, id DESC");
  EXPECT_EQ(whole.issues.at(0),
            "about 1,000,000 rows are sorted by p.at DESC, p.id DESC, about 118 MB: more than work_mem "
            "(4 MB), so it goes to disk");
  EXPECT_TRUE(whole.missing_indexes.empty());
}

TEST(PlanFindings, WhatRunsForEachRow) {
  PlanNode subquery{.operation = "Aggregate", .subplan = "SubPlan 1", .per_row = true, .total_cost = 20, .rows = 1};
  const auto all =
      found(on(scan("", 5'000), {subquery}), "SELECT (SELECT count(*) FROM x WHERE x.id = p.id) FROM pages p");
  EXPECT_EQ(all.issues,
            Strings{"A sub-query (SubPlan 1) runs once for each of about 5,000 rows, at a cost of 20.0 each time"});
  subquery.per_row = false;
  EXPECT_TRUE(found(on(scan("", 5'000), {subquery}), "SELECT 1").issues.empty());

  const PlanNode loop{.operation = "Nested Loop", .rows = 10};
  const auto looped = found(on(loop, {scan("", 2'000), scan("", 1'000'000)}), "SELECT 1");
  EXPECT_EQ(looped.issues, Strings{"For each of about 2,000 rows, public.pages (about 1,000,000 rows) is read whole"});
}

TEST(PlanFindings, WhatWasNeverCounted) {
  const auto all = found(scan("(p.status = 404)"), "SELECT 1 FROM pages p WHERE status = 404", {}, -1);
  EXPECT_EQ(all.issues, Strings{"public.pages has never been analysed: what is estimated of it is a guess"});
  EXPECT_EQ(all.suggestions, Strings{"ANALYZE public.pages"});
}

TEST(PlanFindings, ManyPartitionsAreNotToldForEver) {
  PlanNode append{.operation = "Append"};
  std::vector<TableFacts> tables;
  for (int i = 0; i < 1000; ++i) {
    auto part = scan("(p.status = 404)");
    part.relation = "pages_" + std::to_string(i);
    tables.push_back({.schema = "public", .name = part.relation, .rows = 1'000'000, .indexes = {}});
    append.inputs.push_back(part);
  }
  const auto all = findings_of(append, "SELECT 1 FROM pages p WHERE status = 404", tables, work_mem);
  EXPECT_EQ(all.issues.size(), 20U);
  EXPECT_LE(all.missing_indexes.size(), 20U);
}

}  // namespace
}  // namespace millrace::optimizer
