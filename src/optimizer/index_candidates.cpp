#include "optimizer/index_candidates.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "optimizer/expression.hpp"
#include "optimizer/identifier.hpp"
#include "optimizer/walk.hpp"

namespace millrace::optimizer {
namespace {

using Keys = std::vector<std::string>;

constexpr std::size_t most_keys = 5, most_equals = 4, most_of_a_kind = 3, most_included = 4;
constexpr Oid json = 114, jsonb = 3802, xml = 142, bytea = 17;

void add(Keys& keys, const std::string& key) {
  if (!key.empty() && std::ranges::find(keys, key) == keys.end()) keys.push_back(key);
}

bool has(const Keys& keys, const std::string& key) { return std::ranges::find(keys, key) != keys.end(); }

Keys joined(Keys first, const Keys& then) {
  for (const auto& key : then) {
    const auto is_it = [&](const std::string& one) { return without_direction(one) == without_direction(key); };
    if (std::ranges::none_of(first, is_it)) first.push_back(key);
  }
  return first;
}

/// The table's columns by their names alone.
void unqualify(Node* node) {
  if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
    auto* reference = node->column_ref;
    reference->fields += reference->n_fields - 1;
    reference->n_fields = 1;
    return;
  }
  const Visit visit = [&](ProtobufCMessage* child, Node** at) {
    if (at != nullptr) {
      unqualify(*at);
    } else {
      for_each_child(child, visit);
    }
  };
  for_each_child(message_of(node), visit);
}

/// One side of a comparison, which an index could have for a key.
struct Operand {
  const Source* source = nullptr;
  const SourceColumn* column = nullptr;  ///< null: an expression
  std::string key;
};

struct Table {
  const Source* source = nullptr;
  const catalog::Relation* relation = nullptr;
  TableUse use;
  std::map<std::string, std::string> predicates = {};  ///< of `use`, and the column that each is about
  std::vector<const SourceColumn*> reads = {};
};

class Finder {
 public:
  Finder(Tree& tree, Analysis& analysis) : tree_(tree), analysis_(analysis) {}

  StatementIndexes take() { return std::move(found_); }

  void look_at(Select* select, const Place& place) {
    if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || place.scope.level == nullptr) return;
    scope_ = place.scope;
    ctes_ = place.ctes;
    tables_.clear();
    for (const auto& source : scope_.level->sources) add_table(source);
    for (const auto* conjunct : conjuncts_of(select->where_clause)) look_at_condition(conjunct);
    for (std::size_t i = 0; i < select->n_from_clause; ++i) look_at_from(select->from_clause[i]);
    if (const auto wanted = semi_joined_.find(select); wanted != semi_joined_.end()) look_at_list(select);
    look_at_order(select);
    const bool knows_columns = select->n_target_list != 0 && note_reads(select, place);
    for (auto& table : tables_) {
      emit(table, knows_columns);
      found_.uses.push_back(std::move(table.use));
    }
  }

  void write(const PgQuery__RangeVar* range, Keys columns) {
    const auto* relation = analysis_.relation_of(range);
    if (relation != nullptr)
      found_.writes.push_back({.schema = relation->schema, .table = relation->name, .updates = std::move(columns)});
  }

 private:
  bool is_cte(std::string_view name) const {
    for (const auto* cte = ctes_; cte != nullptr; cte = cte->next) {
      if (cte->name == name) return true;
    }
    return false;
  }

  void add_table(const Source& source) {
    if (source.node == nullptr || source.node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR || !source.known) return;
    const auto* range = source.node->range_var;
    const bool has_schema = range->schemaname != nullptr && *range->schemaname != '\0';
    if (!has_schema && is_cte(range->relname)) return;
    const auto* relation = analysis_.relation_of(range);
    if (relation == nullptr || relation->oid < catalog::first_normal_oid) return;
    if (relation->kind != 'r' && relation->kind != 'm') return;
    tables_.push_back(
        {.source = &source, .relation = relation, .use = {.schema = relation->schema, .table = relation->name}});
  }

