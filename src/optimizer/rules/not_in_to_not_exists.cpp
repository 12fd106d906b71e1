// `x NOT IN (SELECT y FROM ...)` and `x <> ALL (SELECT y FROM ...)` as conditions are anti-joins.
//
// They are TRUE if and only if the sub-query has no row; or x isn't NULL, no y is NULL, and no y = x. That is
//   NOT EXISTS (... AND y = x)  AND  NOT EXISTS (... AND y IS NULL)  AND  (x IS NOT NULL OR NOT EXISTS (...)):
// without a row all three are TRUE; with x NULL and some row the third is FALSE; with a NULL among the y the second is;
// else the first decides. The second is left out where y is certainly not NULL, the third where x isn't.
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

const PgQuery__SubLink* not_in(const Analysis& analysis, const Node* node) {
  if (const auto* negation = bool_of(node, PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR)) {
    const auto* inside = negation->args[0];
    if (inside->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return nullptr;
    const auto* link = inside->sub_link;
    const bool is_in = link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK && link->n_oper_name == 0;
    return is_in && analysis.plain_operator("=") ? link : nullptr;
  }
  if (node->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return nullptr;
  const auto* link = node->sub_link;
  const auto names = strings({link->oper_name, link->n_oper_name});
  const bool is_all = link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ALL_SUBLINK && names.size() == 1 &&
                      names[0] == "<>" && analysis.plain_operator("<>") && analysis.plain_operator("=");
  return is_all ? link : nullptr;
}

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth) return nullptr;
  const auto* link = not_in(site.analysis, node);
  if (link == nullptr) return nullptr;
  auto* select = link->subselect->select_stmt;
  if (!is_simple(select) || select->n_target_list != 1) {
    site.missed("the sub-query is more than FROM and WHERE");
    return nullptr;
  }
  const auto& level = site.analysis.level_of(select, site.scope(), site.place.ctes);
  auto* inner = select->target_list[0]->res_target->val;
  const auto x = site.analysis.column(link->testexpr, site.scope());
  const auto y = site.analysis.column(inner, {.level = &level});
  const auto comparable = [](Oid a, Oid b) { return a == b || (type::is_integer(a) && type::is_integer(b)); };
  if (!x || !y || y->level != &level || x->column->type == 0 || x->column->type >= catalog::first_normal_oid ||
      !comparable(x->column->type, y->column->type)) {
    site.missed("one of the two sides isn't a column of a type that is known");
    return nullptr;
  }
  auto* outer = qualified(site.tree, site.analysis, *x, site.scope(), &level);
  if (outer == nullptr) {
    site.missed(name_of(*x) + " is hidden in the sub-query by a table of the same name");
    return nullptr;
  }
  if (!select_cannot_fail(site.analysis, select, site.scope(), site.place.ctes)) {
    site.missed("the conditions of the sub-query may fail, or what they are of isn't a table");
    return nullptr;
  }
  if (!may_be_joined(site)) return nullptr;
  auto& tree = site.tree;
  std::vector<Node*> all{negated(tree, exists(tree, select, tree.expression("$1 = $2", {inner, outer})))};
  if (!not_null(site.analysis, inner, {.level = &level}))
    all.push_back(negated(tree, exists(tree, select, tree.expression("$1 IS NULL", {inner}))));
  if (!not_null(site.analysis, link->testexpr, site.scope(), site.place.by_conjuncts)) {
    auto* none = negated(tree, exists(tree, select, nullptr));
    all.push_back(tree.expression("$1 IS NOT NULL OR $2", {link->testexpr, none}));
  }
  return and_of(tree, all);
}

}  // namespace

const Rule rules::not_in_to_not_exists{
    .name = "not_in_to_not_exists", .level = 2, .type = OptimizationType::subquery_optimization, .expression = apply};

}  // namespace millrace::optimizer
