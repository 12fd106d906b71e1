#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::sql {

/// What a statement is, by the node at its root (PostgreSQL's grammar; never by its first word).
enum class StatementKind : std::uint8_t {
  empty,        ///< nothing but white space, comments and semicolons
  select,       ///< SELECT, VALUES, TABLE; not SELECT INTO
  insert,
  update,
  delete_,
  merge,
  copy_from,
  copy_to,
  transaction,  ///< BEGIN, COMMIT, ROLLBACK, SAVEPOINT, PREPARE TRANSACTION, ...
  set,          ///< SET, RESET, SET LOCAL, SET TRANSACTION
  show,
  prepare,
  execute,
  deallocate,
  declare_cursor,
  fetch,
  close_cursor,
  listen,
  unlisten,
  notify,
  discard,
  lock,
  call,
  do_block,
  explain,
  ddl,
  utility,   ///< anything else that the grammar knows
  multiple,  ///< more than one statement in one text
  unparsed,  ///< a syntax error, or text over a limit: passes through untouched
};

std::string_view name(StatementKind kind);

/// A change to a session that outlives its transaction, in the order of the text.
struct SessionChange {
  enum class What : std::uint8_t {
    set,          ///< SET name = ...: `name` and `text`, which sets it again elsewhere
    reset,        ///< RESET name, SET name TO DEFAULT: `name`
    reset_all,    ///< RESET ALL
    discard_all,  ///< DISCARD ALL
    deallocate,   ///< DEALLOCATE name: `name`
    deallocate_all,
    pin,          ///< leaves state on the server connection that can't be moved: `name` says which, as in "temporary table"
  };
  What what;
  std::string name;
  std::string text;
};

/// How the text moves the transaction, in the order of the text.
enum class TransactionStep : std::uint8_t { begin, commit, rollback, savepoint, rollback_to, release, prepare, other };

/// What the rest of Millrace needs to know of a statement's text. Immutable and shared by all who ask for it.
struct Statement {
  std::uint64_t fingerprint = 0;  ///< equal for texts that differ in constants (and lengths of IN and VALUES lists) only
  StatementKind kind = StatementKind::unparsed;
  std::uint32_t statements = 0;     ///< how many the text holds
  bool writes = true;               ///< false only where the tree shows that nothing is written or locked
  bool uses_sequence_state = false;  ///< calls currval() or lastval()
  bool in_transaction_block_only = false;  ///< SET LOCAL and kin: meaningless after it
  std::vector<SessionChange> changes;
  std::vector<TransactionStep> steps;
  std::string why_unparsed;  ///< for kind unparsed: the parser's message, or the limit that was met
};

/// Limits on the text that is given to the parser. What is over them is `unparsed`.
struct ParseLimits {
  std::size_t inline_bytes = 8 * 1024;   ///< longer text isn't parsed on the I/O thread
  std::size_t max_bytes = 1024 * 1024;   ///< longer text isn't parsed
};

/// Parses on the calling thread. Needs a stack of at least `stack_needed(text.size())` bytes; checks nesting with PostgreSQL's own
/// scanner first. Thread-safe; never throws; any bytes are allowed (text with NUL bytes is unparsed).
std::shared_ptr<const Statement> parse(std::string_view text);

}  // namespace millrace::sql