  Table* table_of(const Source* source) {
    const auto found = std::ranges::find(tables_, source, &Table::source);
    return found == tables_.end() ? nullptr : &*found;
  }

  std::optional<Resolved> own_column(const Node* node) const {
    auto found = analysis_.column(node, scope_);
    if (found && found->level != scope_.level) found.reset();
    return found;
  }

  /// The table's own name of it: an alias may call it otherwise.
  static std::string key_of(const Resolved& column) {
    const auto at = static_cast<std::size_t>(column.column - column.source->columns.data());
    const auto* range =
        column.source->node != nullptr && column.source->node->node_case == PG_QUERY__NODE__NODE_RANGE_VAR
            ? column.source->node->range_var
            : nullptr;
    const bool renamed = range == nullptr || (range->alias != nullptr && range->alias->n_colnames > at);
    return renamed ? "" : quoted_identifier(column.column->name);
  }

  /// Whether a btree can be on it, as far as that is certain.
  bool has_order(Oid type) const {
    constexpr auto without = std::to_array<Oid>({json, xml, 28, 29, 600, 601, 602, 603, 604, 628, 718});  // xid, points
    if (std::ranges::find(without, type) != without.end()) return false;
    const auto* known = analysis_.snapshot().type(type);
    return known == nullptr || known->built_in || known->kind == 'e' || known->kind == 'd' || known->category == 'S';
  }

  /// Whether nothing in it is of the level's own rows.
  bool is_value(Node* node) {
    bool own = false;
    const bool certain =
        each_column(analysis_, &node, scope_, ctes_, [&](Node**, const Place&, const Resolved& column) {
          own = own || column.level == scope_.level;
          return true;
        });
    return certain && !own;
  }

  bool is_immutable(const Node* node) const {
    if (node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL) {
      const auto* call = node->func_call;
      const auto names = strings({call->funcname, call->n_funcname});
      const auto* functions = names.size() == 1 ? analysis_.snapshot().functions(names[0]) : nullptr;
      return functions != nullptr && functions->built_in && functions->volatility == 'i' && call->over == nullptr &&
             call->agg_filter == nullptr && !call->agg_star && !call->agg_distinct && call->n_agg_order == 0;
    }
    if (node->node_case == PG_QUERY__NODE__NODE_A_EXPR) {
      const auto name = operator_name(node->a_expr);
      const auto* operators = name.empty() ? nullptr : analysis_.snapshot().operators(name);
      return node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP && operators != nullptr && operators->built_in &&
             operators->volatility == 'i';
    }
    return node->node_case == PG_QUERY__NODE__NODE_A_CONST;
  }

  /// Its columns' only source; null: not one, or it isn't immutable for certain.
  const Source* source_of_expression(const Node* node) const {
    const Source* only = nullptr;
    bool sound = true;
    const std::function<void(const Node*)> look = [&](const Node* at) {
      if (at->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
        const auto column = own_column(at);
        sound = sound && column && !key_of(*column).empty() && (only == nullptr || only == column->source);
        if (column) only = column->source;
        return;
      }
      if (!is_immutable(at)) sound = false;
      if (!sound || at->node_case == PG_QUERY__NODE__NODE_A_CONST) return;
      if (at->node_case == PG_QUERY__NODE__NODE_FUNC_CALL) {
        for (std::size_t i = 0; i < at->func_call->n_args; ++i) look(at->func_call->args[i]);
      } else {
        if (at->a_expr->lexpr != nullptr) look(at->a_expr->lexpr);
        look(at->a_expr->rexpr);
      }
    };
    look(node);
    return sound ? only : nullptr;
  }

