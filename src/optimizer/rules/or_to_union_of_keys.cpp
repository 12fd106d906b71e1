// `a.state = 'new' OR a.k IN (SELECT ...)` as a condition on a alone: a.id IN (SELECT a.id FROM a WHERE a.state = 'new'
// UNION ALL SELECT a.id FROM a WHERE a.k IN (SELECT ...)), for a key of one NOT NULL column.
//
// The row of a with that id is the row itself, so it is among the union's if and only if one of the conditions is TRUE
// of it. Below OR neither an index nor a semi-join helps a sub-query; each branch has its own. (Where no branch holds
// a sub-query PostgreSQL combines indexes itself.) Nothing in the statement may fail, as OR needn't have come to it;
// whoever asks may read the key, as he names it; and a may not be what an outer join adds NULLs for. Where the branches
// leave much, a is read again for nothing: so it is by cost.
#include <algorithm>

#include "optimizer/correlations.hpp"
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

/// The only table of the level that an expression names; null: there are several, or none, or it isn't certain.
const Source* only_table(const Site& site, Node* node) {
  const Source* only = nullptr;
  bool one = true;
  const auto* level = site.scope().level;
  const bool certain = each_column(site.analysis, &node, site.scope(), site.place.ctes,
                                   [&](Node**, const Place&, const Resolved& column) {
                                     if (column.level == level && only == nullptr) only = column.source;
                                     if (column.level == level) one = one && column.source == only;
                                     return true;
                                   });
  if (!certain || !one || only == nullptr || only->table == nullptr || only->nullable) return nullptr;
  return names_only(site, node, site.scope(), level, only) ? only : nullptr;
}

/// A key of one column of a type in which equal is the same.
const SourceColumn* key_of(const Source& table) {
  for (const auto& key : table.table->keys) {
    if (key.size() != 1) continue;
    const auto column = std::ranges::find(table.columns, key[0], &SourceColumn::name);
    if (column != table.columns.end() && column->not_null && equal_is_same({.column = &*column})) return &*column;
  }
  return nullptr;
}

Node* apply(const Site& site, Node* node) {
  const auto* either = site.place.truth ? bool_of(node, PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR) : nullptr;
  if (either == nullptr || site.scope().level == nullptr || !holds_sub_query(node) ||
      !site.analysis.plain_operator("="))
    return nullptr;
  const auto* table = only_table(site, node);
  if (table == nullptr) return nullptr;
  const auto* key = key_of(*table);
  if (key == nullptr) {
    site.missed(table->alias + " has no key of one column that is NOT NULL");
    return nullptr;
  }
  if (!cannot_fail(site.analysis, node, site.scope(), site.place.ctes)) {
    site.missed("one of the conditions may fail");
    return nullptr;
  }
  if (!is_named(site, *table, *key)) {
    site.missed(table->alias + "." + key->name + " isn't named, which not everybody need be allowed to read");
    return nullptr;
  }
  if (!is_sure_in_any_order(site)) return nullptr;
  auto& tree = site.tree;
  auto* id = qualified(tree, site.analysis, {.level = site.scope().level, .source = table, .column = key}, site.scope(),
                       nullptr);
  if (id == nullptr) return nullptr;
  auto* in = tree.expression("a IN (SELECT 1 FROM b)");
  in->sub_link->testexpr = id;
  auto* branch = in->sub_link->subselect->select_stmt;
  branch->target_list[0]->res_target->val = tree.copy(id);
  branch->from_clause[0] = tree.copy(table->node);
  std::vector<Select*> branches;
  for (std::size_t i = 0; i < either->n_args; ++i) {
    auto* one = branches.emplace_back(tree.copy(branch));
    one->where_clause = tree.copy(either->args[i]);
  }
  in->sub_link->subselect->select_stmt = union_all(tree, branches);
  return in;
}

}  // namespace

const Rule rules::or_to_union_of_keys{.name = "or_to_union_of_keys",
                                      .level = 4,
                                      .family = Family::join,
                                      .type = OptimizationType::subquery_optimization,
                                      .by_cost = true,
                                      .expression = apply};

}  // namespace millrace::optimizer
