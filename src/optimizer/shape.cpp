#include "optimizer/shape.hpp"

#include <algorithm>
#include <set>

namespace millrace::optimizer {

namespace {

constexpr auto inner_join = PG_QUERY__JOIN_TYPE__JOIN_INNER;

/// What of an item of FROM is left without `source`; null: nothing. Conditions of joins that went are collected.
Node* without(Node* item, const Node* source, std::vector<Node*>& conditions) {
  if (item == source) return nullptr;
  if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return item;
  auto* join = item->join_expr;
  auto* left = without(join->larg, source, conditions);
  auto* right = join->jointype == inner_join ? without(join->rarg, source, conditions) : join->rarg;
  join->larg = left;
  join->rarg = right;
  if (left != nullptr && right != nullptr) return item;
  if (join->quals != nullptr) conditions.push_back(join->quals);
  return left != nullptr ? left : right;
}

void find_scalars(Node** slot, PgQuery__ResTarget* target, std::vector<ScalarSubQuery>& found) {
  if (*slot == nullptr || message_of(*slot) == nullptr) return;
  if ((*slot)->node_case == PG_QUERY__NODE__NODE_SUB_LINK) {
    const auto* link = (*slot)->sub_link;
    if (link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK) found.push_back({slot, target});
    return;
  }
  const Visit visit = [&](ProtobufCMessage* child, Node** at) {
    if (at != nullptr) {
      find_scalars(at, target, found);
    } else {
      for_each_child(child, visit);
    }
  };
  for_each_child(message_of(*slot), visit);
}

void drop(Tree& tree, Node** condition, std::span<const Node* const> dropped) {
  if (*condition == nullptr) return;
  std::vector<Node*> kept;
  for (const auto* conjunct : conjuncts_of(*condition)) {
    if (std::ranges::find(dropped, conjunct) == dropped.end()) kept.push_back(const_cast<Node*>(conjunct));
  }
  *condition = and_of(tree, kept);
}

void drop_in_joins(Tree& tree, Node* item, std::span<const Node* const> dropped) {
  if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return;
  auto* join = item->join_expr;
  drop_in_joins(tree, join->larg, dropped);
  drop_in_joins(tree, join->rarg, dropped);
  if (join->jointype != inner_join) return;
  drop(tree, &join->quals, dropped);
  if (join->quals == nullptr && join->n_using_clause == 0 && !join->is_natural) join->quals = tree.expression("true");
}

/// Equal by `=` of their types, and so determined by each other.
bool comparable(const Resolved& a, const Resolved& b) {
  const Oid left = a.column->type;
  const Oid right = b.column->type;
  if (type::is_integer(left) && type::is_integer(right)) return true;
  if (left != right || left == 0 || left >= catalog::first_normal_oid) return false;
  return (!type::is_text(left) && left != type::bpchar) || (equal_is_same(a) && equal_is_same(b));
}

/// Compared in the column's own type: as a numeric, different float8 may be equal to one literal.
bool determined_by_literal(const Resolved& column, const Constant& constant) {
  const Oid type = column.column->type;
  if (type != type::numeric && !equal_is_same(column)) return false;
  return constant.type == type::unknown || constant.type == type ||
         (type::is_integer(constant.type) && (type::is_integer(type) || type == type::numeric));
}

using Determined = std::set<const SourceColumn*>;

class Unique {
 public:
  Unique(Analysis& analysis, const Level& level) : analysis_(analysis), level_(level) {}

  bool of(std::span<const Resolved> columns, std::string& missing) {
    for (const auto& column : columns) {
      if (column.level == &level_) known_.insert(column.column);
    }
    bool more = true;
    while (more) {
      const auto before = known_.size();
      const auto done = sources_.size();
      for (const auto& conjunct : level_.conjuncts)
        by_equality(conjunct.node, {.level = &level_, .begin = conjunct.begin, .end = conjunct.end}, known_, nullptr);
      for (const auto& source : level_.sources) by_key(source);
      std::size_t index = 0;
      for (std::size_t i = 0; i < level_.select->n_from_clause; ++i) left_joins(level_.select->from_clause[i], index);
      more = known_.size() != before || sources_.size() != done;
    }
    for (const auto& source : level_.sources) {
      if (sources_.contains(&source)) continue;
      missing = "no key of " + source.alias + " whose columns are NOT NULL is in the list, or determined by it";
      return false;
    }
    return !level_.opaque && !level_.merges;
  }

