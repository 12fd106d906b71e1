// `SELECT DISTINCT a.* FROM a JOIN b ON ...`, with a key of a in the list and nothing of b: WHERE EXISTS (... FROM b
// ...).
//
// The join gives each row of a as often as it meets rows of b; DISTINCT makes that once, as the key tells them apart.
// What the conditions say of b goes into EXISTS; nothing in the statement may fail. A join and a DISTINCT can be
// quicker where few rows meet many: so it is by cost.
#include <algorithm>

#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

/// Of the two sources the one of which the list has nothing.
const Source* unlisted(const Site& site, Select* select) {
  const auto* level = site.scope().level;
  std::vector<const Source*> listed;
  const auto note = [&](Node**, const Place&, const Resolved& column) {
    if (column.level == level) listed.push_back(column.source);
    return true;
  };
  for (std::size_t i = 0; i < select->n_target_list; ++i) {
    if (!each_column(site.analysis, &select->target_list[i]->res_target->val, site.scope(), site.place.ctes, note))
      return nullptr;
  }
  for (std::size_t i = 0; i < select->n_sort_clause; ++i) {
    auto** key = &select->sort_clause[i]->sort_by->node;
    if ((*key)->node_case == PG_QUERY__NODE__NODE_A_CONST) continue;
    if (!each_column(site.analysis, key, site.scope(), site.place.ctes, note)) return nullptr;
  }
  for (const auto& source : level->sources) {
    if (std::ranges::find(listed, &source) == listed.end()) return &source;
  }
  return nullptr;
}

bool apply(const Site& site, Select* select) {
  const auto* level = site.scope().level;
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || !is_plain_distinct(select) || level == nullptr ||
      level->sources.size() != 2 || level->merges || level->opaque)
    return false;
  if (select->n_group_clause != 0 || select->having_clause != nullptr || select->n_window_clause != 0 ||
      !has_only_scalars(site.analysis, select, site.scope()))
    return false;
  if (!std::ranges::all_of(level->sources,
                           [](const Source& each) { return each.table != nullptr && each.inner && !each.nullable; }))
    return false;
  const auto* gone = unlisted(site, select);
  const auto columns = columns_in_list(site.analysis, select, *level);
  if (gone == nullptr || !columns || !can_be_distinct(site.analysis, select, *level)) return false;
  const auto& kept = level->sources[gone == level->sources.data() ? 1 : 0];
  // Of the kept table alone.
  Level alone{.parent = level->parent, .select = select, .sources = {kept}};
  std::vector<Resolved> of_it;
  for (const auto& column : *columns) {
    const auto at = static_cast<std::size_t>(column.column - kept.columns.data());
    if (column.source == &kept)
      of_it.push_back({.level = &alone, .source = alone.sources.data(), .column = &alone.sources[0].columns[at]});
  }
  std::string missing;
  Select plain = *select;
  plain.n_from_clause = 0;
  alone.select = &plain;
  if (!are_unique(site.analysis, alone, of_it, missing)) {
    site.missed(missing);
    return false;
  }
  std::vector<const Node*> moved;
  std::vector<Node*> conditions;
  for (const auto& conjunct : level->conjuncts) {
    auto* node = const_cast<Node*>(conjunct.node);
    bool names_it = false;
    const bool certain =
        each_column(site.analysis, &node, {.level = level, .begin = conjunct.begin, .end = conjunct.end},
                    site.place.ctes, [&](Node**, const Place&, const Resolved& column) {
                      names_it = names_it || column.source == gone;
                      return true;
                    });
    if (!certain || !cannot_fail(site.analysis, node, {.level = level}, site.place.ctes)) {
      site.missed("a condition of the join may fail");
      return false;
    }
    if (!names_it) continue;
    moved.push_back(conjunct.node);
    conditions.push_back(node);
  }
  if (!is_sure_in_any_order(site)) return false;
  auto* semi = site.tree.expression("EXISTS (SELECT 1 FROM a)");
  auto* inner = semi->sub_link->subselect->select_stmt;
  inner->from_clause[0] = const_cast<Node*>(gone->node);
  inner->where_clause = and_of(site.tree, conditions);
  remove_source(site.tree, select, gone->node, moved);
  select->where_clause = and_of(site.tree, select->where_clause, semi);
  select->n_distinct_clause = 0;
  return true;
}

}  // namespace

const Rule rules::distinct_to_semi_join{.name = "distinct_to_semi_join",
                                        .level = 4,
                                        .family = Family::join,
                                        .type = OptimizationType::subquery_optimization,
                                        .by_cost = true,
                                        .query = apply};

}  // namespace millrace::optimizer
