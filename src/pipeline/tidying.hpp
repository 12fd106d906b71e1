#pragma once

#include "catalog/snapshot.hpp"
#include "sql/statement.hpp"

namespace millrace::pipeline {

/// Whether the text only undoes what a session has made for itself (RESET ALL, UNLISTEN, CLOSE,
/// pg_advisory_unlock_all() in whatever order), as drivers' pools say it before somebody else gets the connection:
/// where there is nothing to be undone, outside of a transaction, it does nothing and is always answered the same.
/// asyncpg's pool says "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;". Pure; thread-safe.
bool only_tidies(const sql::Statement& statement);

/// Of such a text: that its functions are PostgreSQL's.
bool tidies_as_known(const sql::Statement& statement, const catalog::Snapshot& snapshot);

}  // namespace millrace::pipeline
