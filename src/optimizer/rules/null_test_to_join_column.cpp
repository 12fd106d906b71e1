// `a LEFT JOIN b ON b.a_id = a.id ... WHERE b.id IS NULL`, with b.id NOT NULL, tests b.a_id instead.
//
// A row that the join found has b.id, as declared, and b.a_id, since `=` is TRUE of it; a row that it added has
// neither, nor if another outer join above takes both away. PostgreSQL makes an anti-join only of a test of the joined
// column.
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"

namespace millrace::optimizer {

namespace {

/// The LEFT JOIN whose right side the source is.
const PgQuery__JoinExpr* left_join_of(const Node* item, const Node* source) {
  if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return nullptr;
  const auto* join = item->join_expr;
  if (join->rarg == source) return join->jointype == PG_QUERY__JOIN_TYPE__JOIN_LEFT ? join : nullptr;
  const auto* found = left_join_of(join->larg, source);
  return found != nullptr ? found : left_join_of(join->rarg, source);
}

Node* apply(const Site& site, Node* node) {
  if (node->node_case != PG_QUERY__NODE__NODE_NULL_TEST || node->null_test->argisrow) return nullptr;
  const auto tested = site.analysis.column(node->null_test->arg, site.scope());
  if (!tested || tested->level->select == nullptr || tested->source->table == nullptr || !tested->source->nullable ||
      tested->level != site.scope().level || tested->column->type >= catalog::first_normal_oid)
    return nullptr;
  const PgQuery__JoinExpr* join = nullptr;
  for (std::size_t i = 0; i < tested->level->select->n_from_clause && join == nullptr; ++i)
    join = left_join_of(tested->level->select->from_clause[i], tested->source->node);
  if (join == nullptr || join->quals == nullptr) return nullptr;
  Node* joined = nullptr;
  const Scope inside{.level = tested->level};
  for (const auto* conjunct : conjuncts_of(join->quals)) {
    const auto comparison = comparison_of(site.analysis, conjunct);
    if (!comparison || comparison->name != "=") continue;
    for (auto* side : {comparison->left, comparison->right}) {
      const auto column = site.analysis.column(side, inside);
      if (!column || column->source != tested->source || column->column->type >= catalog::first_normal_oid) continue;
      if (column->column == tested->column) return nullptr;
      if (joined == nullptr) joined = qualified(site.tree, site.analysis, *column, site.scope(), nullptr);
    }
  }
  if (joined == nullptr) return nullptr;
  if (!tested->column->not_null) {
    site.missed(name_of(*tested) + " isn't declared NOT NULL");
    return nullptr;
  }
  const bool is_null = node->null_test->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NULL;
  // Only the anti-join gains.
  return is_null ? site.tree.expression("$1 IS NULL", {joined}) : nullptr;
}

}  // namespace

const Rule rules::null_test_to_join_column{.name = "null_test_to_join_column",
                                           .level = 2,
                                           .family = Family::join,
                                           .type = OptimizationType::join_reorder,
                                           .expression = apply};

}  // namespace millrace::optimizer
