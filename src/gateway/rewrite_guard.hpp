#pragma once

#include <array>
#include <string>
#include <string_view>

#include "gateway/prepared_texts.hpp"
#include "pgwire/protocol/frame.hpp"
#include "pipeline/rewrites.hpp"
#include "sql/references.hpp"

namespace millrace::gateway {

/// A proved rewrite as sessions send it. All of its scope mean the same by it, so they share its prepared statement on
/// a server connection; which is another one after each proof, as PostgreSQL's may be out of date by then.
struct PreparedRewrite : pipeline::ProvedRewrite {
  std::shared_ptr<const PreparedText> text;
  std::shared_ptr<const PreparedText> lock;  ///< locks the tables as reading them does
};

/// A query that answers, in one value, all of the catalogs and of the session that a rewrite's proof stands on: what
/// its relations are, their columns, indexes, constraints, triggers, children and privileges; functions, operators,
/// types and casts of users that its names could mean; the search path, the role, the time zone and how constants are
/// read; the transaction's isolation. In what reads the relations, and is bound already, it is the last word: they are
/// locked by then against what changes them.
///
/// $1: the relations, as they are written; $2: names of functions; $3: of types.
extern const std::string_view guard_sql;

/// How many columns of the relations ($1, likewise) have privileges of their own.
extern const std::string_view column_privileges_sql;

/// Its parameters, of a statement and of what stands for it.
std::array<std::string, 3> guard_parameters(const sql::References& one, const sql::References& other);

/// A statement that locks the relations of both as reading them does; it fails where that would.
std::string lock_sql(const sql::References& one, const sql::References& other);

/// What a DataRow of it says; "": it isn't one.
std::string_view guard_answer(pgwire::Bytes data_row);

}  // namespace millrace::gateway
