#pragma once

#include <array>
#include <string>
#include <string_view>

#include "pgwire/protocol/frame.hpp"
#include "sql/references.hpp"

namespace millrace::gateway {

/// A query that answers, in one value, all of the catalogs and of the session that a rewrite's proof stands on: what
/// its relations are, their columns, indexes, constraints, triggers, children and privileges; functions, operators,
/// types and casts of users that its names could mean; the search path, the role, the time zone and how constants are
/// read; the transaction's isolation. In what reads the relations, and is bound already, it is the last word: they are
/// locked by then against what changes them.
///
/// $1: the relations, as they are written; $2: names of functions; $3: of types.
extern const std::string_view guard_sql;

/// Its parameters, of a statement and of what stands for it.
std::array<std::string, 3> guard_parameters(const sql::References& one, const sql::References& other);

/// What a DataRow of it says; "": it isn't one.
std::string_view guard_answer(pgwire::Bytes data_row);

}  // namespace millrace::gateway
