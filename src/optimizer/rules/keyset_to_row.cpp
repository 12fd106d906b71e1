// Keyset pagination: `a > x OR (a = x AND b > y)` is `(a, b) > (x, y)`, and the same by <; the last one may be >= or
// <=.
//
// A row comparison is defined as that, by the operators of the default order. As conditions both are TRUE for the same
// rows when there are NULLs, too: where a is NULL neither is; where a = x and b is NULL neither is. Columns of
// types whose `=`, `<` and `>` are those of their
// order, with literals or parameters beside them.
#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

/// A column compared with what is the same for all rows; that on the right.
std::optional<Comparison> comparison_with_value(const Site& site, const Node* node) {
  auto comparison = comparison_of(site.analysis, node);
  if (!comparison) return std::nullopt;
  const auto is_value = [&](const Node* side) {
    return side->node_case == PG_QUERY__NODE__NODE_PARAM_REF || constant_of(site.analysis, side).has_value();
  };
  if (is_value(comparison->left)) {
    comparison = Comparison{turned(comparison->name), comparison->right, comparison->left};
  } else if (!is_value(comparison->right)) {
    return std::nullopt;
  }
  const auto column = site.analysis.column(comparison->left, site.scope());
  if (!column || !has_default_order(*column)) return std::nullopt;
  return comparison;
}

struct Keys {
  std::vector<Node*> columns, values;
  std::string_view name;
};

/// `node` in place of whatever may follow columns that are equal.
bool read(const Site& site, const Node* node, Keys& keys) {
  if (const auto last = comparison_with_value(site, node)) {
    if (last->name == "=" || last->name == "<>" || keys.columns.empty()) return false;
    if (last->name[0] != keys.name[0]) return false;
    keys.name = last->name;
    keys.columns.push_back(last->left);
    keys.values.push_back(last->right);
    return true;
  }
  const auto* either = bool_of(node, PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR);
  if (either == nullptr || either->n_args != 2) return false;
  const auto first = comparison_with_value(site, either->args[0]);
  const auto* rest = bool_of(either->args[1], PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR);
  if (!first || (first->name != ">" && first->name != "<") || rest == nullptr || rest->n_args != 2) return false;
  if (!keys.columns.empty() && keys.name != first->name) return false;
  const auto equal = comparison_with_value(site, rest->args[0]);
  if (!equal || equal->name != "=" || !same(equal->left, first->left) || !same(equal->right, first->right))
    return false;
  keys.name = first->name;
  keys.columns.push_back(first->left);
  keys.values.push_back(first->right);
  return read(site, rest->args[1], keys);
}

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth || bool_of(node, PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR) == nullptr) return nullptr;
  Keys keys;
  if (!read(site, node, keys)) return nullptr;
  auto* rows = site.tree.expression("(1, 1) > (1, 1)");
  const auto fill = [&](Node* row, const std::vector<Node*>& with) {
    row->row_expr->n_args = with.size();
    row->row_expr->args = site.tree.nodes(with);
  };
  rows->a_expr->name[0]->string->sval = site.tree.chars(keys.name);
  fill(rows->a_expr->lexpr, keys.columns);
  fill(rows->a_expr->rexpr, keys.values);
  return rows;
}

}  // namespace

const Rule rules::keyset_to_row{.name = "keyset_to_row", .joins_parameters = true, .expression = apply};

}  // namespace millrace::optimizer