  std::optional<Operand> operand_of(Node* node) {
    if (node == nullptr) return std::nullopt;
    if (const auto column = own_column(node)) {
      auto key = key_of(*column);
      if (table_of(column->source) == nullptr || key.empty() || !has_order(column->column->type)) return std::nullopt;
      return Operand{.source = column->source, .column = column->column, .key = std::move(key)};
    }
    if (node->node_case != PG_QUERY__NODE__NODE_FUNC_CALL && node->node_case != PG_QUERY__NODE__NODE_A_EXPR)
      return std::nullopt;
    const auto* source = source_of_expression(node);
    if (source == nullptr || table_of(source) == nullptr) return std::nullopt;
    auto* bare = tree_.copy(node);
    unqualify(bare);
    const auto text = tree_.text_of(bare);
    if (!text) return std::nullopt;
    const bool is_call = node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL;
    return Operand{.source = source, .key = is_call ? *text : "(" + *text + ")"};
  }

  // Each of these answers whether it was one.

  bool compares(const Node* condition, Keys TableUse::* equal, bool in_or) {
    const auto comparison = comparison_of(analysis_, condition);
    if (!comparison || comparison->name == "<>") return false;
    auto left = operand_of(comparison->left), right = operand_of(comparison->right);
    const bool is_equal = comparison->name == "=";
    if (left && right) {
      if (!is_equal || in_or || left->source == right->source) return false;
      add(table_of(left->source)->use.joins, left->key);
      add(table_of(right->source)->use.joins, right->key);
      return true;
    }
    auto& one = left ? left : right;
    if (!one || !is_value(left ? comparison->right : comparison->left)) return false;
    auto* table = table_of(one->source);
    if (const auto truth = boolean_constant(left ? comparison->right : comparison->left);
        truth && is_equal && one->column != nullptr)
      table->predicates[*truth ? one->key : "NOT " + one->key] = one->key;
    add(is_equal ? table->use.*equal : in_or ? table->use.alone : table->use.ranges, one->key);
    return true;
  }

  bool is_in_list(const Node* condition, Keys TableUse::* equal) {
    if (condition->node_case != PG_QUERY__NODE__NODE_A_EXPR) return false;
    const auto* expression = condition->a_expr;
    const bool is_list = expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_IN ||
                         expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY;
    if (!is_list || operator_name(expression) != "=" || !analysis_.plain_operator("=")) return false;
    const auto one = operand_of(expression->lexpr);
    if (!one || !is_value(expression->rexpr)) return false;
    add(table_of(one->source)->use.*equal, one->key);
    return true;
  }

  bool is_between(const Node* condition) {
    if (condition->node_case != PG_QUERY__NODE__NODE_A_EXPR) return false;
    const auto* expression = condition->a_expr;
    const auto one = operand_of(expression->lexpr);
    if (!one || !is_value(expression->rexpr)) return false;
    auto& use = table_of(one->source)->use;
    if (expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN) {
      add(use.ranges, one->key);
      return true;
    }
    // What begins so is a range, in the order of the bytes.
    if (expression->kind != PG_QUERY__A__EXPR__KIND__AEXPR_LIKE || operator_name(expression) != "~~" ||
        one->column == nullptr || !type::is_text(one->column->type))
      return false;
    const auto pattern = constant_of(analysis_, expression->rexpr);
    if (!pattern || pattern->text.empty() || pattern->text.front() == '%' || pattern->text.front() == '_') return false;
    add(use.ranges, one->key + " text_pattern_ops");
    return true;
  }

  bool tests_null(const Node* condition) {
    if (condition->node_case != PG_QUERY__NODE__NODE_NULL_TEST) return false;
    const auto* test = condition->null_test;
    const auto one = operand_of(test->arg);
    if (!one || one->column == nullptr || test->nulltesttype != PG_QUERY__NULL_TEST_TYPE__IS_NULL) return false;
    auto* table = table_of(one->source);
    add(table->use.equals, one->key);
    table->predicates[one->key + " IS NULL"] = one->key;
    return true;
  }

  bool is_boolean(const Node* condition) {
    const auto* negation = bool_of(condition, PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR);
    auto* inner = negation != nullptr ? negation->args[0] : const_cast<Node*>(condition);
    const auto column = own_column(inner);
    auto* table = column ? table_of(column->source) : nullptr;
    if (table == nullptr || column->column->type != type::boolean || key_of(*column).empty()) return false;
    const auto key = key_of(*column);
    add(table->use.equals, key);
    table->predicates[negation != nullptr ? "NOT " + key : key] = key;
    return true;
  }

