// `id IN (SELECT id FROM t WHERE p)` as a condition on t itself is p, for a key of one NOT NULL column.
//
// The sub-query's row with that id is the row itself. p may not fail, since it is asked of other rows then, and may
// hold no sub-query, in which its names could stand for something else.
#include <algorithm>

#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"

namespace millrace::optimizer {

namespace {

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth || node->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return nullptr;
  const auto* link = node->sub_link;
  if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK || link->n_oper_name != 0) return nullptr;
  auto* select = link->subselect->select_stmt;
  if (!is_simple(select) || select->n_target_list != 1 || !site.analysis.plain_operator("=")) return nullptr;
  const auto& level = site.analysis.level_of(select, site.scope(), site.place.ctes);
  const auto outer = site.analysis.column(link->testexpr, site.scope());
  const auto inner = site.analysis.column(select->target_list[0]->res_target->val, {.level = &level});
  if (!outer || !inner || inner->level != &level || level.sources.size() != 1 || outer->source->table == nullptr ||
      outer->source->table != inner->source->table || outer->column->name != inner->column->name)
    return nullptr;
  const std::vector<std::string> key{outer->column->name};
  if (outer->source->nullable || !outer->column->not_null ||
      std::ranges::find(outer->source->table->keys, key) == outer->source->table->keys.end()) {
    site.missed(name_of(*outer) + " isn't a key that is NOT NULL");
    return nullptr;
  }
  if (select->where_clause == nullptr) return site.tree.expression("true");
  if (holds_sub_query(select->where_clause)) return nullptr;
  if (!cannot_fail(site.analysis, select->where_clause, {.level = &level}, site.place.ctes)) {
    site.missed("the conditions of the sub-query may fail");
    return nullptr;
  }
  auto* condition = site.tree.copy(select->where_clause);
  const bool all = each_column(site.analysis, &condition, {.level = &level}, site.place.ctes,
                               [&](Node** slot, const Place&, const Resolved& column) {
                                 Resolved meant = column;
                                 if (column.column == nullptr) return false;
                                 if (column.level == &level) {
                                   const auto& columns = outer->source->columns;
                                   const auto same_one =
                                       std::ranges::find(columns, column.column->name, &SourceColumn::name);
                                   if (same_one == columns.end()) return false;
                                   meant = {.level = outer->level, .source = outer->source, .column = &*same_one};
                                 }
                                 auto* instead = qualified(site.tree, site.analysis, meant, site.scope(), nullptr);
                                 if (instead == nullptr) return false;
                                 *slot = instead;
                                 return true;
                               });
  return all ? condition : nullptr;
}

}  // namespace

const Rule rules::self_in_to_condition{
    .name = "self_in_to_condition", .level = 3, .type = OptimizationType::subquery_optimization, .expression = apply};

}  // namespace millrace::optimizer
