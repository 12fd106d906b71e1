#include "optimizer/operand.hpp"

#include <algorithm>
#include <cstdint>

#include "optimizer/expression.hpp"

namespace millrace::optimizer {

namespace {

constexpr Oid default_collation = 100;

enum class Kind : std::uint8_t { none, literal, integer, numeric, floating, string, moment, other };

Kind kind_of(Oid type) {
  constexpr Oid bytea = 17, name = 19, oid = 26, cidr = 650, inet = 869, time = 1083, timetz = 1266, jsonb = 3802;
  constexpr Oid alone[] = {type::boolean, type::interval, type::uuid, bytea, oid, cidr, inet, time, timetz, jsonb};
  if (type == type::unknown) return Kind::literal;
  if (type::is_integer(type)) return Kind::integer;
  if (type == type::numeric) return Kind::numeric;
  if (type == type::float4 || type == type::float8) return Kind::floating;
  if (type::is_text(type) || type == type::bpchar || type == name) return Kind::string;
  if (type == type::date || type == type::timestamp || type == type::timestamptz) return Kind::moment;
  return std::ranges::find(alone, type) != std::end(alone) ? Kind::other : Kind::none;
}

bool is_number(Kind kind) { return kind == Kind::integer || kind == Kind::numeric; }

Operand of_type(Oid type) { return {.type = type, .collation = type::is_text(type) ? default_collation : 0}; }

bool collate_alike(const Operand& a, const Operand& b) {
  return a.collation == b.collation || a.collation == default_collation || b.collation == default_collation ||
         a.collation == 0 || b.collation == 0;
}

/// Of what becomes one type: branches of CASE, arguments of coalesce().
Operand merged(std::span<const Operand> all) {
  Operand found{.type = type::unknown};
  bool has_parameter = false;
  for (const auto& one : all) {
    has_parameter = has_parameter || one.is_parameter;
    if (one.is_parameter || one.type == type::unknown) continue;
    if (one.type == 0) return {};
    const auto kind = kind_of(one.type);
    const auto before = kind_of(found.type);
    if (found.type == type::unknown || found.type == one.type || (kind == Kind::integer && before == kind) ||
        (type::is_text(found.type) && type::is_text(one.type))) {
      const bool keeps = found.collation != 0 && found.collation != default_collation;
      if (!collate_alike(found, one)) return {};
      const Oid collation = keeps ? found.collation : one.collation;
      found = {.type = found.type != type::unknown && type::is_integer(one.type) ? type::int8 : one.type,
               .collation = collation};
    } else if (is_number(kind) && is_number(before)) {
      found = {.type = type::numeric};
    } else {
      return {};
    }
  }
  if (found.type == type::unknown) return has_parameter ? Operand{} : of_type(type::text);
  const bool takes_any = kind_of(found.type) == Kind::string || found.type == type::boolean || found.type == type::uuid;
  return has_parameter && !takes_any ? Operand{} : found;
}

class Operands {
 public:
  Operands(Analysis& analysis, const Cte* ctes) : analysis_(analysis), ctes_(ctes) {}

  Operand of(const Node* node, Scope scope) {
    if (node == nullptr || left_ == 0) return {};
    --left_;
    switch (node->node_case) {
      case PG_QUERY__NODE__NODE_COLUMN_REF: {
        const auto column = analysis_.column(node, scope);
        if (!column) return {};
        if (column->column->type == 0) return of_sub_query(*column);
        return {.type = column->column->type, .collation = column->column->collation};
      }
      case PG_QUERY__NODE__NODE_A_CONST:
        return of_literal(node);
      case PG_QUERY__NODE__NODE_PARAM_REF:
        return {.is_parameter = true};
      case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
        return of_type(type_of(analysis_, node, scope));
      case PG_QUERY__NODE__NODE_TYPE_CAST:
        return of_cast(node->type_cast, scope);
      case PG_QUERY__NODE__NODE_BOOL_EXPR:
      case PG_QUERY__NODE__NODE_NULL_TEST:
      case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
        return of_type(type::boolean);
      case PG_QUERY__NODE__NODE_COALESCE_EXPR:
        return of_all({node->coalesce_expr->args, node->coalesce_expr->n_args}, scope);
      case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
        return of_all({node->min_max_expr->args, node->min_max_expr->n_args}, scope);
      case PG_QUERY__NODE__NODE_CASE_EXPR:
        return of_case(node->case_expr, scope);
      case PG_QUERY__NODE__NODE_A_EXPR:
        return of_operator(node, scope);
      case PG_QUERY__NODE__NODE_FUNC_CALL:
        return of_call(node, scope);
      case PG_QUERY__NODE__NODE_SUB_LINK:
        return of_sub_link(node->sub_link, scope);
      default:
        return {};
    }
  }

