#include "pipeline/tables_named.hpp"

#include <algorithm>

#include "pipeline/judgements.hpp"

namespace millrace::pipeline {

std::vector<std::string> tables_named(const sql::Statement& statement, const Scope& scope) {
  if (!statement.references) return {};
  const auto catalog = scope.source ? scope.source->current() : nullptr;
  const auto path = catalog ? search_path_of(scope, *catalog) : std::nullopt;
  std::vector<std::string> tables;
  const auto add = [&](const sql::Name& name, bool may_be_of_with) {
    const auto* found = path ? catalog->resolve(name, *path) : nullptr;
    const bool of_with =
        may_be_of_with && name.schema.empty() && std::ranges::binary_search(statement.references->with, name.name);
    if (found != nullptr) {
      tables.push_back(found->schema + "." + found->name);
    } else if (!of_with) {
      tables.push_back(name.schema.empty() ? name.name : name.schema + "." + name.name);
    }
  };
  for (const auto& name : statement.references->reads) add(name, true);
  for (const auto& name : statement.references->writes) add(name, false);
  std::ranges::sort(tables);
  const auto twice = std::ranges::unique(tables);
  tables.erase(twice.begin(), twice.end());
  return tables;
}

}  // namespace millrace::pipeline
