// `FROM a JOIN (SELECT i.k, sum(i.x) FROM i GROUP BY i.k) g ON g.k = a.k WHERE a.k < 100`: in g, before it groups,
// i.k < 100. The same of BETWEEN and IN with literals; PostgreSQL knows it of a.k = 100 only.
//
// k is what g groups by, so the condition takes whole groups away, and those that it takes meet no row that is left: k
// is equal on both sides, in types whose order and equality are one. g may be the right side of a LEFT JOIN, too: where
// a.k isn't in the range, the row isn't in the result at all. Nothing in the statement may fail.
#include <algorithm>

#include "optimizer/grouped.hpp"
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

/// What a range of literals is of; null: it is something else.
Node** ranged(const Site& site, Node* node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR) return nullptr;
  auto* expression = node->a_expr;
  const auto is_literal = [&](const Node* each) { return constant_of(site.analysis, each).has_value(); };
  const auto plain = [&](std::string_view name) { return site.analysis.plain_operator(name); };
  if (expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN ||
      (expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_IN && operator_name(expression) == "=")) {
    if (!plain("=") || !plain("<=") || !plain(">=") || expression->rexpr->node_case != PG_QUERY__NODE__NODE_LIST)
      return nullptr;
    const auto* literals = expression->rexpr->list;
    return std::all_of(literals->items, literals->items + literals->n_items, is_literal) ? &expression->lexpr : nullptr;
  }
  const auto bound = bound_of(site.analysis, node);
  if (!bound || bound->name == "=" || bound->name == "<>") return nullptr;
  return bound->value == expression->lexpr ? &expression->lexpr : &expression->rexpr;
}

/// The same literal is compared in the same way with either.
bool compare_alike(const Resolved& a, const Resolved& b) {
  return groups_alike(a, b) && a.column->type == b.column->type && has_default_order(a);
}

bool push(const Site& site, const Grouped& grouped, const Conjunct& equality) {
  const auto* level = site.scope().level;
  const Scope scope{.level = level, .begin = equality.begin, .end = equality.end};
  const auto comparison = comparison_of(site.analysis, equality.node);
  if (!comparison || comparison->name != "=") return false;
  for (const bool turn : {false, true}) {
    const auto* key = grouped.key_of(site.analysis, turn ? comparison->right : comparison->left, scope);
    const auto other = site.analysis.column(turn ? comparison->left : comparison->right, scope);
    if (key == nullptr || !other || other->level != level || other->source == grouped.source ||
        other->source->nullable || !compare_alike(key->column, *other))
      continue;
    for (const auto& conjunct : level->conjuncts) {
      auto* condition = site.tree.copy(conjunct.node);
      auto** value = ranged(site, condition);
      const Scope at{.level = level, .begin = conjunct.begin, .end = conjunct.end};
      const auto column = value != nullptr ? site.analysis.column(*value, at) : std::nullopt;
      if (!column || column->column != other->column || !cannot_fail(site.analysis, conjunct.node, at, site.place.ctes))
        continue;
      *value = site.tree.copy(key->node);
      if (!is_sure_in_any_order(site)) return false;
      if (grouped.narrow(site.tree, condition)) return true;
    }
  }
  return false;
}

bool apply(const Site& site, Select* select) {
  const auto all = grouped_in(site, select);
  return std::ranges::any_of(all, [&](const Grouped& grouped) {
    return std::ranges::any_of(grouped.met, [&](const Conjunct& each) { return push(site, grouped, each); });
  });
}

}  // namespace

const Rule rules::range_into_grouped{
    .name = "range_into_grouped", .level = 4, .family = Family::pushdown, .by_cost = true, .query = apply};

}  // namespace millrace::optimizer
