#include "optimizer/parameters.hpp"

namespace millrace::optimizer {

namespace {

class Parameters {
 public:
  void of(Select* select) {
    if (select == nullptr) return;
    if (select->with_clause != nullptr) children(&select->with_clause->base);
    of(select->larg);
    of(select->rarg);
    const auto all = [this](Node** nodes, std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) of(nodes[i]);
    };
    all(select->values_lists, select->n_values_lists);
    all(select->from_clause, select->n_from_clause);
    all(select->target_list, select->n_target_list);
    of(select->where_clause);
    of(select->having_clause);
    all(select->sort_clause, select->n_sort_clause);
    all(select->group_clause, select->n_group_clause);
    all(select->distinct_clause, select->n_distinct_clause);
    of(select->limit_offset);
    of(select->limit_count);
    all(select->window_clause, select->n_window_clause);
  }

  std::vector<std::int32_t> numbers;

 private:
  void of(Node* node) {
    if (node == nullptr) return;
    switch (node->node_case) {
      case PG_QUERY__NODE__NODE_PARAM_REF:
        numbers.push_back(node->param_ref->number);
        break;
      case PG_QUERY__NODE__NODE_SELECT_STMT:
        of(node->select_stmt);
        break;
      case PG_QUERY__NODE__NODE_JOIN_EXPR:
        of(node->join_expr->larg);
        of(node->join_expr->rarg);
        of(node->join_expr->quals);
        break;
      case PG_QUERY__NODE__NODE_SUB_LINK:
        of(node->sub_link->subselect);
        of(node->sub_link->testexpr);
        break;
      default:
        children(message_of(node));
    }
  }

  void children(ProtobufCMessage* message) {
    for_each_child(message, [this](ProtobufCMessage* child, Node** slot) {
      if (slot != nullptr) {
        of(*slot);
      } else {
        children(child);
      }
    });
  }
};

}  // namespace

std::vector<std::int32_t> parameters_of(Select* select) {
  Parameters all;
  all.of(select);
  return std::move(all.numbers);
}

}  // namespace millrace::optimizer