 private:
  /// `only`: what may become determined is of this source.
  void by_equality(const Node* node, Scope scope, Determined& known, const Source* only) {
    const auto comparison = comparison_of(analysis_, node);
    if (!comparison || comparison->name != "=") return;
    for (const bool turn : {false, true}) {
      const auto to = analysis_.column(turn ? comparison->right : comparison->left, scope);
      const auto* other = turn ? comparison->left : comparison->right;
      if (!to || to->level != &level_ || (only != nullptr && to->source != only)) continue;
      const auto from = analysis_.column(other, scope);
      const auto constant = constant_of(analysis_, other);
      const bool is_known = from ? comparable(*to, *from) && (from->level != &level_ || known.contains(from->column) ||
                                                              known_.contains(from->column))
                                 : constant && determined_by_literal(*to, *constant);
      if (!is_known) continue;
      known.insert(to->column);
      equated_.insert(to->column);
    }
  }

  bool has_key(const Source& source, const Determined& known) const {
    return source.table != nullptr && std::ranges::any_of(source.table->keys, [&](const auto& key) {
             return !key.empty() && std::ranges::all_of(key, [&](const std::string& name) {
               const auto column = std::ranges::find(source.columns, name, &SourceColumn::name);
               return column != source.columns.end() && known.contains(&*column) &&
                      (column->not_null || equated_.contains(&*column));
             });
           });
  }

  void by_key(const Source& source) {
    if (sources_.contains(&source) || !has_key(source, known_)) return;
    sources_.insert(&source);
    for (const auto& column : source.columns) known_.insert(&column);
  }

  /// The right side of a LEFT JOIN, of which its condition leaves one row at most.
  void left_joins(const Node* item, std::size_t& index) {
    if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) {
      ++index;
      return;
    }
    const auto* join = item->join_expr;
    const auto begin = index;
    left_joins(join->larg, index);
    const auto right = index;
    left_joins(join->rarg, index);
    if (join->jointype != PG_QUERY__JOIN_TYPE__JOIN_LEFT || index != right + 1) return;
    const auto& source = level_.sources[right];
    if (sources_.contains(&source)) return;
    Determined known;
    const auto equated = equated_;
    for (const auto* conjunct : conjuncts_of(join->quals))
      by_equality(conjunct, {.level = &level_, .begin = begin, .end = index}, known, &source);
    const bool has = has_key(source, known);
    equated_ = equated;
    if (!has) return;
    sources_.insert(&source);
    for (const auto& column : source.columns) known_.insert(&column);
  }

  Analysis& analysis_;
  const Level& level_;
  Determined known_, equated_;
  std::set<const Source*> sources_;
};

}  // namespace

bool has_equality(const Analysis& analysis, Oid type) {
  constexpr Oid bytea = 17, name = 19, oid = 26, cidr = 650, inet = 869, time = 1083, timetz = 1266, jsonb = 3802;
  constexpr Oid known[] = {type::boolean,
                           type::int2,
                           type::int4,
                           type::int8,
                           type::numeric,
                           type::float4,
                           type::float8,
                           type::text,
                           type::varchar,
                           type::bpchar,
                           type::date,
                           type::timestamp,
                           type::unknown,
                           type::timestamptz,
                           type::interval,
                           type::uuid,
                           bytea,
                           name,
                           oid,
                           cidr,
                           inet,
                           time,
                           timetz,
                           jsonb};
  if (std::ranges::find(known, type) != std::end(known)) return true;
  const auto* found = type >= catalog::first_normal_oid ? analysis.snapshot().type(type) : nullptr;
  return found != nullptr && found->kind == 'e';
}

