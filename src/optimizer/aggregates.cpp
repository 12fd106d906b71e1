#include "optimizer/aggregates.hpp"

#include <algorithm>

namespace millrace::optimizer {

namespace {

/// A number that no operator on it has made fail.
struct Number {
  bool is_numeric = false;
  std::size_t digits = 0;  ///< before and behind the point, at most; 0: not known, or it may overflow
  bool is_int8 = false;

  explicit operator bool() const { return digits != 0; }
};

/// numeric overflows at 131072 digits; what is declared with a precision has 2000 at most, as has a scale.
constexpr std::size_t most_digits = 10'000, of_integers = 20, of_numerics = 2000;
/// A bigint takes those, and so many rows there can't be.
constexpr std::size_t most_of_int8 = 18, of_counts = 15;

/// A sub-query of one value whose conditions can't fail, and that gives one row: without an aggregate two would be an
/// error.
bool is_row_of_aggregates(Analysis& analysis, Select* select, Scope parent, const Cte* ctes) {
  return is_simple(select) && select->n_target_list == 1 && select_cannot_fail(analysis, select, parent, ctes) &&
         holds_aggregate(analysis, select->target_list[0]->res_target->val, analysis.level_of(select, parent, ctes));
}

/// What expressions over numbers come to. `aggregated`: it is the list of that level, where columns are in aggregates.
class Numbers {
 public:
  Numbers(Analysis& analysis, const Cte* ctes) : analysis_(analysis), ctes_(ctes) {}

  Number of(const Node* node, Scope scope, const Level* aggregated) {
    if (node == nullptr) return {};
    if (const auto constant = constant_of(analysis_, node)) return literal(node, *constant);
    switch (node->node_case) {
      case PG_QUERY__NODE__NODE_COLUMN_REF: {
        const auto column = analysis_.column(node, scope);
        if (!column || aggregated != nullptr) return {};
        const auto known = of_column(*column->column);
        return known ? known : of_group(*column);
      }
      case PG_QUERY__NODE__NODE_A_EXPR:
        return of_operator(node, scope, aggregated);
      case PG_QUERY__NODE__NODE_FUNC_CALL:
        return aggregated != nullptr ? of_aggregate(node, *aggregated) : Number{};
      case PG_QUERY__NODE__NODE_COALESCE_EXPR: {
        Number all{.digits = 1};
        for (std::size_t i = 0; i < node->coalesce_expr->n_args; ++i) {
          const auto one = of(node->coalesce_expr->args[i], scope, aggregated);
          if (!one) return {};
          all = {.is_numeric = all.is_numeric || one.is_numeric,
                 .digits = std::max(all.digits, one.digits),
                 .is_int8 = all.is_int8 || one.is_int8};
        }
        return all;
      }
      case PG_QUERY__NODE__NODE_SUB_LINK: {
        if (node->sub_link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK) return {};
        auto* select = node->sub_link->subselect->select_stmt;
        if (!is_row_of_aggregates(analysis_, select, scope, ctes_)) return {};
        const auto& level = analysis_.level_of(select, scope, ctes_);
        return of(select->target_list[0]->res_target->val, {.level = &level}, &level);
      }
      default:
        return {};
    }
  }

 private:
  static Number literal(const Node* node, const Constant& constant) {
    const bool is_numeric = constant.type == type::numeric;
    if (node->node_case != PG_QUERY__NODE__NODE_A_CONST || constant.text.find_first_of("eE") != std::string::npos ||
        (!is_numeric && !type::is_integer(constant.type)))
      return {};
    return {.is_numeric = is_numeric, .digits = constant.text.size() + 1};
  }

  static Number of_column(const SourceColumn& column) {
    if (type::is_integer(column.type)) return {.digits = of_integers};
    if (column.type != type::numeric || !column.has_modifier) return {};
    return {.is_numeric = true, .digits = of_numerics};
  }

  /// What a sub-query in FROM gives that groups rows of tables. (Of other sub-queries each could ask the next twice.)
  Number of_group(const Resolved& column) {
    const auto* item = column.source->node;
    if (item->node_case != PG_QUERY__NODE__NODE_RANGE_SUBSELECT || item->range_subselect->lateral) return {};
    const auto* select = item->range_subselect->subquery->select_stmt;
    if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || select->n_group_clause == 0 ||
        select->n_target_list != column.source->columns.size() || select->with_clause != nullptr)
      return {};
    const auto at = static_cast<std::size_t>(column.column - column.source->columns.data());
    const auto& level = analysis_.level_of(select, column.level->parent, ctes_);
    if (std::ranges::any_of(level.sources, [](const Source& source) { return source.table == nullptr; })) return {};
    return of(select->target_list[at]->res_target->val, {.level = &level}, &level);
  }

