#include "optimizer/grouped.hpp"

#include <algorithm>

#include "optimizer/aggregates.hpp"
#include "optimizer/shape.hpp"

namespace millrace::optimizer {

namespace {

/// An output column, or a comparison of aggregates with literals and AND, OR, NOT of those.
bool having_cannot_fail(Analysis& analysis, Node* node, const Level& level) {
  std::string missing;
  if (node->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR) {
    return std::all_of(node->bool_expr->args, node->bool_expr->args + node->bool_expr->n_args,
                       [&](Node* each) { return having_cannot_fail(analysis, each, level); });
  }
  const auto bound = bound_of(analysis, node);
  return bound && sure_aggregate(analysis, bound->value, level, missing) != nullptr;
}

std::optional<std::vector<Grouped::Key>> keys_of(const Site& site, const Source& source, Select* select,
                                                 const Level& level) {
  const bool plain = select->op == PG_QUERY__SET_OPERATION__SETOP_NONE && select->n_distinct_clause == 0 &&
                     select->n_group_clause != 0 && !has_grouping_sets(select) && select->n_window_clause == 0 &&
                     select->limit_count == nullptr && select->limit_offset == nullptr &&
                     select->n_locking_clause == 0 && select->with_clause == nullptr &&
                     select->n_target_list == source.columns.size() && !level.opaque;
  if (!plain || (select->having_clause != nullptr && !having_cannot_fail(site.analysis, select->having_clause, level)))
    return std::nullopt;
  std::vector<const SourceColumn*> grouped;
  for (std::size_t i = 0; i < select->n_group_clause; ++i) {
    const auto column = site.analysis.column(grouped_by(select, select->group_clause[i]), {.level = &level});
    if (!column || column->level != &level) return std::nullopt;
    grouped.push_back(column->column);
  }
  std::vector<Grouped::Key> keys;
  for (std::size_t i = 0; i < select->n_target_list; ++i) {
    auto* value = select->target_list[i]->res_target->val;
    std::string missing;
    const auto column = site.analysis.column(value, {.level = &level});
    if (column && column->level == &level) {
      // Which of the equal ones it gives is by the order of rows.
      if (!one_of_equals(*column)) {
        site.missed("values of " + name_of(*column) + " may be equal and not the same");
        return std::nullopt;
      }
      if (std::ranges::find(grouped, column->column) != grouped.end())
        keys.push_back({.given = &source.columns[i], .node = value, .column = *column});
    } else if (sure_aggregate(site.analysis, value, level, missing) == nullptr) {
      if (!missing.empty()) site.missed(missing);
      return std::nullopt;
    }
  }
  return keys;
}

/// The LEFT JOIN whose right side it is, with but inner joins and left sides of LEFT JOINs above.
const PgQuery__JoinExpr* left_join_to(const Node* item, const Node* source) {
  if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return nullptr;
  const auto* join = item->join_expr;
  const bool is_left = join->jointype == PG_QUERY__JOIN_TYPE__JOIN_LEFT;
  const bool is_inner = join->jointype == PG_QUERY__JOIN_TYPE__JOIN_INNER;
  if (is_left && join->rarg == source) return join;
  if (!is_left && !is_inner) return nullptr;
  if (const auto* found = left_join_to(join->larg, source)) return found;
  return is_inner ? left_join_to(join->rarg, source) : nullptr;
}

}  // namespace

const Grouped::Key* Grouped::key_of(const Analysis& analysis, const Node* node, Scope scope) const {
  const auto column = analysis.column(node, scope);
  if (!column || column->source != source) return nullptr;
  const auto found = std::ranges::find(keys, column->column, &Key::given);
  return found != keys.end() ? &*found : nullptr;
}

bool Grouped::narrow(Tree& tree, Node* condition) const {
  const auto there = conjuncts_of(select->where_clause);
  if (std::ranges::any_of(there, [&](const Node* each) { return same(each, condition); })) return false;
  select->where_clause = and_of(tree, select->where_clause, condition);
  return true;
}

std::vector<Grouped> grouped_in(const Site& site, Select* select) {
  std::vector<Grouped> all;
  const auto* level = site.scope().level;
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || level == nullptr || level->opaque || level->merges)
    return all;
  for (const auto& source : level->sources) {
    if (source.node->node_case != PG_QUERY__NODE__NODE_RANGE_SUBSELECT || source.node->range_subselect->lateral ||
        !source.known)
      continue;
    Grouped grouped{.source = &source, .select = source.node->range_subselect->subquery->select_stmt};
    grouped.level = &site.analysis.level_of(grouped.select, level->parent,
                                            site.analysis.ctes_of(grouped.select, level->parent, site.place.ctes));
    if (grouped.select->n_group_clause == 0) continue;
    auto keys = keys_of(site, source, grouped.select, *grouped.level);
    if (!keys || keys->empty()) continue;
    grouped.keys = *std::move(keys);
    if (source.inner && !source.nullable) {
      grouped.met = level->conjuncts;
    } else {
      const PgQuery__JoinExpr* join = nullptr;
      for (std::size_t i = 0; i < select->n_from_clause && join == nullptr; ++i)
        join = left_join_to(select->from_clause[i], source.node);
      if (join == nullptr) continue;
      grouped.inner = false;
      for (const auto* conjunct : conjuncts_of(join->quals)) grouped.met.push_back({.node = conjunct});
    }
    all.push_back(std::move(grouped));
  }
  return all;
}

}  // namespace millrace::optimizer
