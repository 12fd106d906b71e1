#include "optimizer/expression.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include "optimizer/walk.hpp"

namespace millrace::optimizer {

/// As PostgreSQL names a column that has no AS, where that is simple. Empty: not certain.
std::string output_name(const PgQuery__ResTarget* target) {
  if (const auto given = std::string_view(target->name != nullptr ? target->name : ""); !given.empty())
    return std::string(given);
  const auto* value = target->val;
  switch (value->node_case) {
    case PG_QUERY__NODE__NODE_COLUMN_REF: {
      const auto fields = strings({value->column_ref->fields, value->column_ref->n_fields});
      return fields.empty() ? "" : std::string(fields.back());
    }
    case PG_QUERY__NODE__NODE_FUNC_CALL: {
      const auto names = strings({value->func_call->funcname, value->func_call->n_funcname});
      return names.empty() ? "" : std::string(names.back());
    }
    case PG_QUERY__NODE__NODE_COALESCE_EXPR:
      return "coalesce";
    case PG_QUERY__NODE__NODE_SUB_LINK: {
      // As the first column of the sub-query.
      if (value->sub_link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK) return "";
      const auto* select = value->sub_link->subselect->select_stmt;
      const bool is_plain = select->op == PG_QUERY__SET_OPERATION__SETOP_NONE && select->n_target_list != 0;
      return is_plain && select->target_list[0]->res_target->val != nullptr
                 ? output_name(select->target_list[0]->res_target)
                 : "";
    }
    case PG_QUERY__NODE__NODE_NULL_TEST:
    case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
    case PG_QUERY__NODE__NODE_BOOL_EXPR:
    case PG_QUERY__NODE__NODE_A_CONST:
    case PG_QUERY__NODE__NODE_A_EXPR:
      return value->node_case == PG_QUERY__NODE__NODE_A_EXPR &&
                     value->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF
                 ? ""
                 : "?column?";
    default:
      return "";
  }
}

std::string_view operator_name(const PgQuery__AExpr* expression) {
  const auto names = strings({expression->name, expression->n_name});
  return names.size() == 1 ? names[0] : "";
}

std::string_view comparison_name(const PgQuery__AExpr* expression) {
  for (const std::string_view name : {"=", "<>", "<", "<=", ">", ">="}) {
    if (operator_name(expression) == name) return name;
  }
  return "";
}

namespace {

Constant literal(const PgQuery__AConst* value) {
  Constant constant;
  switch (value->val_case) {
    case PG_QUERY__A__CONST__VAL_FVAL: {
      constant.kind = Constant::Kind::decimal;
      constant.text = value->fval->fval;
      std::int64_t whole = 0;
      const auto* end = constant.text.data() + constant.text.size();
      const auto read = std::from_chars(constant.text.data(), end, whole);
      constant.type = read.ec == std::errc() && read.ptr == end ? type::int8 : type::numeric;
      // The least integer, whose digits alone are none.
      if (constant.type == type::int8 && whole == std::numeric_limits<std::int32_t>::min()) {
        constant.kind = Constant::Kind::integer;
        constant.type = type::int4;
        constant.value = whole;
      }
      break;
    }
    case PG_QUERY__A__CONST__VAL_BOOLVAL:
      constant.kind = Constant::Kind::boolean;
      constant.text = value->boolval->boolval ? "t" : "f";
      constant.type = type::boolean;
      break;
    case PG_QUERY__A__CONST__VAL_SVAL:
      constant.kind = Constant::Kind::string;
      constant.text = value->sval->sval;
      constant.type = type::unknown;
      break;
    default:
      constant.value = value->ival->ival;
      constant.text = std::to_string(constant.value);
      constant.type = type::int4;
  }
  return constant;
}

Oid type_of_value_function(PgQuery__SQLValueFunctionOp what) {
  switch (what) {
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_DATE:
      return type::date;
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIMESTAMP:
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIMESTAMP_N:
      return type::timestamptz;
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP:
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP_N:
      return type::timestamp;
    default:
      return 0;
  }
}

}  // namespace

std::optional<Constant> constant_of(const Analysis& analysis, const Node* node) {
  if (node == nullptr) return std::nullopt;
  if (node->node_case == PG_QUERY__NODE__NODE_A_CONST) {
    const auto* value = node->a_const;
    if (value->isnull || value->val_case == PG_QUERY__A__CONST__VAL_BSVAL ||
        value->val_case == PG_QUERY__A__CONST__VAL__NOT_SET)
      return std::nullopt;
    return literal(value);
  }
  if (node->node_case != PG_QUERY__NODE__NODE_TYPE_CAST || node->type_cast->arg == nullptr ||
      node->type_cast->arg->node_case != PG_QUERY__NODE__NODE_A_CONST)
    return std::nullopt;
  auto inner = constant_of(analysis, node->type_cast->arg);
  const Oid type = analysis.plain_type(node->type_cast->type_name);
  if (!inner || type == 0) return std::nullopt;
  inner->type = type;
  return inner;
}

bool is_null_constant(const Node* node) {
  if (node != nullptr && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) node = node->type_cast->arg;
  return node != nullptr && node->node_case == PG_QUERY__NODE__NODE_A_CONST && node->a_const->isnull;
}

std::optional<bool> boolean_constant(const Node* node) {
  if (node == nullptr || node->node_case != PG_QUERY__NODE__NODE_A_CONST || node->a_const->isnull ||
      node->a_const->val_case != PG_QUERY__A__CONST__VAL_BOOLVAL)
    return std::nullopt;
  return node->a_const->boolval->boolval != 0;
}

Oid type_of(const Analysis& analysis, const Node* node, Scope scope) {
  if (node == nullptr) return 0;
  if (const auto constant = constant_of(analysis, node)) return constant->type;
  switch (node->node_case) {
    case PG_QUERY__NODE__NODE_COLUMN_REF: {
      const auto column = analysis.column(node, scope);
      return column ? column->column->type : 0;
    }
    case PG_QUERY__NODE__NODE_TYPE_CAST:
      return analysis.plain_type(node->type_cast->type_name);
    case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
      return type_of_value_function(node->sqlvalue_function->op);
    case PG_QUERY__NODE__NODE_FUNC_CALL:
      if (call_of(analysis, node, "now", 0) != nullptr && !node->func_call->agg_star) return type::timestamptz;
      if (call_of(analysis, node, "count", 1) != nullptr) return type::int8;
      return 0;
    default:
      return 0;
  }
}

std::optional<Comparison> comparison_of(const Analysis& analysis, const Node* node) {
  if (node == nullptr || node->node_case != PG_QUERY__NODE__NODE_A_EXPR) return std::nullopt;
  const auto* expression = node->a_expr;
  if (expression->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP || expression->lexpr == nullptr ||
      expression->rexpr == nullptr)
    return std::nullopt;
  const auto name = comparison_name(expression);
  if (name.empty() || !analysis.plain_operator(name)) return std::nullopt;
  return Comparison{.name = name, .left = expression->lexpr, .right = expression->rexpr};
}

std::string_view turned(std::string_view comparison) {
  if (comparison == "<") return ">";
  if (comparison == "<=") return ">=";
  if (comparison == ">") return "<";
  if (comparison == ">=") return "<=";
  return comparison;
}

std::optional<Bound> bound_of(const Analysis& analysis, const Node* node) {
  const auto comparison = comparison_of(analysis, node);
  if (!comparison) return std::nullopt;
  if (auto constant = constant_of(analysis, comparison->right); constant) {
    if (constant_of(analysis, comparison->left)) return std::nullopt;
    return Bound{comparison->name, comparison->left, comparison->right, *std::move(constant)};
  }
  if (auto constant = constant_of(analysis, comparison->left); constant) {
    return Bound{turned(comparison->name), comparison->right, comparison->left, *std::move(constant)};
  }
  return std::nullopt;
}

const PgQuery__FuncCall* call_of(const Analysis& analysis, const Node* node, std::string_view name,
                                 std::size_t arguments) {
  if (node == nullptr || node->node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return nullptr;
  const auto* call = node->func_call;
  const auto names = strings({call->funcname, call->n_funcname});
  if (names.empty() || names.size() > 2 || names.back() != name || call->n_args != arguments) return nullptr;
  if (names.size() == 2 ? names[0] != "pg_catalog" : !analysis.plain_function(name)) return nullptr;
  if (call->n_agg_order != 0 || call->agg_filter != nullptr || call->over != nullptr || call->agg_within_group ||
      call->agg_distinct || call->func_variadic)
    return nullptr;
  return call;
}

const PgQuery__AExpr* operator_of(const Analysis& analysis, const Node* node, std::string_view name) {
  if (node == nullptr || node->node_case != PG_QUERY__NODE__NODE_A_EXPR) return nullptr;
  const auto* expression = node->a_expr;
  const bool is = expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP && expression->lexpr != nullptr &&
                  expression->rexpr != nullptr && operator_name(expression) == name && analysis.plain_operator(name);
  return is ? expression : nullptr;
}

const PgQuery__BoolExpr* bool_of(const Node* node, PgQuery__BoolExprType kind) {
  const bool is =
      node != nullptr && node->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR && node->bool_expr->boolop == kind;
  return is ? node->bool_expr : nullptr;
}

bool is_simple(const Select* select) {
  return select->op == PG_QUERY__SET_OPERATION__SETOP_NONE && select->n_distinct_clause == 0 &&
         select->into_clause == nullptr && select->n_from_clause != 0 && select->n_group_clause == 0 &&
         select->having_clause == nullptr && select->n_window_clause == 0 && select->n_values_lists == 0 &&
         select->n_sort_clause == 0 && select->limit_offset == nullptr && select->limit_count == nullptr &&
         select->n_locking_clause == 0 && select->with_clause == nullptr;
}

bool is_scalar_call(const Analysis& analysis, const Node* node) {
  constexpr std::string_view known[] = {"lower",      "upper",     "length",  "char_length", "now",     "btrim",
                                        "ltrim",      "rtrim",     "left",    "right",       "substr",  "substring",
                                        "date_trunc", "date_part", "extract", "to_char",     "abs",     "round",
                                        "concat",     "md5",       "floor",   "ceil",        "replace", "date"};
  const auto names = strings({node->func_call->funcname, node->func_call->n_funcname});
  return !names.empty() && std::ranges::find(known, names.back()) != std::end(known) &&
         call_of(analysis, node, names.back(), node->func_call->n_args) != nullptr;
}

bool is_output_name(const Select* select, const Node* node) {
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || node->column_ref->n_fields != 1) return false;
  const auto name = strings({node->column_ref->fields, 1});
  if (name.empty()) return false;
  for (std::size_t i = 0; i < select->n_target_list; ++i) {
    if (output_name(select->target_list[i]->res_target) == name[0]) return true;
  }
  return false;
}

bool is_star(const Node* node) {
  return node != nullptr && node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF &&
         node->column_ref->fields[node->column_ref->n_fields - 1]->node_case == PG_QUERY__NODE__NODE_A_STAR;
}

bool is_bare_star(const Node* node) { return is_star(node) && node->column_ref->n_fields == 1; }

namespace {

/// `*`, `t.*`
bool is_star_of_list(const Node* node) { return is_star(node) && node->column_ref->n_fields <= 2; }

/// Deny by default: what isn't known to make one value of one row may aggregate, or make rows.
bool names_any(const Analysis& analysis, ProtobufCMessage* message, Scope scope) {
  bool any = false;
  for_each_child(message, [&](ProtobufCMessage* child, Node** slot) {
    any = any || (slot != nullptr && analysis.column(*slot, scope)) || names_any(analysis, child, scope);
  });
  return any;
}

/// An aggregate in a sub-query belongs to the query around it if its columns are from there. In doubt: it does.
bool may_aggregate(const Analysis& analysis, const Node* node, Scope scope) {
  const auto is_of = [&](const Node* call) {
    return call->node_case == PG_QUERY__NODE__NODE_FUNC_CALL && !is_scalar_call(analysis, call) &&
           names_any(analysis, message_of(call), scope);
  };
  bool found = scope.level == nullptr || scope.level->opaque;
  const Visit visit = [&](ProtobufCMessage* message, Node** slot) {
    found = found || (slot != nullptr && is_of(*slot));
    if (!found) for_each_child(message, visit);
  };
  for_each_child(message_of(node), visit);
  return found;
}

bool is_scalar(const Analysis& analysis, const Node* node, Scope scope) {
  if (node == nullptr) return true;
  bool scalar = true;
  switch (node->node_case) {
    case PG_QUERY__NODE__NODE_COLUMN_REF:
      // What isn't a column may be a function of a row: `t.count`.
      return analysis.column(node, scope).has_value();
    case PG_QUERY__NODE__NODE_A_CONST:
    case PG_QUERY__NODE__NODE_PARAM_REF:
    case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
      return true;
    case PG_QUERY__NODE__NODE_SUB_LINK:
      return !may_aggregate(analysis, node, scope);
    case PG_QUERY__NODE__NODE_TYPE_CAST:
      return is_scalar(analysis, node->type_cast->arg, scope);
    case PG_QUERY__NODE__NODE_FUNC_CALL:
      if (!is_scalar_call(analysis, node)) return false;
      break;
    case PG_QUERY__NODE__NODE_A_EXPR:
      // One of a user's may make rows.
      if (node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN) {
        if (!analysis.plain_operator(">=") || !analysis.plain_operator("<=")) return false;
      } else if (!analysis.plain_operator(operator_name(node->a_expr))) {
        return false;
      }
      break;
    case PG_QUERY__NODE__NODE_BOOL_EXPR:
    case PG_QUERY__NODE__NODE_NULL_TEST:
    case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
    case PG_QUERY__NODE__NODE_COALESCE_EXPR:
    case PG_QUERY__NODE__NODE_CASE_EXPR:
    case PG_QUERY__NODE__NODE_CASE_WHEN:
    case PG_QUERY__NODE__NODE_LIST:
      break;
    default:
      return false;
  }
  for_each_child(message_of(node), [&](ProtobufCMessage*, Node** slot) {
    if (slot == nullptr) return;
    if ((*slot)->node_case != PG_QUERY__NODE__NODE_STRING) scalar = scalar && is_scalar(analysis, *slot, scope);
  });
  return scalar;
}

}  // namespace

bool has_only_scalars(const Analysis& analysis, const Select* select, Scope scope) {
  return std::ranges::all_of(std::span(select->target_list, select->n_target_list), [&](const Node* item) {
    const auto* value = item->res_target->val;
    return value != nullptr && (is_star_of_list(value) || is_scalar(analysis, value, scope));
  });
}

bool has_grouping_sets(const Select* select) {
  return std::ranges::any_of(std::span(select->group_clause, select->n_group_clause),
                             [](const Node* item) { return item->node_case == PG_QUERY__NODE__NODE_GROUPING_SET; });
}

bool not_null(const Analysis& analysis, const Node* node, Scope scope, bool by_conjuncts) {
  if (constant_of(analysis, node)) return true;
  const auto column = analysis.column(node, scope);
  if (!column || (column->level->select != nullptr && has_grouping_sets(column->level->select))) return false;
  if (column->column->not_null && !column->source->nullable) return true;
  if (!by_conjuncts || column->column->type == 0 || column->column->type >= catalog::first_normal_oid) return false;
  return std::ranges::any_of(column->level->conjuncts, [&](const Conjunct& conjunct) {
    const Scope inside{.level = column->level, .begin = conjunct.begin, .end = conjunct.end};
    const auto is_it = [&](const Node* other) {
      const auto found = analysis.column(other, inside);
      return found && found->column == column->column;
    };
    if (conjunct.node->node_case == PG_QUERY__NODE__NODE_NULL_TEST)
      return conjunct.node->null_test->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NOT_NULL &&
             is_it(conjunct.node->null_test->arg);
    // PostgreSQL's own are strict.
    const auto comparison = comparison_of(analysis, conjunct.node);
    return comparison && (is_it(comparison->left) || is_it(comparison->right));
  });
}

bool equal_is_same(const Resolved& column) {
  const Oid type = column.column->type;
  if (type::is_integer(type) || type == type::uuid || type == type::date || type == type::timestamp ||
      type == type::timestamptz || type == type::boolean)
    return true;
  // default, C and POSIX
  const Oid collation = column.column->collation;
  return type::is_text(type) && (collation == 100 || collation == 950 || collation == 951);
}

bool one_of_equals(const Resolved& column) {
  return equal_is_same(column) || (column.column->type == type::numeric && column.column->has_modifier);
}

bool has_default_order(const Resolved& column) { return equal_is_same(column) || column.column->type == type::numeric; }

std::string name_of(const Resolved& column) {
  return column.source->alias + "." + (column.column != nullptr ? column.column->name : "*");
}

}  // namespace millrace::optimizer
