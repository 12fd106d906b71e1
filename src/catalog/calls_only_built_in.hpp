#pragma once

#include <span>
#include <string>

#include "catalog/snapshot.hpp"
#include "sql/statement.hpp"

namespace millrace::catalog {

/// Whether planning the statement calls nothing of users', also in views: it may be planned with other rights than its
/// sender's. In doubt it isn't so. What a table's owner has put into the expressions of its indexes, statistics and
/// constraints isn't looked at. `search_path`: as for `Snapshot::resolve`. Pure; thread-safe.
bool calls_only_built_in(const sql::Statement& statement, const Snapshot& snapshot,
                         std::span<const std::string> search_path);

}  // namespace millrace::catalog
