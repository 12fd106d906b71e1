// `(SELECT sum(i.x) FROM i WHERE i.k = a.k AND ...)` in WHERE or in the list: a LEFT JOIN with (SELECT i.k, sum(i.x)
// FROM i WHERE ... GROUP BY i.k) on its k = a.k.
//
// PostgreSQL runs such a sub-query for each row of a, whatever its version. The rows that it aggregates for one a are
// those whose k equals a.k, and they are one whole group, as the comparison is the equality by which GROUP BY groups,
// or there is none, as it is where a.k is NULL. So the join finds one row at most, and a's rows stay as many as they
// are. Where it finds none, count is 0 and all others are NULL, as the LEFT JOIN makes them. What the sub-query does
// with its aggregates, `0.2 * avg(x)`, is done where it stood, for the same rows; PostgreSQL makes an inner join of it
// where the condition can't be TRUE of NULL.
//
// Sub-queries of the same rows are one join. Groups are computed that nobody asks for: no condition and no aggregate
// may fail, and no aggregate may depend on the order of rows. Nor may anything else in the statement fail, as it isn't
// asked in the same order. A sub-query for few rows, by an index, can be quicker: so it is by cost.
#include <fmt/format.h>

#include <algorithm>

#include "optimizer/aggregates.hpp"
#include "optimizer/correlations.hpp"
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

/// `*` would take in what is joined. Nullopt: it isn't certain what it stands for.
std::optional<std::vector<Node*>> without_star(Tree& tree, const Select* select, const Level& level) {
  std::vector<Node*> list;
  for (std::size_t i = 0; i < select->n_target_list; ++i) {
    auto* item = select->target_list[i];
    if (!is_bare_star(item->res_target->val)) {
      list.push_back(item);
      continue;
    }
    if (level.merges || level.opaque) return std::nullopt;
    for (const auto& source : level.sources) {
      const auto alike = std::ranges::count(level.sources, source.alias, &Source::alias);
      if (alike != 1) return std::nullopt;
      auto* of_source = tree.copy(item);
      of_source->res_target->val = tree.expression("a.*");
      of_source->res_target->val->column_ref->fields[0]->string->sval = tree.chars(source.alias);
      list.push_back(of_source);
    }
  }
  return list;
}

bool holds(const Node* item, const Node* source) {
  if (item == source) return true;
  if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return false;
  return holds(item->join_expr->larg, source) || holds(item->join_expr->rarg, source);
}

/// Puts `joined` beside what its condition names.
void join(Tree& tree, Select* select, Node* joined, Node* condition, const std::vector<Correlation>& all) {
  auto* join =
      tree.expression("(SELECT 1 FROM a LEFT JOIN b ON true)")->sub_link->subselect->select_stmt->from_clause[0];
  join->join_expr->rarg = joined;
  join->join_expr->quals = condition;
  for (std::size_t i = 0; i < select->n_from_clause; ++i) {
    auto*& item = select->from_clause[i];
    if (!std::ranges::all_of(all, [&](const auto& each) { return holds(item, each.outer_column.source->node); }))
      continue;
    join->join_expr->larg = item;
    item = join;
    return;
  }
  auto* left = select->from_clause[0];
  for (std::size_t i = 1; i < select->n_from_clause; ++i) {
    auto* both = tree.expression("(SELECT 1 FROM a CROSS JOIN b)")->sub_link->subselect->select_stmt->from_clause[0];
    both->join_expr->larg = left;
    both->join_expr->rarg = select->from_clause[i];
    left = both;
  }
  join->join_expr->larg = left;
  select->n_from_clause = 1;
  select->from_clause[0] = join;
}

/// A sub-query that can be a join, and what stands for it then.
struct Aggregated {
  ScalarSubQuery at;
  Select* select = nullptr;
  Node** instead = nullptr;
  std::vector<Node**> aggregates;  ///< their places in it
};

/// Nullopt: it can't, and it is said why if it is for an aggregate.
std::optional<Aggregated> aggregated(const Site& site, const Select* select, const ScalarSubQuery& at) {
  auto* inner = at.select();
  if (!is_simple(inner) || inner->n_target_list != 1) return std::nullopt;
  const auto& level = site.analysis.level_of(inner, site.scope(), site.place.ctes);
  std::string missing;
  const auto refuse = [&](std::string why) -> std::optional<Aggregated> {
    if (!why.empty()) site.missed(std::move(why));
    return std::nullopt;
  };
  Aggregated found{.at = at, .select = inner, .instead = site.tree.nodes(1), .aggregates = {}};
  *found.instead = site.tree.copy(inner->target_list[0]->res_target->val);
  auto aggregates = aggregates_in(site.analysis, found.instead, level, missing);
  if (!aggregates || aggregates->empty()) return refuse(std::move(missing));
  found.aggregates = *std::move(aggregates);
  const auto correlations = correlations_of(site, inner, missing);
  if (!correlations) return refuse(std::move(missing));
  if (std::ranges::any_of(correlations->all, [](const auto& each) { return each.name != "="; }))
    return refuse("the sub-query's rows are chosen by more than equalities");
  if (at.target == nullptr) return found;
  if (select->n_group_clause != 0 || select->having_clause != nullptr || select->n_distinct_clause != 0 ||
      !has_only_scalars(site.analysis, select, site.scope()))
    return refuse("the list that holds the sub-query aggregates, or it isn't certain that it doesn't");
  if (output_name(at.target).empty()) return refuse("the column that holds the sub-query has no name of its own");
  return found;
}

