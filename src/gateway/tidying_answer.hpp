#pragma once

#include <string>
#include <string_view>

namespace millrace::gateway {

/// Appends what PostgreSQL answers to a text with which pools tidy up a connection that they get back, but for
/// ReadyForQuery, where there is nothing to tidy and no transaction is open. These are known: what asyncpg says
/// (Connection.reset), what Npgsql does (DISCARD ALL, or all that it stands for but DEALLOCATE ALL), and parts of
/// either. False: it is another text, and nothing is appended. Thread-safe.
bool append_tidying_answer(std::string& out, std::string_view text);

}  // namespace millrace::gateway
