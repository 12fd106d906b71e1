// `EXISTS (SELECT count(*) FROM ...)`: an aggregate without GROUP BY has one row, whatever there is, so it is true.
#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

/// There are max and min of the type.
bool has_extremes(const Resolved& column) {
  return has_default_order(column) && column.column->type != type::boolean && column.column->type != type::uuid;
}

bool is_aggregate(const Site& site, const Node* node, Scope inside) {
  if (node == nullptr || node->node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return false;
  if (node->func_call->agg_star) return call_of(site.analysis, node, "count", 0) != nullptr;
  for (const std::string_view name : {"count", "max", "min"}) {
    const auto* call = call_of(site.analysis, node, name, 1);
    // An aggregate of an outer column is the outer query's.
    const auto column = call != nullptr ? site.analysis.column(call->args[0], inside) : std::nullopt;
    if (column && column->level == inside.level) return name == "count" || has_extremes(*column);
  }
  return false;
}

Node* apply(const Site& site, Node* node) {
  if (node->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return nullptr;
  const auto* link = node->sub_link;
  if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK) return nullptr;
  auto* select = link->subselect->select_stmt;
  if (!is_simple(select) || select->n_target_list != 1) return nullptr;
  const Scope inside{.level = &site.analysis.level_of(select, site.scope(), site.place.ctes)};
  if (!is_aggregate(site, select->target_list[0]->res_target->val, inside)) return nullptr;
  if (!select_can_go(site.analysis, select, site.scope(), site.place.ctes)) {
    site.missed("the conditions of the sub-query may fail, or what they are of isn't a table");
    return nullptr;
  }
  return site.tree.expression("true");
}

}  // namespace

const Rule rules::exists_of_aggregate{
    .name = "exists_of_aggregate", .level = 2, .type = OptimizationType::subquery_optimization, .expression = apply};

}  // namespace millrace::optimizer
