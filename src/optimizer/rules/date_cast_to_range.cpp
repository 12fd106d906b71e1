// The day of a moment, compared with a day: `t::date = '2026-01-31'`, `date(t) >= ...`, `t::date BETWEEN ... AND ...`.
//
// For a timestamp exact: t::date is the greatest day that isn't later than t, so t::date >= d is t >= d, and t::date <
// d is t < d; infinite moments have infinite days, on the same side. For a timestamptz the day is the session's zone's:
// the condition stays, and a range is added that it implies in any zone (calendar.hpp), so that an index can be used.
// A NULL makes both NULL.
#include "optimizer/calendar.hpp"
#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

/// What a day is taken of. Null: something else.
Node* moment_in(const Analysis& analysis, Node* node) {
  if (node == nullptr) return nullptr;
  if (node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST &&
      analysis.plain_type(node->type_cast->type_name) == type::date)
    return node->type_cast->arg;
  const auto* call = call_of(analysis, node, "date", 1);
  return call != nullptr && !call->agg_star ? call->args[0] : nullptr;
}

struct Days {
  std::optional<Moment> from, until;
};

std::optional<Days> days_of(std::string_view comparison, Moment day) {
  const auto next = day + days(1);
  if (comparison == "=") return Days{day, next};
  if (comparison == ">=") return Days{day, std::nullopt};
  if (comparison == ">") return Days{next, std::nullopt};
  if (comparison == "<") return Days{std::nullopt, day};
  if (comparison == "<=") return Days{std::nullopt, next};
  return std::nullopt;
}

/// A literal day. A literal with a time of day would make it a comparison with a timestamp.
std::optional<Moment> day_in(const Constant& constant) {
  if (constant.kind != Constant::Kind::string || (constant.type != type::date && constant.type != type::unknown))
    return std::nullopt;
  return read_moment(constant.text, false);
}

Node* said_as(const Site& site, Node* node, Node* value, const Days& range) {
  const auto column = site.analysis.column(value, site.scope());
  if (!column) return nullptr;
  const Oid type = column->column->type;
  if (type == type::timestamp || type == type::date)
    return range_of(site.tree, value, type, range.from, range.until, {});
  if (type != type::timestamptz) return nullptr;
  const auto margin = zone_margin(site.analysis.session().time_zone);
  auto* implied = range_of(site.tree, value, type, range.from, range.until, margin);
  if (implied == nullptr || margin == days(0)) return implied;
  return site.narrowed(node, implied);
}

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth || node->node_case != PG_QUERY__NODE__NODE_A_EXPR) return nullptr;
  if (node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN) {
    auto* value = moment_in(site.analysis, node->a_expr->lexpr);
    const auto* ends = node->a_expr->rexpr->list;
    if (value == nullptr || ends->n_items != 2) return nullptr;
    if (!site.analysis.plain_operator(">=") || !site.analysis.plain_operator("<=")) return nullptr;
    const auto low = constant_of(site.analysis, ends->items[0]);
    const auto high = constant_of(site.analysis, ends->items[1]);
    const auto first = low ? day_in(*low) : std::nullopt;
    const auto last = high ? day_in(*high) : std::nullopt;
    if (!first || !last) return nullptr;
    return said_as(site, node, value, {.from = first, .until = *last + days(1)});
  }
  const auto bound = bound_of(site.analysis, node);
  if (!bound) return nullptr;
  auto* value = moment_in(site.analysis, bound->value);
  const auto day = value != nullptr ? day_in(bound->constant) : std::nullopt;
  if (!day) return nullptr;
  const auto range = days_of(bound->name, *day);
  return range ? said_as(site, node, value, *range) : nullptr;
}

}  // namespace

const Rule rules::date_cast_to_range{.name = "date_cast_to_range", .expression = apply};

}  // namespace millrace::optimizer