  bool is_in_query(const Node* condition) {
    if (condition->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return false;
    const auto* link = condition->sub_link;
    if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK || link->n_oper_name != 0) return false;
    semi_joined_.emplace(link->subselect->select_stmt, true);
    const auto one = operand_of(link->testexpr);
    if (!one) return false;
    add(table_of(one->source)->use.joins, one->key);
    return true;
  }

  void look_at_condition(const Node* condition) {
    if (const auto* any = bool_of(condition, PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR)) {
      for (std::size_t i = 0; i < any->n_args; ++i) {
        for (const auto* part : conjuncts_of(any->args[i]))
          if (!compares(part, &TableUse::alone, true)) is_in_list(part, &TableUse::alone);
      }
    } else if (compares(condition, &TableUse::equals, false) || is_in_list(condition, &TableUse::equals) ||
               is_between(condition) || tests_null(condition) || is_boolean(condition) || is_in_query(condition)) {
      return;
    }
    for (auto& table : tables_) table.use.other_conditions += mentions(condition, table) ? 1 : 0;
  }

  bool mentions(const Node* condition, const Table& table) {
    auto* node = const_cast<Node*>(condition);
    bool found = false;
    each_column(analysis_, &node, scope_, ctes_, [&](Node**, const Place&, const Resolved& column) {
      found = found || column.source == table.source;
      return true;
    });
    return found;
  }

  void look_at_from(const Node* item) {
    if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return;
    const auto* join = item->join_expr;
    look_at_from(join->larg);
    look_at_from(join->rarg);
    for (const auto* conjunct : conjuncts_of(join->quals)) look_at_condition(conjunct);
    for (const auto name : strings({join->using_clause, join->n_using_clause})) {
      for (auto& table : tables_) {
        if (std::ranges::find(table.source->columns, name, &SourceColumn::name) != table.source->columns.end())
          add(table.use.joins, quoted_identifier(name));
      }
    }
  }

  /// Of a sub-query behind IN.
  void look_at_list(const Select* select) {
    if (select->n_target_list != 1) return;
    if (const auto one = operand_of(select->target_list[0]->res_target->val))
      add(table_of(one->source)->use.joins, one->key);
  }

  /// What an item of ORDER BY stands for: it may be the name of one of the list.
  static Node* ordered_by(const Select* select, Node* item) {
    if (item->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || item->column_ref->n_fields != 1) return item;
    const auto name = strings({item->column_ref->fields, 1});
    for (std::size_t i = 0; !name.empty() && i < select->n_target_list; ++i) {
      auto* target = select->target_list[i]->res_target;
      if (target->name != nullptr && target->name == name[0]) return target->val;
    }
    return item;
  }

  void look_at_order(const Select* select) {
    const Source* source = nullptr;
    Keys order;
    const auto take = [&](Node* node, std::string_view direction) {
      const auto one = operand_of(node);
      if (!one || one->key.empty() || (source != nullptr && source != one->source)) return false;
      source = one->source;
      add(order, one->key + std::string(direction));
      return true;
    };
    bool as_it_is = false;
    if (select->n_sort_clause != 0) {
      for (std::size_t i = 0; i < select->n_sort_clause; ++i) {
        const auto* sort = select->sort_clause[i]->sort_by;
        const bool descends = sort->sortby_dir == PG_QUERY__SORT_BY_DIR__SORTBY_DESC;
        const bool first = sort->sortby_nulls == PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_FIRST;
        const bool last = sort->sortby_nulls == PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_LAST;
        std::string direction = descends ? " DESC" : "";
        if (descends && last) direction += " NULLS LAST";
        if (!descends && first) direction += " NULLS FIRST";
        as_it_is = as_it_is || direction.contains("NULLS");
        if (!take(ordered_by(select, sort->node), direction)) break;
      }
    } else if (select->n_group_clause != 0) {
      for (std::size_t i = 0; i < select->n_group_clause; ++i) {
        if (!take(select->group_clause[i], "")) break;
      }
    } else if (select->n_target_list == 1) {
      auto* only = select->target_list[0]->res_target->val;
      for (const std::string_view name : {"min", "max"}) {
        if (const auto* call = call_of(analysis_, only, name, 1)) take(call->args[0], "");
      }
    }
    const auto descends = [](const std::string& key) { return key.ends_with(" DESC"); };
    if (!as_it_is && std::ranges::all_of(order, descends)) {  // it is read backwards
      for (auto& key : order) key = without_direction(key);
    }
    if (source != nullptr) table_of(source)->use.order = std::move(order);
  }

