// `(SELECT count(*) FROM ...) > 0`, `>= 1`, `<> 0` are EXISTS; `= 0`, `< 1`, `<= 0` are NOT EXISTS.
//
// count() is never NULL, and neither is EXISTS, so they are the same anywhere. count(x) counts the rows where x isn't
// NULL. EXISTS stops at the first row: so no row's condition may fail, nor anything volatile be called.
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

/// True: EXISTS, false: NOT EXISTS.
std::optional<bool> asks_for_one(const Bound& bound) {
  if (bound.constant.kind != Constant::Kind::integer || bound.constant.type != type::int4) return std::nullopt;
  const auto value = bound.constant.value;
  if (value == 0 && (bound.name == ">" || bound.name == "<>")) return true;
  if (value == 1 && bound.name == ">=") return true;
  if (value == 0 && (bound.name == "=" || bound.name == "<=")) return false;
  if (value == 1 && bound.name == "<") return false;
  return std::nullopt;
}

Node* apply(const Site& site, Node* node) {
  const auto bound = bound_of(site.analysis, node);
  const auto asks = bound ? asks_for_one(*bound) : std::nullopt;
  if (!asks || bound->value->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return nullptr;
  const auto* link = bound->value->sub_link;
  if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK) return nullptr;
  auto* select = link->subselect->select_stmt;
  if (!is_simple(select) || select->n_target_list != 1) return nullptr;
  const auto* counted = select->target_list[0]->res_target->val;
  const auto* call = counted != nullptr && counted->node_case == PG_QUERY__NODE__NODE_FUNC_CALL
                         ? call_of(site.analysis, counted, "count", counted->func_call->agg_star ? 0 : 1)
                         : nullptr;
  if (call == nullptr) return nullptr;
  Node* condition = nullptr;
  if (!call->agg_star) {
    const Scope inside{.level = &site.analysis.level_of(select, site.scope(), site.place.ctes)};
    const auto column = site.analysis.column(call->args[0], inside);
    // An aggregate of an outer column is the outer query's.
    if (!column || column->level != inside.level || column->column->type >= catalog::first_normal_oid) return nullptr;
    if (!not_null(site.analysis, call->args[0], inside))
      condition = site.tree.expression("$1 IS NOT NULL", {call->args[0]});
  }
  if (!select_cannot_fail(site.analysis, select, site.scope(), site.place.ctes)) {
    site.missed("the conditions of the counted rows may fail, or what they are of isn't a table");
    return nullptr;
  }
  if (site.place.truth && !may_be_joined(site)) return nullptr;
  auto* found = exists(site.tree, select, condition);
  return *asks ? found : negated(site.tree, found);
}

}  // namespace

const Rule rules::count_to_exists{
    .name = "count_to_exists", .level = 2, .type = OptimizationType::subquery_optimization, .expression = apply};

}  // namespace millrace::optimizer
