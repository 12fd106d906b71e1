// `SELECT a.id, sum(b.x) FROM t a JOIN t b ON b.p = a.p AND b.k <= a.k GROUP BY a.id`, with id a's key: `SELECT a.id,
// sum(a.x) OVER (PARTITION BY a.p ORDER BY a.k) FROM t a`.
//
// PostgreSQL makes all pairs, which are half of n times n, and groups them. A key in GROUP BY makes one group of each
// row of a that meets some b, and each meets itself, as `<=` and `>=` are TRUE of equals: but for those with NULLs in
// what is compared, which meet none, and which WHERE leaves out then. The b of a group are the rows before a's in the
// order of k, and its peers: the frame that an ordered window has without saying so.
//
// Aggregates are of b's columns, fail of no rows and don't depend on their order; beside them the list holds only
// columns of a. Nothing else in the statement may fail, as it isn't asked in the same order. It is by cost, as all such
// steps.
#include <algorithm>

#include "optimizer/aggregates.hpp"
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"
#include "optimizer/windows.hpp"

namespace millrace::optimizer {

namespace {

/// The source of which all items of GROUP BY are columns, with a key of NOT NULL columns among them. Null: there is
/// none.
const Source* grouped_source(const Site& site, const Select* select) {
  const Source* source = nullptr;
  std::vector<std::string> grouped;
  for (std::size_t i = 0; i < select->n_group_clause; ++i) {
    const auto* item = grouped_by(select, select->group_clause[i]);
    const auto column = item == nullptr ? std::nullopt : site.analysis.column(item, site.scope());
    if (!column || column->level != site.scope().level || (source != nullptr && column->source != source))
      return nullptr;
    source = column->source;
    if (column->column->not_null) grouped.push_back(column->column->name);
  }
  const bool has_key =
      source != nullptr && source->table != nullptr && std::ranges::any_of(source->table->keys, [&](const auto& key) {
        return !key.empty() && std::ranges::all_of(key, [&](const auto& name) {
          return std::ranges::find(grouped, name) != grouped.end();
        });
      });
  return has_key ? source : nullptr;
}

/// All conditions, which compare columns of `b` with columns of `a`. Nullopt: they aren't all such.
std::optional<std::vector<Correlation>> comparisons_of(const Site& site, const Source& a, const Source& b) {
  std::vector<Correlation> all;
  const auto* level = site.scope().level;
  for (const auto& conjunct : level->conjuncts) {
    const Scope inside{.level = level, .begin = conjunct.begin, .end = conjunct.end};
    const auto comparison = comparison_of(site.analysis, conjunct.node);
    auto left = comparison ? site.analysis.column(comparison->left, inside) : std::nullopt;
    auto right = comparison ? site.analysis.column(comparison->right, inside) : std::nullopt;
    if (!left || !right || !groups_alike(*left, *right)) return std::nullopt;
    if (left->source == &b && right->source == &a) {
      all.push_back({comparison->name, comparison->left, comparison->right, *left, *right});
    } else if (left->source == &a && right->source == &b) {
      all.push_back({turned(comparison->name), comparison->right, comparison->left, *right, *left});
    } else {
      return std::nullopt;
    }
  }
  return all;
}

/// Makes of an aggregate of b's columns one of a's over the window; false: it is of other columns.
bool put_window(const Site& site, Node** aggregate, const Source& a, const Source& b, const RowsBefore& rows) {
  if ((*aggregate)->func_call->agg_distinct) return false;  // windows have no such thing
  const bool all = each_column(site.analysis, aggregate, site.scope(), site.place.ctes,
                               [&](Node** slot, const Place&, const Resolved& column) {
                                 if (column.source != &b || column.column == nullptr) return false;
                                 *slot = column_of(site.tree, a.alias, column.column->name);
                                 return true;
                               });
  if (all) (*aggregate)->func_call->over = rows.window(site.tree, a.alias, true);
  return all;
}

bool is_column_of(const Site& site, const Node* node, const Source& source) {
  const auto column = site.analysis.column(node, site.scope());
  return column && column->source == &source;
}

bool is_place(const Node* node) { return node->node_case == PG_QUERY__NODE__NODE_A_CONST; }

/// The list over a's rows. Nullopt: it holds something else than aggregates of b's columns, and columns of a's.
std::optional<std::vector<Node*>> list_of(const Site& site, const Select* select, const Source& a, const Source& b,
                                          const RowsBefore& rows) {
  std::vector<Node*> list;
  bool aggregates_any = false;
  for (std::size_t i = 0; i < select->n_target_list; ++i) {
    list.push_back(site.tree.copy(select->target_list[i]));
    auto* target = list.back()->res_target;
    if (target->val == nullptr) return std::nullopt;
    if (is_column_of(site, target->val, a)) continue;
    std::string missing;
    const auto aggregates = aggregates_in(site.analysis, &target->val, *site.scope().level, missing);
    if (!aggregates || aggregates->empty()) {
      if (!missing.empty()) site.missed(std::move(missing));
      return std::nullopt;
    }
    if (!std::ranges::all_of(*aggregates, [&](Node** each) { return put_window(site, each, a, b, rows); }))
      return std::nullopt;
    aggregates_any = true;
  }
  return aggregates_any ? std::optional(std::move(list)) : std::nullopt;
}

bool apply(const Site& site, Select* select) {
  const auto* level = site.scope().level;
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || select->n_values_lists != 0 || select->n_group_clause == 0 ||
      select->having_clause != nullptr || select->n_window_clause != 0 || select->n_distinct_clause != 0 ||
      has_grouping_sets(select) || level->opaque || level->merges || level->sources.size() != 2)
    return false;
  const auto* const a = grouped_source(site, select);
  if (a == nullptr) return false;
  const auto& b = level->sources[a == level->sources.data() ? 1 : 0];
  if (a->table != b.table || a->nullable || b.nullable || !a->inner || !b.inner) return false;
  const auto comparisons = comparisons_of(site, *a, b);
  const auto rows = comparisons ? RowsBefore::by(*comparisons) : std::nullopt;
  if (!rows || rows->strict) return false;
  const bool sorts_surely =
      std::ranges::all_of(std::span(select->sort_clause, select->n_sort_clause), [&](const Node* item) {
        const auto* by = item->sort_by->node;
        return is_output_name(select, by) || is_place(by) || is_column_of(site, by, *a);
      });
  if (!sorts_surely) {
    site.missed("ORDER BY holds more than columns");
    return false;
  }
  auto list = list_of(site, select, *a, b, *rows);
  if (!list || !is_sure_in_any_order(site)) return false;
  std::vector<Node*> known;
  for (const auto& each : *comparisons) {
    const auto& column = *each.outer_column.column;
    if (!column.not_null)
      known.push_back(site.tree.expression("$1 IS NOT NULL", {column_of(site.tree, a->alias, column.name)}));
  }
  auto* table = const_cast<Node*>(a->node);
  select->n_target_list = list->size();
  select->target_list = site.tree.nodes(*list);
  select->n_from_clause = 1;
  select->from_clause = site.tree.nodes(std::span<Node* const>(&table, 1));
  select->where_clause = and_of(site.tree, known);
  select->n_group_clause = 0;
  return true;
}

}  // namespace

const Rule rules::triangular_join_to_window{.name = "triangular_join_to_window",
                                            .level = 4,
                                            .family = Family::join,
                                            .type = OptimizationType::join_reorder,
                                            .by_cost = true,
                                            .query = apply};

}  // namespace millrace::optimizer
