// `FROM a JOIN b ON b.k = a.k WHERE a.x = 1 OR b.y = 2`: WHERE (a.id, b.id) IN (SELECT a.id, b.id FROM a JOIN b ON ...
// WHERE a.x = 1 UNION ALL SELECT ... WHERE b.y = 2), for NOT NULL keys of all tables.
//
// A row of the join is told by the keys of what it is made of, so it is among the union's if and only if one of the
// conditions is TRUE of it. In each branch an index serves, and none serves an OR of two tables. What else the
// statement's conditions say holds in the branches, too, and stays. Nothing in the statement may fail, as OR needn't
// have come to it, and whoever asks may read the keys, as he names them. Where the branches leave much, the join is
// made again for nothing: so it is by cost.
#include <algorithm>

#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

/// The columns of a key of types in which equal is the same; empty: there is none.
std::vector<const SourceColumn*> key_of(const Source& table) {
  for (const auto& key : table.table->keys) {
    std::vector<const SourceColumn*> columns;
    for (const auto& name : key) {
      const auto column = std::ranges::find(table.columns, name, &SourceColumn::name);
      if (column != table.columns.end() && column->not_null && equal_is_same({.column = &*column}))
        columns.push_back(&*column);
    }
    if (!key.empty() && columns.size() == key.size()) return columns;
  }
  return {};
}

/// An OR of whose branches each names one table of the level, and not all the same.
bool is_across(const Site& site, const Conjunct& conjunct) {
  const auto* level = site.scope().level;
  const Scope scope{.level = level, .begin = conjunct.begin, .end = conjunct.end};
  const auto* either = bool_of(conjunct.node, PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR);
  if (either == nullptr) return false;
  const Source* first = nullptr;
  bool across = false;
  for (std::size_t i = 0; i < either->n_args; ++i) {
    const Source* only = nullptr;
    auto* node = either->args[i];
    const bool one =
        each_column(site.analysis, &node, scope, site.place.ctes, [&](Node**, const Place&, const Resolved& column) {
          if (column.level != level) return true;
          if (only == nullptr) only = column.source;
          return only == column.source;
        });
    if (!one || only == nullptr) return false;
    if (first == nullptr) first = only;
    across = across || only != first;
  }
  return across;
}

bool inner_joins_of_tables(const Node* item) {
  if (item->node_case == PG_QUERY__NODE__NODE_RANGE_VAR) return true;
  return item->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR &&
         item->join_expr->jointype == PG_QUERY__JOIN_TYPE__JOIN_INNER && inner_joins_of_tables(item->join_expr->larg) &&
         inner_joins_of_tables(item->join_expr->rarg);
}

