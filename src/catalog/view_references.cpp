#include "catalog/view_references.hpp"

#include "sql/statement.hpp"

namespace millrace::catalog {

std::shared_ptr<const sql::References> references_of_view(std::string_view definition) {
  const auto statement = sql::parse(definition);
  return statement->kind == sql::StatementKind::select ? statement->references : nullptr;
}

}  // namespace millrace::catalog
