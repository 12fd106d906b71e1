#include "optimizer/walk.hpp"

#include "optimizer/expression.hpp"

namespace millrace::optimizer {

namespace {

const Level anything{.opaque = true};

}  // namespace

bool Walk::statement(Select* statement, const Place& around) {
  const Scope parent = around.scope;
  const auto* own = analysis.ctes_of(statement, parent, around.ctes);
  Place place{.scope = parent,
              .ctes = own,
              .by_conjuncts = around.by_conjuncts,
              .fixed = around.fixed,
              .recursive = around.recursive};
  if (statement->with_clause != nullptr) {
    const Cte* within = own;
    for (std::size_t i = statement->with_clause->n_ctes; i-- > 0;) {
      auto* query = statement->with_clause->ctes[i]->common_table_expr->ctequery;
      // A recursive one's own name has columns that aren't known: found by its own entry.
      const auto* seen = statement->with_clause->recursive ? own : within->within;
      if (query->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return false;
      Place of_query = place;
      of_query.ctes = seen;
      of_query.recursive = place.recursive || statement->with_clause->recursive;
      if (!this->statement(query->select_stmt, of_query)) return false;
      within = within->next;
    }
  }
  if (statement->op != PG_QUERY__SET_OPERATION__SETOP_NONE) {
    if (select && !select(statement, place)) return false;
    if (!this->statement(statement->larg, place) || !this->statement(statement->rarg, place)) return false;
    for (auto** limit : {&statement->limit_count, &statement->limit_offset}) {
      if (*limit != nullptr && !expressions(limit, place)) return false;
    }
    return true;
  }
  place.scope = {.level = &analysis.level_of(statement, parent, own)};
  if (select && !select(statement, place)) return false;
  return body(statement, place);
}

bool Walk::body(Select* statement, const Place& place) {
  std::size_t index = 0;
  for (std::size_t i = 0; i < statement->n_from_clause; ++i) {
    if (!from(statement->from_clause[i], place, index, true)) return false;
  }
  Place condition = place;
  condition.truth = true;
  if (statement->where_clause != nullptr && !expressions(&statement->where_clause, condition)) return false;
  const bool grouped = statement->n_group_clause != 0 || statement->having_clause != nullptr;
  condition.fixed = place.fixed || grouped;
  if (statement->having_clause != nullptr && !expressions(&statement->having_clause, condition)) return false;
  Place repeated = place;
  repeated.fixed = place.fixed || grouped || statement->n_distinct_clause != 0;
  for (std::size_t i = 0; i < statement->n_target_list; ++i) {
    auto* target = statement->target_list[i]->res_target;
    Place listed = repeated;
    const bool named = target->name != nullptr && *target->name != '\0';
    listed.target = named ? nullptr : target;
    listed.fixed = listed.fixed || (!named && output_name(target).empty());
    if (target->val != nullptr && !expressions(&target->val, listed)) return false;
  }
  // A constant there would be a place in the list or an error, and a column's name perhaps an output column's.
  repeated.fixed = true;
  for (std::size_t i = 0; i < statement->n_group_clause; ++i) {
    auto** item = statement->group_clause + i;
    const auto local = analysis.column(*item, place.scope);
    if (!(local && local->level == place.scope.level) && is_output_name(statement, *item)) continue;
    if (!expressions(item, repeated)) return false;
  }
  for (std::size_t i = 0; i < statement->n_sort_clause; ++i) {
    auto** item = &statement->sort_clause[i]->sort_by->node;
    if (!is_output_name(statement, *item) && !expressions(item, repeated)) return false;
  }
  for (auto** limit : {&statement->limit_count, &statement->limit_offset}) {
    if (*limit != nullptr && !expressions(limit, place)) return false;
  }
  return each(statement->distinct_clause, statement->n_distinct_clause, repeated) &&
         each(statement->window_clause, statement->n_window_clause, repeated) &&
         each(statement->values_lists, statement->n_values_lists, place);
}

bool Walk::each(Node** nodes, std::size_t count, const Place& place) {
  for (std::size_t i = 0; i < count; ++i) {
    if (message_of(nodes[i]) != nullptr && !expressions(nodes + i, place)) return false;
  }
  return true;
}

bool Walk::from(Node* item, const Place& place, std::size_t& index, bool inner) {
  if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) {
    ++index;
    if (item->node_case == PG_QUERY__NODE__NODE_RANGE_VAR) return true;
    if (item->node_case == PG_QUERY__NODE__NODE_RANGE_SUBSELECT) {
      auto* sub = item->range_subselect;
      const Scope around = sub->lateral ? Scope{.level = &anything} : place.scope.level->parent;
      Place inside = place;
      inside.scope = around;
      inside.by_conjuncts = place.by_conjuncts && !sub->lateral;
      return statement(sub->subquery->select_stmt, inside);
    }
    Place lateral = place;
    lateral.scope = {.level = &anything};
    return children(item, lateral);
  }
  auto* join = item->join_expr;
  const bool is_inner = inner && join->jointype == PG_QUERY__JOIN_TYPE__JOIN_INNER;
  Place on = place;
  on.truth = true;
  on.by_conjuncts = place.by_conjuncts && is_inner;
  // Which conditions a FULL JOIN can have depends on how they are written.
  on.fixed = place.fixed || join->jointype == PG_QUERY__JOIN_TYPE__JOIN_FULL;
  on.scope.begin = index;
  if (!from(join->larg, place, index, is_inner || (inner && join->jointype == PG_QUERY__JOIN_TYPE__JOIN_LEFT)))
    return false;
  if (!from(join->rarg, place, index, is_inner)) return false;
  on.scope.end = index;
  return join->quals == nullptr || expressions(&join->quals, on);
}

bool Walk::expressions(Node** slot, const Place& around) {
  bool into = true;
  Place place = around;
  if (place.root == nullptr) place.root = *slot;
  if (!expression(slot, place, into)) return false;
  return !into || children(*slot, place);
}

bool Walk::children(Node* node, const Place& place) {
  Place below = place;
  below.conjunction = nullptr;
  if (node->node_case == PG_QUERY__NODE__NODE_SUB_LINK) {
    below.truth = false;
    auto* link = node->sub_link;
    if (link->testexpr != nullptr && !expressions(&link->testexpr, below)) return false;
    return statement(link->subselect->select_stmt, place);
  }
  // What it is ordered by must be among its arguments.
  if (node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL && node->func_call->agg_distinct) below.fixed = true;
  const auto* logic = node->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR ? node->bool_expr : nullptr;
  if (logic == nullptr || logic->boolop == PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR) below.truth = false;
  if (logic != nullptr && logic->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR) below.conjunction = node;
  bool more = true;
  const Visit visit = [&](ProtobufCMessage* child, Node** at) {
    if (!more) return;
    if (at != nullptr) {
      more = expressions(at, below);
    } else {
      for_each_child(child, visit);
    }
  };
  for_each_child(message_of(node), visit);
  return more;
}

namespace {

Walk column_walk(Analysis& analysis, const EachColumn& each) {
  return {.analysis = analysis, .expression = [&analysis, &each](Node** slot, const Place& place, bool& into) {
            if ((*slot)->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return true;
            into = false;
            if (const auto column = analysis.column(*slot, place.scope)) return each(slot, place, *column);
            const auto* reference = (*slot)->column_ref;
            if (reference->n_fields != 2 || !is_star(*slot)) return false;
            const auto alias = strings({reference->fields, 1});
            if (alias.empty() || place.scope.level == nullptr || place.scope.level->opaque) return false;
            for (const auto& source : place.scope.level->sources) {
              if (source.alias == alias[0]) return each(slot, place, {.level = place.scope.level, .source = &source});
            }
            return false;
          }};
}

}  // namespace

bool each_column(Analysis& analysis, Select* select, Scope parent, const Cte* ctes, const EachColumn& each) {
  return column_walk(analysis, each).statement(select, {.scope = parent, .ctes = ctes});
}

bool each_column(Analysis& analysis, Node** slot, Scope scope, const Cte* ctes, const EachColumn& each) {
  return column_walk(analysis, each).expressions(slot, {.scope = scope, .ctes = ctes});
}

}  // namespace millrace::optimizer
