// Conditions that no row meets: `x > 10 AND x < 5`, `x = 1 AND x = 2`, `x NOT IN (1, NULL)`.
//
// Whole numbers, and dates and timestamps by literals that mean one moment: both bounds of a column leave nothing
// between them. NOT IN with a NULL in its list is FALSE or NULL. What stands beside it isn't evaluated any more, so
// that it may not be anything that fails.
#include <algorithm>
#include <map>

#include "optimizer/calendar.hpp"
#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

struct Interval {
  std::optional<std::int64_t> low, high;
  bool low_open = false, high_open = false;

  void above(std::int64_t value, bool open) {
    if (low && (*low > value || (*low == value && low_open))) return;
    low = value;
    low_open = open;
  }
  void below(std::int64_t value, bool open) {
    if (high && (*high < value || (*high == value && high_open))) return;
    high = value;
    high_open = open;
  }
  bool is_empty() const { return low && high && (*low > *high || (*low == *high && (low_open || high_open))); }
};

/// On one scale for all literals that are compared with columns of the type.
std::optional<std::int64_t> on_scale(const Constant& constant, Oid type) {
  if (type::is_integer(type) && constant.kind == Constant::Kind::integer && constant.type == type::int4)
    return constant.value;
  if ((type == type::date || type == type::timestamp) && (constant.type == type || constant.type == type::unknown)) {
    if (type == type::date && constant.text.size() != 10) return std::nullopt;
    if (const auto moment = moment_of(constant)) return moment->time_since_epoch().count();
  }
  return std::nullopt;
}

bool is_contradiction(const Site& site, const PgQuery__BoolExpr* all) {
  std::map<const SourceColumn*, Interval> intervals;
  for (std::size_t i = 0; i < all->n_args; ++i) {
    const auto bound = bound_of(site.analysis, all->args[i]);
    const auto column = bound ? site.analysis.column(bound->value, site.scope()) : std::nullopt;
    const auto value = column ? on_scale(bound->constant, column->column->type) : std::nullopt;
    if (!value) continue;
    auto& interval = intervals[column->column];
    if (bound->name == "=" || bound->name[0] == '>') interval.above(*value, bound->name == ">");
    if (bound->name == "=" || bound->name == "<" || bound->name == "<=") interval.below(*value, bound->name == "<");
  }
  return std::ranges::any_of(intervals, [](const auto& each) { return each.second.is_empty(); });
}

bool excludes_null(const Site& site, const Node* node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_IN)
    return false;
  const auto names = strings({node->a_expr->name, node->a_expr->n_name});
  const auto* list = node->a_expr->rexpr;
  if (names.size() != 1 || names[0] != "<>" || !site.analysis.plain_operator("<>") ||
      list->node_case != PG_QUERY__NODE__NODE_LIST)
    return false;
  const auto column = site.analysis.column(node->a_expr->lexpr, site.scope());
  return column && column->column->type != 0 && column->column->type < catalog::first_normal_oid &&
         std::any_of(list->list->items, list->list->items + list->list->n_items, is_null_constant);
}

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth) return nullptr;
  const auto* all = bool_of(node, PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR);
  if (all == nullptr ? !excludes_null(site, node) : !is_contradiction(site, all)) return nullptr;
  if (!can_go(site.analysis, node, site.scope(), site.place.ctes)) {
    site.missed("a condition beside those that contradict each other may fail");
    return nullptr;
  }
  return site.tree.expression("false");
}

}  // namespace

const Rule rules::contradiction_to_false{.name = "contradiction_to_false", .expression = apply};

}  // namespace millrace::optimizer