/// They differ in their lists at most.
bool have_the_same_rows(Tree& tree, const Select* a, const Select* b) {
  auto* one = tree.expression("EXISTS (SELECT 1)");
  auto* other = tree.copy(one);
  Select first = *a, second = *b;
  first.n_target_list = second.n_target_list = 0;
  one->sub_link->subselect->select_stmt = &first;
  other->sub_link->subselect->select_stmt = &second;
  return same(one, other);
}

void decorrelate(const Site& site, Select* select, const Correlations& correlations, std::span<Aggregated> all) {
  auto& tree = site.tree;
  std::string name;
  for (int i = 1; name.empty() || tree.mentions(name); ++i) name = fmt::format("grouped_{}", i);
  std::vector<Node*> given, keys, conditions;
  for (std::size_t i = 0; i < correlations.all.size(); ++i) {
    const auto& each = correlations.all[i];
    const auto key = fmt::format("{}_key_{}", name, i + 1);
    given.push_back(listed_as(tree, tree.copy(each.inner), key));
    keys.push_back(tree.copy(each.inner));
    conditions.push_back(tree.expression("$1 = $2", {column_of(tree, name, key), each.outer}));
  }
  const auto begin = given.size();
  for (auto& one : all) {
    for (auto** slot : one.aggregates) {
      const auto found = std::find_if(given.begin() + static_cast<std::ptrdiff_t>(begin), given.end(),
                                      [&](const Node* item) { return same(item->res_target->val, *slot); });
      const auto value =
          fmt::format("{}_value_{}", name, found - given.begin() - static_cast<std::ptrdiff_t>(begin) + 1);
      if (found == given.end()) given.push_back(listed_as(tree, *slot, value));
      const bool counts = strings({(*slot)->func_call->funcname, (*slot)->func_call->n_funcname}).back() == "count";
      auto* result = column_of(tree, name, value);
      *slot = counts ? tree.expression("coalesce($1, 0)", {result}) : result;
    }
    if (one.at.target != nullptr) one.at.target->name = tree.chars(output_name(one.at.target));
    *one.at.slot = *one.instead;
  }
  auto* joined = tree.expression("(SELECT 1 FROM (SELECT 1) a)")->sub_link->subselect->select_stmt->from_clause[0];
  auto* grouped = tree.copy(all.front().select);
  grouped->n_target_list = given.size();
  grouped->target_list = tree.nodes(given);
  grouped->where_clause = and_of(tree, correlations.others);
  grouped->n_group_clause = keys.size();
  grouped->group_clause = tree.nodes(keys);
  joined->range_subselect->subquery->select_stmt = grouped;
  joined->range_subselect->alias->aliasname = tree.chars(name);
  join(tree, select, joined, and_of(tree, conditions), correlations.all);
}

bool apply(const Site& site, Select* select) {
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || select->n_from_clause == 0 || select->n_values_lists != 0 ||
      site.scope().level->opaque || !site.analysis.plain_operator("="))
    return false;
  std::vector<Aggregated> all;
  for (const auto& at : scalar_sub_queries(select)) {
    auto one = aggregated(site, select, at);
    if (one && (all.empty() || have_the_same_rows(site.tree, all.front().select, one->select)))
      all.push_back(*std::move(one));
  }
  if (all.empty()) return false;
  const auto list = without_star(site.tree, select, *site.scope().level);
  if (!list) {
    site.missed("it isn't certain what * stands for");
    return false;
  }
  std::string missing;
  const auto correlations = correlations_of(site, all.front().select, missing);
  if (!correlations || !is_sure_in_any_order(site)) return false;
  select->n_target_list = list->size();
  select->target_list = site.tree.nodes(*list);
  decorrelate(site, select, *correlations, all);
  return true;
}

}  // namespace

const Rule rules::aggregate_to_grouped_join{.name = "aggregate_to_grouped_join",
                                            .level = 4,
                                            .family = Family::join,
                                            .type = OptimizationType::subquery_optimization,
                                            .by_cost = true,
                                            .query = apply};

}  // namespace millrace::optimizer
