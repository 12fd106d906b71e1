// What tools wrap a condition in: `CASE WHEN p THEN true ELSE false END`, `CASE WHEN p THEN 1 ELSE 0 END = 1`,
// `coalesce(p, false)`, `p IS TRUE`, `p = true`.
//
// As conditions all of them are TRUE exactly where p is. `p = false` is TRUE where NOT p is. But what is wrapped is
// evaluated where it stands, and p alone may be for more rows, as what is joined by or looked up: so p must be one that
// can't fail.
#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

/// An expression that is certainly boolean, and not a mere column: PostgreSQL sees through those itself.
bool is_condition(const Site& site, const Node* node) {
  if (node == nullptr || !cannot_fail(site.analysis, node, site.scope(), site.place.ctes)) return false;
  switch (node->node_case) {
    case PG_QUERY__NODE__NODE_BOOL_EXPR:
    case PG_QUERY__NODE__NODE_NULL_TEST:
    case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
      return true;
    case PG_QUERY__NODE__NODE_SUB_LINK:
      return node->sub_link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK;
    case PG_QUERY__NODE__NODE_A_EXPR:
      return comparison_of(site.analysis, node).has_value() ||
             node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_IN ||
             node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_LIKE ||
             node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN;
    default:
      return false;
  }
}

/// `CASE WHEN p THEN then ELSE otherwise END`: p.
Node* only_case(const Node* node, Node** then, Node** otherwise) {
  if (node->node_case != PG_QUERY__NODE__NODE_CASE_EXPR) return nullptr;
  const auto* choice = node->case_expr;
  if (choice->arg != nullptr || choice->n_args != 1) return nullptr;
  auto* when = choice->args[0]->case_when;
  *then = when->result;
  *otherwise = choice->defresult;
  return when->expr;
}

bool is_integer(const std::optional<Constant>& constant) {
  return constant && constant->kind == Constant::Kind::integer && constant->type == type::int4;
}

Node* unwrapped_case(const Site& site, Node* node) {
  Node* then = nullptr;
  Node* otherwise = nullptr;
  if (auto* condition = only_case(node, &then, &otherwise)) {
    const bool ends_false = otherwise == nullptr || is_null_constant(otherwise) || boolean_constant(otherwise) == false;
    return boolean_constant(then) == true && ends_false && is_condition(site, condition) ? condition : nullptr;
  }
  const auto bound = bound_of(site.analysis, node);
  if (!bound || bound->name != "=" || !is_integer(bound->constant)) return nullptr;
  auto* condition = only_case(bound->value, &then, &otherwise);
  const auto yes = constant_of(site.analysis, then);
  const auto no = constant_of(site.analysis, otherwise);
  if (condition == nullptr || !is_condition(site, condition) || !is_integer(yes)) return nullptr;
  const bool has_no = is_integer(no);
  if (!has_no && otherwise != nullptr && !is_null_constant(otherwise)) return nullptr;
  if (yes->value == bound->constant.value && (!has_no || no->value != yes->value)) return condition;
  if (has_no && no->value == bound->constant.value && no->value != yes->value)
    return site.tree.expression("($1) IS NOT TRUE", {condition});
  return nullptr;
}

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth) return nullptr;
  if (node->node_case == PG_QUERY__NODE__NODE_COALESCE_EXPR) {
    const auto* coalesce = node->coalesce_expr;
    const bool is =
        coalesce->n_args == 2 && boolean_constant(coalesce->args[1]) == false && is_condition(site, coalesce->args[0]);
    return is ? coalesce->args[0] : nullptr;
  }
  if (node->node_case == PG_QUERY__NODE__NODE_BOOLEAN_TEST) {
    const auto* test = node->boolean_test;
    const bool is = test->booltesttype == PG_QUERY__BOOL_TEST_TYPE__IS_TRUE && is_condition(site, test->arg);
    return is ? test->arg : nullptr;
  }
  if (const auto bound = bound_of(site.analysis, node); bound && bound->name == "=") {
    const auto value = boolean_constant(bound->literal);
    if (value && is_condition(site, bound->value))
      return *value ? bound->value : site.tree.expression("NOT $1", {bound->value});
  }
  return unwrapped_case(site, node);
}

}  // namespace

const Rule rules::boolean_wrapping{.name = "boolean_wrapping", .expression = apply};

}  // namespace millrace::optimizer
