// `(SELECT count(*) FROM t b WHERE b.p = a.p AND b.k < a.k)` of t a itself, in WHERE or in the list: a window function
// over t, in a sub-query that takes a's place.
//
// PostgreSQL runs such a sub-query for each row, over all rows before that one: n rows are read n times. These rows are
// the frame of a window that is partitioned by p and ordered by k: for `<=` up to the row's peers, which is the frame
// without saying so, for `<` up to the group of peers before them; for `>=` and `>` the same in the other direction.
// Other conditions on b are a FILTER. The window is over all of t's rows, as the sub-query's are, whatever becomes of
// a's rows outside. NULLs come last in it, and so in no other row's frame, as a comparison with them isn't TRUE; what
// it says of a row with a NULL itself isn't used: of no rows count is 0, and all others are NULL.
//
// How many different k there are up to a row's own, `count(DISTINCT b.k)`, is its dense_rank(), or one less.
//
// Both columns are a's and b's alike, of a type whose order is that of its comparisons. No aggregate may fail or depend
// on the order of rows, and nor may anything else in the statement fail, as it isn't asked in the same order. A
// sub-query for few rows, by an index, can be quicker: so it is by cost.
#include <fmt/format.h>

#include <algorithm>

#include "optimizer/aggregates.hpp"
#include "optimizer/correlations.hpp"
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"
#include "optimizer/windows.hpp"

