// A table joined with itself on a key of NOT NULL columns is read once.
//
// Each row meets itself and no other, in one snapshot; so the second's columns are the first's.
#include <algorithm>

#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"

namespace millrace::optimizer {

namespace {

/// The conjuncts that say that a whole key of both is equal; empty: none do.
std::vector<const Node*> equal_keys(const Site& site, const Source& a, const Source& b) {
  const auto* level = site.scope().level;
  for (const auto& key : a.table->keys) {
    std::vector<const Node*> conjuncts;
    for (const auto& name : key) {
      for (const auto& conjunct : level->conjuncts) {
        const auto comparison = comparison_of(site.analysis, conjunct.node);
        if (!comparison || comparison->name != "=") continue;
        const Scope inside{.level = level, .begin = conjunct.begin, .end = conjunct.end};
        const auto left = site.analysis.column(comparison->left, inside);
        const auto right = site.analysis.column(comparison->right, inside);
        if (!left || !right || left->column->name != name || right->column->name != name || !left->column->not_null)
          continue;
        const bool both = (left->source == &a && right->source == &b) || (left->source == &b && right->source == &a);
        if (!both || (type::is_text(left->column->type) && !equal_is_same(*left))) continue;
        conjuncts.push_back(conjunct.node);
        break;
      }
    }
    if (!key.empty() && conjuncts.size() == key.size()) return conjuncts;
  }
  return {};
}

/// Every name of `b` becomes one of `a`; false: one can't, and nothing has changed.
bool rename(const Site& site, Select* select, const Source& a, const Source& b) {
  std::vector<std::pair<Node**, Node*>> changes;
  const auto* level = site.scope().level;
  const bool all = each_column(site.analysis, select, level->parent, site.place.ctes,
                               [&](Node** slot, const Place& place, const Resolved& column) {
                                 if (column.level != level || column.source != &b) return true;
                                 Node* instead = nullptr;
                                 if (column.column == nullptr) {
                                   instead = site.tree.copy(*slot);
                                   instead->column_ref->fields[0]->string->sval = site.tree.chars(a.alias);
                                   if (place.scope.level != level) return false;
                                 } else {
                                   const auto at = static_cast<std::size_t>(column.column - b.columns.data());
                                   instead = qualified(site.tree, site.analysis,
                                                       {.level = level, .source = &a, .column = &a.columns[at]},
                                                       place.scope, nullptr);
                                 }
                                 if (instead == nullptr) return false;
                                 changes.emplace_back(slot, instead);
                                 return true;
                               });
  if (!all) return false;
  for (const auto& [slot, instead] : changes) *slot = instead;
  return true;
}

bool apply(const Site& site, Select* select) {
  // A grouping set of one's column and another of the other's would be of one column.
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || has_grouping_sets(select)) return false;
  const auto* level = site.scope().level;
  if (level->merges || level->opaque) return false;
  for (const auto& a : level->sources) {
    for (const auto& b : level->sources) {
      if (&a >= &b || a.table == nullptr || a.table != b.table || !a.inner || !b.inner || a.nullable || b.nullable)
        continue;
      const auto conjuncts = equal_keys(site, a, b);
      if (conjuncts.empty()) continue;
      // Which joins see what changes when the first moves to where the second was: only plain ones are certain.
      const bool plain =
          std::all_of(select->from_clause, select->from_clause + select->n_from_clause, [](const Node* item) {
            const Node* at = item;
            while (at->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR) {
              if (at->join_expr->jointype != PG_QUERY__JOIN_TYPE__JOIN_INNER) return false;
              if (at->join_expr->rarg->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR) return false;
              at = at->join_expr->larg;
            }
            return true;
          });
      if (!plain || !rename(site, select, a, b)) {
        site.missed("not every column that the statement names is certain");
        continue;
      }
      remove_source(site.tree, select, b.node, conjuncts);
      return true;
    }
  }
  return false;
}

}  // namespace

const Rule rules::self_join{
    .name = "self_join", .level = 3, .family = Family::join, .type = OptimizationType::join_reorder, .query = apply};

}  // namespace millrace::optimizer
