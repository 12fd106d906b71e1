// ORDER BY in a sub-query of FROM, below an aggregate for which order is nothing; or in one that IN looks through.
//
// Without LIMIT, OFFSET, DISTINCT and window functions, the same rows come without it. count(), min() and max(), and
// sums and averages of what isn't floating point, are the same in any order. It keeps PostgreSQL from pulling the
// sub-query up: so nothing in the statement may fail.
#include <algorithm>

#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

bool can_be_sorted(Oid type) {
  return type::is_integer(type) || type::is_text(type) || type == type::bpchar || type == type::numeric ||
         type == type::float4 || type == type::float8 || type == type::boolean || type == type::uuid ||
         type == type::date || type == type::timestamp || type == type::timestamptz || type == type::interval;
}

bool only_orders(const Site& site, Select* select, Scope parent) {
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || select->n_sort_clause == 0 ||
      select->limit_count != nullptr || select->limit_offset != nullptr || select->n_locking_clause != 0 ||
      select->n_window_clause != 0 || select->n_group_clause != 0 || select->having_clause != nullptr ||
      select->n_values_lists != 0 || select->n_distinct_clause != 0)
    return false;
  // Its names are of what stands around it, which nothing else that it holds needs to be known for.
  if (select->with_clause != nullptr) return false;
  const auto& level = site.analysis.level_of(select, parent, site.place.ctes);
  if (!has_only_scalars(site.analysis, select, {.level = &level})) return false;
  // What isn't a column that can be ordered would be an error, and so it stays.
  return std::all_of(select->sort_clause, select->sort_clause + select->n_sort_clause, [&](const Node* item) {
    const auto* sort = item->sort_by;
    if (sort->n_use_op != 0) return false;
    const auto column = site.analysis.column(sort->node, {.level = &level});
    if (!column || column->level != &level || !can_be_sorted(column->column->type)) return false;
    // It may be an output column that is meant.
    return std::none_of(select->target_list, select->target_list + select->n_target_list, [&](const Node* target) {
      const auto* name = target->res_target->name;
      return name != nullptr && name == column->column->name;
    });
  });
}

bool is_exact(Oid type) { return type::is_integer(type) || type == type::numeric || type == type::interval; }

/// An aggregate for which order is nothing, or a column.
bool ignores_order(const Site& site, const Node* node) {
  if (node == nullptr) return false;
  // Which of a group's equal values is shown may depend on the order.
  if (const auto column = site.analysis.column(node, site.scope())) return equal_is_same(*column);
  if (constant_of(site.analysis, node)) return true;
  if (node->node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return false;
  if (node->func_call->agg_star) return call_of(site.analysis, node, "count", 0) != nullptr;
  if (node->func_call->n_args != 1) return false;
  const Oid type = type_of(site.analysis, node->func_call->args[0], site.scope());
  // The greatest of texts that are equal and not the same is the first one.
  if (call_of(site.analysis, node, "min", 1) != nullptr || call_of(site.analysis, node, "max", 1) != nullptr)
    return type::is_integer(type) || type == type::date || type == type::timestamp || type == type::timestamptz;
  if (call_of(site.analysis, node, "count", 1) != nullptr) return true;
  const bool adds =
      call_of(site.analysis, node, "sum", 1) != nullptr || call_of(site.analysis, node, "avg", 1) != nullptr;
  return adds && is_exact(type);
}

bool is_aggregated(const Site& site, const Select* select) {
  bool aggregates = select->n_group_clause != 0;
  for (std::size_t i = 0; i < select->n_target_list; ++i) {
    const auto* value = select->target_list[i]->res_target->val;
    if (!ignores_order(site, value)) return false;
    aggregates = aggregates || value->node_case == PG_QUERY__NODE__NODE_FUNC_CALL;
  }
  for (std::size_t i = 0; i < select->n_sort_clause; ++i) {
    if (!ignores_order(site, select->sort_clause[i]->sort_by->node)) return false;
  }
  return aggregates && select->having_clause == nullptr && select->n_window_clause == 0 &&
         (select->n_distinct_clause == 0 || is_plain_distinct(select));
}

bool apply(const Site& site, Select* select) {
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || select->limit_count != nullptr) return false;
  for (std::size_t i = 0; i < select->n_from_clause; ++i) {
    const auto* item = select->from_clause[i];
    if (item->node_case != PG_QUERY__NODE__NODE_RANGE_SUBSELECT) continue;
    auto* inner = item->range_subselect->subquery->select_stmt;
    if (item->range_subselect->lateral || !only_orders(site, inner, site.scope().level->parent)) continue;
    if (!is_aggregated(site, select)) {
      site.missed("the order of a sub-query may show in the result");
      continue;
    }
    if (!may_be_joined(site)) return false;
    inner->n_sort_clause = 0;
    return true;
  }
  return false;
}

Node* order_by_in_removal(const Site& site, Node* node) {
  if (node->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return nullptr;
  const auto* link = node->sub_link;
  if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK &&
      link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__ALL_SUBLINK)
    return nullptr;
  auto* select = link->subselect->select_stmt;
  if (!only_orders(site, select, site.scope()) || !may_be_joined(site)) return nullptr;
  select->n_sort_clause = 0;
  return node;
}

}  // namespace

const Rule rules::order_by_removal{.name = "order_by_removal",
                                   .level = 3,
                                   .type = OptimizationType::memory_optimization,
                                   .expression = order_by_in_removal,
                                   .query = apply};

}  // namespace millrace::optimizer
