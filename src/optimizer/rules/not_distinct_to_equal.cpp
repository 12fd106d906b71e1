// `x IS NOT DISTINCT FROM c` for a literal c, as a condition, is `x = c`; between columns that are both NOT NULL it is
// `=` anywhere, and IS DISTINCT FROM is `<>`.
//
// PostgreSQL has no index, hash or merge join for IS NOT DISTINCT FROM. It is `=`, but for NULLs: TRUE where both are,
// FALSE where one is. It uses the operator that `=` stands for.
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"

namespace millrace::optimizer {

namespace {

Node* apply(const Site& site, Node* node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR) return nullptr;
  const auto* expression = node->a_expr;
  const bool equal = expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT;
  if (!equal && expression->kind != PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT) return nullptr;
  if (!site.analysis.plain_operator("=") || !site.analysis.plain_operator("<>")) return nullptr;
  const auto left = site.analysis.column(expression->lexpr, site.scope());
  const auto right = site.analysis.column(expression->rexpr, site.scope());
  if (left && right) {
    if (left->column->type != right->column->type || !has_equality(site.analysis, left->column->type)) return nullptr;
    for (const auto& side : {*left, *right}) {
      const auto* operand = side.column == left->column ? expression->lexpr : expression->rexpr;
      if (not_null(site.analysis, operand, site.scope(), site.place.by_conjuncts)) continue;
      site.missed(name_of(side) + " isn't declared NOT NULL");
      return nullptr;
    }
    return site.tree.expression(equal ? "$1 = $2" : "$1 <> $2", {expression->lexpr, expression->rexpr});
  }
  if (!equal || !site.place.truth || !(left || right)) return nullptr;
  const auto type = (left ? left : right)->column->type;
  if (!has_equality(site.analysis, type)) return nullptr;
  if (!constant_of(site.analysis, left ? expression->rexpr : expression->lexpr)) return nullptr;
  return site.tree.expression("$1 = $2", {expression->lexpr, expression->rexpr});
}

}  // namespace

const Rule rules::not_distinct_to_equal{.name = "not_distinct_to_equal", .expression = apply};

}  // namespace millrace::optimizer
