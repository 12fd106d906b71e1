// `EXISTS (SELECT ... FROM n WHERE n.k = a.k AND n.at > a.at)` is `((SELECT max(n.at) FROM n WHERE n.k = a.k) > a.at)
// IS TRUE`, and its NOT, by which the latest of each group are told, the same IS NOT TRUE.
//
// Some n.at is greater than a.at if and only if the greatest is: in a type whose order is total. NULLs among n.at are
// never greater, and max passes them by; where a.at is NULL, or there is no row, both are FALSE. PostgreSQL's joins
// look at all pairs of a group for the one; the other `aggregate_to_grouped_join` makes a join of groups. Where groups
// are small, that is slower: so it is by cost.
#include <algorithm>

#include "optimizer/correlations.hpp"
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

/// Of the list, which nobody sees: the parser can find no fault with it.
bool may_go(const Site& site, const Node* value, Scope scope) {
  return value == nullptr || value->node_case == PG_QUERY__NODE__NODE_A_CONST || site.analysis.column(value, scope);
}

bool is_exists(const Node* node) {
  return node->node_case == PG_QUERY__NODE__NODE_SUB_LINK &&
         node->sub_link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK;
}

Node* apply(const Site& site, Node* node) {
  const auto* negation = bool_of(node, PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR);
  const auto* link = negation != nullptr ? negation->args[0] : node;
  if (!is_exists(link)) return nullptr;
  auto* select = link->sub_link->subselect->select_stmt;
  std::string missing;
  const auto found = correlations_of(site, select, missing);
  if (!found) return nullptr;
  const auto is_equality = [](const Correlation& each) { return each.name == "="; };
  const auto equal = std::ranges::count_if(found->all, is_equality);
  if (equal == 0 || static_cast<std::size_t>(equal) + 1 != found->all.size()) return nullptr;
  const auto& level = site.analysis.level_of(select, site.scope(), site.place.ctes);
  if (!std::all_of(select->target_list, select->target_list + select->n_target_list,
                   [&](const Node* item) { return may_go(site, item->res_target->val, {.level = &level}); }))
    return nullptr;
  const auto& greater = *std::ranges::find_if_not(found->all, is_equality);
  if (greater.inner_column.column->type != greater.outer_column.column->type || !equal_is_same(greater.inner_column) ||
      greater.inner_column.column->type == type::boolean || greater.inner_column.column->type == type::uuid) {
    site.missed("it isn't certain that there is one greatest " + name_of(greater.inner_column));
    return nullptr;
  }
  auto& tree = site.tree;
  const bool asks_for_max = greater.name.starts_with(">");
  if (!site.analysis.plain_function(asks_for_max ? "max" : "min") || !is_sure_in_any_order(site)) return nullptr;
  std::vector<Node*> conditions;
  for (const auto* conjunct : conjuncts_of(select->where_clause)) {
    const auto comparison = comparison_of(site.analysis, conjunct);
    const bool is_it = comparison && ((comparison->left == greater.inner && comparison->right == greater.outer) ||
                                      (comparison->left == greater.outer && comparison->right == greater.inner));
    if (!is_it) conditions.push_back(const_cast<Node*>(conjunct));
  }
  // Outside of the sub-query a name without a table's may be another's.
  auto* outer = qualified(tree, site.analysis, greater.outer_column, site.scope(), nullptr);
  if (outer == nullptr) return nullptr;
  auto* extreme = tree.expression(asks_for_max ? "(SELECT max($1))" : "(SELECT min($1))", {greater.inner});
  auto* of = tree.copy(select);
  of->n_target_list = 1;
  of->target_list = extreme->sub_link->subselect->select_stmt->target_list;
  of->where_clause = tree.copy(and_of(tree, conditions));
  extreme->sub_link->subselect->select_stmt = of;
  auto* result = tree.expression(negation != nullptr ? "(a > b) IS NOT TRUE" : "(a > b) IS TRUE");
  auto* comparison = result->boolean_test->arg->a_expr;
  comparison->name[0]->string->sval = tree.chars(greater.name);
  comparison->lexpr = extreme;
  comparison->rexpr = outer;
  return result;
}

}  // namespace

const Rule rules::exists_to_extreme{.name = "exists_to_extreme",
                                    .level = 4,
                                    .family = Family::join,
                                    .type = OptimizationType::subquery_optimization,
                                    .by_cost = true,
                                    .expression = apply};

}  // namespace millrace::optimizer
