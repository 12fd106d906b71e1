#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sql/references.hpp"

namespace millrace::sql {

/// What a statement is, by the node at its root (PostgreSQL's grammar; never by its first word).
enum class StatementKind : std::uint8_t {
  empty,   ///< nothing but white space, comments and semicolons
  select,  ///< SELECT, VALUES, TABLE; not SELECT INTO
  insert,
  update,
  delete_,
  merge,
  copy_from,
  copy_to,
  transaction,  ///< BEGIN, COMMIT, ROLLBACK, SAVEPOINT, PREPARE TRANSACTION, ...
  set,          ///< SET, RESET, SET LOCAL, SET TRANSACTION, SET CONSTRAINTS
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
  truncate,
  call,
  do_block,
  explain,
  ddl,       ///< CREATE (also CREATE TABLE AS, SELECT INTO), ALTER, DROP, GRANT, COMMENT, ...
  utility,   ///< anything else that the grammar knows
  multiple,  ///< more than one statement in one text
  unparsed,  ///< a syntax error, or text over a limit: passes through untouched
};

std::string_view name(StatementKind kind);

/// Sets of kinds.
constexpr std::uint32_t bit(StatementKind kind) { return std::uint32_t{1} << static_cast<unsigned>(kind); }
constexpr std::uint32_t kinds_with_references =
    bit(StatementKind::select) | bit(StatementKind::insert) | bit(StatementKind::update) | bit(StatementKind::delete_) |
    bit(StatementKind::merge) | bit(StatementKind::copy_from) | bit(StatementKind::copy_to);

/// A change to a session that outlives its transaction, in the order of the text.
struct SessionChange {
  enum class What : std::uint8_t {
    set,          ///< SET name = ...: `name` and `text`, which sets it again elsewhere
    reset,        ///< RESET name, SET name TO DEFAULT: `name`
    reset_all,    ///< RESET ALL
    discard_all,  ///< DISCARD ALL
    deallocate,   ///< DEALLOCATE name: `name`
    deallocate_all,
    prepare,  ///< PREPARE name, which the client may have prepared in the protocol: `name`. It pins
    execute,  ///< EXECUTE name, which the client may have prepared in the protocol: `name`
    pin,      ///< leaves state on the server connection that can't be moved: `name` says which, as in "temporary table"
  };
  What what;
  std::string name;
  std::string text;
  /// Of `set`, where it is a single string; of search_path, a list of identifiers in quotes. "": something else.
  std::string value = {};
};

/// How the text moves the transaction, in the order of the text. COMMIT AND CHAIN is two steps: commit, begin.
enum class TransactionStep : std::uint8_t { begin, commit, rollback, savepoint, rollback_to, release, prepare, other };

/// What the rest of Millrace needs to know of a statement's text. Immutable and shared by all who ask for it.
///
/// It is what the text alone shows. A function or procedure of a user's may write, lock or change the session without
/// being seen here; so may a rule or a trigger. Assumes that backslashes in plain quoted strings are plain characters
/// (standard_conforming_strings is on) and that bytes below 128 stand for themselves in the client's encoding: where
/// either isn't so, a text with a backslash or with other bytes must not be trusted to this.
struct Statement {
  /// Equal for texts that differ in constants, in numbers of parameters and in lengths of IN and VALUES lists only (and
  /// in what the tree doesn't hold: white space, comments, case of keywords). For grouping, never for proving sameness.
  std::uint64_t fingerprint = 0;

  StatementKind kind = StatementKind::unparsed;
  std::uint32_t statements = 0;  ///< how many the text holds
  std::uint32_t kinds = 0;       ///< of each of them: `bit`s; 0: not known

  /// False: by itself the text writes no data, takes no lock beyond those of reading, and calls none of PostgreSQL's
  /// own functions that have an effect outside of their result. Settings, cursors and steps of transactions don't
  /// count; COMMIT does, for what it makes the server do. EXPLAIN and PREPARE don't run what they hold.
  bool writes = true;

  bool uses_sequence_state = false;        ///< calls currval() or lastval()
  bool in_transaction_block_only = false;  ///< SET LOCAL and kin: meaningless after it
  /// ALTER ROLE, ALTER DATABASE ... SET, ALTER SYSTEM: it changes what a new session starts with, so server connections
  /// that are open must not be taken for new ones any more.
  bool affects_new_sessions = false;
  /// CREATE, ALTER and DROP of DATABASE: fails if somebody is connected to the database, or to its template.
  bool wants_unused_database = false;
  /// Those to which nobody may be connected then, and those that come to be: their names.
  std::vector<std::string> unused_databases;
  bool copies_in = false;  ///< holds a COPY ... FROM, which may read what is sent behind the text
  std::vector<SessionChange> changes;
  /// What SET LOCAL and set_config() set; "": something that the text doesn't name.
  std::vector<std::string> other_settings;
  std::vector<TransactionStep> steps;
  /// Of a BEGIN, START TRANSACTION, COMMIT or ROLLBACK, in any spelling: the tag of its answer. "": of anything else,
  /// and with options other than `begin_modes`.
  std::string transaction_tag;
  std::string_view begin_modes;  ///< " ISOLATION LEVEL READ COMMITTED" and " READ ONLY", behind the tag; lives for ever
  /// Of all of SELECT (not SELECT INTO), INSERT, UPDATE, DELETE, MERGE and COPY in the text. Null: it holds none.
  std::shared_ptr<const References> references;
  /// Of an EXPLAIN (MILLRACE) that is alone in its text: the statement in it, which `explained_text` finds. Null: it is
  /// something else.
  std::shared_ptr<const Statement> explained;
  std::uint32_t explained_parameters = 0;  ///< how many that has: the highest number of one
  bool shows_token = false;                ///< SHOW millrace.token, alone in its text
  bool is_syntax_error = false;            ///< of kind unparsed: by this grammar; PostgreSQL's may be another version's
  std::string why_unparsed;                ///< for kind unparsed: the parser's message, or the limit that was met
  /// What was parsed, or how it begins where it is longer than `most_text`: one of the texts that share this. For
  /// people to read. Empty: it wasn't parsed.
  std::string text;
  static constexpr std::size_t most_text = 4096;

  /// Whether it is for Millrace to answer: PostgreSQL doesn't know it.
  bool asks_millrace() const { return explained != nullptr || shows_token; }
  /// Of a BEGIN that has a tag: a text that does the same.
  std::string begin_text() const { return transaction_tag + std::string(begin_modes); }
};

/// Limits on the text that is given to the parser. What is over them is `unparsed`.
struct ParseLimits {
  std::size_t inline_bytes = 8 * 1024;  ///< longer text isn't parsed on the I/O thread
  std::size_t max_bytes = 1024 * 1024;  ///< longer text isn't parsed
};

/// How much stack parsing takes at most, twice what the worst texts were seen to take. PostgreSQL's grammar keeps its
/// own stack on the heap and gives up at a depth of 10,000; the tree is walked without recursion. What recurses are a
/// few of the grammar's actions (they look for the position of an error, or copy a type), one level of the tree at a
/// time.
constexpr std::size_t stack_needed(std::size_t text_bytes) { return 256 * 1024 + text_bytes * 32; }

/// Parses on the calling thread, if it has stack_needed(text.size()) bytes of stack left; otherwise, and if the text
/// holds a NUL byte or isn't SQL, or would keep the scanner busy for long, the result is `unparsed`. Thread-safe; any
/// bytes are allowed.
std::shared_ptr<const Statement> parse(std::string_view text);

/// For a text that isn't to be parsed.
std::shared_ptr<const Statement> unparsed(std::string why);

}  // namespace millrace::sql
