#include "optimizer/cannot_fail.hpp"

#include <algorithm>
#include <charconv>

#include "optimizer/calendar.hpp"
#include "optimizer/expression.hpp"
#include "optimizer/operand.hpp"
#include "optimizer/walk.hpp"

namespace millrace::optimizer {
namespace {

class CannotFail {
 public:
  /// `gone`: it won't be in the statement any more, so that not even PostgreSQL's parser would find fault with it.
  CannotFail(Analysis& analysis, const Cte* ctes, bool gone = false) : analysis_(analysis), ctes_(ctes), gone_(gone) {}

  bool of(const Node* node, Scope scope) {
    if (node == nullptr) return true;
    switch (node->node_case) {
      case PG_QUERY__NODE__NODE_COLUMN_REF: {
        // What isn't a column may be a function of a row.
        const auto column = analysis_.column(node, scope);
        return column && column->column->is_held;
      }
      case PG_QUERY__NODE__NODE_A_CONST:
      case PG_QUERY__NODE__NODE_PARAM_REF:
      case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
      case PG_QUERY__NODE__NODE_STRING:
        return true;
      case PG_QUERY__NODE__NODE_BOOL_EXPR:
      case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
        return children(node, scope) && (!gone_ || children_are_boolean(node, scope));
      case PG_QUERY__NODE__NODE_NULL_TEST:
      case PG_QUERY__NODE__NODE_LIST:
        return children(node, scope);
      case PG_QUERY__NODE__NODE_TYPE_CAST:
        if (gone_ && analysis_.column(node->type_cast->arg, scope) == std::nullopt) return false;
        return cast(node->type_cast, scope) || of_no_row(node);
      case PG_QUERY__NODE__NODE_A_EXPR:
        if (gone_ && !fits(node->a_expr, scope)) return false;
        return (expression(node->a_expr, scope) && children(node, scope)) || of_no_row(node);
      case PG_QUERY__NODE__NODE_COALESCE_EXPR:
        // What it makes of its arguments to give them one type may fail.
        return !gone_ && operand(node, scope) && children(node, scope);
      case PG_QUERY__NODE__NODE_CASE_EXPR:
        return !gone_ && operand(node, scope) && choices(node->case_expr, scope) && children(node, scope);
      case PG_QUERY__NODE__NODE_CASE_WHEN:
        return !gone_ && children(node, scope);
      case PG_QUERY__NODE__NODE_FUNC_CALL:
        return !gone_ && ((function(node, scope) && children(node, scope)) || of_no_row(node));
      case PG_QUERY__NODE__NODE_SUB_LINK:
        return (!gone_ || node->sub_link->testexpr == nullptr) && sub_link(node->sub_link, scope);
      default:
        return false;
    }
  }

  bool select(Select* select, Scope parent) {
    if (!is_simple(select)) return false;
    const Scope scope{.level = &analysis_.level_of(select, parent, ctes_)};
    for (const auto& source : scope.level->sources) {
      if (source.table == nullptr) return false;
    }
    return std::ranges::all_of(std::span(select->from_clause, select->n_from_clause),
                               [&](const Node* item) { return from(item, scope); }) &&
           condition(select->where_clause, scope);
  }

  bool condition(const Node* node, Scope scope) {
    return node == nullptr || ((!gone_ || is_boolean(node, scope)) && of(node, scope));
  }

 private:
  bool from(const Node* item, Scope scope) {
    if (item->node_case == PG_QUERY__NODE__NODE_RANGE_VAR) return true;
    if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return false;
    const auto* join = item->join_expr;
    return from(join->larg, scope) && from(join->rarg, scope) && condition(join->quals, scope);
  }

  bool children(const Node* node, Scope scope) {
    bool all = true;
    for_each_child(message_of(node),
                   [&](ProtobufCMessage*, Node** slot) { all = all && slot != nullptr && of(*slot, scope); });
    return all;
  }

