#include "optimizer/determined.hpp"

#include <algorithm>
#include <array>

#include "optimizer/expression.hpp"
#include "optimizer/shape.hpp"

namespace millrace::optimizer {
namespace {

template <std::size_t n>
bool is_one_of(const std::array<std::string_view, n>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool collects(std::string_view name) {
  return is_one_of<7>(
      {"array_agg", "string_agg", "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg", "xmlagg"}, name);
}

/// Of floating-point numbers they depend on the order in which those come.
bool sums(std::string_view name) {
  return name == "sum" || name == "avg" || name.starts_with("stddev") || name.starts_with("var") ||
         name.starts_with("regr_") || name.starts_with("covar_") || name == "corr";
}

/// The same for rows that are alike in the window's order.
bool is_of_peers(std::string_view name) {
  return is_one_of<4>({"rank", "dense_rank", "percent_rank", "cume_dist"}, name);
}

bool leaves_some(const Select* select) {
  const auto limits = [](const Node* limit) { return limit != nullptr && !is_null_constant(limit); };
  return limits(select->limit_count) || limits(select->limit_offset) ||
         (select->n_distinct_clause != 0 && !is_plain_distinct(select));
}

/// Names without a table's in ORDER BY are those of the list first.
bool names_columns(const Select* select) {
  return std::all_of(select->target_list, select->target_list + select->n_target_list, [](const Node* item) {
    const auto* target = item->res_target;
    return target->val != nullptr && target->val->node_case == PG_QUERY__NODE__NODE_COLUMN_REF &&
           target->name[0] == '\0';
  });
}

/// No two rows are alike in what ORDER BY says.
bool has_total_order(Analysis& analysis, Select* select) {
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || select->n_distinct_clause != 0 ||
      select->n_group_clause != 0 || select->having_clause != nullptr || select->n_sort_clause == 0)
    return false;
  const auto& level = analysis.level_of(select, {}, analysis.ctes_of(select, {}, nullptr));
  if (!has_only_scalars(analysis, select, {.level = &level})) return false;
  const bool by_names = names_columns(select);
  std::vector<Resolved> columns;
  for (std::size_t i = 0; i < select->n_sort_clause; ++i) {
    const auto* key = select->sort_clause[i]->sort_by->node;
    const auto column = analysis.column(key, {.level = &level});
    if (column && (by_names || key->column_ref->n_fields > 1)) columns.push_back(*column);
  }
  std::string missing;
  return are_unique(analysis, level, columns, missing);
}

class Search {
 public:
  Search(Analysis& analysis, Select* top) : analysis_(analysis), top_(top) {}

  std::string run() {
    look(&top_->base);
    if (found_.empty() && has_sums_ && has_floats_) found_ = "it adds floating-point numbers, in whatever order";
    return found_;
  }

 private:
  void look(ProtobufCMessage* message) {
    if (message->descriptor == &pg_query__select_stmt__descriptor)
      select(reinterpret_cast<Select*>(message));
    else if (message->descriptor == &pg_query__func_call__descriptor)
      call(reinterpret_cast<const PgQuery__FuncCall*>(message));
    else if (message->descriptor == &pg_query__sub_link__descriptor)
      link(reinterpret_cast<const PgQuery__SubLink*>(message));
    else if (message->descriptor == &pg_query__range_var__descriptor)
      table(reinterpret_cast<const PgQuery__RangeVar*>(message));
    else if (message->descriptor == &pg_query__type_name__descriptor)
      is_float(analysis_.plain_type(reinterpret_cast<const PgQuery__TypeName*>(message)));
    for_each_child(message, [this](ProtobufCMessage* child, Node**) { look(child); });
  }

  void select(Select* select) {
    if (leaves_some(select) && !(select == top_ && has_total_order(analysis_, select)))
      found_ = "LIMIT, OFFSET or DISTINCT ON leaves rows of an order that isn't told whole";
  }

  void call(const PgQuery__FuncCall* call) {
    const auto names = strings({call->funcname, call->n_funcname});
    if (names.empty()) return;
    const auto name = names.back();
    if ((collects(name) && call->n_agg_order == 0) || (call->over != nullptr && !is_of_peers(name)))
      found_ = std::string(name) + "() depends on the order in which rows come";
    has_sums_ = has_sums_ || sums(name);
  }

  void link(const PgQuery__SubLink* link) {
    if (link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ARRAY_SUBLINK &&
        link->subselect->select_stmt->n_sort_clause == 0)
      found_ = "ARRAY(SELECT ...) depends on the order in which rows come";
  }

  void table(const PgQuery__RangeVar* range) {
    const auto* relation = analysis_.relation_of(range);
    if (relation == nullptr) return;
    for (const auto& column : relation->columns) is_float(column.type);
  }

  void is_float(Oid of) { has_floats_ = has_floats_ || of == type::float4 || of == type::float8; }

  Analysis& analysis_;
  Select* const top_;
  std::string found_;
  bool has_sums_ = false, has_floats_ = false;
};

}  // namespace

std::string undetermined(std::string_view text, const catalog::Snapshot& snapshot, const Session& session) {
  auto tree = Tree::parse(text);
  if (!tree || (*tree)->select() == nullptr) return "it can't be parsed";
  Analysis analysis(snapshot, session);
  return Search(analysis, (*tree)->select()).run();
}

}  // namespace millrace::optimizer
