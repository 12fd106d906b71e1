#include "optimizer/query_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>

namespace millrace::optimizer {
namespace {

namespace json = boost::json;

constexpr std::size_t deepest_json = 512;  ///< a step takes two levels

std::string text(const json::object& from, std::string_view name) {
  const auto* value = from.if_contains(name);
  const auto* string = value == nullptr ? nullptr : value->if_string();
  return string == nullptr ? std::string() : std::string(*string);
}

double number(const json::object& from, std::string_view name) {
  const auto* value = from.if_contains(name);
  boost::system::error_code ignored;
  return value == nullptr ? 0 : value->to_number<double>(ignored);
}

std::vector<std::string> texts(const json::object& from, std::string_view name) {
  std::vector<std::string> all;
  const auto* value = from.if_contains(name);
  const auto* array = value == nullptr ? nullptr : value->if_array();
  if (array == nullptr) return all;
  for (const auto& one : *array) {
    if (const auto* string = one.if_string()) all.emplace_back(*string);
  }
  return all;
}

/// The first of these that there is.
std::string first_text(const json::object& from, std::initializer_list<std::string_view> names) {
  for (const auto name : names) {
    if (auto found = text(from, name); !found.empty()) return found;
  }
  return {};
}

PlanNode node_of(const json::object& from) {
  PlanNode node{.operation = text(from, "Node Type"),
                .schema = text(from, "Schema"),
                .relation = text(from, "Relation Name"),
                .alias = text(from, "Alias"),
                .index = text(from, "Index Name"),
                .condition = first_text(from, {"Index Cond", "Recheck Cond", "Hash Cond", "Merge Cond", "TID Cond"}),
                .filter = first_text(from, {"Filter", "Join Filter"}),
                .sort_key = texts(from, "Sort Key"),
                .subplan = text(from, "Subplan Name"),
                .per_row = text(from, "Parent Relationship") == "SubPlan",
                .startup_cost = number(from, "Startup Cost"),
                .total_cost = number(from, "Total Cost"),
                .rows = number(from, "Plan Rows"),
                .width = number(from, "Plan Width"),
                .inputs = {}};
  if (const auto* parallel = from.if_contains("Parallel Aware"); parallel != nullptr && parallel->is_bool()) {
    if (parallel->get_bool()) node.operation.insert(0, "Parallel ");
  }
  if (const auto strategy = text(from, "Strategy"); node.operation == "Aggregate" && strategy != "Plain")
    node.operation = strategy == "Hashed" ? "HashAggregate" : strategy == "Sorted" ? "GroupAggregate" : node.operation;
  const auto kind = text(from, "Join Type");
  if (!kind.empty() && kind != "Inner") node.operation += " (" + kind + ")";
  if (const auto* inputs = from.if_contains("Plans"); inputs != nullptr && inputs->is_array()) {
    for (const auto& input : inputs->get_array()) {
      if (input.is_object()) node.inputs.push_back(node_of(input.get_object()));
    }
  }
  // A sub-query that is asked once, and its rows then looked up in memory, is told only where it is used.
  auto uses = texts(from, "Output");
  uses.insert(uses.end(), {node.filter, node.condition});
  for (auto& input : node.inputs) {
    const auto is_hashed = [&](const std::string& use) { return use.contains("hashed " + input.subplan); };
    if (input.per_row && std::ranges::any_of(uses, is_hashed)) input.per_row = false;
  }
  return node;
}

void add_once(std::vector<std::string>& list, std::string what) {
  if (!what.empty() && std::ranges::find(list, what) == list.end()) list.push_back(std::move(what));
}

std::string listed(std::span<const std::string> names) { return fmt::format("{}", fmt::join(names, ", ")); }

}  // namespace

Result<PlanNode> read_plan(std::string_view answered) {
  json::parse_options deep;
  deep.max_depth = deepest_json;
  boost::system::error_code error;
  const auto parsed = json::parse(answered, error, {}, deep);
  if (error) return fail("the server's plan can't be read: " + error.message());
  const auto* plans = parsed.if_array();
  if (plans == nullptr || plans->empty() || !plans->front().is_object()) return fail("the server answered no plan");
  const auto* plan = plans->front().get_object().if_contains("Plan");
  if (plan == nullptr || !plan->is_object()) return fail("the server answered no plan");
  return node_of(plan->get_object());
}

QueryPlan summary_of(const PlanNode& root) {
  QueryPlan plan{.estimated_cost = root.total_cost, .estimated_rows = root.rows};
  walk(root, [&](const PlanNode& node, const PlanNode*) {
    plan.plan_operations.push_back(node.operation);
    const auto table = node.table();
    const auto& by = node.condition.empty() ? node.filter : node.condition;
    if (node.operation.contains("Join") || node.operation.starts_with("Nested Loop")) {
      plan.join_operations.push_back(by.empty() ? node.operation : node.operation + " on " + by);
    }
    if (node.operation.contains("Scan") && !table.empty()) {
      plan.scan_operations.push_back(node.index.empty()
                                         ? fmt::format("{} on {}", node.operation, table)
                                         : fmt::format("{} on {} by {}", node.operation, table, node.index));
    }
    if (node.operation.contains("Sort"))
      plan.sort_operations.push_back(node.operation + " by " + listed(node.sort_key));
    add_once(plan.index_usage, node.index);
    if (node.reads_whole_table()) add_once(plan.table_scans, table);
  });
  return plan;
}

namespace {

void add_outline(const PlanNode& node, std::size_t depth, std::vector<std::string>& lines) {
  std::string line(2 * depth, ' ');
  line += node.operation;
  if (const auto table = node.table(); !table.empty()) line += " on " + table;
  if (!node.index.empty()) line += " by " + node.index;
  lines.push_back(std::move(line));
  for (const PlanNode& input : node.inputs) add_outline(input, depth + 1, lines);
}

}  // namespace

std::vector<std::string> outline_of(const PlanNode& root) {
  std::vector<std::string> lines;
  add_outline(root, 0, lines);
  return lines;
}

}  // namespace millrace::optimizer