  bool is_boolean(const Node* node, Scope scope) {
    switch (node->node_case) {
      case PG_QUERY__NODE__NODE_BOOL_EXPR:
      case PG_QUERY__NODE__NODE_NULL_TEST:
      case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
      case PG_QUERY__NODE__NODE_A_EXPR:  // comparisons only: see `fits`
      case PG_QUERY__NODE__NODE_SUB_LINK:
        return true;
      default:
        return type_of(analysis_, node, scope) == type::boolean;
    }
  }

  bool children_are_boolean(const Node* node, Scope scope) {
    bool all = true;
    for_each_child(message_of(node),
                   [&](ProtobufCMessage*, Node** slot) { all = all && (slot == nullptr || is_boolean(*slot, scope)); });
    return all;
  }

  /// Both sides are certainly of types that PostgreSQL compares, and literals are values of theirs.
  bool fits(const PgQuery__AExpr* expression, Scope scope) {
    if (expression->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP &&
        expression->kind != PG_QUERY__A__EXPR__KIND__AEXPR_IN &&
        expression->kind != PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN)
      return false;
    if (expression->lexpr == nullptr || expression->rexpr == nullptr) return false;
    if (expression->rexpr->node_case != PG_QUERY__NODE__NODE_LIST) {
      return fit(expression->lexpr, expression->rexpr, scope) || fit(expression->rexpr, expression->lexpr, scope);
    }
    const auto* all = expression->rexpr->list;
    return std::all_of(all->items, all->items + all->n_items,
                       [&](const Node* item) { return fit(expression->lexpr, item, scope); });
  }

  bool fit(const Node* column, const Node* other, Scope scope) {
    const auto found = analysis_.column(column, scope);
    if (!found) return false;
    const Oid type = found->column->type;
    const auto is_number = [](Oid oid) { return type::is_integer(oid) || oid == type::numeric; };
    if (!is_number(type) && !equal_is_same(*found)) return false;
    // NULL without a type is of any.
    if (other->node_case == PG_QUERY__NODE__NODE_A_CONST && other->a_const->isnull) return true;
    const auto constant = constant_of(analysis_, other);
    if (constant && other->node_case != PG_QUERY__NODE__NODE_A_CONST) return false;
    const Oid of_other = type_of(analysis_, other, scope);
    const auto beside = analysis_.column(other, scope);
    if (beside && beside->column->collation != found->column->collation) return false;
    if (of_other != type::unknown)
      return of_other != 0 && ((is_number(type) && is_number(of_other)) || type == of_other);
    if (type::is_text(type)) return true;
    return (type == type::date || type == type::timestamp) && constant && moment_of(*constant).has_value();
  }

  /// Of no row: a literal that is cast, which fails when it is parsed or never, or is known not to; small literals'
  /// sums; and what is reckoned from the clock, so little that it stays in the calendar. What is stable, or of
  /// parameters, isn't evaluated before there is a row that asks for it.
  bool of_no_row(const Node* node) const {
    if (gone_) return false;
    if (node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) {
      const bool is_null = is_null_constant(node) && analysis_.plain_type(node->type_cast->type_name) != 0;
      return is_null || is_sure_literal(node) || is_clock(node);
    }
    if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR) return is_clock(node);
    const bool sums = operator_of(analysis_, node, "+") != nullptr || operator_of(analysis_, node, "-") != nullptr ||
                      operator_of(analysis_, node, "*") != nullptr;
    if (!sums) return false;
    return (is_little(node->a_expr->lexpr, 10'000) && is_little(node->a_expr->rexpr, 10'000)) || is_clock(node);
  }

  /// The parser reads a string as a value of the type. Numbers it casts when it makes the plan, where what stands
  /// beside them doesn't make them go: of those only what the type certainly holds.
  bool is_sure_literal(const Node* node) const {
    const auto constant = constant_of(analysis_, node);
    if (!constant) return false;
    const Oid to = constant->type;
    if (constant->kind == Constant::Kind::string || type::is_text(to)) return true;
    const bool is_float = to == type::float4 || to == type::float8;
    switch (constant->kind) {
      case Constant::Kind::boolean:
        return to == type::boolean || to == type::int4;
      case Constant::Kind::integer:
        if (to == type::int2) return constant->value >= INT16_MIN && constant->value <= INT16_MAX;
        return type::is_integer(to) || to == type::numeric || is_float;
      default:
        if (is_float) return constant->text.size() <= 30 && constant->text.find_first_of("eE") == std::string::npos;
        return to == type::numeric || to == type_of(analysis_, node->type_cast->arg, {});
    }
  }

