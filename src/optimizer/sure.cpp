#include "optimizer/sure.hpp"

#include <algorithm>
#include <utility>

#include "optimizer/aggregates.hpp"
#include "optimizer/operand.hpp"
#include "optimizer/order_of_rows.hpp"
#include "optimizer/shape.hpp"

namespace millrace::optimizer {

namespace {

class Sure {
 public:
  Sure(Analysis& analysis, Select* top) : analysis_(analysis), top_(top) {}

  bool all() {
    bool is_limited = false, reads_tables = true;
    Walk look{.analysis = analysis_,
              .expression = [](Node**, const Place&, bool&) { return true; },
              .select =
                  [&](Select* select, const Place& place) {
                    is_limited = is_limited || select->limit_count != nullptr || select->limit_offset != nullptr ||
                                 (select->n_distinct_clause != 0 &&
                                  select->distinct_clause[0]->node_case != PG_QUERY__NODE__NODE__NOT_SET);
                    reads_tables = reads_tables && (select->op == PG_QUERY__SET_OPERATION__SETOP_NONE
                                                        ? select->n_values_lists == 0 && reads(select, place)
                                                        : meet(select, place));
                    return reads_tables;
                  }};
    if (!look.statement(top_, {}) || !reads_tables) return false;
    if (!is_limited && top_->op == PG_QUERY__SET_OPERATION__SETOP_NONE) {
      for (std::size_t i = 0; i < top_->n_target_list; ++i) free_.push_back(top_->target_list[i]->res_target->val);
      for (std::size_t i = 0; i < top_->n_sort_clause; ++i) free_.push_back(top_->sort_clause[i]->sort_by->node);
    }
    Walk walk{.analysis = analysis_,
              .expression = [&](Node** slot, const Place& place, bool& into) { return of(*slot, place, into); }};
    return walk.statement(top_, {});
  }

 private:
  bool reads(const Select* select, const Place& place) {
    return place.scope.level != nullptr && !place.scope.level->opaque &&
           std::all_of(select->from_clause, select->from_clause + select->n_from_clause,
                       [&](const Node* item) { return is_table(item, place); });
  }

  bool is_table(const Node* item, const Place& place) {
    switch (item->node_case) {
      case PG_QUERY__NODE__NODE_JOIN_EXPR:
        return item->join_expr->n_using_clause == 0 && !item->join_expr->is_natural &&
               is_table(item->join_expr->larg, place) && is_table(item->join_expr->rarg, place);
      case PG_QUERY__NODE__NODE_RANGE_SUBSELECT:
        return true;  // which is walked through as well
      case PG_QUERY__NODE__NODE_RANGE_VAR: {
        const auto* range = item->range_var;
        const std::string_view schema = range->schemaname != nullptr ? range->schemaname : "";
        for (const auto* cte = place.ctes; schema.empty() && cte != nullptr; cte = cte->next) {
          if (cte->name == range->relname) return true;
        }
        const auto* relation = analysis_.relation_of(range);
        return relation != nullptr && std::string_view("rpm").contains(relation->kind);
      }
      default:
        return false;
    }
  }

  /// Both sides of a set operation are of types that become one.
  bool meet(const Select* select, const Place& place) {
    const auto* left = first_of(select->larg);
    const auto* right = first_of(select->rarg);
    if (left->n_target_list != right->n_target_list || left->with_clause != nullptr || right->with_clause != nullptr)
      return false;
    for (std::size_t i = 0; i < left->n_target_list; ++i) {
      const auto a = value_of(left, i, place);
      const auto b = value_of(right, i, place);
      if (a.type == 0 || a.type != b.type || !compare_surely(analysis_, "=", a, b)) return false;
    }
    return true;
  }

  static const Select* first_of(const Select* select) {
    while (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE) select = select->larg;
    return select;
  }

  Operand value_of(const Select* select, std::size_t at, const Place& place) {
    const auto* value = select->target_list[at]->res_target->val;
    if (value == nullptr) return {};
    return operand_of(analysis_, value, {.level = &analysis_.level_of(select, place.scope, place.ctes)}, place.ctes);
  }

  /// A node by itself; what it is made of is asked about next.
  bool of(const Node* node, const Place& place, bool& into) {
    if (place.root == node && !holds_sub_query(node) && std::ranges::find(free_, node) != free_.end()) {
      into = false;
      return true;
    }
    switch (node->node_case) {
      case PG_QUERY__NODE__NODE_COLUMN_REF:
        into = false;
        return (is_star(node) && node->column_ref->n_fields <= 2) || analysis_.column(node, place.scope);
      case PG_QUERY__NODE__NODE_A_CONST:
      case PG_QUERY__NODE__NODE_PARAM_REF:
      case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
      case PG_QUERY__NODE__NODE_STRING:
      case PG_QUERY__NODE__NODE_BOOL_EXPR:
      case PG_QUERY__NODE__NODE_NULL_TEST:
      case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
      case PG_QUERY__NODE__NODE_LIST:
      case PG_QUERY__NODE__NODE_CASE_WHEN:
        return true;
      case PG_QUERY__NODE__NODE_ROW_EXPR:
        return std::exchange(is_row_of_in_, false);
      case PG_QUERY__NODE__NODE_COALESCE_EXPR:
      case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
        return static_cast<bool>(operand(node, place));
      case PG_QUERY__NODE__NODE_CASE_EXPR:
        return operand(node, place) && node->case_expr->arg == nullptr;
      case PG_QUERY__NODE__NODE_A_EXPR:
        return of_operator(node, place, into);
      case PG_QUERY__NODE__NODE_FUNC_CALL: {
        into = false;
        std::string missing;
        return sure_aggregate(analysis_, node, *place.scope.level, missing) != nullptr || simple(node, place);
      }
      case PG_QUERY__NODE__NODE_TYPE_CAST:
        into = false;
        return simple(node, place);
      case PG_QUERY__NODE__NODE_SUB_LINK:
        return sub_link(node->sub_link, place);
      default:
        return false;
    }
  }