  /// A literal other than 0, or NULLIF(x, 0).
  bool is_not_zero(const Node* node) const {
    if (node->node_case == PG_QUERY__NODE__NODE_A_EXPR && node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF &&
        analysis_.plain_operator("=")) {
      const auto zero = constant_of(analysis_, node->a_expr->rexpr);
      return zero && zero->text == "0" && zero->kind == Constant::Kind::integer;
    }
    const auto constant = constant_of(analysis_, node);
    return constant && constant->text.find_first_of("123456789") != std::string::npos;
  }

  Number of_operator(const Node* node, Scope scope, const Level* aggregated) {
    if (node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF) {
      auto left = of(node->a_expr->lexpr, scope, aggregated);
      const auto right = of(node->a_expr->rexpr, scope, aggregated);
      if (!right || !analysis_.plain_operator("=")) return {};
      // It is of the type that `=` takes on its left.
      left.is_numeric = left.is_numeric || right.is_numeric;
      return left;
    }
    for (const std::string_view name : {"+", "-", "*", "/"}) {
      const auto* expression = operator_of(analysis_, node, name);
      if (expression == nullptr) continue;
      const auto left = of(expression->lexpr, scope, aggregated);
      const auto right = of(expression->rexpr, scope, aggregated);
      const auto digits = left.digits + right.digits;
      if (!left || !right || digits > most_digits) return {};
      // Of two integers it is an integer, which overflows.
      if (!left.is_numeric && !right.is_numeric) {
        if ((!left.is_int8 && !right.is_int8) || digits > most_of_int8 || name == "/") return {};
        return {.digits = digits, .is_int8 = true};
      }
      if (name == "/" && !is_not_zero(expression->rexpr)) return {};
      return {.is_numeric = true, .digits = digits};
    }
    return {};
  }

  Number of_aggregate(const Node* node, const Level& level) {
    std::string missing;
    const auto* call = sure_aggregate(analysis_, node, level, missing);
    if (call == nullptr) return {};
    const auto name = strings({call->funcname, call->n_funcname}).back();
    if (name == "count") return {.digits = of_counts, .is_int8 = true};
    const auto argument = of(call->args[0], {.level = &level}, nullptr);
    if (!argument || name == "min" || name == "max") return argument;
    const auto column = analysis_.column(call->args[0], {.level = &level});
    const bool is_numeric = name == "avg" || argument.is_numeric || (column && column->column->type == type::int8);
    return {.is_numeric = is_numeric, .digits = argument.digits + of_integers};
  }

  Analysis& analysis_;
  const Cte* ctes_;
};

/// All columns in it are the level's own, and there is no sub-query.
bool is_of_level(Analysis& analysis, const Node* node, const Level& level) {
  if (node->node_case == PG_QUERY__NODE__NODE_SUB_LINK) return false;
  if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
    const auto column = analysis.column(node, {.level = &level});
    return column && column->level == &level;
  }
  bool all = true;
  for_each_child(message_of(node), [&](ProtobufCMessage*, Node** slot) {
    all = all &&
          (slot == nullptr || (*slot)->node_case == PG_QUERY__NODE__NODE_STRING || is_of_level(analysis, *slot, level));
  });
  return all;
}

bool sum_is_sure(Analysis& analysis, const Node* argument, const Level& level, std::string& missing) {
  if (is_of_level(analysis, argument, level) && Numbers(analysis, nullptr).of(argument, {.level = &level}, nullptr))
    return true;
  const auto column = analysis.column(argument, {.level = &level});
  if (!column) {
    missing = "what is summed up may overflow, or its type isn't certain";
  } else if (column->column->type == type::numeric) {
    missing = "the sum of " + name_of(*column) + " may overflow: it is declared as numeric without a precision";
  } else {
    missing = "the sum of " + name_of(*column) + " depends on the order of rows, or its type isn't certain";
  }
  return false;
}

bool least_is_sure(Analysis& analysis, const Node* argument, const Level& level, std::string& missing) {
  const auto column = analysis.column(argument, {.level = &level});
  if (column && column->level == &level && one_of_equals(*column)) return true;
  missing = column ? "values of " + name_of(*column) + " may be equal and not the same, or its type isn't certain"
                   : "it isn't certain what min and max are of";
  return false;
}

bool is_of_plain_column(Analysis& analysis, const Node* argument, const Level& level, Oid type) {
  const auto column = analysis.column(argument, {.level = &level});
  return column && column->level == &level && (type == 0 || column->column->type == type);
}

