#include "optimizer/query_plan.hpp"

#include <gtest/gtest.h>

namespace millrace::optimizer {
namespace {

using Strings = std::vector<std::string>;

constexpr std::string_view join = R"json([{"Plan": {
  "Node Type": "Sort", "Parallel Aware": false, "Startup Cost": 98.5, "Total Cost": 98.6, "Plan Rows": 40,
  "Plan Width": 12, "Output": ["p.id"], "Sort Key": ["p.created_at DESC", "p.id"],
  "Plans": [{
    "Node Type": "Hash Join", "Join Type": "Left", "Parent Relationship": "Outer", "Hash Cond": "(p.domain = d.id)",
    "Startup Cost": 2.0, "Total Cost": 97.0, "Plan Rows": 40, "Plan Width": 12,
    "Plans": [
      {"Node Type": "Seq Scan", "Parallel Aware": true, "Parent Relationship": "Outer", "Relation Name": "pages",
       "Schema": "public", "Alias": "p", "Startup Cost": 0, "Total Cost": 90, "Plan Rows": 40, "Plan Width": 16,
       "Filter": "((p.status = 404) AND (NOT (hashed SubPlan 1)))",
       "Plans": [{"Node Type": "Index Only Scan", "Parent Relationship": "SubPlan", "Subplan Name": "SubPlan 1",
                  "Relation Name": "domains", "Schema": "public", "Alias": "x", "Index Name": "domains_pkey",
                  "Total Cost": 4, "Plan Rows": 3}]},
      {"Node Type": "Hash", "Parent Relationship": "Inner", "Total Cost": 1, "Plan Rows": 9,
       "Plans": [{"Node Type": "Index Scan", "Parent Relationship": "Outer", "Relation Name": "domains",
                  "Schema": "public", "Alias": "d", "Index Name": "domains_pkey", "Index Cond": "(d.id > 5)",
                  "Total Cost": 1, "Plan Rows": 9}]}
    ]}]}}])json";

TEST(QueryPlan, IsRead) {
  const auto plan = read_plan(join).value();
  EXPECT_EQ(plan.operation, "Sort");
  EXPECT_EQ(plan.total_cost, 98.6);
  EXPECT_EQ(plan.sort_key, (Strings{"p.created_at DESC", "p.id"}));
  const auto& scan = plan.inputs.at(0).inputs.at(0);
  EXPECT_TRUE(scan.reads_whole_table());
  EXPECT_EQ(scan.table(), "public.pages");
  EXPECT_FALSE(scan.inputs.at(0).per_row) << "it is hashed";

  const auto all = summary_of(plan);
  EXPECT_EQ(all.estimated_rows, 40);
  EXPECT_EQ(all.plan_operations,
            (Strings{"Sort", "Hash Join (Left)", "Parallel Seq Scan", "Index Only Scan", "Hash", "Index Scan"}));
  EXPECT_EQ(all.join_operations, Strings{"Hash Join (Left) on (p.domain = d.id)"});
  EXPECT_EQ(all.scan_operations,
            (Strings{"Parallel Seq Scan on public.pages", "Index Only Scan on public.domains by domains_pkey",
                     "Index Scan on public.domains by domains_pkey"}));
  EXPECT_EQ(all.sort_operations, Strings{"Sort by p.created_at DESC, p.id"});
  EXPECT_EQ(all.index_usage, Strings{"domains_pkey"});
  EXPECT_EQ(all.table_scans, Strings{"public.pages"});
}

TEST(QueryPlan, AnythingElseIsRefused) {
  EXPECT_FALSE(read_plan("").has_value());
  EXPECT_FALSE(read_plan("{}").has_value());
  EXPECT_FALSE(read_plan("[]").has_value());
  EXPECT_FALSE(read_plan("[{\"Plan\": 3}]").has_value());
  EXPECT_FALSE(read_plan(std::string(100'000, '[')).has_value());
  EXPECT_TRUE(read_plan(R"([{"Plan": {"Plans": [3], "Plan Rows": "x", "Sort Key": [1], "Node Type": null}}])"));
}

}  // namespace
}  // namespace millrace::optimizer
