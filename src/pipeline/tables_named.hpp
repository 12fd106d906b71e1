#pragma once

#include <string>
#include <vector>

#include "pipeline/scope.hpp"
#include "sql/statement.hpp"

namespace millrace::pipeline {

/// Tables and views that the statement names, to read or to write them, with their schemas where the catalog says which
/// are meant, else as they are written; sorted. Names that a WITH clause gives aren't among them. Thread-safe; not for
/// a query's way.
std::vector<std::string> tables_named(const sql::Statement& statement, const Scope& scope);

}  // namespace millrace::pipeline
