#include "optimizer/parameters.hpp"

#include <algorithm>

namespace millrace::optimizer {

namespace {

struct Place {
  std::int32_t number = 0;
  const ProtobufCMessage* in = nullptr;
  const Select* select = nullptr;
  bool decides = true;  ///< not where it is asked whether it is NULL
};

class Places {
 public:
  void of(Select* select) {
    if (select == nullptr) return;
    const auto* const around = select_;
    const auto* const expression = in_;
    select_ = select;
    in_ = nullptr;
    body(select);
    select_ = around;
    in_ = expression;
  }

  std::vector<Place> all;

 private:
  void body(Select* select) {
    if (select->with_clause != nullptr) children(&select->with_clause->base);
    of(select->larg);
    of(select->rarg);
    const auto each = [this](Node** nodes, std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) of(nodes[i]);
    };
    each(select->values_lists, select->n_values_lists);
    each(select->from_clause, select->n_from_clause);
    each(select->target_list, select->n_target_list);
    of(select->where_clause);
    of(select->having_clause);
    each(select->sort_clause, select->n_sort_clause);
    each(select->group_clause, select->n_group_clause);
    each(select->distinct_clause, select->n_distinct_clause);
    of(select->limit_offset);
    of(select->limit_count);
    each(select->window_clause, select->n_window_clause);
  }

  void of(Node* node) {
    if (node == nullptr) return;
    const auto* const around = in_;
    switch (node->node_case) {
      case PG_QUERY__NODE__NODE_PARAM_REF:
        all.push_back({.number = node->param_ref->number, .in = in_, .select = select_, .decides = !is_null_test_});
        return;
      case PG_QUERY__NODE__NODE_LIST:
      case PG_QUERY__NODE__NODE_ROW_EXPR:
      case PG_QUERY__NODE__NODE_CASE_WHEN:
        break;  // what they are of says it
      case PG_QUERY__NODE__NODE_RES_TARGET:
      case PG_QUERY__NODE__NODE_FUNC_CALL:
        in_ = nullptr;  // also what else there is in a UNION; and a function may take any type
        break;
      default:
        in_ = message_of(node);
    }
    const bool was = is_null_test_;
    is_null_test_ = node->node_case == PG_QUERY__NODE__NODE_NULL_TEST;
    parts(node);
    is_null_test_ = was;
    in_ = around;
  }

  void parts(Node* node) {
    switch (node->node_case) {
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

  const ProtobufCMessage* in_ = nullptr;
  bool is_null_test_ = false;
  const Select* select_ = nullptr;
};

std::string bytes_of(const ProtobufCMessage* message) {
  std::string bytes(protobuf_c_message_get_packed_size(message), '\0');
  protobuf_c_message_pack(message, reinterpret_cast<std::uint8_t*>(bytes.data()));
  return bytes;
}

std::string tables_of(const Select* select) {
  Select only = PG_QUERY__SELECT_STMT__INIT;
  only.n_from_clause = select->n_from_clause;
  only.from_clause = select->from_clause;
  return bytes_of(&only.base);
}

/// What the first of these places of a parameter is in; with its tables, if another is in what is written alike.
std::string first_of(const std::vector<Place>& places) {
  const auto& first = places.front();
  if (first.in == nullptr || first.select == nullptr) return {};
  auto bytes = bytes_of(first.in);
  const bool alone = std::none_of(places.begin() + 1, places.end(), [&](const Place& other) {
    return other.in != nullptr && other.in != first.in && bytes_of(other.in) == bytes;
  });
  return alone ? bytes : bytes + tables_of(first.select);
}

}  // namespace

Parameters parameters_of(Select* select) {
  Places places;
  places.of(select);
  Parameters found;
  std::vector<std::int32_t> seen;
  for (const auto& place : places.all) {
    found.numbers.push_back(place.number);
    if (std::ranges::find(seen, place.number) != seen.end()) continue;
    seen.push_back(place.number);
    std::vector<Place> of_it;
    std::ranges::copy_if(places.all, std::back_inserter(of_it),
                         [&](const Place& other) { return other.number == place.number && other.decides; });
    if (of_it.size() > 1) found.firsts.push_back(first_of(of_it));
  }
  return found;
}

bool have_the_same_firsts(const Parameters& a, const Parameters& b) {
  return a.firsts == b.firsts && std::ranges::find(a.firsts, "") == a.firsts.end();
}

}  // namespace millrace::optimizer
