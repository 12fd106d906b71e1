// `id = 77.0`, `id = 77::numeric`, `id > 10.0`: a number of another type than the integer column's, as ORMs send them.
//
// PostgreSQL makes the column numeric to compare. Both are exact, so that a whole literal within the column's type may
// be written as an integer.
#include <fmt/format.h>

#include <charconv>

#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

/// Digits, and a point and zeros behind them at most.
std::optional<std::int32_t> whole_in(std::string_view text) {
  std::int32_t value = 0;
  const auto* begin = text.begin();
  const auto* end = text.end();
  const auto read = std::from_chars(begin, end, value);
  if (read.ec != std::errc()) return std::nullopt;
  const std::string_view rest(read.ptr, static_cast<std::size_t>(end - read.ptr));
  if (rest.empty()) return value;
  const bool zeros = rest[0] == '.' && rest.find_first_not_of('0', 1) == std::string_view::npos;
  return zeros ? std::optional(value) : std::nullopt;
}

Node* apply(const Site& site, Node* node) {
  const auto bound = bound_of(site.analysis, node);
  if (!bound || bound->constant.type != type::numeric) return nullptr;
  const auto column = site.analysis.column(bound->value, site.scope());
  if (!column || !type::is_integer(column->column->type)) return nullptr;
  const auto value = whole_in(bound->constant.text);
  if (!value || (column->column->type == type::int2 && (*value < -32768 || *value > 32767))) {
    site.missed(fmt::format("{} isn't a whole number that {} can hold", bound->constant.text, name_of(*column)));
    return nullptr;
  }
  return site.tree.expression(fmt::format("$1 {} {}", bound->name, *value), {bound->value});
}

}  // namespace

const Rule rules::numeric_literal_to_integer{.name = "numeric_literal_to_integer", .expression = apply};

}  // namespace millrace::optimizer
