// `SELECT DISTINCT a FROM t`: the least value, and from each value to the next one, until there is none, by a
// recursion.
//
// PostgreSQL reads all rows, or the whole of an index, to tell values apart; with an index that begins with the column
// it finds each next value by one look-up. The recursion ends with a row of NULL, which is the NULLs' where there are
// any:
//
//   WITH RECURSIVE skip_1 AS (
//     SELECT (SELECT t.a FROM t WHERE t.a IS NOT NULL ORDER BY t.a LIMIT 1) AS value
//     UNION ALL
//     SELECT (SELECT t.a FROM t WHERE t.a > skip_1.value ORDER BY t.a LIMIT 1) FROM skip_1 WHERE skip_1.value IS NOT
//     NULL)
//   SELECT skip_1.value AS a FROM skip_1
//   WHERE skip_1.value IS NOT NULL OR EXISTS (SELECT 1 FROM t WHERE t.a IS NULL)
//
// Of the types that are let in, values that are equal are the same, and their order is that of PostgreSQL's own `>`.
// The conditions are of that table alone, and are asked in each of the sub-queries: nothing in the statement may fail.
// Where each value has few rows that takes longer, and without an index much longer: so it is by cost. PostgreSQL takes
// any recursion for ten rounds of ten rows (costsize.c, cost_recursive_union): see rounds.hpp.
#include <fmt/format.h>

#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

/// May be given null.
bool is_of(const Site& site, const Node* node, const Resolved& column) {
  const auto found = site.analysis.column(node, site.scope());
  return found && found->source == column.source && found->column == column.column;
}

/// Its list is one column, and its rows are that column's values, each once.
std::optional<Resolved> distinct_column(const Site& site, const Select* select) {
  if (select->n_target_list != 1) return std::nullopt;
  const auto* item = select->target_list[0];
  const auto column = site.analysis.column(item->res_target->val, site.scope());
  if (!column || column->level != site.scope().level) return std::nullopt;
  if (is_plain_distinct(select)) return select->n_group_clause == 0 ? column : std::nullopt;
  if (select->n_distinct_clause != 0 || select->n_group_clause != 1) return std::nullopt;
  return is_of(site, grouped_by(select, select->group_clause[0]), *column) ? column : std::nullopt;
}

/// Only by that column, if at all: what it says is put in its place then.
bool orders_by(const Site& site, const Select* select, const Resolved& column) {
  if (select->n_sort_clause == 0) return true;
  const auto* item = select->sort_clause[0]->sort_by->node;
  const auto* key = is_output_name(select, item) ? select->target_list[0]->res_target->val : grouped_by(select, item);
  return select->n_sort_clause == 1 && is_of(site, key, column);
}

/// All of WHERE. Nullopt: it says something of other rows, or may fail.
std::optional<std::vector<Node*>> conditions_of(const Site& site) {
  const auto* level = site.scope().level;
  std::vector<Node*> conditions;
  for (const auto& conjunct : level->conjuncts) {
    auto* node = const_cast<Node*>(conjunct.node);
    const auto is_its_own = [&](Node**, const Place&, const Resolved& column) { return column.level == level; };
    if (holds_sub_query(node) || !each_column(site.analysis, &node, site.scope(), site.place.ctes, is_its_own) ||
        !cannot_fail(site.analysis, node, site.scope(), site.place.ctes))
      return std::nullopt;
    conditions.push_back(node);
  }
  return conditions;
}

bool is_plain(const Select* select) {
  return select->op == PG_QUERY__SET_OPERATION__SETOP_NONE && select->n_values_lists == 0 &&
         select->with_clause == nullptr && select->having_clause == nullptr && select->n_window_clause == 0 &&
         select->n_locking_clause == 0 && select->into_clause == nullptr;
}

bool apply(const Site& site, Select* select) {
  const auto* level = site.scope().level;
  if (!is_plain(select) || site.place.recursive || level == nullptr || level->sources.size() != 1 || level->merges ||
      level->opaque)
    return false;
  const auto column = distinct_column(site, select);
  if (!column || column->source->table == nullptr || !site.analysis.plain_operator(">")) return false;
  if (!equal_is_same(*column) || !orders_by(site, select, *column)) {
    site.missed("values of the column's type may be equal and not the same, or the order isn't the column's");
    return false;
  }
  const auto conditions = conditions_of(site);
  if (!conditions) {
    site.missed("a condition may fail, or isn't of the table alone");
    return false;
  }
  if (!is_sure_in_any_order(site)) return false;

  auto& tree = site.tree;
  std::string name;
  for (int i = 1; name.empty() || tree.mentions(name); ++i) name = fmt::format("skip_{}", i);
  const auto& source = *column->source;
  const auto* value = column_of(tree, source.alias, column->column->name);
  const auto rows_where = [&](Select* sub_query) {
    sub_query->from_clause[0] = tree.copy(source.node);
    std::vector<Node*> all;
    for (const auto* condition : *conditions) all.push_back(tree.copy(condition));
    all.push_back(sub_query->where_clause);
    sub_query->where_clause = and_of(tree, all);
  };
  auto* skips = tree.expression(
      fmt::format("(WITH RECURSIVE {0} AS (SELECT (SELECT $1 FROM t WHERE $1 IS NOT NULL ORDER BY $1 LIMIT 1) AS value "
                  "UNION ALL SELECT (SELECT $1 FROM t WHERE $1 > {0}.value ORDER BY $1 LIMIT 1) FROM {0} WHERE "
                  "{0}.value IS NOT NULL) SELECT {0}.value FROM {0} WHERE {0}.value IS NOT NULL)",
                  name),
      {value});
  auto* skip = skips->sub_link->subselect->select_stmt;
  auto* rounds = skip->with_clause->ctes[0]->common_table_expr->ctequery->select_stmt;
  for (auto* round : {rounds->larg, rounds->rarg})
    rows_where(round->target_list[0]->res_target->val->sub_link->subselect->select_stmt);
  if (!not_null(site.analysis, select->target_list[0]->res_target->val, site.scope())) {
    auto* is_any = tree.expression("$2 OR EXISTS (SELECT 1 FROM t WHERE $1 IS NULL)", {value, skip->where_clause});
    rows_where(is_any->bool_expr->args[1]->sub_link->subselect->select_stmt);
    skip->where_clause = is_any;
  }
  auto* target = select->target_list[0]->res_target;
  if (target->name[0] == '\0') target->name = tree.chars(column->column->name);
  target->val = skip->target_list[0]->res_target->val;
  if (select->n_sort_clause == 1) select->sort_clause[0]->sort_by->node = tree.copy(target->val);
  select->with_clause = skip->with_clause;
  select->n_from_clause = skip->n_from_clause;
  select->from_clause = skip->from_clause;
  select->where_clause = skip->where_clause;
  select->n_distinct_clause = 0;
  select->n_group_clause = 0;
  return true;
}

}  // namespace

const Rule rules::distinct_to_skip_scan{.name = "distinct_to_skip_scan",
                                        .level = 4,
                                        .family = Family::rewriting,
                                        .type = OptimizationType::memory_optimization,
                                        .by_cost = true,
                                        .joins_parameters = true,
                                        .query = apply};

}  // namespace millrace::optimizer
