#include "optimizer/scope.hpp"

#include <algorithm>

#include "optimizer/expression.hpp"

namespace millrace::optimizer {

namespace {

std::string_view name_in(const char* text) { return text != nullptr ? text : ""; }

void rename(std::vector<SourceColumn>& columns, std::span<Node* const> names) {
  const auto given = strings(names);
  for (std::size_t i = 0; i < std::min(given.size(), columns.size()); ++i) columns[i].name = given[i];
}

/// Every table has them.
bool is_system_column(std::string_view name) {
  return name == "ctid" || name == "tableoid" || name == "xmin" || name == "xmax" || name == "cmin" || name == "cmax";
}

bool is_count(const Analysis& analysis, const Node* node) {
  return call_of(analysis, node, "count", 0) != nullptr || call_of(analysis, node, "count", 1) != nullptr;
}

}  // namespace

void conjuncts_of(const Node* condition, std::vector<const Node*>& into) {
  if (condition == nullptr) return;
  if (condition->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR &&
      condition->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR) {
    for (std::size_t i = 0; i < condition->bool_expr->n_args; ++i) conjuncts_of(condition->bool_expr->args[i], into);
  } else {
    into.push_back(condition);
  }
}

std::vector<const Node*> conjuncts_of(const Node* condition) {
  std::vector<const Node*> all;
  conjuncts_of(condition, all);
  return all;
}

bool Analysis::plain_operator(std::string_view name) const {
  const auto* found = snapshot_.operators(name);
  return found != nullptr && (found->built_in || found->apart);
}

bool Analysis::plain_function(std::string_view name) const {
  const auto* found = snapshot_.functions(name);
  return found != nullptr && found->built_in;
}

Oid Analysis::plain_type(const PgQuery__TypeName* name) const {
  if (name == nullptr || name->setof || name->pct_type || name->n_typmods != 0 || name->n_array_bounds != 0) return 0;
  const auto names = strings({name->names, name->n_names});
  if (names.empty() || names.size() > 2 || (names.size() == 2 && names[0] != "pg_catalog")) return 0;
  const auto found = snapshot_.types(names.back());
  // Without a schema, pg_catalog comes first, unless the path says otherwise.
  const bool first =
      names.size() == 2 || std::ranges::find(session_.search_path, "pg_catalog") == session_.search_path.end();
  const auto own = std::ranges::find_if(found, [](const auto& each) { return each.built_in; });
  return own != found.end() && (first || found.size() == 1) ? own->oid : 0;
}

const catalog::Relation* Analysis::relation_of(const PgQuery__RangeVar* range) const {
  if (!name_in(range->catalogname).empty() || !range->inh) return nullptr;
  return snapshot_.resolve({std::string(name_in(range->schemaname)), std::string(name_in(range->relname))},
                           session_.search_path);
}

/// Partitions keep what their table declares; tables that merely inherit needn't, nor do foreign ones.
bool Analysis::declared_holds(const catalog::Relation& relation) const {
  if (relation.row_security || relation.oid < catalog::first_normal_oid) return false;
  if (relation.kind == 'r') return relation.children.empty();
  if (relation.kind != 'p') return false;
  return std::ranges::all_of(snapshot_.read_with(relation.oid), [this](Oid oid) {
    const auto* part = snapshot_.find(oid);
    return part != nullptr && (part->kind == 'r' || part->kind == 'p');
  });
}

void Analysis::fill_table(Source& source, const PgQuery__RangeVar* range, const Cte* ctes) {
  if (name_in(range->schemaname).empty()) {
    for (const auto* cte = ctes; cte != nullptr; cte = cte->next) {
      if (cte->name != name_in(range->relname)) continue;
      if (cte->query == nullptr) return;
      if (auto columns = output_of(cte->query, cte->parent, cte->within)) {
        source.columns = *std::move(columns);
        rename(source.columns, {cte->declared->aliascolnames, cte->declared->n_aliascolnames});
        source.known = true;
      }
      return;
    }
  }
  const auto* relation = relation_of(range);
  if (relation == nullptr || !std::string_view("rpvm").contains(relation->kind)) return;
  const bool declared = declared_holds(*relation);
  for (const auto& column : relation->columns) {
    source.columns.push_back({.name = column.name,
                              .type = column.type,
                              .collation = column.collation,
                              .not_null = declared && column.not_null,
                              .has_modifier = column.has_modifier,
                              .is_held = relation->kind != 'v'});
  }
  source.known = true;
  if (declared) source.table = relation;
}

void Analysis::add_join(Level& level, const PgQuery__JoinExpr* join, const Cte* ctes, bool nullable, bool inner) {
  const auto kind = join->jointype;
  const bool is_inner = kind == PG_QUERY__JOIN_TYPE__JOIN_INNER;
  const bool left_nullable = kind == PG_QUERY__JOIN_TYPE__JOIN_RIGHT || kind == PG_QUERY__JOIN_TYPE__JOIN_FULL;
  const bool right_nullable = kind == PG_QUERY__JOIN_TYPE__JOIN_LEFT || kind == PG_QUERY__JOIN_TYPE__JOIN_FULL;
  if (join->alias != nullptr || join->join_using_alias != nullptr) level.opaque = true;
  if (join->is_natural || join->n_using_clause != 0) level.merges = true;
  // What holds on the left of a LEFT JOIN holds of every row of it.
  const bool keeps_left = is_inner || kind == PG_QUERY__JOIN_TYPE__JOIN_LEFT;
  const auto begin = level.sources.size();
  // A table that is itself the left side can't be taken from there.
  const bool is_leaf = join->larg->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR;
  add_from(level, join->larg, ctes, nullable || left_nullable, inner && (is_leaf ? is_inner : keeps_left));
  add_from(level, join->rarg, ctes, nullable || right_nullable, inner && is_inner);
  if (!inner || !is_inner) return;
  for (const auto* conjunct : conjuncts_of(join->quals))
    level.conjuncts.push_back({.node = conjunct, .begin = begin, .end = level.sources.size()});
}

void Analysis::add_from(Level& level, const Node* item, const Cte* ctes, bool nullable, bool inner) {
  if (item->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR) {
    add_join(level, item->join_expr, ctes, nullable, inner);
    return;
  }
  Source source{.nullable = nullable, .inner = inner, .node = item};
  const PgQuery__Alias* alias = nullptr;
  if (item->node_case == PG_QUERY__NODE__NODE_RANGE_VAR) {
    alias = item->range_var->alias;
    source.alias = name_in(item->range_var->relname);
    fill_table(source, item->range_var, ctes);
  } else if (item->node_case == PG_QUERY__NODE__NODE_RANGE_SUBSELECT) {
    const auto* sub = item->range_subselect;
    alias = sub->alias;
    static const Level anything{.opaque = true};
    const Scope around = sub->lateral ? Scope{.level = &anything} : level.parent;
    if (auto columns = output_of(sub->subquery->select_stmt, around, ctes)) {
      source.columns = *std::move(columns);
      source.known = true;
    }
  }
  if (alias != nullptr) {
    source.alias = name_in(alias->aliasname);
    if (alias->n_colnames != 0) source.table = nullptr;  // its keys go by other names
    rename(source.columns, {alias->colnames, alias->n_colnames});
  }
  if (source.alias.empty()) level.opaque = true;
  level.sources.push_back(std::move(source));
}

const Level& Analysis::level_of(const Select* select, Scope parent, const Cte* ctes) {
  if (const auto found = known_.find(select); found != known_.end()) return *found->second;
  Level level{.parent = parent, .select = select};
  for (std::size_t i = 0; i < select->n_from_clause; ++i) add_from(level, select->from_clause[i], ctes, false, true);
  for (const auto* conjunct : conjuncts_of(select->where_clause)) level.conjuncts.push_back({.node = conjunct});
  levels_.push_back(std::move(level));
  known_.emplace(select, &levels_.back());
  return levels_.back();
}

const Cte* Analysis::ctes_of(const Select* select, Scope parent, const Cte* outer) {
  if (select->with_clause == nullptr) return outer;
  if (const auto found = known_ctes_.find(select); found != known_ctes_.end()) return found->second;
  const auto* with = select->with_clause;
  const auto* all = outer;
  for (std::size_t i = 0; i < with->n_ctes; ++i) {
    const auto* declared = with->ctes[i]->common_table_expr;
    const bool plain = !with->recursive && declared->ctequery->node_case == PG_QUERY__NODE__NODE_SELECT_STMT &&
                       declared->search_clause == nullptr && declared->cycle_clause == nullptr;
    ctes_.push_back({.name = name_in(declared->ctename),
                     .query = plain ? declared->ctequery->select_stmt : nullptr,
                     .parent = parent,
                     .within = all,
                     .next = all,
                     .declared = declared});
    all = &ctes_.back();
  }
  known_ctes_.emplace(select, all);
  return all;
}

std::optional<std::vector<SourceColumn>> Analysis::output_of(const Select* select, Scope parent, const Cte* ctes) {
  const auto* own = ctes_of(select, parent, ctes);
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE) {
    auto left = output_of(select->larg, parent, own);
    const auto right = output_of(select->rarg, parent, own);
    if (!left || !right || left->size() != right->size()) return std::nullopt;
    for (std::size_t i = 0; i < left->size(); ++i) {
      auto& column = (*left)[i];
      const auto& other = (*right)[i];
      if (column.type != other.type) column.type = 0;
      if (column.collation != other.collation) column.type = 0;
      column.not_null = column.not_null && other.not_null;
      column.has_modifier = false;
      column.is_held = column.is_held && other.is_held && column.type != 0;
    }
    return left;
  }
  if (select->n_values_lists != 0) return std::nullopt;
  const auto& level = level_of(select, parent, own);
  return targets_of(select, {.level = &level});
}

