#include "optimizer/order_of_rows.hpp"

#include <algorithm>
#include <array>

#include "optimizer/aggregates.hpp"
#include "optimizer/operand.hpp"
#include "optimizer/shape.hpp"

namespace millrace::optimizer {

namespace {

bool has_star(const Select* select) {
  return std::any_of(select->target_list, select->target_list + select->n_target_list,
                     [](const Node* item) { return is_star(item->res_target->val); });
}

class InAnyOrder {
 public:
  explicit InAnyOrder(Analysis& analysis) : analysis_(analysis) {}

  bool statement(Select* top) {
    Walk walk{.analysis = analysis_,
              .expression = [&](Node** slot, const Place& place, bool&) { return expression(*slot, place); },
              .select = [&](Select* select, const Place& place) { return this->select(select, place); }};
    return walk.statement(top, {});
  }

 private:
  bool expression(const Node* node, const Place& place) {
    switch (node->node_case) {
      case PG_QUERY__NODE__NODE_FUNC_CALL:
        return is_scalar_call(analysis_, node) || (place.scope.level != nullptr && aggregate(node, *place.scope.level));
      case PG_QUERY__NODE__NODE_COLUMN_REF:
        // `t.array_agg` is a call if it isn't a column. What has no table's name is one of the list, or a row.
        return node->column_ref->n_fields == 1 || is_star(node) || analysis_.column(node, place.scope);
      case PG_QUERY__NODE__NODE_A_INDIRECTION:
        return false;
      default:
        return true;
    }
  }

  /// Integers and numerics are added without loss, so whether the sum overflows isn't by the order either.
  bool aggregate(const Node* node, const Level& level) {
    std::string missing;
    if (sure_aggregate(analysis_, node, level, missing) != nullptr) return true;
    return std::ranges::any_of(std::array<std::string_view, 2>{"sum", "avg"}, [&](std::string_view name) {
      const auto* call = call_of(analysis_, node, name, 1);
      const auto column = call != nullptr ? analysis_.column(call->args[0], {.level = &level}) : std::nullopt;
      return column && column->level == &level &&
             (type::is_integer(column->column->type) || column->column->type == type::numeric);
    });
  }

  bool select(const Select* select, const Place& place) {
    if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE) {
      return (select->op == PG_QUERY__SET_OPERATION__SETOP_UNION && select->all) ||
             (side(select->larg, place) && side(select->rarg, place));
    }
    const auto& level = *place.scope.level;
    if (select->n_window_clause != 0) return false;
    if (select->n_distinct_clause != 0 && !(is_plain_distinct(select) && list(select, level, place.ctes, true)))
      return false;
    return std::all_of(select->group_clause, select->group_clause + select->n_group_clause, [&](const Node* item) {
      const auto* key = grouped_by(select, item);
      const auto column = analysis_.column(key, {.level = &level});
      // A place in the list is another one where `*` stands for several.
      return column && column->level == &level && one_of_equals(*column) && (key == item || !has_star(select));
    });
  }

  /// All that a side of a set operation is made of. Numerics may have another scale on the other.
  bool side(const Select* select, const Place& place) {
    if (select->with_clause != nullptr || select->n_values_lists != 0) return false;
    if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE)
      return side(select->larg, place) && side(select->rarg, place);
    return list(select, analysis_.level_of(select, place.scope, place.ctes), place.ctes, false);
  }

  bool list(const Select* select, const Level& level, const Cte* ctes, bool with_numerics) {
    const auto is_one = [&](const Resolved& column) {
      return with_numerics ? one_of_equals(column) : equal_is_same(column);
    };
    const auto columns = columns_in_list(analysis_, select, level);
    if (!columns || !std::ranges::all_of(*columns, is_one)) return false;
    return std::all_of(select->target_list, select->target_list + select->n_target_list, [&](const Node* item) {
      const auto* value = item->res_target->val;
      if (value->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
        return is_star(value) ? std::ranges::all_of(level.sources, &Source::known)
                              : analysis_.column(value, {.level = &level}).has_value();
      }
      if (is_null_constant(value)) return true;
      if (with_numerics && constant_of(analysis_, value)) return true;
      const auto type = operand_of(analysis_, value, {.level = &level}, ctes).type;
      return type::is_integer(type) || type == type::boolean || type == type::uuid || type == type::date ||
             type == type::timestamp || type == type::timestamptz || type == type::unknown;
    });
  }

  Analysis& analysis_;
};

}  // namespace

bool is_in_any_order(Analysis& analysis, Select* top) { return InAnyOrder(analysis).statement(top); }

}  // namespace millrace::optimizer
