// SELECT DISTINCT whose rows differ already: its list holds, or determines, a key of NOT NULL columns of every table in
// FROM; or it groups, and all that it groups by is in the list.
//
// A key of a table tells its rows apart, and keys of all tables together those of their join; a table that an outer
// join adds NULLs for is told apart as well. A key that isn't in the list will do if the conditions say what it is
// equal to. DISTINCT and unique indexes compare alike.
#include <algorithm>

#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

bool is_aggregate(const Analysis& analysis, const Node* node) {
  if (node->node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return false;
  if (node->func_call->agg_star) return call_of(analysis, node, "count", 0) != nullptr;
  return std::ranges::any_of(std::initializer_list<std::string_view>{"count", "sum", "min", "max", "avg"},
                             [&](std::string_view name) { return call_of(analysis, node, name, 1) != nullptr; });
}

/// Each column that it groups by is in the list, and the list makes no rows of its own.
bool groups_by_list(const Site& site, const Select* select) {
  if (select->group_distinct || select->n_window_clause != 0) return false;
  for (std::size_t i = 0; i < select->n_target_list; ++i) {
    const auto* value = select->target_list[i]->res_target->val;
    if (value == nullptr || (!site.analysis.column(value, site.scope()) && !is_aggregate(site.analysis, value)))
      return false;
  }
  for (std::size_t i = 0; i < select->n_group_clause; ++i) {
    const auto grouped = site.analysis.column(select->group_clause[i], site.scope());
    if (!grouped || grouped->level != site.scope().level) return false;
    const bool listed =
        std::any_of(select->target_list, select->target_list + select->n_target_list, [&](const Node* item) {
          const auto column = site.analysis.column(item->res_target->val, site.scope());
          return column && column->column == grouped->column;
        });
    if (!listed) return false;
  }
  return true;
}

bool rows_differ(const Site& site, const Select* select) {
  const auto& level = *site.scope().level;
  if (select->n_group_clause != 0) return groups_by_list(site, select);
  if (select->having_clause != nullptr || select->n_window_clause != 0 || level.sources.empty()) return false;
  if (!has_only_scalars(site.analysis, select, site.scope())) return false;
  const auto columns = columns_in_list(site.analysis, select, level);
  if (!columns) return false;
  std::string missing;
  if (are_unique(site.analysis, level, *columns, missing)) return true;
  if (!missing.empty()) site.missed(missing);
  return false;
}

bool apply(const Site& site, Select* select) {
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || !is_plain_distinct(select) || !rows_differ(site, select) ||
      !can_be_distinct(site.analysis, select, *site.scope().level))
    return false;
  // It keeps a sub-query from being pulled up.
  if (select != site.tree.select() && !may_be_joined(site)) return false;
  select->n_distinct_clause = 0;
  return true;
}

}  // namespace

const Rule rules::distinct_removal{
    .name = "distinct_removal", .level = 3, .type = OptimizationType::memory_optimization, .query = apply};

}  // namespace millrace::optimizer
