// `x IN (SELECT a.k FROM ...) OR x IN (SELECT b.k FROM ...)` as a condition: x IN (SELECT a.k ... UNION ALL SELECT
// ...).
//
// Either is TRUE if and only if x is among what both sub-queries give together; where it isn't TRUE, FALSE and NULL are
// alike. One IN is a semi-join; IN below OR is asked of each row. The columns are of one type, so that UNION ALL
// changes none, and nothing in the statement may fail, as OR needn't have come to the second. With few rows of x's
// table the second can be slower: so it is by cost.
#include <algorithm>

#include "optimizer/correlations.hpp"
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

/// An IN of x with a sub-query that can be one side of UNION ALL. Null: it is something else.
const PgQuery__SubLink* branch(const Site& site, const Node* node, Resolved& x) {
  if (node->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return nullptr;
  const auto* link = node->sub_link;
  if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK || link->n_oper_name != 0) return nullptr;
  auto* select = link->subselect->select_stmt;
  if (!is_simple(select) || select->n_target_list != 1) return nullptr;
  const auto& level = site.analysis.level_of(select, site.scope(), site.place.ctes);
  const auto of = site.analysis.column(link->testexpr, site.scope());
  const auto given = site.analysis.column(select->target_list[0]->res_target->val, {.level = &level});
  if (!of || !given || given->level != &level || of->column->type == 0 || of->column->type != given->column->type ||
      !groups_alike(*of, *given))
    return nullptr;
  bool is_apart = true;
  const bool certain = each_column(
      site.analysis, select, site.scope(), site.place.ctes, [&](Node**, const Place&, const Resolved& column) {
        for (const auto* around = site.scope().level; around != nullptr; around = around->parent.level)
          is_apart = is_apart && column.level != around;
        return true;
      });
  if (!certain || !is_apart) return nullptr;
  if (!select_cannot_fail(site.analysis, select, site.scope(), site.place.ctes)) {
    site.missed("the conditions of a sub-query of IN may fail, or what they are of isn't a table");
    return nullptr;
  }
  x = *of;
  return link;
}

Node* apply(const Site& site, Node* node) {
  const auto* either = site.place.truth ? bool_of(node, PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR) : nullptr;
  if (either == nullptr || !site.analysis.plain_operator("=")) return nullptr;
  auto& tree = site.tree;
  Node* in = nullptr;
  std::size_t branches = 0;
  Resolved first;
  std::vector<Node*> arms;
  for (std::size_t i = 0; i < either->n_args; ++i) {
    Resolved x;
    const auto* link = branch(site, either->args[i], x);
    if (link == nullptr || (in != nullptr && x.column != first.column)) {
      arms.push_back(either->args[i]);
      continue;
    }
    ++branches;
    if (in == nullptr) {
      first = x;
      in = tree.copy(either->args[i]);
      arms.push_back(in);
      continue;
    }
    auto* both = tree.expression("(SELECT 1 UNION ALL SELECT 2)")->sub_link->subselect->select_stmt;
    both->larg = in->sub_link->subselect->select_stmt;
    both->rarg = tree.copy(link->subselect->select_stmt);
    in->sub_link->subselect->select_stmt = both;
  }
  if (branches < 2 || !is_sure_in_any_order(site)) return nullptr;
  if (arms.size() == 1) return in;
  auto* rest = tree.expression("true OR true");
  rest->bool_expr->n_args = arms.size();
  rest->bool_expr->args = tree.nodes(arms);
  return rest;
}

}  // namespace

const Rule rules::in_or_in{.name = "in_or_in",
                           .level = 4,
                           .family = Family::join,
                           .type = OptimizationType::subquery_optimization,
                           .by_cost = true,
                           .expression = apply};

}  // namespace millrace::optimizer
