#ifndef MILLRACE_SQL_PG_TREE_H
#define MILLRACE_SQL_PG_TREE_H

// The narrow C side of PostgreSQL's parser: parses a text with libpg_query, walks the raw tree once without recursion,
// and hands out facts. It says what the tree holds; statement.cpp says what that means. Nothing of PostgreSQL's headers
// and no longjmp gets past this file: libpg_query's parser catches its own errors, and the walk raises none.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The node at a statement's root.
enum pg_tree_root {
  PG_TREE_NONE,  ///< not a statement, or a node that the table of nodes doesn't know
  PG_TREE_SELECT,
  PG_TREE_SELECT_INTO,
  PG_TREE_INSERT,
  PG_TREE_UPDATE,
  PG_TREE_DELETE,
  PG_TREE_MERGE,
  PG_TREE_COPY_FROM,
  PG_TREE_COPY_TO_CLIENT,
  PG_TREE_COPY_TO_FILE,
  PG_TREE_TRANSACTION,
  PG_TREE_SET,
  PG_TREE_SHOW,
  PG_TREE_PREPARE,
  PG_TREE_EXECUTE,
  PG_TREE_DEALLOCATE,
  PG_TREE_DECLARE_CURSOR,
  PG_TREE_FETCH,
  PG_TREE_CLOSE_CURSOR,
  PG_TREE_LISTEN,
  PG_TREE_UNLISTEN,
  PG_TREE_NOTIFY,
  PG_TREE_DISCARD,
  PG_TREE_LOCK,
  PG_TREE_TRUNCATE,
  PG_TREE_CALL,
  PG_TREE_DO_BLOCK,
  PG_TREE_EXPLAIN,
  PG_TREE_EXPLAIN_ANALYZE,
  PG_TREE_DDL,
  PG_TREE_UTILITY,
};