std::optional<std::vector<SourceColumn>> Analysis::targets_of(const Select* select, Scope scope) {
  std::vector<SourceColumn> columns;
  const auto expand = [&](const Source& source) {
    if (!source.known) return false;
    for (auto column : source.columns) {
      column.not_null = column.not_null && !source.nullable;
      columns.push_back(std::move(column));
    }
    return true;
  };
  for (std::size_t i = 0; i < select->n_target_list; ++i) {
    const auto* target = select->target_list[i]->res_target;
    if (target->val == nullptr) return std::nullopt;
    if (is_star(target->val)) {
      const auto* reference = target->val->column_ref;
      if (reference->n_fields > 2 || scope.level->opaque || (reference->n_fields == 1 && scope.level->merges))
        return std::nullopt;
      const auto alias = reference->n_fields == 2 ? strings({reference->fields, 1}) : std::vector<std::string_view>{};
      if (reference->n_fields == 2 && alias.empty()) return std::nullopt;
      bool any = false;
      for (const auto& source : scope.level->sources) {
        if (!alias.empty() && source.alias != alias[0]) continue;
        if (!expand(source)) return std::nullopt;
        any = true;
      }
      if (!any) return std::nullopt;
      continue;
    }
    SourceColumn column{.name = output_name(target)};
    if (column.name.empty()) return std::nullopt;
    if (const auto found = this->column(target->val, scope)) {
      column.type = found->column->type;
      column.collation = found->column->collation;
      column.not_null = found->column->not_null && !found->source->nullable && select->n_group_clause == 0;
      column.is_held = found->column->is_held;
    } else {
      column.is_held = target->val->node_case == PG_QUERY__NODE__NODE_A_CONST || is_count(*this, target->val);
      column.type = type_of(*this, target->val, scope);
      column.collation = type::is_text(column.type) ? 100 : 0;
      if (column.type == type::unknown || type::is_text(column.type)) column.type = 0;
    }
    columns.push_back(std::move(column));
  }
  return columns;
}

