#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace millrace::optimizer {

/// A step of a plan, with the names that EXPLAIN (VERBOSE, FORMAT JSON) has for it. Costs are in PostgreSQL's units,
/// where reading a page in order is 1 (seq_page_cost).
struct PlanNode {
  std::string operation = {};  ///< "Seq Scan"
  std::string schema = {}, relation = {}, alias = {}, index = {};
  std::string condition = {};  ///< by which an index is asked, or rows are joined
  std::string filter = {};     ///< by which rows are left out once they are read
  std::vector<std::string> sort_key = {};
  std::string subplan = {};  ///< "SubPlan 1", "InitPlan 1 (returns $0)", "CTE x"; "": none
  bool per_row = false;      ///< it runs once for each row of what it belongs to
  double startup_cost = 0, total_cost = 0, rows = 0;
  double width = 0;  ///< bytes of a row
  std::vector<PlanNode> inputs = {};

  bool reads_whole_table() const { return operation == "Seq Scan" || operation == "Parallel Seq Scan"; }
  /// "public.pages", or "" where it reads none.
  std::string table() const { return relation.empty() || schema.empty() ? relation : schema + "." + relation; }
};

/// Reads what EXPLAIN (VERBOSE, FORMAT JSON) answers. An error: it isn't that, or is nested too deep.
Result<PlanNode> read_plan(std::string_view json);

/// What of a plan is listed: by the names of the specification's QueryPlan.
struct QueryPlan {
  double estimated_cost = 0;
  double estimated_rows = 0;
  std::vector<std::string> plan_operations = {};  ///< in the order of the plan, what comes last first
  std::vector<std::string> join_operations = {}, scan_operations = {}, sort_operations = {};
  std::vector<std::string> index_usage = {};  ///< each index once, in the order of the plan
  std::vector<std::string> table_scans = {};  ///< tables that are read whole, each once, with their schemas
};

QueryPlan summary_of(const PlanNode& root);

/// The plan's shape: a line a step, indented by what it feeds, with tables and indexes; without costs and conditions.
std::vector<std::string> outline_of(const PlanNode& root);

/// Calls `visit(node, parent)` for each, from the top; `parent` is null for the first.
template <typename Visit>
void walk(const PlanNode& node, Visit&& visit, const PlanNode* parent = nullptr) {
  visit(node, parent);
  for (const auto& input : node.inputs) walk(input, visit, &node);
}

}  // namespace millrace::optimizer