namespace millrace::optimizer {

namespace {

/// A sub-query that can be a window function over `outer`, and what stands for it then.
struct Windowed {
  ScalarSubQuery at;
  std::string name;  ///< of the column of the list that holds it
  const Source* outer = nullptr;
  Correlations correlations;
  RowsBefore rows;
  Node** instead = nullptr;
  std::vector<Node**> aggregates;  ///< their places in it; with DISTINCT: of what it is ordered by
};

/// count(DISTINCT column), which is a sure aggregate.
bool counts_distinct(const Node* node, const Analysis& analysis, const Level& level, std::string_view column) {
  const auto of = analysis.column(node->func_call->args[0], {.level = &level});
  return of && of->level == &level && of->column->name == column;
}

/// Nullopt: it can't, and it is said why if it is nearly one.
std::optional<Windowed> windowed(const Site& site, const ScalarSubQuery& at) {
  auto* inner = at.select();
  if (!is_simple(inner) || inner->n_target_list != 1 || inner->target_list[0]->res_target->val == nullptr)
    return std::nullopt;
  const auto& level = site.analysis.level_of(inner, site.scope(), site.place.ctes);
  if (level.sources.size() != 1 || level.sources[0].table == nullptr) return std::nullopt;
  std::string missing;
  auto correlations = correlations_of(site, inner, missing);
  if (!correlations) return std::nullopt;  // aggregate_to_grouped_join says why
  Windowed found{.at = at,
                 .name = at.target != nullptr ? output_name(at.target) : "",
                 .correlations = *std::move(correlations),
                 .rows = {},
                 .instead = site.tree.nodes(1),
                 .aggregates = {}};
  const auto& all = found.correlations.all;
  found.outer = all.front().outer_column.source;
  const bool is_of_it =
      std::ranges::all_of(all, [&](const Correlation& each) { return each.outer_column.source == found.outer; });
  if (!is_of_it || found.outer->table != level.sources[0].table || found.outer->nullable ||
      found.outer->node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR)
    return std::nullopt;
  auto rows = RowsBefore::by(all);
  if (!rows) return std::nullopt;
  found.rows = *std::move(rows);
  *found.instead = site.tree.copy(inner->target_list[0]->res_target->val);
  auto aggregates = aggregates_in(site.analysis, found.instead, level, missing);
  if (!aggregates || aggregates->empty()) {
    if (!missing.empty()) site.missed(std::move(missing));
    return std::nullopt;
  }
  found.aggregates = *std::move(aggregates);
  for (auto** each : found.aggregates) {
    // Of other columns windows have no such thing.
    if ((*each)->func_call->agg_distinct &&
        !(found.correlations.others.empty() && counts_distinct(*each, site.analysis, level, found.rows.order)))
      return std::nullopt;
  }
  if (at.target != nullptr && found.name.empty()) {
    site.missed("the column that holds the sub-query has no name of its own");
    return std::nullopt;
  }
  return found;
}

/// Of the columns of the sub-query's table those of `outer`. Null: one isn't of it.
Node* renamed(const Site& site, const Windowed& sub_query, const Node* node) {
  auto* copy = site.tree.copy(node);
  const auto* level = sub_query.correlations.all.front().inner_column.level;
  const bool all = each_column(site.analysis, &copy, {.level = level}, site.place.ctes,
                               [&](Node** slot, const Place& place, const Resolved& column) {
                                 if (column.level != level || column.column == nullptr || place.scope.level != level)
                                   return false;
                                 *slot = column_of(site.tree, sub_query.outer->alias, column.column->name);
                                 return true;
                               });
  return all ? copy : nullptr;
}

/// What the window has for an aggregate. Null: there is none.
Node* value_of(const Site& site, const Windowed& sub_query, const Node* aggregate) {
  auto& tree = site.tree;
  const auto& alias = sub_query.outer->alias;
  Node* value = nullptr;
  const bool counts = strings({aggregate->func_call->funcname, aggregate->func_call->n_funcname}).back() == "count";
  if (aggregate->func_call->agg_distinct) {
    value = tree.expression("dense_rank() OVER ()");
    value->func_call->over = sub_query.rows.window(tree, alias, false);
    if (sub_query.rows.strict) value = tree.expression("$1 - 1", {value});
  } else {
    std::vector<Node*> conditions;
    for (const auto* other : sub_query.correlations.others) {
      conditions.push_back(renamed(site, sub_query, other));
      if (conditions.back() == nullptr) return nullptr;
    }
    value = renamed(site, sub_query, aggregate);
    if (value == nullptr) return nullptr;
    value->func_call->agg_filter = and_of(tree, conditions);
    value->func_call->over = sub_query.rows.window(tree, alias, true);
  }
  std::vector<Node*> nulls;
  for (const auto& each : sub_query.correlations.all) {
    if (each.outer_column.column->not_null) continue;
    nulls.push_back(tree.expression("$1 IS NULL", {column_of(tree, alias, each.outer_column.column->name)}));
  }
  if (nulls.empty()) return value;
  auto* any = nulls.front();
  for (auto* one : std::span(nulls).subspan(1)) any = tree.expression("$1 OR $2", {any, one});
  return tree.expression(counts ? "CASE WHEN $1 THEN 0 ELSE $2 END" : "CASE WHEN $1 THEN NULL ELSE $2 END",
                         {any, value});
}

/// Where a source stands in FROM.
Node** slot_of(Node** item, const Node* source) {
  if (*item == source) return item;
  if ((*item)->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return nullptr;
  auto* left = slot_of(&(*item)->join_expr->larg, source);
  return left != nullptr ? left : slot_of(&(*item)->join_expr->rarg, source);
}

Node** slot_of(Select* select, const Node* source) {
  for (std::size_t i = 0; i < select->n_from_clause; ++i) {
    if (auto** found = slot_of(&select->from_clause[i], source)) return found;
  }
  return nullptr;
}

/// The columns of a source that the SELECT names, in their order. Nullopt: not certain.
std::optional<std::vector<const SourceColumn*>> columns_used(const Site& site, Select* select, const Source& source) {
  std::vector<const SourceColumn*> used;
  const bool all = each_column(site.analysis, select, site.scope().level->parent, site.place.ctes,
                               [&](Node** slot, const Place&, const Resolved& column) {
                                 if (column.source != &source) return true;
                                 if (column.column == nullptr || (*slot)->column_ref->n_fields > 2) return false;
                                 if (std::ranges::find(used, column.column) == used.end())
                                   used.push_back(column.column);
                                 return true;
                               });
  if (!all) return std::nullopt;
  std::ranges::sort(used);
  return used;
}

/// Puts a sub-query with the values in the place of a table; false: it can't, and nothing has changed.
bool put_windows(const Site& site, Select* select, std::span<const Windowed> all) {
  auto& tree = site.tree;
  const Source& source = *all.front().outer;
  auto** const place = slot_of(select, source.node);
  if (place == nullptr) return false;
  std::string name;
  for (int i = 1; name.empty() || tree.mentions(name); ++i) name = fmt::format("window_{}", i);
  std::vector<Node*> values;
  for (const auto& one : all) {
    for (auto** aggregate : one.aggregates) {
      auto* value = value_of(site, one, *aggregate);
      if (value == nullptr) return false;
      const auto found = std::ranges::find_if(values, [&](const Node* other) { return same(other, value); });
      *aggregate = column_of(tree, source.alias, fmt::format("{}_value_{}", name, found - values.begin() + 1));
      if (found == values.end()) values.push_back(value);
    }
  }
  // What only the sub-queries name isn't needed beside them.
  std::vector<Node*> before;
  for (const auto& one : all) before.push_back(std::exchange(*one.at.slot, tree.expression("0")));
  const auto used = columns_used(site, select, source);
  if (!used) {
    for (std::size_t i = 0; i < all.size(); ++i) *all[i].at.slot = before[i];
    site.missed("it isn't certain which columns of the table the statement names");
    return false;
  }
  std::vector<Node*> list;
  for (const auto* column : *used)
    list.push_back(listed_as(tree, column_of(tree, source.alias, column->name), column->name));
  for (std::size_t i = 0; i < values.size(); ++i)
    list.push_back(listed_as(tree, values[i], fmt::format("{}_value_{}", name, i + 1)));
  auto* item = tree.expression("(SELECT 1 FROM (SELECT 1 FROM b) a)")->sub_link->subselect->select_stmt->from_clause[0];
  auto* sub_query = item->range_subselect->subquery->select_stmt;
  sub_query->n_target_list = list.size();
  sub_query->target_list = tree.nodes(list);
  sub_query->from_clause[0] = *place;
  item->range_subselect->alias->aliasname = tree.chars(source.alias);
  *place = item;
  for (const auto& one : all) {
    if (one.at.target != nullptr) one.at.target->name = tree.chars(one.name);
    *one.at.slot = *one.instead;
  }
  return true;
}

bool apply(const Site& site, Select* select) {
  const auto* level = site.scope().level;
  // By a table's key it is known what stands beside it in a group, not so by a sub-query's.
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || select->n_values_lists != 0 || select->n_group_clause != 0 ||
      select->having_clause != nullptr || level->opaque || level->merges)
    return false;
  std::vector<Windowed> all;
  for (const auto& at : scalar_sub_queries(select)) {
    auto one = windowed(site, at);
    if (one && (all.empty() || all.front().outer == one->outer)) all.push_back(*std::move(one));
  }
  if (all.empty()) return false;
  if (std::any_of(select->target_list, select->target_list + select->n_target_list,
                  [](const Node* item) { return is_bare_star(item->res_target->val); })) {
    site.missed("it isn't certain what * stands for");
    return false;
  }
  return is_sure_in_any_order(site) && put_windows(site, select, all);
}

}  // namespace

const Rule rules::aggregate_to_window{.name = "aggregate_to_window",
                                      .level = 4,
                                      .type = OptimizationType::subquery_optimization,
                                      .by_cost = true,
                                      .query = apply};

}  // namespace millrace::optimizer