  bool note_reads(Select* select, const Place& place) {
    return each_column(analysis_, select, place.scope.level->parent, place.ctes,
                       [&](Node**, const Place&, const Resolved& column) {
                         auto* table = column.level == scope_.level ? table_of(column.source) : nullptr;
                         if (column.column == nullptr) return false;
                         if (table != nullptr && std::ranges::find(table->reads, column.column) == table->reads.end())
                           table->reads.push_back(column.column);
                         return true;
                       });
  }

  static bool has_key(const catalog::Relation& relation, const Keys& columns) {
    return std::ranges::any_of(relation.keys, [&](const std::vector<std::string>& key) {
      return !key.empty() &&
             std::ranges::all_of(key, [&](const std::string& name) { return has(columns, quoted_identifier(name)); });
    });
  }

  static bool is_key(const catalog::Relation& relation, const Keys& columns) {
    return std::ranges::any_of(relation.keys, [&](const std::vector<std::string>& key) {
      return key.size() == columns.size() &&
             std::ranges::all_of(key, [&](const std::string& name) { return has(columns, quoted_identifier(name)); });
    });
  }

  void add_candidate(IndexCandidate index) {
    if (found_.candidates.size() >= most_candidates) return;
    if (std::ranges::find(found_.candidates, index) == found_.candidates.end())
      found_.candidates.push_back(std::move(index));
  }

  /// What else is read of the table; empty: nothing, too much, or it isn't known.
  static Keys included(const Table& table, const Keys& keys) {
    Keys more;
    for (const auto* column : table.reads) {
      const auto name = quoted_identifier(column->name);
      const auto is_it = [&](const std::string& key) { return without_direction(key) == name; };
      if (std::ranges::any_of(keys, is_it)) continue;
      const auto type = column->type;
      if (type == 0 || type == json || type == jsonb || type == xml || type == bytea) return {};
      more.push_back(name);
    }
    return more.size() <= most_included ? more : Keys{};
  }

  void emit_one(const Table& table, Keys keys, bool covering) {
    if (keys.size() > most_keys) keys.resize(most_keys);
    if (keys.empty()) return;
    IndexCandidate index{.schema = table.relation->schema, .table = table.relation->name, .columns = keys};
    // What a unique key has found needs no further column to be found by, nor a second index to find it.
    if (has_key(*table.relation, {keys.begin(), keys.end() - 1}) || is_key(*table.relation, keys)) return;
    add_candidate(index);
    const bool plain = std::ranges::none_of(keys, [](const auto& key) { return key.contains('('); });
    const auto more = covering && plain ? included(table, keys) : Keys{};
    const auto add_covering = [&](IndexCandidate covers) {
      covers.include = more;
      std::erase(covers.include, covers.where_column);
      if (!covers.include.empty()) add_candidate(std::move(covers));
    };
    add_covering(index);
    for (const auto& [where, column] : table.predicates) {
      auto partial = index;
      std::erase(partial.columns, column);
      if (partial.columns.empty() || is_key(*table.relation, partial.columns)) continue;
      partial.where = where;
      partial.where_column = column;
      add_candidate(partial);
      add_covering(std::move(partial));
    }
  }

