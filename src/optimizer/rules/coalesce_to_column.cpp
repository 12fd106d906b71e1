// `coalesce(x, k) = c` for literals k and c.
//
// Where x is NULL it says k = c, else x = c. If k and c are written the same, that is x = c OR x IS NULL. If they are
// certainly not equal (whole numbers, or texts of a type for which equal is the same bytes), it is x = c. Whole numbers
// also by <, <=, >, >=.
#include <fmt/format.h>

#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"

namespace millrace::optimizer {

namespace {

bool holds(std::string_view comparison, std::int64_t a, std::int64_t b) {
  if (comparison == "=") return a == b;
  if (comparison == "<") return a < b;
  if (comparison == "<=") return a <= b;
  return comparison == ">" ? a > b : a >= b;
}

/// Whether `k comparison c`; nullopt: not certain.
std::optional<bool> compare(const Bound& bound, const Constant& instead, const Node* node, const Resolved& column) {
  const auto& constant = bound.constant;
  const Oid type = column.column->type;
  const bool numbers = type::is_integer(type) || type == type::numeric;
  if (numbers && instead.type == type::int4 && constant.type == type::int4 && instead.kind == Constant::Kind::integer &&
      constant.kind == Constant::Kind::integer)
    return holds(bound.name, instead.value, constant.value);
  if (bound.name != "=") return std::nullopt;
  if (same(node, bound.literal)) return true;
  if (type::is_text(type) && equal_is_same(column) && instead.type == type::unknown && constant.type == type::unknown &&
      instead.kind == Constant::Kind::string && constant.kind == Constant::Kind::string)
    return instead.text == constant.text;
  return std::nullopt;
}

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth) return nullptr;
  const auto bound = bound_of(site.analysis, node);
  if (!bound || bound->name == "<>" || bound->value->node_case != PG_QUERY__NODE__NODE_COALESCE_EXPR) return nullptr;
  const auto* coalesce = bound->value->coalesce_expr;
  if (coalesce->n_args != 2) return nullptr;
  const auto column = site.analysis.column(coalesce->args[0], site.scope());
  const auto instead = constant_of(site.analysis, coalesce->args[1]);
  if (!column || !instead) return nullptr;
  // The literals must become of the column's type, and leave the column as it is.
  const Oid type = column->column->type;
  if (instead->type != type::unknown && instead->type != type &&
      !(instead->type == type::int4 && (type == type::int8 || type == type::numeric)))
    return nullptr;
  if (!has_equality(site.analysis, type)) return nullptr;
  const auto found = compare(*bound, *instead, coalesce->args[1], *column);
  if (!found) {
    site.missed("whether the two literals beside " + name_of(*column) + " are equal isn't certain");
    return nullptr;
  }
  if (*found)
    return site.tree.expression(fmt::format("$1 {} $2 OR $1 IS NULL", bound->name),
                                {coalesce->args[0], bound->literal});
  return site.tree.expression(fmt::format("$1 {} $2", bound->name), {coalesce->args[0], bound->literal});
}

}  // namespace

const Rule rules::coalesce_to_column{.name = "coalesce_to_column", .expression = apply};

}  // namespace millrace::optimizer
