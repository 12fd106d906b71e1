// `t + interval '7 days' > '2026-01-01'`, `t - interval '12 hours' <= now()`, `now() - t < interval '30 days'`.
//
// A timestamp plus days, hours, minutes or seconds is exact and can be undone; months aren't, since their ends are cut
// off. Of a timestamptz a day is as long as the zone's clocks make it, so there only hours and less. Infinite moments
// stay. now() - t is as many microseconds, shown as days of 24 hours, and compared as that; of an infinite t it is an
// error in PostgreSQL before 17: such rows must go on being found, so the condition stays beside what it implies.
#include <fmt/format.h>

#include <charconv>

#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

struct Length {
  std::int64_t seconds = 0;
  bool days = false;  ///< it says days or weeks
};

/// One number and a unit: "7 days", "12 hours".
std::optional<Length> length_in(const Constant& constant) {
  if (constant.kind != Constant::Kind::string || constant.type != type::interval) return std::nullopt;
  const std::string_view text = constant.text;
  std::int64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc() || number < 0 || number > 100'000) return std::nullopt;
  auto unit = text.substr(static_cast<std::size_t>(read.ptr - text.data()));
  if (!unit.starts_with(' ')) return std::nullopt;
  unit.remove_prefix(1);
  if (unit == "second" || unit == "seconds") return Length{number};
  if (unit == "minute" || unit == "minutes") return Length{number * 60};
  if (unit == "hour" || unit == "hours") return Length{number * 3600};
  if (unit == "day" || unit == "days") return Length{number * 86'400, true};
  if (unit == "week" || unit == "weeks") return Length{number * 7 * 86'400, true};
  return std::nullopt;
}

bool is_now(const Analysis& analysis, const Node* node) {
  if (node->node_case == PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION)
    return node->sqlvalue_function->op == PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIMESTAMP;
  return node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL && call_of(analysis, node, "now", 0) != nullptr;
}

/// What is certain to be of the column's type, is the same for all rows, and may be moved.
bool is_moment(const Site& site, const Node* node, Oid type) {
  if (const auto constant = constant_of(site.analysis, node))
    return constant->kind == Constant::Kind::string && (constant->type == type || constant->type == type::unknown);
  if (type == type::timestamptz) return is_now(site.analysis, node);
  return type_of(site.analysis, node, site.scope()) == type &&
         node->node_case == PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION;
}

/// `t ± length` against a moment.
Node* moved(const Site& site, const Comparison& comparison) {
  for (const bool turn : {false, true}) {
    auto* sum = turn ? comparison.right : comparison.left;
    auto* other = turn ? comparison.left : comparison.right;
    const auto* plus = operator_of(site.analysis, sum, "+");
    const auto* expression = plus != nullptr ? plus : operator_of(site.analysis, sum, "-");
    if (expression == nullptr) continue;
    const auto column = site.analysis.column(expression->lexpr, site.scope());
    const auto constant = constant_of(site.analysis, expression->rexpr);
    const auto length = constant ? length_in(*constant) : std::nullopt;
    const Oid type = column ? column->column->type : 0;
    if (!length || (type != type::timestamp && type != type::timestamptz) || !is_moment(site, other, type)) continue;
    if (type == type::timestamptz && length->days) {
      site.missed("a day of a timestamp with time zone may have 23 or 25 hours: " + name_of(*column));
      continue;
    }
    const auto name = turn ? turned(comparison.name) : comparison.name;
    if (name == "<>") continue;
    const auto* cast = type == type::timestamp ? "timestamp" : "timestamp with time zone";
    return site.tree.expression(fmt::format("$1 {} $2::{} {} $3", name, cast, plus != nullptr ? "-" : "+"),
                                {expression->lexpr, other, expression->rexpr});
  }
  return nullptr;
}

/// `now() - t` against a length.
Node* elapsed(const Site& site, Node* node, const Bound& bound) {
  const auto length = length_in(bound.constant);
  const auto* minus = operator_of(site.analysis, bound.value, "-");
  if (!length || minus == nullptr || !is_now(site.analysis, minus->lexpr)) return nullptr;
  const auto column = site.analysis.column(minus->rexpr, site.scope());
  if (!column || column->column->type != type::timestamptz) return nullptr;
  if (bound.name == "<>") return nullptr;
  auto* implied =
      site.tree.expression(fmt::format("$1 {} now() - '{} seconds'::interval OR $1 IN ('infinity', '-infinity')",
                                       turned(bound.name), length->seconds),
                           {minus->rexpr});
  if (!site.analysis.plain_function("now")) return nullptr;
  return site.narrowed(node, implied);
}

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth) return nullptr;
  if (const auto bound = bound_of(site.analysis, node); bound && bound->constant.type == type::interval)
    return elapsed(site, node, *bound);
  const auto comparison = comparison_of(site.analysis, node);
  return comparison ? moved(site, *comparison) : nullptr;
}

}  // namespace

const Rule rules::interval_to_other_side{.name = "interval_to_other_side", .expression = apply};

}  // namespace millrace::optimizer