bool can_be_distinct(const Analysis& analysis, const Select* select, const Level& level) {
  const auto columns = columns_in_list(analysis, select, level);
  if (!columns) return false;
  if (!std::ranges::all_of(*columns, [&](const auto& each) { return has_equality(analysis, each.column->type); }))
    return false;
  return std::all_of(select->target_list, select->target_list + select->n_target_list, [&](const Node* item) {
    const auto* value = item->res_target->val;
    switch (value->node_case) {
      case PG_QUERY__NODE__NODE_COLUMN_REF:  // seen above
      case PG_QUERY__NODE__NODE_A_CONST:
      case PG_QUERY__NODE__NODE_BOOL_EXPR:
      case PG_QUERY__NODE__NODE_NULL_TEST:
      case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
      case PG_QUERY__NODE__NODE_FUNC_CALL:  // of those that may stand there
        return true;
      default:
        return comparison_of(analysis, value).has_value() ||
               has_equality(analysis, type_of(analysis, value, {.level = &level}));
    }
  });
}

bool is_plain_distinct(const Select* select) {
  return select->n_distinct_clause == 1 && select->distinct_clause[0]->node_case == PG_QUERY__NODE__NODE__NOT_SET;
}

bool holds_sub_query(const Node* node) {
  if (node->node_case == PG_QUERY__NODE__NODE_SUB_LINK) return true;
  bool holds = false;
  for_each_child(message_of(node),
                 [&](ProtobufCMessage*, Node** slot) { holds = holds || (slot != nullptr && holds_sub_query(*slot)); });
  return holds;
}

Select* union_all(Tree& tree, std::span<Select* const> branches) {
  auto* all = branches[0];
  for (auto* branch : branches.subspan(1)) {
    auto* both = tree.expression("(SELECT 1 UNION ALL SELECT 2)")->sub_link->subselect->select_stmt;
    both->larg = all;
    both->rarg = branch;
    all = both;
  }
  return all;
}

const Node* grouped_by(const Select* select, const Node* item) {
  if (item->node_case != PG_QUERY__NODE__NODE_A_CONST) return item;
  const auto place = item->a_const->val_case == PG_QUERY__A__CONST__VAL_IVAL ? item->a_const->ival->ival : 0;
  if (place < 1 || static_cast<std::size_t>(place) > select->n_target_list) return nullptr;
  return select->target_list[place - 1]->res_target->val;
}

std::vector<ScalarSubQuery> scalar_sub_queries(Select* select) {
  std::vector<ScalarSubQuery> found;
  if (select->where_clause != nullptr) find_scalars(&select->where_clause, nullptr, found);
  for (std::size_t i = 0; i < select->n_target_list; ++i) {
    auto* target = select->target_list[i]->res_target;
    if (target->val != nullptr) find_scalars(&target->val, target, found);
  }
  return found;
}

Node* column_of(Tree& tree, std::string_view source, std::string_view name) {
  auto* node = tree.expression("a.b");
  node->column_ref->fields[0]->string->sval = tree.chars(source);
  node->column_ref->fields[1]->string->sval = tree.chars(name);
  return node;
}

Node* listed_as(Tree& tree, Node* value, std::string_view name) {
  auto* item = tree.expression("(SELECT a AS b)")->sub_link->subselect->select_stmt->target_list[0];
  item->res_target->val = value;
  item->res_target->name = tree.chars(name);
  return item;
}

Node* and_of(Tree& tree, std::span<Node* const> conditions) {
  if (conditions.empty()) return nullptr;
  if (conditions.size() == 1) return conditions[0];
  auto* all = tree.expression("true AND true");
  all->bool_expr->n_args = conditions.size();
  all->bool_expr->args = tree.nodes(conditions);
  return all;
}

Node* and_of(Tree& tree, Node* first, Node* second) {
  if (first == nullptr || second == nullptr) return first != nullptr ? first : second;
  Node* const both[] = {first, second};
  return and_of(tree, both);
}

Node* exists(Tree& tree, const Select* select, Node* condition) {
  auto* node = tree.expression("EXISTS (SELECT 1)");
  auto* list = node->sub_link->subselect->select_stmt->target_list[0];
  auto* copy = tree.copy(select);
  copy->n_target_list = 1;
  copy->target_list = tree.nodes(std::span<Node* const>(&list, 1));
  copy->where_clause = and_of(tree, copy->where_clause, condition);
  node->sub_link->subselect->select_stmt = copy;
  return node;
}