  void emit(Table& table, bool covering) {
    auto& use = table.use;
    for (const auto& [where, column] : table.predicates) use.predicates.push_back(where);
    if (has_key(*table.relation, use.equals)) return;  // one row at most
    Keys equals(use.equals.begin(),
                use.equals.begin() + static_cast<std::ptrdiff_t>(std::min(use.equals.size(), most_equals)));
    const auto few = [](const Keys& keys) { return std::span(keys).first(std::min(keys.size(), most_of_a_kind)); };
    const auto one = [&](const std::string& key) { emit_one(table, {key}, covering); };
    // What serves most comes first: the number is bounded.
    if (!equals.empty()) {
      if (!use.order.empty()) emit_one(table, joined(equals, use.order), covering);
      for (const auto& range : few(use.ranges)) emit_one(table, joined(equals, {range}), covering);
      emit_one(table, equals, covering);
      for (std::size_t i = 1; i < equals.size(); ++i) {
        std::ranges::rotate(equals, equals.begin() + 1);
        emit_one(table, equals, false);
      }
      std::ranges::rotate(equals, equals.begin() + 1);
    }
    for (const auto& key : equals) one(key);
    for (const auto& key : few(use.joins)) one(key);
    for (const auto& key : few(use.ranges)) one(key);
    for (const auto& key : few(use.alone)) emit_one(table, {key}, false);
    if (!use.order.empty()) emit_one(table, use.order, covering);
    for (const auto& key : few(use.joins)) {
      if (equals.empty()) continue;
      emit_one(table, joined({key}, equals), covering);
      emit_one(table, joined(equals, {key}), covering);
    }
    for (const auto& key : few(use.joins)) {
      if (!use.order.empty()) emit_one(table, joined({key}, use.order), false);
    }
    if (equals.size() < 2) return;
    for (const auto& key : equals) {
      if (!use.order.empty()) emit_one(table, joined({key}, use.order), false);
      for (const auto& range : few(use.ranges)) emit_one(table, {key, range}, false);
    }
  }

  Tree& tree_;
  Analysis& analysis_;
  StatementIndexes found_;
  Scope scope_;
  const Cte* ctes_ = nullptr;
  std::vector<Table> tables_;
  std::map<const Select*, bool> semi_joined_;
};

Keys updated(const PgQuery__UpdateStmt* update) {
  Keys columns;
  for (std::size_t i = 0; i < update->n_target_list; ++i) {
    const auto* target = update->target_list[i]->res_target;
    if (target != nullptr && target->name != nullptr) columns.push_back(quoted_identifier(target->name));
  }
  return columns;
}

}  // namespace

bool TableUse::asks_of(std::string_view key) const {
  const auto is_it = [&](const std::string& one) { return without_direction(one) == without_direction(key); };
  return std::ranges::any_of(equals, is_it) || std::ranges::any_of(ranges, is_it) ||
         std::ranges::any_of(joins, is_it) || std::ranges::any_of(alone, is_it) ||
         (!order.empty() && is_it(order.front()));
}

Result<StatementIndexes> candidates_of(std::string_view text, const catalog::Snapshot& snapshot,
                                       const Session& session) {
  auto tree = Tree::parse(text);
  if (!tree) return std::unexpected(std::move(tree).error());
  Analysis analysis(snapshot, session);
  Finder finder(**tree, analysis);
  const auto* only = (*tree)->statement();
  if (only != nullptr && only->node_case == PG_QUERY__NODE__NODE_UPDATE_STMT)
    finder.write(only->update_stmt->relation, updated(only->update_stmt));
  if (only != nullptr && only->node_case == PG_QUERY__NODE__NODE_INSERT_STMT)
    finder.write(only->insert_stmt->relation, {});
  if (auto* select = (*tree)->reading()) {
    Walk walk{.analysis = analysis,
              .expression = [](Node**, const Place&, bool&) { return true; },
              .select =
                  [&](Select* at, const Place& place) {
                    finder.look_at(at, place);
                    return true;
                  }};
    walk.statement(select, {});
  }
  return finder.take();
}

}  // namespace millrace::optimizer
