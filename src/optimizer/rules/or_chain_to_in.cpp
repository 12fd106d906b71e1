// `x = 1 OR x = 2 OR ... ` of at least five literals is `x IN (1, 2, ...)`.
//
// IN is defined as that OR. PostgreSQL tests a list of nine or more by a hash, and looks up an index once for the list.
// All literals are whole numbers of four bytes, or all are strings of no type: a list of mixed types would be made one
// type, and the column with it. Of types that have an array, and an `=` of their own.
#include <optional>

#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

constexpr std::size_t few = 5;

Node* apply(const Site& site, Node* node) {
  const auto* any = bool_of(node, PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR);
  if (any == nullptr || any->n_args < few) return nullptr;
  Node* column = nullptr;
  Oid type = 0;
  std::vector<Node*> literals;
  for (std::size_t i = 0; i < any->n_args; ++i) {
    const auto bound = bound_of(site.analysis, any->args[i]);
    if (!bound || bound->name != "=") return nullptr;
    const auto& constant = bound->constant;
    const bool plain = (constant.kind == Constant::Kind::integer && constant.type == type::int4) ||
                       (constant.kind == Constant::Kind::string && constant.type == type::unknown);
    if (!plain || (column != nullptr && (!same(column, bound->value) || type != constant.type))) return nullptr;
    column = bound->value;
    type = constant.type;
    literals.push_back(bound->literal);
  }
  const auto found = site.analysis.column(column, site.scope());
  const Oid of = found ? found->column->type : 0;
  const bool numbers = type == type::int4 && (type::is_integer(of) || of == type::numeric);
  const bool texts = type == type::unknown && (type::is_text(of) || of == type::bpchar || of == type::uuid ||
                                               of == type::date || of == type::timestamp || of == type::timestamptz);
  if (!numbers && !texts) return nullptr;
  auto* in = site.tree.expression("$1 IN (1)", {column});
  auto* list = in->a_expr->rexpr->list;
  list->n_items = literals.size();
  list->items = site.tree.nodes(literals);
  return in;
}

}  // namespace

const Rule rules::or_chain_to_in{.name = "or_chain_to_in", .expression = apply};

}  // namespace millrace::optimizer