enum pg_tree_fact {
  // Facts of a statement's root.
  PG_TREE_SET_VALUE,       ///< SET name = ...; `value`: a single string, or search_path as a list of quoted identifiers
  PG_TREE_SET_CURRENT,     ///< SET name FROM CURRENT
  PG_TREE_SET_LOCAL,       ///< SET LOCAL, SET TRANSACTION, SET CONSTRAINTS
  PG_TREE_SET_DEFAULT_TX,  ///< SET SESSION CHARACTERISTICS, one a mode: name is "transaction_isolation", ...; `value`
  PG_TREE_RESET,           ///< RESET name, SET name TO DEFAULT
  PG_TREE_RESET_ALL,
  PG_TREE_DISCARD_ALL,
  PG_TREE_DISCARD_TEMPORARY,
  PG_TREE_DEALLOCATE_NAME,
  PG_TREE_DEALLOCATE_ALL,
  PG_TREE_BEGIN,     ///< name: the tag of its answer, if it has plain modes at most: value; so with the next two
  PG_TREE_COMMIT,    ///< without AND CHAIN
  PG_TREE_ROLLBACK,  ///< likewise
  PG_TREE_CHAIN,     ///< after COMMIT or ROLLBACK: AND CHAIN
  PG_TREE_SAVEPOINT,
  PG_TREE_ROLLBACK_TO,
  PG_TREE_RELEASE,
  PG_TREE_PREPARE_TRANSACTION,
  PG_TREE_FINISH_PREPARED,
  PG_TREE_CURSOR_WITH_HOLD,
  PG_TREE_LOAD,
  PG_TREE_EXPLAIN_MILLRACE,  ///< EXPLAIN (MILLRACE), without a value and other options
  PG_TREE_SHOWS,             ///< name: the setting's
  PG_TREE_NEW_SESSIONS,      ///< ALTER ROLE, ALTER DATABASE ... SET, ALTER SYSTEM
  PG_TREE_UNUSED_DATABASE,   ///< CREATE, ALTER, DROP of a database; once for each that nobody may use: `name`
  // Facts found anywhere in a statement.
  PG_TREE_WRITE,           ///< INSERT, UPDATE, DELETE, MERGE, a locking clause, INTO
  PG_TREE_EXECUTE_NAME,    ///< EXECUTE name
  PG_TREE_PREPARE_NAME,    ///< PREPARE name
  PG_TREE_FUNCTION,        ///< a call: `name`, without its schema; `value`: its first argument, if a constant
  PG_TREE_FUNCTION_LOCAL,  ///< a call whose third argument is the literal true: set_config() uses it
  PG_TREE_TEMPORARY_TABLE,
  PG_TREE_TEMPORARY_VIEW,
  PG_TREE_TEMPORARY_SEQUENCE,
  PG_TREE_TEMPORARY_SCHEMA,  ///< anything named in pg_temp, or a search_path with it
  PG_TREE_PARAMETER,         ///< in EXPLAIN (MILLRACE), and for restrictions; `name`: its number
  PG_TREE_UNKNOWN,           ///< a node that the table of nodes doesn't know
  // What one SELECT, INSERT, UPDATE, DELETE, MERGE or COPY names, anywhere in it; nothing if it isn't alone in its
  // text.
  // `name`: without its schema; `value`: the schema, null if none is given.
  PG_TREE_READS,      ///< a relation
  PG_TREE_TARGET,     ///< a relation that is written
  PG_TREE_WITH_NAME,  ///< what a WITH clause gives
  PG_TREE_CALLS,      ///< a function
  PG_TREE_OPERATOR,
  PG_TREE_TYPE,
  PG_TREE_COLLATION,
  PG_TREE_FIELD,      ///< what stands behind a point, and may be a function
  PG_TREE_RENAMES,    ///< a name that a column gets; "": of columns that a function has
  PG_TREE_TO_MOMENT,  ///< what becomes a date or time: see References::to_moments
  PG_TREE_WHO,        ///< CURRENT_USER and so on
  PG_TREE_CLOCK,      ///< CURRENT_TIMESTAMP and so on; `name`: which
  PG_TREE_NOT_KNOWN,  ///< what may depend on anything else: words for people
  // Which rows of the relations in FROM a SELECT leaves, in whatever subquery; for visitors that ask for it.
  PG_TREE_LEVEL_READS,       ///< a relation; `name` and `value` as above
  PG_TREE_EQUALS,            ///< of that: only rows whose column `name` is one of the values that follow
  PG_TREE_EQUALS_NUMBER,     ///< a number as it is written
  PG_TREE_EQUALS_STRING,     ///< a string
  PG_TREE_EQUALS_BOOLEAN,    ///< t or f
  PG_TREE_EQUALS_PARAMETER,  ///< its number
  PG_TREE_EQUALS_CAST,  ///< of the last one: it is cast; `name`: the type's, or that of its elements; `value`: schema
  PG_TREE_EQUALS_ANY,   ///< of the last one: it is an array of values
};

struct pg_tree_visitor {
  void* context;
  /// A statement begins; `location` and `length` (0: to the end) say where it stands in the text.
  void (*statement)(void* context, enum pg_tree_root root, size_t location, size_t length);
  /// A fact of the statement last begun. `name` and `value` are null where the fact has none; they live for this call.
  void (*fact)(void* context, enum pg_tree_fact fact, const char* name, const char* value);
  /// Asks for the facts from PG_TREE_LEVEL_READS on, and for each PG_TREE_PARAMETER.
  bool restrictions;
};

struct pg_tree_result {
  uint64_t fingerprint;
  bool parsed;
  char error[256];  ///< the parser's message if not parsed
};

/// Parses `text` (ends with NUL) and calls the visitor for what it holds. The parser's use of the stack is bounded by
/// the length of the text (see stack_needed() in statement.hpp), the walk's is constant. Thread-safe.
void pg_tree_visit(const char* text, const struct pg_tree_visitor* visitor, struct pg_tree_result* result);

/// Whether the facts from PG_TREE_READS on say all that a node of this type names by itself; if not, it gives
/// PG_TREE_NOT_KNOWN. For tests.
bool pg_tree_collects(const char* node_type);

#ifdef __cplusplus
}
#endif

#endif
