#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pgwire/protocol/frame.hpp"
#include "pipeline/explanation.hpp"

namespace millrace::gateway {

/// What EXPLAIN (MILLRACE) answers: an item and its value in each row, both text; and SHOW millrace.token, which has a
/// row with the value alone.
using MillraceRows = std::vector<std::pair<std::string, std::string>>;

/// `question`: the one that is explained; of an execution, its parameters are among the rows.
MillraceRows rows_of(const pipeline::Explanation& said, const pipeline::Question& question);

/// Covers whatever the session, and anybody, has seen or committed by now.
MillraceRows token_rows(std::int64_t now);

/// What the server is asked instead of SHOW millrace.token where what comes before it, or behind it, is the server's.
/// It answers and refuses the one where it would the other; the column's name and the token are put into its answer.
/// Where that passes unseen, as of an SQL EXECUTE, its value is a text that is no token, and so stands for the moment
/// at which it is given. By the comment nobody else's statement is taken for it.
inline constexpr std::string_view token_asked_of_server = "SHOW server_version_num /* millrace.token */";
/// Of a Parse of SHOW millrace.token all that follows the name, as the server is asked.
std::string parse_asked_of_server(std::string_view query_and_types);

// `statement`: which of the two asks for it.

std::size_t columns_of(const sql::Statement& statement);
/// A RowDescription. Text is the same in both formats; they are said as they were asked for.
void append_columns(std::string& out, const sql::Statement& statement, std::array<std::int16_t, 2> formats);
void append_rows(std::string& out, const sql::Statement& statement, std::span<const MillraceRows::value_type> rows);
/// As of PostgreSQL's own EXPLAIN and SHOW.
std::string_view tag_of(const sql::Statement& statement);

}  // namespace millrace::gateway
