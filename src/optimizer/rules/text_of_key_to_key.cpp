// `id::text = '42'`, `id::text IN ('1', '2')`, `a.id::text = b.id::text`, for whole numbers and uuids.
//
// Their text is the only one for its value, whatever the settings are. A literal that is no value's text equals none:
// then the condition is never TRUE. Texts of two columns are equal if the values are.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

struct Key {
  Node* column = nullptr;
  Oid type = 0;
};

std::optional<Key> key_in(const Site& site, Node* node) {
  if (node == nullptr || node->node_case != PG_QUERY__NODE__NODE_TYPE_CAST) return std::nullopt;
  if (!type::is_text(site.analysis.plain_type(node->type_cast->type_name))) return std::nullopt;
  const auto column = site.analysis.column(node->type_cast->arg, site.scope());
  if (!column || (!type::is_integer(column->column->type) && column->column->type != type::uuid)) return std::nullopt;
  return Key{node->type_cast->arg, column->column->type};
}

bool is_text_of_integer(std::string_view text, Oid type) {
  std::int64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || std::to_string(value) != text) return false;
  if (type == type::int2) return value >= -32768 && value <= 32767;
  return type == type::int8 || (value >= INT32_MIN && value <= INT32_MAX);
}

bool is_text_of_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !std::string_view("0123456789abcdef").contains(text[i])) return false;
  }
  return true;
}

/// Nullopt: no value has that text.
std::optional<std::string> as_key(const Constant& constant, Oid type) {
  if (type == type::uuid) {
    if (!is_text_of_uuid(constant.text)) return std::nullopt;
    return fmt::format("'{}'::pg_catalog.uuid", constant.text);
  }
  if (!is_text_of_integer(constant.text, type)) return std::nullopt;
  // In quotes, as digits may be of another type than the column's: beyond four bytes, or with a sign before them.
  return fmt::format("'{}'::{}", constant.text, type == type::int8 ? "bigint" : "int");
}

bool is_text_literal(const std::optional<Constant>& constant) {
  return constant && constant->kind == Constant::Kind::string &&
         (constant->type == type::unknown || constant->type == type::text);
}

Node* in_list(const Site& site, const Node* node) {
  const auto* in = node->a_expr;
  const auto names = strings({in->name, in->n_name});
  const auto key = key_in(site, in->lexpr);
  if (!key || names.size() != 1 || names[0] != "=" || !site.analysis.plain_operator("=") ||
      in->rexpr->node_case != PG_QUERY__NODE__NODE_LIST)
    return nullptr;
  std::string list;
  for (std::size_t i = 0; i < in->rexpr->list->n_items; ++i) {
    const auto constant = constant_of(site.analysis, in->rexpr->list->items[i]);
    if (!is_text_literal(constant)) return nullptr;
    if (const auto value = as_key(*constant, key->type)) list += (list.empty() ? "" : ", ") + *value;
  }
  if (list.empty()) return site.tree.expression("false");
  return site.tree.expression(fmt::format("$1 IN ({})", list), {key->column});
}

Node* apply(const Site& site, Node* node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR) return nullptr;
  if (site.place.truth && node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_IN) return in_list(site, node);
  const auto comparison = comparison_of(site.analysis, node);
  if (!comparison || comparison->name != "=") return nullptr;
  const auto left = key_in(site, comparison->left);
  const auto right = key_in(site, comparison->right);
  if (left && right) {
    if (left->type != right->type && (left->type == type::uuid || right->type == type::uuid)) return nullptr;
    return site.tree.expression("$1 = $2", {left->column, right->column});
  }
  if (!site.place.truth) return nullptr;
  const auto bound = bound_of(site.analysis, node);
  const auto key = bound ? key_in(site, bound->value) : std::nullopt;
  if (!key || !is_text_literal(bound->constant)) return nullptr;
  const auto value = as_key(bound->constant, key->type);
  if (!value) return site.tree.expression("false");
  return site.tree.expression(fmt::format("$1 = {}", *value), {key->column});
}

}  // namespace

const Rule rules::text_of_key_to_key{.name = "text_of_key_to_key", .expression = apply};

}  // namespace millrace::optimizer
