// `x IS NULL` of a column that is declared NOT NULL is false, `x IS NOT NULL` true.
//
// Not if an outer join, or a grouping set, may put a NULL in its place; nor for composite types, of which a value whose
// fields are all NULL IS NULL. What is declared holds of partitions, but not of tables that inherit, nor of foreign
// ones.
#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

Node* apply(const Site& site, Node* node) {
  if (node->node_case != PG_QUERY__NODE__NODE_NULL_TEST || node->null_test->argisrow) return nullptr;
  const auto column = site.analysis.column(node->null_test->arg, site.scope());
  if (!column || column->source->table == nullptr) return nullptr;
  const auto* type = site.analysis.snapshot().type(column->column->type);
  if (type == nullptr || !std::string_view("berm").contains(type->kind)) return nullptr;
  if (!not_null(site.analysis, node->null_test->arg, site.scope(), false)) {
    site.missed(name_of(*column) +
                (column->column->not_null ? " may be of a row that an outer join adds" : " isn't declared NOT NULL"));
    return nullptr;
  }
  return site.tree.expression(node->null_test->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NULL ? "false" : "true");
}

}  // namespace

const Rule rules::null_test_to_constant{.name = "null_test_to_constant", .expression = apply};

}  // namespace millrace::optimizer