  bool is_little(const Node* node, std::int64_t most) const {
    if (node->node_case != PG_QUERY__NODE__NODE_A_CONST) return false;
    const auto constant = constant_of(analysis_, node);
    return constant && constant->type == type::int4 && std::abs(constant->value) <= most;
  }

  /// One number and a unit, some centuries at most: "30 days".
  bool is_short_interval(const Node* node) const {
    const auto constant = constant_of(analysis_, node);
    if (!constant || constant->type != type::interval || constant->kind != Constant::Kind::string) return false;
    const std::string_view text = constant->text;
    std::int64_t number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (read.ec != std::errc() || std::abs(number) > 100'000) return false;
    auto unit = text.substr(static_cast<std::size_t>(read.ptr - text.data()));
    if (!unit.starts_with(' ')) return false;
    unit.remove_prefix(1);
    if (unit.ends_with('s')) unit.remove_suffix(1);
    if (unit == "month" || unit == "year") return std::abs(number) <= 500;
    return unit == "second" || unit == "minute" || unit == "hour" || unit == "day" || unit == "week";
  }

  /// now(), CURRENT_DATE, ..., cast, truncated and moved by literals.
  bool is_clock(const Node* node) const {
    switch (node->node_case) {
      case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
        return type_of(analysis_, node, {}) != 0;
      case PG_QUERY__NODE__NODE_TYPE_CAST: {
        const Oid to = analysis_.plain_type(node->type_cast->type_name);
        return (to == type::date || to == type::timestamp || to == type::timestamptz) && is_clock(node->type_cast->arg);
      }
      case PG_QUERY__NODE__NODE_FUNC_CALL: {
        if (call_of(analysis_, node, "now", 0) != nullptr) return !node->func_call->agg_star;
        const auto* call = call_of(analysis_, node, "date_trunc", 2);
        const auto unit = call != nullptr ? constant_of(analysis_, call->args[0]) : std::nullopt;
        constexpr std::string_view units[] = {"second", "minute", "hour", "day", "week", "month", "quarter", "year"};
        return unit && std::ranges::find(units, unit->text) != std::end(units) && is_clock(call->args[1]);
      }
      case PG_QUERY__NODE__NODE_A_EXPR: {
        if (operator_of(analysis_, node, "+") == nullptr && operator_of(analysis_, node, "-") == nullptr) return false;
        const auto* right = node->a_expr->rexpr;
        return is_clock(node->a_expr->lexpr) && (is_short_interval(right) || is_little(right, 100'000));
      }
      default:
        return false;
    }
  }

  bool cast(const PgQuery__TypeCast* cast, Scope scope) {
    const Oid to = analysis_.plain_type(cast->type_name);
    const Oid from = type_of(analysis_, cast->arg, scope);
    if (to == 0 || from == 0 || from == type::unknown || !of(cast->arg, scope)) return false;
    if (from == to) return true;
    if (type::is_text(to)) return from < catalog::first_normal_oid;
    if (to == type::date) return from == type::timestamp || from == type::timestamptz;
    if (to == type::numeric) return type::is_integer(from);
    return (to == type::int8 && type::is_integer(from)) || (to == type::int4 && from == type::int2);
  }

  Operand operand(const Node* node, Scope scope) { return operand_of(analysis_, node, scope, ctes_); }

  /// With each of a list; which IN may make one array of, and so of one type.
  bool compares(std::string_view name, const Node* left, const PgQuery__List* list, Scope scope) {
    const auto of_left = operand(left, scope);
    Operand first;
    return std::all_of(list->items, list->items + list->n_items, [&](const Node* item) {
      const auto one = operand(item, scope);
      if (!compare_surely(analysis_, name, of_left, one)) return false;
      if (item->node_case == PG_QUERY__NODE__NODE_A_CONST || list->n_items == 1) return true;
      if (!first) first = one;
      return one.type == first.type && one.is_parameter == first.is_parameter;
    });
  }

  bool expression(const PgQuery__AExpr* expression, Scope scope) {
    const auto name = operator_name(expression);
    const auto* left = expression->lexpr;
    const auto* right = expression->rexpr;
    if (name.empty() || left == nullptr || right == nullptr) return false;
    const bool is_list = right->node_case == PG_QUERY__NODE__NODE_LIST;
    switch (expression->kind) {
      case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
      case PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT:
      case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT:
        return !comparison_name(expression).empty() && !is_list &&
               compare_surely(analysis_, name, operand(left, scope), operand(right, scope));
      case PG_QUERY__A__EXPR__KIND__AEXPR_IN:
        return !comparison_name(expression).empty() && is_list && compares(name, left, right->list, scope);
      case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
        return is_list && compares(">=", left, right->list, scope) && compares("<=", left, right->list, scope);
      case PG_QUERY__A__EXPR__KIND__AEXPR_LIKE: {
        // A pattern may not end in its escape.
        const auto pattern = constant_of(analysis_, right);
        return pattern && !pattern->text.contains('\\') && analysis_.plain_operator(name) &&
               is_like_sure(operand(left, scope));
      }
      default:
        return false;
    }
  }

  /// `CASE x WHEN y`: x = y.
  bool choices(const PgQuery__CaseExpr* choice, Scope scope) {
    if (choice->arg == nullptr) return true;
    const auto of_it = operand(choice->arg, scope);
    return std::all_of(choice->args, choice->args + choice->n_args, [&](const Node* item) {
      return compare_surely(analysis_, "=", of_it, operand(item->case_when->expr, scope));
    });
  }

  bool function(const Node* node, Scope scope) {
    if (call_of(analysis_, node, "now", 0) != nullptr) return !node->func_call->agg_star;
    // length() of other types does fail.
    constexpr std::pair<std::string_view, std::size_t> of_strings[] = {{"lower", 1}, {"upper", 1}, {"length", 1},
                                                                       {"btrim", 1}, {"left", 2},  {"right", 2}};
    return std::ranges::any_of(of_strings, [&](const auto& one) {
      const auto* call = call_of(analysis_, node, one.first, one.second);
      return call != nullptr && is_string(operand(call->args[0], scope));
    });
  }

  bool sub_link(const PgQuery__SubLink* link, Scope scope) {
    const bool is_in = link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK && link->n_oper_name == 0;
    if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK && !is_in) return false;
    auto* select = link->subselect->select_stmt;
    if (!of(link->testexpr, scope) || !this->select(select, scope)) return false;
    if (is_in && !gives(link, select, scope)) return false;
    return !gone_ || has_only_scalars(analysis_, select, {.level = &analysis_.level_of(select, scope, ctes_)});
  }

  /// Of each row what IN compares. EXISTS doesn't look at it.
  bool gives(const PgQuery__SubLink* link, Select* select, Scope parent) {
    const Scope scope{.level = &analysis_.level_of(select, parent, ctes_)};
    const auto* value = select->n_target_list == 1 ? select->target_list[0]->res_target->val : nullptr;
    return value != nullptr && of(value, scope) &&
           compare_surely(analysis_, "=", operand(link->testexpr, parent), operand(value, scope));
  }

  Analysis& analysis_;
  const Cte* ctes_;
  bool gone_;
};

}  // namespace

bool cannot_fail(Analysis& analysis, const Node* node, Scope scope, const Cte* ctes) {
  return CannotFail(analysis, ctes).of(node, scope);
}

bool select_cannot_fail(Analysis& analysis, Select* select, Scope parent, const Cte* ctes) {
  return CannotFail(analysis, ctes).select(select, parent);
}

bool can_go(Analysis& analysis, const Node* node, Scope scope, const Cte* ctes) {
  return CannotFail(analysis, ctes, true).condition(node, scope);
}

bool select_can_go(Analysis& analysis, Select* select, Scope parent, const Cte* ctes) {
  return CannotFail(analysis, ctes, true).select(select, parent);
}

}  // namespace millrace::optimizer
