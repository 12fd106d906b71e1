#include "optimizer/correlations.hpp"

#include <algorithm>

namespace millrace::optimizer {

namespace {

bool is_around(const Level* level, Scope scope) {
  for (const auto* around = scope.level; around != nullptr; around = around->parent.level) {
    if (around == level) return true;
  }
  return false;
}

}  // namespace

bool groups_alike(const Resolved& a, const Resolved& b) {
  const Oid left = a.column->type;
  const Oid right = b.column->type;
  if (type::is_integer(left) && type::is_integer(right)) return true;
  if (left == type::numeric && right == type::numeric) return true;
  return (left == right || (type::is_text(left) && type::is_text(right))) && equal_is_same(a) && equal_is_same(b) &&
         a.column->collation == b.column->collation;
}

bool names_only(const Site& site, Node* node, Scope scope, const Level* level, const Source* only) {
  return each_column(site.analysis, &node, scope, site.place.ctes, [&](Node**, const Place&, const Resolved& column) {
    if (only != nullptr && column.source == only) return true;
    return !is_around(column.level, {.level = level});
  });
}

std::optional<Correlations> correlations_of(const Site& site, Select* select, std::string& missing) {
  if (!is_simple(select)) return std::nullopt;
  const auto& level = site.analysis.level_of(select, site.scope(), site.place.ctes);
  const Scope inside{.level = &level};
  std::size_t outside = 0;
  const auto count = [&](Node**, const Place&, const Resolved& column) {
    outside += is_around(column.level, site.scope()) ? 1 : 0;
    return true;
  };
  if (!each_column(site.analysis, select, site.scope(), site.place.ctes, count)) {
    missing = "not every column that the sub-query names is certain";
    return std::nullopt;
  }
  if (outside == 0) return std::nullopt;
  Correlations found;
  for (const auto* conjunct : conjuncts_of(select->where_clause)) {
    auto* node = const_cast<Node*>(conjunct);
    const auto before = outside;
    outside = 0;
    each_column(site.analysis, &node, inside, site.place.ctes, count);
    const auto of_it = outside;
    outside = before;
    if (of_it == 0) {
      found.others.push_back(node);
      continue;
    }
    const auto comparison = comparison_of(site.analysis, node);
    const auto left = comparison ? site.analysis.column(comparison->left, inside) : std::nullopt;
    const auto right = comparison ? site.analysis.column(comparison->right, inside) : std::nullopt;
    if (!left || !right || comparison->name == "<>") continue;
    if (left->level == &level && right->level == site.scope().level) {
      found.all.push_back({comparison->name, comparison->left, comparison->right, *left, *right});
    } else if (right->level == &level && left->level == site.scope().level) {
      found.all.push_back({turned(comparison->name), comparison->right, comparison->left, *right, *left});
    }
  }
  if (found.all.size() != outside) {
    missing = "the sub-query names columns around it otherwise than by comparing them with its own";
    return std::nullopt;
  }
  for (const auto& each : found.all) {
    if (groups_alike(each.inner_column, each.outer_column)) continue;
    missing = name_of(each.inner_column) + " and " + name_of(each.outer_column) +
              " aren't of one type, or equal values of it may not be the same";
    return std::nullopt;
  }
  if (!select_cannot_fail(site.analysis, select, site.scope(), site.place.ctes)) {
    missing = "the conditions of the sub-query may fail, or what they are of isn't a table";
    return std::nullopt;
  }
  return found;
}

}  // namespace millrace::optimizer
