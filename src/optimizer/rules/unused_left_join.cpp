// Below DISTINCT a LEFT JOIN to a table that is named only in its condition is left out.
//
// It gives each row of its left side at least once and adds nothing to it, so that it can only make rows appear more
// often, which DISTINCT takes back. (PostgreSQL does so itself where it can't: where the right side is joined by a
// key.) The condition may not fail.
#include <algorithm>

#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"

namespace millrace::optimizer {

namespace {

void left_joins_to_tables(Node** item, std::vector<Node**>& found) {
  if ((*item)->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return;
  auto* join = (*item)->join_expr;
  left_joins_to_tables(&join->larg, found);
  left_joins_to_tables(&join->rarg, found);
  if (join->jointype == PG_QUERY__JOIN_TYPE__JOIN_LEFT && join->rarg->node_case == PG_QUERY__NODE__NODE_RANGE_VAR)
    found.push_back(item);
}

bool apply(const Site& site, Select* select) {
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || !is_plain_distinct(select)) return false;
  const auto* level = site.scope().level;
  if (select->n_group_clause != 0 || select->having_clause != nullptr || select->n_window_clause != 0 ||
      level->merges || !has_only_scalars(site.analysis, select, site.scope()))
    return false;
  std::vector<Node**> joins;
  for (std::size_t i = 0; i < select->n_from_clause; ++i) left_joins_to_tables(select->from_clause + i, joins);
  if (joins.empty()) return false;
  const auto uses = uses_of(site, select);
  if (!uses) return false;
  for (auto** item : joins) {
    auto* join = (*item)->join_expr;
    const auto source = std::ranges::find(level->sources, join->rarg, &Source::node);
    if (source == level->sources.end() || source->table == nullptr || join->quals == nullptr) continue;
    std::size_t inside = 0;
    const bool certain = each_column(site.analysis, &join->quals, {.level = level}, site.place.ctes,
                                     [&](Node**, const Place&, const Resolved& column) {
                                       inside += column.source == &*source ? 1 : 0;
                                       return true;
                                     });
    const auto all =
        static_cast<std::size_t>(std::ranges::count_if(*uses, [&](const auto& use) { return use.first == &*source; }));
    if (!certain || all != inside) continue;
    if (!can_go(site.analysis, join->quals, {.level = level}, site.place.ctes)) {
      site.missed("the condition of the join to " + source->alias + " may fail");
      continue;
    }
    *item = join->larg;
    return true;
  }
  return false;
}

}  // namespace

const Rule rules::unused_left_join{.name = "unused_left_join",
                                   .level = 3,
                                   .family = Family::join,
                                   .type = OptimizationType::join_reorder,
                                   .query = apply};

}  // namespace millrace::optimizer
