// `x IN (SELECT y FROM ... WHERE <names x's table>)` as a condition is EXISTS (... AND y = x).
//
// Before PostgreSQL 17 a sub-query of IN that names outer columns is run for each row; EXISTS becomes a semi-join. IN
// is TRUE if and only if some row has y = x; where it is FALSE or NULL is nothing to a condition.
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth || node->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return nullptr;
  auto* link = node->sub_link;
  if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK || link->n_oper_name != 0) return nullptr;
  auto* select = link->subselect->select_stmt;
  if (!is_simple(select) || select->n_target_list != 1 || !site.analysis.plain_operator("=")) return nullptr;
  const auto& level = site.analysis.level_of(select, site.scope(), site.place.ctes);
  auto* inner = select->target_list[0]->res_target->val;
  const auto x = site.analysis.column(link->testexpr, site.scope());
  const auto y = site.analysis.column(inner, {.level = &level});
  if (!x || !y || y->level != &level || x->column->type == 0 || x->column->type != y->column->type) return nullptr;
  bool correlated = false;
  const bool certain = each_column(
      site.analysis, select, site.scope(), site.place.ctes, [&](Node**, const Place&, const Resolved& column) {
        for (const auto* around = site.scope().level; around != nullptr; around = around->parent.level)
          correlated = correlated || column.level == around;
        return true;
      });
  if (!certain || !correlated) return nullptr;
  auto* outer = qualified(site.tree, site.analysis, *x, site.scope(), &level);
  if (outer == nullptr) {
    site.missed(name_of(*x) + " is hidden in the sub-query by a table of the same name");
    return nullptr;
  }
  if (!select_cannot_fail(site.analysis, select, site.scope(), site.place.ctes)) {
    site.missed("the conditions of the sub-query may fail, or what they are of isn't a table");
    return nullptr;
  }
  return may_be_joined(site) ? exists(site.tree, select, site.tree.expression("$1 = $2", {inner, outer})) : nullptr;
}

}  // namespace

const Rule rules::in_to_exists{
    .name = "in_to_exists", .level = 2, .type = OptimizationType::subquery_optimization, .expression = apply};

}  // namespace millrace::optimizer