/// `(a.id, b.id) IN (SELECT ... UNION ALL SELECT ...)`, as the rule makes it.
const Select* union_of_keys(const Conjunct& conjunct) {
  if (conjunct.node->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return nullptr;
  const auto* link = conjunct.node->sub_link;
  const auto* select = link->subselect->select_stmt;
  const bool is = link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK &&
                  link->testexpr->node_case == PG_QUERY__NODE__NODE_ROW_EXPR &&
                  select->op == PG_QUERY__SET_OPERATION__SETOP_UNION;
  return is ? select : nullptr;
}

bool holds(const Select* all, const Select* select) {
  return all == select ||
         (all->op != PG_QUERY__SET_OPERATION__SETOP_NONE && (holds(all->larg, select) || holds(all->rarg, select)));
}

/// Each branch has the other conditions, too: a second union would be made anew in each, and a third in each of those.
bool is_made_a_union(const Level& level) {
  if (std::ranges::any_of(level.conjuncts, union_of_keys)) return true;
  const auto* around = level.parent.level;
  return around != nullptr && std::ranges::any_of(around->conjuncts, [&](const Conjunct& each) {
           const auto* all = union_of_keys(each);
           return all != nullptr && holds(all, level.select);
         });
}

bool split(const Site& site, Select* select, const Conjunct& conjunct) {
  auto& tree = site.tree;
  const auto* level = site.scope().level;
  std::vector<Node*> list;
  auto* in = tree.expression("(1, 2) IN (SELECT a FROM b)");
  auto* keys = in->sub_link->subselect->select_stmt;
  for (const auto& source : level->sources) {
    const auto columns = source.table != nullptr ? key_of(source) : std::vector<const SourceColumn*>{};
    if (columns.empty()) {
      site.missed(source.alias + " has no key that is NOT NULL");
      return false;
    }
    for (const auto* column : columns) {
      if (!is_named(site, source, *column)) {
        site.missed(source.alias + "." + column->name + " isn't named, which not everybody need be allowed to read");
        return false;
      }
      list.push_back(
          qualified(tree, site.analysis, {.level = level, .source = &source, .column = column}, site.scope(), nullptr));
      if (list.back() == nullptr) return false;
    }
  }
  for (const auto& each : level->conjuncts) {
    auto* node = const_cast<Node*>(each.node);
    const Scope scope{.level = level, .begin = each.begin, .end = each.end};
    bool apart = true;
    const bool certain =
        each_column(site.analysis, &node, scope, site.place.ctes, [&](Node**, const Place&, const Resolved& column) {
          for (const auto* around = level->parent.level; around != nullptr; around = around->parent.level)
            apart = apart && column.level != around;
          return true;
        });
    if (certain && apart && cannot_fail(site.analysis, node, scope, site.place.ctes)) continue;
    site.missed("a condition may fail, or names what is around the statement");
    return false;
  }
  if (!is_sure_in_any_order(site)) return false;
  std::vector<Node*> given;
  for (const auto* column : list) {
    given.push_back(tree.copy(keys->target_list[0]));
    given.back()->res_target->val = tree.copy(column);
  }
  in->sub_link->testexpr->row_expr->n_args = list.size();
  in->sub_link->testexpr->row_expr->args = tree.nodes(list);
  keys->n_target_list = given.size();
  keys->target_list = tree.nodes(given);
  keys->n_from_clause = select->n_from_clause;
  keys->from_clause = select->from_clause;
  // What the OR is in becomes each of its branches in turn.
  const auto* either = conjunct.node->bool_expr;
  std::vector<Select*> branches;
  const Node* const gone[] = {conjunct.node};
  for (std::size_t i = 0; i < either->n_args; ++i) {
    std::vector<Node*> conditions;
    for (const auto& each : level->conjuncts) {
      const bool in_where = each.begin == 0 && each.end == SIZE_MAX;
      if (each.node == conjunct.node) {
        conditions.push_back(tree.copy(either->args[i]));
      } else if (in_where) {
        conditions.push_back(tree.copy(each.node));
      }
    }
    branches.emplace_back(tree.copy(keys))->where_clause = and_of(tree, conditions);
  }
  in->sub_link->subselect->select_stmt = union_all(tree, branches);
  remove_conjuncts(tree, select, gone);
  select->where_clause = and_of(tree, select->where_clause, in);
  return true;
}

bool apply(const Site& site, Select* select) {
  const auto* level = site.scope().level;
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || level == nullptr || level->opaque || level->merges ||
      level->sources.size() < 2 || !site.analysis.plain_operator("="))
    return false;
  if (!std::all_of(select->from_clause, select->from_clause + select->n_from_clause, inner_joins_of_tables))
    return false;
  if (is_made_a_union(*level)) return false;
  return std::ranges::any_of(level->conjuncts, [&](const Conjunct& each) {
    const bool in_where = each.begin == 0 && each.end == SIZE_MAX;
    return in_where && is_across(site, each) && split(site, select, each);
  });
}

}  // namespace

const Rule rules::or_across_tables{.name = "or_across_tables",
                                   .level = 4,
                                   .family = Family::join,
                                   .type = OptimizationType::join_reorder,
                                   .by_cost = true,
                                   .query = apply};

}  // namespace millrace::optimizer
