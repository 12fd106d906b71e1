#include "optimizer/rounds.hpp"

#include <algorithm>

namespace millrace::optimizer {
namespace {

constexpr double rounds_taken = 10 * 10;

bool makes_groups(const PlanNode& node) {
  return node.operation.ends_with("Aggregate") || node.operation == "Unique" || node.operation == "Group";
}

std::size_t recursions(const PlanNode& root) {
  std::size_t count = 0;
  walk(root, [&](const PlanNode& node, const PlanNode*) { count += node.operation == "Recursive Union" ? 1 : 0; });
  return count;
}

}  // namespace

double rounds_factor(const PlanNode& before, const PlanNode& after) {
  if (recursions(after) <= recursions(before)) return 1;
  double groups = 0;
  walk(before, [&](const PlanNode& node, const PlanNode*) {
    if (makes_groups(node)) groups = std::max(groups, node.rows);
  });
  return std::max(1.0, groups / rounds_taken);
}

}  // namespace millrace::optimizer
