#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "cache/entry.hpp"
#include "monitor/query_record.hpp"
#include "pipeline/consistency.hpp"
#include "pipeline/fill.hpp"
#include "pipeline/scope.hpp"
#include "sql/statement.hpp"

namespace millrace::pipeline {

struct ProvedRewrite;

/// The text of a prepared statement as it was sent (it may be cut off); null: it is the statement's own
/// (`sql::Statement::text`), which else may be another client's, with other constants and comments. What follows a NUL
/// isn't of it.
using SentText = std::shared_ptr<const std::string>;
inline std::string_view text_of(const SentText& sent) {
  return sent ? std::string_view(*sent).substr(0, sent->find('\0')) : std::string_view();
}

/// Who asks. The texts must outlive the call that this is passed to.
struct Caller {
  std::string_view user, database, application;
  std::string_view user_id = {}, project_id = {};  ///< whom it asks for; "": it doesn't say
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

  CacheUse cache = CacheUse::none;
  std::shared_ptr<Fill> fill = {};                    ///< null: the answer isn't kept
  Payoff* payoff = nullptr;                           ///< of a hit, its template's; null: it counts for none
  std::shared_ptr<const ProvedRewrite> rewrite = {};  ///< it was sent as this; null: as it was written

  // For people; may be cut off, and must outlive the call of `ended` only.
  std::string_view text = {};        ///< of a Query as the client sent it; empty: it is `sent`
  std::string_view parameters = {};  ///< of a Bind message all that follows the names
  SentText sent = {};                ///< of a statement that was prepared

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

/// What is asked, for those who may be answered from memory.
struct Question {
  enum class Kind : std::uint8_t {
    query,    ///< `text` in the simple protocol
    execute,  ///< a statement's text and parameter types, executed with `parameters`
    columns,  ///< how the server describes a statement with this text and these parameter types
  };
  Kind kind = Kind::query;
  std::string_view text;         ///< of a Query; of a Parse message all that follows the statement's name
  std::string_view parameters;   ///< of a Bind message all that follows the names: formats, values, formats of results
  std::uint32_t first_rows = 0;  ///< of `execute`: up to where the portal stops after so many; 0: to its end
};

/// What of the client's session `Pipeline::decide` looks at.
struct SessionView {
  bool holds_begin = false;      ///< a BEGIN may wait until the server is needed
  bool begin_held = false;       ///< a BEGIN was answered that no server has seen
  bool untouched = false;        ///< the session is as it began, and has nothing on a server connection
  const Scope* scope = nullptr;  ///< null: what it reads isn't answered from memory at present
  Consistency::Level level = Consistency::Level::session;  ///< at which it reads
  Needed needed;
};

/// An answer is there that may be fresh enough, if these moments are proved.
struct Unproved {
  integration::Moments moments;
  std::int64_t cost_ns = 0;  ///< what it takes to ask the server instead
  explicit operator bool() const { return moments.rows != 0; }
};

struct Verdict {
  enum class What : std::uint8_t {
    send,                ///< to the server
    answer_transaction,  ///< it begins or ends a transaction that the server needn't know of
    answer,              ///< `entry`, which has a head
  };
  What what = What::send;
  cache::EntryPtr entry = {};
  Unproved unproved = {};    ///< of `send`
  Payoff* payoff = nullptr;  ///< of `answer`; null: it counts for none
  bool passes = false;       ///< of `send`: memory wasn't asked, nor is anybody else's answer waited for
};

}  // namespace millrace::pipeline
