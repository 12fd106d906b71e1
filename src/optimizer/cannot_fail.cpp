#include "optimizer/cannot_fail.hpp"

#include <algorithm>

#include "optimizer/calendar.hpp"
#include "optimizer/expression.hpp"
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
      case PG_QUERY__NODE__NODE_COLUMN_REF:
        // What isn't a column may be a function of a row.
        return analysis_.column(node, scope).has_value();
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
        return (expression(node->a_expr) && children(node, scope)) || of_no_row(node);
      case PG_QUERY__NODE__NODE_COALESCE_EXPR:
      case PG_QUERY__NODE__NODE_CASE_EXPR:
      case PG_QUERY__NODE__NODE_CASE_WHEN:
        return !gone_ && children(node, scope);
      case PG_QUERY__NODE__NODE_FUNC_CALL:
        return !gone_ && ((function(node) && children(node, scope)) || of_no_row(node));
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

  /// It fails always or never.
  bool of_no_row(const Node* node) {
    if (gone_ || node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF || node->node_case == PG_QUERY__NODE__NODE_SUB_LINK)
      return false;
    bool none = true;
    const Visit visit = [&](ProtobufCMessage* child, Node** slot) {
      if (!none) return;
      if (slot == nullptr) {
        for_each_child(child, visit);
      } else {
        none = of_no_row(*slot);
      }
    };
    for_each_child(message_of(node), visit);
    return none;
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

  bool expression(const PgQuery__AExpr* expression) {
    const auto name = operator_name(expression);
    if (name.empty()) return false;
    const bool compares = !comparison_name(expression).empty() && analysis_.plain_operator(name);
    switch (expression->kind) {
      case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
      case PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT:
      case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT:
      case PG_QUERY__A__EXPR__KIND__AEXPR_IN:
        return compares;
      case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
        return analysis_.plain_operator(">=") && analysis_.plain_operator("<=");
      case PG_QUERY__A__EXPR__KIND__AEXPR_LIKE: {
        // A pattern may not end in its escape.
        const auto pattern = constant_of(analysis_, expression->rexpr);
        return pattern && !pattern->text.contains('\\') && analysis_.plain_operator(name);
      }
      default:
        return false;
    }
  }

  bool function(const Node* node) {
    // length(bytea, name) does fail.
    constexpr std::pair<std::string_view, std::size_t> all[] = {{"lower", 1}, {"upper", 1}, {"length", 1}, {"now", 0},
                                                                {"btrim", 1}, {"left", 2},  {"right", 2}};
    return std::ranges::any_of(
        all, [&](const auto& one) { return call_of(analysis_, node, one.first, one.second) != nullptr; });
  }

  bool sub_link(const PgQuery__SubLink* link, Scope scope) {
    if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK &&
        !(link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK && link->n_oper_name == 0 &&
          analysis_.plain_operator("=")))
      return false;
    auto* select = link->subselect->select_stmt;
    if (!of(link->testexpr, scope) || !this->select(select, scope)) return false;
    if (link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK && !list(select, scope)) return false;
    return !gone_ || has_only_scalars(analysis_, select, {.level = &analysis_.level_of(select, scope, ctes_)});
  }

  /// What it gives, of each row. EXISTS doesn't look at it.
  bool list(Select* select, Scope parent) {
    const Scope scope{.level = &analysis_.level_of(select, parent, ctes_)};
    return std::ranges::all_of(std::span(select->target_list, select->n_target_list),
                               [&](const Node* item) { return of(item->res_target->val, scope); });
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