Node* negated(Tree& tree, Node* condition) {
  auto* node = tree.expression("NOT true");
  node->bool_expr->args[0] = condition;
  return node;
}

Node* qualified(Tree& tree, const Analysis& analysis, const Resolved& column, Scope scope, const Level* inside) {
  if (inside != nullptr && (inside->opaque || std::ranges::find(inside->sources, column.source->alias,
                                                                &Source::alias) != inside->sources.end()))
    return nullptr;
  auto* node = column_of(tree, column.source->alias, column.column->name);
  const auto found = analysis.column(node, scope);
  return found && found->column == column.column ? node : nullptr;
}

void remove_source(Tree& tree, Select* select, const Node* source, std::span<const Node* const> conjuncts) {
  std::vector<Node*> items, conditions;
  remove_conjuncts(tree, select, conjuncts);
  for (std::size_t i = 0; i < select->n_from_clause; ++i) {
    if (auto* item = without(select->from_clause[i], source, conditions)) items.push_back(item);
  }
  select->n_from_clause = items.size();
  select->from_clause = tree.nodes(items);
  if (select->where_clause != nullptr) conditions.push_back(select->where_clause);
  select->where_clause = and_of(tree, conditions);
}

void remove_conjuncts(Tree& tree, Select* select, std::span<const Node* const> conjuncts) {
  drop(tree, &select->where_clause, conjuncts);
  for (std::size_t i = 0; i < select->n_from_clause; ++i) drop_in_joins(tree, select->from_clause[i], conjuncts);
}

std::optional<std::vector<std::pair<const Source*, Node**>>> uses_of(const Site& site, Select* select) {
  std::vector<std::pair<const Source*, Node**>> uses;
  const auto* level = site.scope().level;
  const bool certain = each_column(site.analysis, select, level->parent, site.place.ctes,
                                   [&](Node** slot, const Place&, const Resolved& column) {
                                     if (column.level == level) uses.emplace_back(column.source, slot);
                                     return true;
                                   });
  return certain ? std::optional(std::move(uses)) : std::nullopt;
}

bool is_named(const Site& site, const Source& source, const SourceColumn& column) {
  bool found = false;
  Walk walk{.analysis = site.analysis, .expression = [&](Node** slot, const Place& place, bool&) {
              if ((*slot)->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return true;
              if (const auto named = site.analysis.column(*slot, place.scope)) {
                found = found || (named->source->table == source.table && named->column->name == column.name);
                return !found;
              }
              const auto* reference = (*slot)->column_ref;
              if (!is_star(*slot) || reference->n_fields > 2 || place.scope.level == nullptr) return true;
              const auto alias = strings({reference->fields, reference->n_fields - 1});
              for (const auto& each : place.scope.level->sources)
                found = found || (each.table == source.table && (alias.empty() || each.alias == alias[0]));
              return !found;
            }};
  if (auto* top = site.tree.select(); top != nullptr) walk.statement(top, {});
  return found;
}

bool are_unique(Analysis& analysis, const Level& level, std::span<const Resolved> columns, std::string& missing) {
  return Unique(analysis, level).of(columns, missing);
}

std::optional<std::vector<Resolved>> columns_in_list(const Analysis& analysis, const Select* select,
                                                     const Level& level) {
  std::vector<Resolved> columns;
  for (std::size_t i = 0; i < select->n_target_list; ++i) {
    const auto* value = select->target_list[i]->res_target->val;
    if (value == nullptr) return std::nullopt;
    if (value->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) continue;
    if (const auto column = analysis.column(value, {.level = &level})) {
      columns.push_back(*column);
      continue;
    }
    const auto* reference = value->column_ref;
    if (!is_star(value)) continue;
    if (reference->n_fields > 2 || level.opaque || level.merges) return std::nullopt;
    const auto alias = strings({reference->fields, reference->n_fields - 1});
    for (const auto& source : level.sources) {
      if (!alias.empty() && source.alias != alias[0]) continue;
      for (const auto& column : source.columns)
        columns.push_back({.level = &level, .source = &source, .column = &column});
    }
  }
  return columns;
}

}  // namespace millrace::optimizer