 private:
  Operand of_literal(const Node* node) {
    if (is_null_constant(node)) return {.type = type::unknown};
    const auto constant = constant_of(analysis_, node);
    if (!constant) return {};
    const bool is_number = constant->kind == Constant::Kind::integer || constant->kind == Constant::Kind::decimal;
    return {.type = constant->type,
            .is_small =
                is_number && constant->text.size() < 100 && constant->text.find_first_of("eE") == std::string::npos};
  }

  Operand of_cast(const PgQuery__TypeCast* cast, Scope scope) {
    auto found = of_type(analysis_.plain_type(cast->type_name));
    if (kind_of(found.type) != Kind::string) return found;
    // What had a collation keeps it.
    if (const auto from = of(cast->arg, scope); from.collation != 0) found.collation = from.collation;
    return found;
  }

  Operand of_all(std::span<Node* const> nodes, Scope scope) {
    std::vector<Operand> all;
    for (const auto* node : nodes) all.push_back(of(node, scope));
    return merged(all);
  }

  Operand of_case(const PgQuery__CaseExpr* choice, Scope scope) {
    std::vector<Operand> all;
    for (std::size_t i = 0; i < choice->n_args; ++i) all.push_back(of(choice->args[i]->case_when->result, scope));
    if (choice->defresult != nullptr) all.push_back(of(choice->defresult, scope));
    return merged(all);
  }

  Operand of_operator(const Node* node, Scope scope) {
    const auto* expression = node->a_expr;
    switch (expression->kind) {
      case PG_QUERY__A__EXPR__KIND__AEXPR_IN:
      case PG_QUERY__A__EXPR__KIND__AEXPR_LIKE:
      case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
      case PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT:
      case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT:
        return of_type(type::boolean);
      case PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF:
      case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
        break;
      default:
        return {};
    }
    if (comparison_of(analysis_, node)) return of_type(type::boolean);
    const auto left = of(expression->lexpr, scope);
    const auto right = of(expression->rexpr, scope);
    const bool is_nullif = expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF;
    // NULLIF gives what `=` takes on its left.
    if (is_nullif && (left.type == right.type || right.type == type::unknown)) return left;
    if (!is_nullif && std::ranges::none_of(std::initializer_list<std::string_view>{"+", "-", "*", "/"},
                                           [&](auto name) { return operator_of(analysis_, node, name) != nullptr; }))
      return {};
    const auto kind = kind_of(left.type);
    const auto other = kind_of(right.type);
    if (is_number(kind) && is_number(other))
      return of_type(kind == Kind::numeric || other == Kind::numeric ? type::numeric : type::int8);
    if (is_nullif || kind != Kind::moment) return {};
    if (right.type == type::interval) return of_type(left.type == type::date ? type::timestamp : left.type);
    return left.type == type::date && other == Kind::integer ? left : Operand{};
  }

  Operand of_call(const Node* node, Scope scope) {
    const auto* call = node->func_call;
    const auto names = strings({call->funcname, call->n_funcname});
    const auto name = names.empty() ? std::string_view() : names.back();
    if (call->agg_distinct && name == "count" && analysis_.plain_function(name)) return of_type(type::int8);
    if (call_of(analysis_, node, name, call->n_args) == nullptr) return {};
    if (name == "now" && call->n_args == 0) return of_type(type::timestamptz);
    if (name == "count") return of_type(type::int8);
    if (call->n_args == 0) return {};
    auto of_first = of(call->args[0], scope);
    const auto kind = kind_of(of_first.type);
    if (name == "lower" || name == "upper" || name == "btrim" || name == "left" || name == "right" ||
        name == "length") {
      if (!is_string(of_first)) return {};
      if (name == "length") return of_type(type::int4);
      return {.type = type::text, .collation = of_first.collation != 0 ? of_first.collation : default_collation};
    }
    if (name == "date_trunc") {
      const auto of_moment = call->n_args == 2 ? of(call->args[1], scope) : Operand{};
      if (kind_of(of_moment.type) != Kind::moment) return {};
      return of_type(of_moment.type == type::date ? type::timestamptz : of_moment.type);
    }
    if (name == "bool_and" || name == "bool_or" || name == "every") return of_type(type::boolean);
    if (name == "min" || name == "max") return kind == Kind::none || kind == Kind::literal ? Operand{} : of_first;
    if (name == "sum" || name == "avg") {
      if (kind == Kind::integer && name == "sum" && of_first.type != type::int8) return of_type(type::int8);
      if (is_number(kind)) return of_type(type::numeric);
      return kind == Kind::floating ? of_type(type::float8) : Operand{};
    }
    if (name == "abs" && is_number(kind)) return of_type(of_first.type);
    if (name == "round" || name == "floor" || name == "ceil") {
      if (kind == Kind::numeric) return of_type(type::numeric);
      return kind == Kind::integer && call->n_args == 1 ? of_type(type::float8) : Operand{};
    }
    return {};
  }

