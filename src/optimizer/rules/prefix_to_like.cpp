// `left(s, 3) = 'abc'`, `substr(s, 1, 3) = 'abc'`, `substring(s FROM 1 FOR 3) = 'abc'` are `s LIKE 'abc%'`.
//
// For a text whose collation is deterministic, equal is the same bytes, so the first three characters are 'abc' if and
// only if the text begins so. If the literal is shorter than what is taken, all of the text is it; if it is longer,
// nothing is. An index needs text_pattern_ops or the collation C to serve LIKE; without one it costs the same.
#include <fmt/format.h>

#include <algorithm>

#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

struct Prefix {
  Node* text = nullptr;
  std::int64_t length = 0;
};

std::optional<std::int64_t> whole(const Analysis& analysis, const Node* node) {
  const auto constant = constant_of(analysis, node);
  if (!constant || constant->type != type::int4 || constant->kind != Constant::Kind::integer) return std::nullopt;
  return constant->value;
}

std::optional<Prefix> prefix_of(const Analysis& analysis, const Node* node) {
  if (const auto* call = call_of(analysis, node, "left", 2)) {
    const auto length = whole(analysis, call->args[1]);
    if (length && *length > 0) return Prefix{call->args[0], *length};
  }
  for (const std::string_view name : {"substr", "substring"}) {
    const auto* call = call_of(analysis, node, name, 3);
    if (call == nullptr) continue;
    const auto from = whole(analysis, call->args[1]);
    const auto length = whole(analysis, call->args[2]);
    if (from == 1 && length && *length > 0) return Prefix{call->args[0], *length};
  }
  return std::nullopt;
}

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth) return nullptr;
  const auto bound = bound_of(site.analysis, node);
  if (!bound || bound->name != "=" || bound->constant.kind != Constant::Kind::string ||
      (bound->constant.type != type::unknown && bound->constant.type != type::text))
    return nullptr;
  const auto prefix = prefix_of(site.analysis, bound->value);
  const auto column = prefix ? site.analysis.column(prefix->text, site.scope()) : std::nullopt;
  if (!column || !type::is_text(column->column->type)) return nullptr;
  if (!equal_is_same(*column)) {
    site.missed("the collation of " + name_of(*column) + " may find texts equal that aren't the same");
    return nullptr;
  }
  const auto& text = bound->constant.text;
  // So that characters are bytes in any encoding.
  if (!std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; }) || !site.analysis.plain_operator("~~"))
    return nullptr;
  const auto length = static_cast<std::int64_t>(text.size());
  if (length > prefix->length) return site.tree.expression("false");
  if (length < prefix->length) return site.tree.expression("$1 = $2", {prefix->text, bound->literal});
  std::string pattern;
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return site.tree.expression("$1 LIKE $2", {prefix->text, site.tree.string_constant(pattern + "%")});
}

}  // namespace

const Rule rules::prefix_to_like{.name = "prefix_to_like", .expression = apply};

}  // namespace millrace::optimizer