bool counts_distinct(Analysis& analysis, const Node* node, const Level& level) {
  PgQuery__FuncCall plain = *node->func_call;
  plain.agg_distinct = false;
  Node as_plain = *node;
  as_plain.func_call = &plain;
  if (call_of(analysis, &as_plain, "count", 1) == nullptr) return false;
  const auto column = analysis.column(plain.args[0], {.level = &level});
  return column && column->level == &level && has_default_order(*column);
}

/// Takes a node in an expression over aggregates; false: it is nothing that is known.
bool collect(Analysis& analysis, Node** slot, const Level& level, std::vector<Node**>& found, std::string& missing) {
  auto* node = *slot;
  switch (node->node_case) {
    case PG_QUERY__NODE__NODE_A_CONST:
    case PG_QUERY__NODE__NODE_STRING:
      return true;
    case PG_QUERY__NODE__NODE_FUNC_CALL: {
      if (sure_aggregate(analysis, node, level, missing) != nullptr) {
        found.push_back(slot);
        return true;
      }
      constexpr std::pair<std::string_view, std::size_t> known[] = {
          {"round", 1}, {"round", 2}, {"abs", 1}, {"floor", 1}, {"ceil", 1}};
      if (std::ranges::none_of(known, [&](const auto& one) {
            return call_of(analysis, node, one.first, one.second) != nullptr && !node->func_call->agg_star;
          }))
        return false;
      break;
    }
    case PG_QUERY__NODE__NODE_A_EXPR:
      if (node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP &&
          node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF)
        return false;
      if (!analysis.plain_operator(operator_name(node->a_expr))) return false;
      break;
    case PG_QUERY__NODE__NODE_TYPE_CAST:
      if (analysis.plain_type(node->type_cast->type_name) == 0) return false;
      return collect(analysis, &node->type_cast->arg, level, found, missing);
    case PG_QUERY__NODE__NODE_COALESCE_EXPR:
    case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
      break;
    default:
      return false;
  }
  bool all = true;
  for_each_child(message_of(node), [&](ProtobufCMessage*, Node** child) {
    all = all && child != nullptr && collect(analysis, child, level, found, missing);
  });
  return all;
}

}  // namespace

const PgQuery__FuncCall* sure_aggregate(Analysis& analysis, const Node* node, const Level& level,
                                        std::string& missing) {
  if (node->node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return nullptr;
  const auto* call = node->func_call;
  if (call->agg_star) return call_of(analysis, node, "count", 0);
  if (call_of(analysis, node, "count", 1) != nullptr) {
    const auto constant = constant_of(analysis, call->args[0]);
    return constant || is_of_plain_column(analysis, call->args[0], level, 0) ? call : nullptr;
  }
  if (call->agg_distinct) return counts_distinct(analysis, node, level) ? call : nullptr;
  for (const std::string_view name : {"sum", "avg"}) {
    if (call_of(analysis, node, name, 1) != nullptr)
      return sum_is_sure(analysis, call->args[0], level, missing) ? call : nullptr;
  }
  for (const std::string_view name : {"min", "max"}) {
    if (call_of(analysis, node, name, 1) != nullptr)
      return least_is_sure(analysis, call->args[0], level, missing) ? call : nullptr;
  }
  for (const std::string_view name : {"bool_and", "bool_or", "every"}) {
    if (call_of(analysis, node, name, 1) != nullptr)
      return is_of_plain_column(analysis, call->args[0], level, type::boolean) ? call : nullptr;
  }
  return nullptr;
}

std::optional<std::vector<Node**>> aggregates_in(Analysis& analysis, Node** slot, const Level& level,
                                                 std::string& missing) {
  std::vector<Node**> found;
  if (!collect(analysis, slot, level, found, missing)) return std::nullopt;
  return found;
}

bool holds_aggregate(Analysis& analysis, const Node* node, const Level& level) {
  if (node->node_case == PG_QUERY__NODE__NODE_SUB_LINK) return false;
  std::string missing;
  if (sure_aggregate(analysis, node, level, missing) != nullptr) return true;
  bool holds = false;
  for_each_child(message_of(node), [&](ProtobufCMessage*, Node** slot) {
    holds = holds || (slot != nullptr && (*slot)->node_case != PG_QUERY__NODE__NODE_STRING &&
                      holds_aggregate(analysis, *slot, level));
  });
  return holds;
}

bool number_cannot_fail(Analysis& analysis, const Node* node, Scope scope, const Cte* ctes) {
  Numbers numbers(analysis, ctes);
  return numbers.of(node, scope, nullptr) || (scope.level != nullptr && numbers.of(node, scope, scope.level));
}

}  // namespace millrace::optimizer
