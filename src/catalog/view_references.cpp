#include "catalog/view_references.hpp"

#include "sql/statement.hpp"

namespace millrace::catalog {

namespace {

// A Statement has no references yet: when it gets them, so will views.
template <typename Statement>
std::shared_ptr<const sql::References> references_of(const Statement& statement) {
  if constexpr (requires { statement.references; }) {
    return statement.references;
  } else {
    return nullptr;
  }
}

}  // namespace

std::shared_ptr<const sql::References> references_of_view(std::string_view definition) {
  const auto statement = sql::parse(definition);
  return statement->kind == sql::StatementKind::select ? references_of(*statement) : nullptr;
}

}  // namespace millrace::catalog
