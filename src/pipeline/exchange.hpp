#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "sql/statement.hpp"

namespace millrace::pipeline {

/// Who asks. The texts must outlive the call that this is passed to.
struct Caller {
  std::string_view user, database, application;
};

/// One statement's life, from whichever door it came. The door begins it, fills it while it is answered, and hands it
/// to `Pipeline::ended`, which makes its QueryRecord.
struct Exchange {
  std::shared_ptr<const sql::Statement> statement;         ///< null: not known
  sql::StatementKind assumed = sql::StatementKind::fetch;  ///< where the statement isn't known

  // In ns of `now_ns()`; 0: not yet.
  std::int64_t started = 0;  ///< when it could be sent
  std::int64_t waited = 0;   ///< before that, for a server connection
  std::int64_t first_byte = 0;

  std::uint64_t rows = 0;
  std::uint64_t bytes_in = 0;   ///< from the client
  std::uint64_t bytes_out = 0;  ///< to the client
  std::array<char, 6> sqlstate = {};

  bool failed() const { return sqlstate[0] != '\0'; }
  std::string_view error_code() const { return failed() ? std::string_view(sqlstate.data(), 5) : std::string_view(); }
  /// What isn't five characters becomes XX000, an internal error.
  void fail(std::string_view code) {
    sqlstate = {'X', 'X', '0', '0', '0', '\0'};
    if (code.size() == 5) std::copy(code.begin(), code.end(), sqlstate.begin());
  }
};

/// What of the client's session `Pipeline::decide` looks at.
struct SessionView {
  bool moves = false;       ///< it isn't tied to a server connection: transaction mode
  bool has_server = false;  ///< it has one at present
  bool begin_held = false;  ///< a BEGIN was answered that no server has seen
};

enum class Verdict : std::uint8_t {
  send,                ///< to the server
  answer_transaction,  ///< it begins or ends a transaction that the server needn't know of
};

}  // namespace millrace::pipeline