  Operand operand(const Node* node, const Place& place) { return operand_of(analysis_, node, place.scope, place.ctes); }
  bool simple(const Node* node, const Place& place) { return cannot_fail(analysis_, node, place.scope, place.ctes); }

  bool of_operator(const Node* node, const Place& place, bool& into) {
    const auto* expression = node->a_expr;
    if (number_cannot_fail(analysis_, node, place.scope, place.ctes)) {
      // Its sub-queries are asked about themselves.
      into = holds_sub_query(node);
      return true;
    }
    if (const auto comparison = comparison_of(analysis_, node)) {
      return compare_surely(analysis_, comparison->name, operand(comparison->left, place),
                            operand(comparison->right, place));
    }
    // LIKE, IN, BETWEEN, IS DISTINCT FROM, and what is reckoned from the clock.
    into = false;
    return expression->lexpr != nullptr && simple(node, place);
  }

  bool sub_link(const PgQuery__SubLink* link, const Place& place) {
    const auto* select = link->subselect->select_stmt;
    is_row_of_in_ = false;
    if (link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK) return true;
    if (link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK) return gives_one_row(select, place);
    if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK || link->n_oper_name != 0) return false;
    const auto* first = first_of(select);
    const auto* row = link->testexpr->node_case == PG_QUERY__NODE__NODE_ROW_EXPR ? link->testexpr->row_expr : nullptr;
    if (first->n_target_list != (row != nullptr ? row->n_args : 1) || select->with_clause != nullptr ||
        first->with_clause != nullptr)
      return false;
    for (std::size_t i = 0; i < first->n_target_list; ++i) {
      const auto one = operand(row != nullptr ? row->args[i] : link->testexpr, place);
      if (!compare_surely(analysis_, "=", one, value_of(first, i, place))) return false;
    }
    is_row_of_in_ = row != nullptr;
    return true;
  }

  /// Two would be an error.
  bool gives_one_row(const Select* select, const Place& place) {
    return is_simple(select) && select->n_target_list == 1 && select->target_list[0]->res_target->val != nullptr &&
           holds_aggregate(analysis_, select->target_list[0]->res_target->val,
                           analysis_.level_of(select, place.scope, place.ctes));
  }

  Analysis& analysis_;
  Select* top_;
  std::vector<const Node*> free_ = {};
  bool is_row_of_in_ = false;  ///< the node that comes next is one of IN that was compared
};

}  // namespace

namespace {

/// Outside of sub-queries: what PostgreSQL may think dearer than those, and ask later.
bool calls_others(const Analysis& analysis, Node* node) {
  bool calls = false;
  const Visit visit = [&](ProtobufCMessage* message, Node** slot) {
    const auto is = [&](PgQuery__Node__NodeCase what) { return slot != nullptr && (*slot)->node_case == what; };
    if (calls || is(PG_QUERY__NODE__NODE_SUB_LINK)) return;
    calls = is(PG_QUERY__NODE__NODE_FUNC_CALL) && !is_scalar_call(analysis, *slot);
    for_each_child(message, visit);
  };
  if (node != nullptr) visit(message_of(node), &node);
  return calls;
}

bool is_of_one_table(const Analysis& analysis, const Select* top) {
  return top->op == PG_QUERY__SET_OPERATION__SETOP_NONE && top->n_from_clause == 1 && top->with_clause == nullptr &&
         top->from_clause[0]->node_case == PG_QUERY__NODE__NODE_RANGE_VAR && !calls_others(analysis, top->where_clause);
}

}  // namespace

bool may_be_joined(const Site& site) {
  auto* top = site.tree.select();
  const bool is_alone = top != nullptr && site.scope().level != nullptr && site.scope().level->select == top &&
                        is_of_one_table(site.analysis, top);
  if (is_alone || (top != nullptr && Sure(site.analysis, top).all())) return true;
  site.missed("something else in the statement may fail, and would be asked of other rows");
  return false;
}

bool is_sure_in_any_order(const Site& site) {
  auto* top = site.tree.select();
  if (top == nullptr || !Sure(site.analysis, top).all()) {
    site.missed("something in the statement may fail, or what it reads isn't a table");
    return false;
  }
  if (is_in_any_order(site.analysis, top)) return true;
  site.missed("what the statement gives may depend on the order in which rows come");
  return false;
}

}  // namespace millrace::optimizer