std::optional<Resolved> Analysis::column(const Node* node, Scope scope) const {
  if (node == nullptr || node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return std::nullopt;
  return resolve(node->column_ref, scope);
}

std::optional<Resolved> Analysis::resolve(const PgQuery__ColumnRef* reference, Scope scope) const {
  const auto fields = strings({reference->fields, reference->n_fields});
  if (fields.empty() || fields.size() > 2 || is_system_column(fields.back())) return std::nullopt;
  for (; scope.level != nullptr; scope = scope.level->parent) {
    if (scope.level->opaque) return std::nullopt;
    std::optional<Resolved> found;
    const auto& sources = scope.level->sources;
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const auto& source = sources[i];
      if (fields.size() == 2 && source.alias != fields[0]) continue;
      if (!source.known) return std::nullopt;
      const auto at = std::ranges::find(source.columns, fields.back(), &SourceColumn::name);
      if (at == source.columns.end()) {
        if (fields.size() == 2) return std::nullopt;
        continue;
      }
      // A sub-query may have given two columns one name.
      const bool is_twice =
          std::ranges::find(at + 1, source.columns.end(), fields.back(), &SourceColumn::name) != source.columns.end();
      if (found || is_twice || i < scope.begin || i >= scope.end) return std::nullopt;
      found = Resolved{.level = scope.level, .source = &source, .column = &*at};
    }
    if (found) return found;
  }
  return std::nullopt;
}

}  // namespace millrace::optimizer
