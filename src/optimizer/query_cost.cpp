#include "optimizer/query_cost.hpp"

#include <algorithm>

namespace millrace::optimizer {
namespace {

constexpr double page_bytes = 8192;
constexpr double row_overhead = 24;  ///< a tuple's header in memory

double pages_of(const PlannedQuery& planned, const PlanNode& scan) {
  const auto found = std::ranges::find_if(planned.tables, [&](const TableFacts& table) {
    return table.schema == scan.schema && table.name == scan.relation;
  });
  return found == planned.tables.end() ? 0 : found->pages;
}

double inputs_cost(const PlanNode& node) {
  double sum = 0;
  for (const auto& input : node.inputs) sum += input.total_cost;
  return sum;
}

double io_of(const PlannedQuery& planned, const PlanNode& node) {
  const auto& settings = planned.settings;
  if (node.reads_whole_table()) return std::min(pages_of(planned, node) * settings.seq_page_cost, node.total_cost);
  const bool by_index = node.operation.starts_with("Index ") || node.operation.starts_with("Bitmap ");
  if (!by_index) return 0;
  // A scan of a bitmap has the index's scan below it.
  const double own = std::max(0.0, node.total_cost - inputs_cost(node));
  const double each = node.operation == "Bitmap Index Scan" ? settings.cpu_index_tuple_cost
                                                            : settings.cpu_tuple_cost + settings.cpu_index_tuple_cost;
  return std::max(0.0, own - node.rows * each);
}

bool keeps_its_rows(const PlanNode& node) {
  return node.operation == "Sort" || node.operation == "Hash" || node.operation == "Materialize" ||
         node.operation == "HashAggregate" || node.operation == "Memoize";
}

}  // namespace

QueryCost cost_of(const PlannedQuery& planned) {
  QueryCost cost{.total_cost = planned.plan.total_cost};
  walk(planned.plan, [&](const PlanNode& node, const PlanNode*) {
    cost.io_cost += io_of(planned, node);
    if (keeps_its_rows(node)) {
      cost.memory_cost +=
          std::min(node.rows * (node.width + row_overhead), planned.settings.work_mem_bytes) / page_bytes;
    }
  });
  // What a LIMIT leaves undone isn't in the total; what an inner side does again for each row is.
  cost.io_cost = std::min(cost.io_cost, cost.total_cost);
  cost.cpu_cost = cost.total_cost - cost.io_cost;
  cost.network_cost = planned.plan.rows * planned.plan.width / page_bytes;
  return cost;
}

}  // namespace millrace::optimizer
