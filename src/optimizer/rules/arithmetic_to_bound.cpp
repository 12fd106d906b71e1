// `id + 1 = 6`, `5 + n > 10`, `n - 2 <= 7`, `price * 2 = 10`: what is done to the column is undone on the literal.
//
// numeric: sums, differences and products with whole numbers are exact, NaN and infinities stay what they are, and what
// is greater stays greater: so the condition is replaced. Of a product only `=`, with a quotient that is whole.
// Integers: the same where PostgreSQL's own sum is within the type; where it isn't, the row is an error. Such rows must
// go on being found, so the condition stays, beside what it implies: the column's bound, or a value so near to the end
// of its type that the sum overflows. An index finds both. Floating point is rounded, so that nothing can be undone.
#include <fmt/format.h>

#include <limits>

#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

using Wide = __int128;

struct Shift {
  Node* column = nullptr;
  std::int64_t by = 0;
};

std::optional<std::int64_t> whole(const Analysis& analysis, const Node* node) {
  const auto constant = constant_of(analysis, node);
  if (!constant || constant->kind != Constant::Kind::integer || constant->type != type::int4) return std::nullopt;
  return constant->value;
}

std::optional<Shift> shift_of(const Analysis& analysis, const Node* node) {
  if (const auto* sum = operator_of(analysis, node, "+")) {
    if (const auto by = whole(analysis, sum->rexpr)) return Shift{sum->lexpr, *by};
    if (const auto by = whole(analysis, sum->lexpr)) return Shift{sum->rexpr, *by};
  }
  if (const auto* difference = operator_of(analysis, node, "-")) {
    if (const auto by = whole(analysis, difference->rexpr)) return Shift{difference->lexpr, -*by};
  }
  return std::nullopt;
}

struct Limits {
  std::int64_t low, high;
};

/// Of what the operator gives with an int4 beside the column.
std::optional<Limits> limits_of(Oid type) {
  using Four = std::numeric_limits<std::int32_t>;
  using Eight = std::numeric_limits<std::int64_t>;
  if (type == type::int4 || type == type::int2) return Limits{Four::min(), Four::max()};
  if (type == type::int8) return Limits{Eight::min(), Eight::max()};
  return std::nullopt;
}

std::optional<Limits> range_of_column(Oid type) {
  using Two = std::numeric_limits<std::int16_t>;
  return type == type::int2 ? std::optional(Limits{Two::min(), Two::max()}) : limits_of(type);
}

/// Of an integer column: its bound, or what overflows; with the condition.
Node* shifted_integer(const Site& site, Node* node, const Bound& bound, const Shift& shift, Oid type) {
  const auto limits = range_of_column(type);
  const Wide value = static_cast<Wide>(bound.constant.value) - shift.by;
  // A bound that the column's type doesn't hold is for PostgreSQL to find out about.
  if (value <= limits->low || value >= limits->high) return nullptr;
  auto* implied =
      site.tree.expression(fmt::format("$1 {} {}", bound.name, static_cast<std::int64_t>(value)), {shift.column});
  const auto result = *limits_of(type);
  if (shift.by == 0) return implied;
  // The sum of an int2 and an int4 is an int4.
  if (result.high > limits->high && limits->low + shift.by >= result.low && limits->high + shift.by <= result.high)
    return implied;
  // Those that overflow upwards are found by > already, and those downwards by <.
  const bool upward = shift.by > 0;
  if (!(upward && bound.name[0] == '>') && !(!upward && bound.name[0] == '<')) {
    const Wide last = upward ? static_cast<Wide>(result.high) - shift.by : static_cast<Wide>(result.low) - shift.by;
    implied = site.tree.expression(fmt::format("$1 OR $2 {} {}", upward ? ">" : "<", static_cast<std::int64_t>(last)),
                                   {implied, shift.column});
  }
  return site.narrowed(node, implied);
}

Node* divided(const Site& site, const Bound& bound) {
  const auto* product = operator_of(site.analysis, bound.value, "*");
  if (product == nullptr || bound.name != "=") return nullptr;
  auto by = whole(site.analysis, product->rexpr);
  auto* column = product->lexpr;
  if (!by) {
    by = whole(site.analysis, product->lexpr);
    column = product->rexpr;
  }
  if (!by || *by == 0 || type_of(site.analysis, column, site.scope()) != type::numeric) return nullptr;
  if (bound.constant.value % *by != 0) {
    site.missed(fmt::format("{} isn't a multiple of {}", bound.constant.value, *by));
    return nullptr;
  }
  return site.tree.expression(fmt::format("$1 = {}", bound.constant.value / *by), {column});
}

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth) return nullptr;
  const auto bound = bound_of(site.analysis, node);
  if (!bound || bound->name == "<>" || bound->constant.kind != Constant::Kind::integer ||
      bound->constant.type != type::int4)
    return nullptr;
  const auto shift = shift_of(site.analysis, bound->value);
  if (!shift) return divided(site, *bound);
  if (!site.analysis.column(shift->column, site.scope())) return nullptr;
  const Oid type = type_of(site.analysis, shift->column, site.scope());
  if (type::is_integer(type)) return shifted_integer(site, node, *bound, *shift, type);
  if (type != type::numeric) return nullptr;
  return site.tree.expression(fmt::format("$1 {} {}", bound->name, bound->constant.value - shift->by), {shift->column});
}

}  // namespace

const Rule rules::arithmetic_to_bound{.name = "arithmetic_to_bound", .expression = apply};

}  // namespace millrace::optimizer