  Operand of_sub_link(const PgQuery__SubLink* link, Scope scope) {
    if (link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK ||
        link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK)
      return of_type(type::boolean);
    const auto* select = link->subselect->select_stmt;
    if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK || !is_simple(select) ||
        select->n_target_list != 1)
      return {};
    return of_value(select->target_list[0]->res_target->val, {.level = &analysis_.level_of(select, scope, ctes_)});
  }

  /// What a sub-query in FROM gives that isn't a column.
  Operand of_sub_query(const Resolved& column) {
    const auto* item = column.source->node;
    if (item == nullptr || item->node_case != PG_QUERY__NODE__NODE_RANGE_SUBSELECT || item->range_subselect->lateral)
      return {};
    const auto* select = item->range_subselect->subquery->select_stmt;
    if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || select->with_clause != nullptr ||
        select->n_target_list != column.source->columns.size())
      return {};
    const auto at = static_cast<std::size_t>(column.column - column.source->columns.data());
    return of_value(select->target_list[at]->res_target->val,
                    {.level = &analysis_.level_of(select, column.level->parent, ctes_)});
  }

  /// A literal is text there.
  Operand of_value(const Node* node, Scope scope) {
    auto found = of(node, scope);
    if (found.type == type::unknown) return of_type(type::text);
    found.is_small = false;
    return found;
  }

  Analysis& analysis_;
  const Cte* ctes_;
  /// What sub-queries give each other twice can be more than there is time for.
  std::size_t left_ = 1000;
};

}  // namespace

Operand operand_of(Analysis& analysis, const Node* node, Scope scope, const Cte* ctes) {
  return Operands(analysis, ctes).of(node, scope);
}

bool compare_surely(const Analysis& analysis, std::string_view name, const Operand& a, const Operand& b) {
  if (!analysis.plain_operator(name)) return false;
  if (a.is_parameter || b.is_parameter) {
    const auto& other = a.is_parameter ? b : a;
    if (other.is_parameter || other.type == 0) return false;
    const auto kind = kind_of(other.type);
    constexpr Oid oid = 26;
    return kind == Kind::integer || kind == Kind::string || kind == Kind::moment ||
           (kind == Kind::other && other.type != oid);
  }
  const auto kind = kind_of(a.type);
  const auto other = kind_of(b.type);
  if (kind == Kind::none || other == Kind::none) {
    const auto* type = analysis.snapshot().type(a.type == type::unknown ? b.type : a.type);
    const bool is_enum = type != nullptr && type->kind == 'e' &&
                         (a.type == b.type || a.type == type::unknown || b.type == type::unknown);
    return is_enum && analysis.snapshot().operators(name)->built_in;
  }
  if (kind == Kind::literal || other == Kind::literal) return true;
  if (kind == Kind::string && other == Kind::string) return collate_alike(a, b);
  if (kind == Kind::other || other == Kind::other) return a.type == b.type;
  if (kind == Kind::floating || other == Kind::floating) {
    const auto& beside = kind == Kind::floating ? b : a;
    const auto of_it = kind == Kind::floating ? other : kind;
    return of_it == Kind::floating || of_it == Kind::integer || (of_it == Kind::numeric && beside.is_small);
  }
  return kind == other || (is_number(kind) && is_number(other));
}

bool is_like_sure(const Operand& of) {
  return kind_of(of.type) == Kind::string && of.collation < catalog::first_normal_oid;
}

bool is_string(const Operand& of) {
  const auto kind = kind_of(of.type);
  return of.is_parameter || kind == Kind::string || kind == Kind::literal;
}

}  // namespace millrace::optimizer
