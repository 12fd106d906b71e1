#include "pg_tree.h"

// Both headers define these; the library's are of the PostgreSQL that its parser was taken from.
#include <pg_query.h>
#include <strings.h>
enum { parser_version = PG_VERSION_NUM };
#undef PG_MAJORVERSION
#undef PG_VERSION
#undef PG_VERSION_NUM

#include <postgres.h>

#include <catalog/pg_class.h>
#include <nodes/parsenodes.h>
#include <pg_query/pg_query_internal.h>

#include "pg_references.h"
#include "pg_restrictions.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

// Raw trees are an internal interface of libpg_query: their layout is fixed within a major version of PostgreSQL, and
// pg_query_raw_parse() is exported but not documented. A new version of the library needs a look at this file.
_Static_assert(parser_version == 150001, "pg_tree.c is written for libpg_query 15-4.0.0 (PostgreSQL 15.1)");
_Static_assert(PG_VERSION_NUM / 10000 == 15, "pg_tree.c needs the server headers of PostgreSQL 15");

// ---- The table of nodes ----

enum field_kind {
  FIELD_END,
  FIELD_NODE,
  FIELD_SQUASHED,
  FIELD_TEXT,
  FIELD_BYTE,
  FIELD_SHORT,
  FIELD_WORD,
  FIELD_LONG_WORD
};

struct field {
  uint16_t offset;
  uint16_t kind;
};

struct node_type {
  enum pg_tree_root root;
  const struct field* fields;
};

#define MEMBER(name) (((Self*)0)->name)
#define KIND_OF(name)          \
  _Generic(MEMBER(name),       \
      char*: FIELD_TEXT,       \
      const char*: FIELD_TEXT, \
      bool: FIELD_BYTE,        \
      char: FIELD_BYTE,        \
      short: FIELD_SHORT,      \
      int: FIELD_WORD,         \
      unsigned: FIELD_WORD,    \
      long: FIELD_LONG_WORD,   \
      default: FIELD_NODE)
// A pointer that isn't to characters is to a node; a negative size is a compile-time error for anything else.
enum { pointer_class = 5 };
#define CHECK_KIND(name) \
  sizeof(char[KIND_OF(name) == FIELD_NODE && __builtin_classify_type(MEMBER(name)) != pointer_class ? -1 : 1])
#define F(name) {offsetof(Self, name), KIND_OF(name) + 0 * CHECK_KIND(name)},
#define SQUASHED(name) {offsetof(Self, name), FIELD_SQUASHED},
#define NODE(kind, type, members)                                       \
  case T_##type: {                                                      \
    typedef type Self;                                                  \
    static const struct field fields[] = {members{0, FIELD_END}};       \
    static const struct node_type node_type = {PG_TREE_##kind, fields}; \
    _Static_assert(sizeof(Self) < UINT16_MAX, "an offset fits");        \
    return &node_type;                                                  \
  }

/// Null for a node that raw trees of statements aren't known to hold.
static const struct node_type* type_of(NodeTag tag) {
  switch (tag) {
#include "pg_tree_nodes.inc"
    default:
      return NULL;
  }
}

// ---- The walk ----

/// A node or a list that is being walked. In a squashed list, an element is hashed apart: `outer` is the hash so far,
/// `last` that of the element before.
struct frame {
  const void* object;
  const struct field* next_field;  ///< null in a list
  int next_cell;
  bool squashed;
  uint64_t outer;
  uint64_t last;
};

enum { inline_frames = 64 };

struct walk {
  const struct pg_tree_visitor* visitor;
  uint64_t hash;
  struct frame* frames;
  size_t depth;
  size_t capacity;
  bool out_of_memory;
  bool collects;  ///< the statement's names are asked for
  bool numbers;   ///< so are those of its parameters
  struct pg_references references;
  struct frame inline_storage[inline_frames];
};

static void mix(struct walk* walk, uint64_t value) {
  walk->hash = XXH3_64bits_withSeed(&value, sizeof value, walk->hash);
}

static void mix_text(struct walk* walk, const char* text) {
  walk->hash = XXH3_64bits_withSeed(text, strlen(text), walk->hash);
}

static void report(struct walk* walk, enum pg_tree_fact fact, const char* name) {
  walk->visitor->fact(walk->visitor->context, fact, name, NULL);
}

static struct frame* push(struct walk* walk, const void* object) {
  if (walk->depth == walk->capacity) {
    size_t capacity = walk->capacity * 2;
    bool first = walk->frames == walk->inline_storage;
    struct frame* frames = realloc(first ? NULL : walk->frames, capacity * sizeof *frames);
    if (frames == NULL) {
      walk->out_of_memory = true;
      return NULL;
    }
    if (first) memcpy(frames, walk->inline_storage, sizeof walk->inline_storage);
    walk->frames = frames;
    walk->capacity = capacity;
  }
  struct frame* frame = &walk->frames[walk->depth++];
  *frame = (struct frame){.object = object};
  return frame;
}

static bool names_temporary_schema(const char* text) {
  static const char schema[] = "pg_temp";
  if (strncmp(text, schema, sizeof schema - 1) != 0) return false;
  const char* rest = text + sizeof schema - 1;
  return *rest == '\0' || (*rest == '_' && rest[1] >= '0' && rest[1] <= '9');
}

static bool is_literal_true(const Node* node) {
  if (node != NULL && IsA(node, TypeCast)) node = ((const TypeCast*)node)->arg;  // the grammar gives true as true::bool
  if (node == NULL || !IsA(node, A_Const)) return false;
  const A_Const* constant = (const A_Const*)node;
  return !constant->isnull && IsA(&constant->val.node, Boolean) && constant->val.boolval.boolval;
}

static const char* constant_text(const Node* node);

/// The text of the first argument, or of the one that set_config() calls so; null if it isn't a constant.
static const char* name_of_setting(const FuncCall* call) {
  ListCell* cell;
  foreach (cell, call->args) {
    const Node* argument = lfirst(cell);
    if (!IsA(argument, NamedArgExpr)) return foreach_current_index(cell) == 0 ? constant_text(argument) : NULL;
    const NamedArgExpr* named = (const NamedArgExpr*)argument;
    if (strcmp(named->name, "setting_name") == 0) return constant_text((const Node*)named->arg);
  }
  return NULL;
}

static bool has_local_argument(const FuncCall* call) {
  int position = 0;
  ListCell* cell;
  foreach (cell, call->args) {
    const Node* argument = lfirst(cell);
    ++position;
    if (IsA(argument, NamedArgExpr)) {
      const NamedArgExpr* named = (const NamedArgExpr*)argument;
      if (strcmp(named->name, "is_local") == 0 && is_literal_true((const Node*)named->arg)) return true;
    } else if (position == 3 && is_literal_true(argument)) {
      return true;
    }
  }
  return false;
}

static bool is_temporary(const RangeVar* name) { return name != NULL && name->relpersistence == RELPERSISTENCE_TEMP; }

/// What counts wherever in a statement it stands.
static void report_node(struct walk* walk, const Node* node) {
  switch (nodeTag(node)) {
    case T_FuncCall: {
      const FuncCall* call = (const FuncCall*)node;
      walk->visitor->fact(walk->visitor->context, has_local_argument(call) ? PG_TREE_FUNCTION_LOCAL : PG_TREE_FUNCTION,
                          strVal(llast(call->funcname)), name_of_setting(call));
      break;
    }
    case T_InsertStmt:
    case T_UpdateStmt:
    case T_DeleteStmt:
    case T_MergeStmt:
    case T_LockingClause:
    case T_RefreshMatViewStmt:
      report(walk, PG_TREE_WRITE, NULL);
      break;
    case T_PrepareStmt:
      report(walk, PG_TREE_PREPARE_NAME, ((const PrepareStmt*)node)->name);
      break;
    case T_ExecuteStmt:  // of a statement that isn't known here
      report(walk, PG_TREE_WRITE, NULL);
      report(walk, PG_TREE_EXECUTE_NAME, ((const ExecuteStmt*)node)->name);
      break;
    case T_IntoClause: {
      const IntoClause* into = (const IntoClause*)node;
      report(walk, PG_TREE_WRITE, NULL);
      if (is_temporary(into->rel) && into->onCommit != ONCOMMIT_DROP) report(walk, PG_TREE_TEMPORARY_TABLE, NULL);
      break;
    }
    case T_CreateStmt: {
      const CreateStmt* create = (const CreateStmt*)node;
      if (is_temporary(create->relation) && create->oncommit != ONCOMMIT_DROP) {
        report(walk, PG_TREE_TEMPORARY_TABLE, NULL);
      }
      break;
    }
    case T_ViewStmt:
      if (is_temporary(((const ViewStmt*)node)->view)) report(walk, PG_TREE_TEMPORARY_VIEW, NULL);
      break;
    case T_CreateSeqStmt:
      if (is_temporary(((const CreateSeqStmt*)node)->sequence)) report(walk, PG_TREE_TEMPORARY_SEQUENCE, NULL);
      break;
    default:
      break;
  }
}

/// Hashes a node or list and pushes a frame for what it holds.
static void enter(struct walk* walk, const Node* node, bool squashed) {
  if (IsA(node, List)) {
    struct frame* frame = push(walk, node);
    if (frame == NULL) return;
    frame->squashed = squashed;
    frame->outer = walk->hash;
    return;
  }
  if (IsA(node, ParamRef) && walk->numbers) {
    char number[16];
    snprintf(number, sizeof number, "%d", ((const ParamRef*)node)->number);
    report(walk, PG_TREE_PARAMETER, number);
  }
  if (IsA(node, A_Const) || IsA(node, ParamRef)) {
    mix(walk, T_A_Const);
    return;
  }
  mix(walk, nodeTag(node));
  if (walk->collects) pg_references_collect(&walk->references, node);
  if (walk->visitor->restrictions && IsA(node, SelectStmt)) {
    pg_restrictions_report(walk->visitor, (const SelectStmt*)node);
  }
  const struct node_type* type = type_of(nodeTag(node));
  if (type == NULL) {
    report(walk, PG_TREE_UNKNOWN, NULL);
    return;
  }
  report_node(walk, node);
  struct frame* frame = push(walk, node);
  if (frame != NULL) frame->next_field = type->fields;
}

enum { end_of_node = 0xffff };

/// Takes the next field of the node on top that is set.
static void step_node(struct walk* walk, struct frame* frame) {
  const struct field* field = frame->next_field++;
  const char* member = (const char*)frame->object + field->offset;
  switch ((enum field_kind)field->kind) {
    case FIELD_END:
      --walk->depth;
      mix(walk, end_of_node);
      break;
    case FIELD_NODE:
    case FIELD_SQUASHED: {
      const Node* child = *(const Node* const*)member;
      if (child == NULL) break;
      mix(walk, field->offset);
      enter(walk, child, field->kind == FIELD_SQUASHED);
      break;
    }
    case FIELD_TEXT: {
      const char* text = *(const char* const*)member;
      if (text == NULL) break;
      mix(walk, field->offset);
      mix_text(walk, text);
      if (names_temporary_schema(text)) report(walk, PG_TREE_TEMPORARY_SCHEMA, NULL);
      break;
    }
    case FIELD_BYTE:
      if (*member != 0) mix(walk, (uint64_t)field->offset << 32 | (uint8_t)*member);
      break;
    case FIELD_SHORT: {
      uint16_t word = *(const uint16_t*)member;
      if (word != 0) mix(walk, (uint64_t)field->offset << 32 | word);
      break;
    }
    case FIELD_WORD: {
      uint32_t word = *(const uint32_t*)member;
      if (word != 0) mix(walk, (uint64_t)field->offset << 32 | word);
      break;
    }
    case FIELD_LONG_WORD: {
      uint64_t word = *(const uint64_t*)member;
      if (word == 0) break;
      mix(walk, field->offset);
      mix(walk, word);
      break;
    }
  }
}

/// Takes the next element of the list on top.
static void step_list(struct walk* walk, struct frame* frame) {
  const List* list = frame->object;
  if (frame->squashed) {
    if (frame->next_cell > 0 && walk->hash != frame->last) {
      frame->last = walk->hash;
      frame->outer = XXH3_64bits_withSeed(&frame->last, sizeof frame->last, frame->outer);
    }
    walk->hash = 0;
  }
  if (frame->next_cell == list->length) {
    if (frame->squashed) walk->hash = frame->outer;
    --walk->depth;
    mix(walk, end_of_node);
    return;
  }
  const Node* element = list->elements[frame->next_cell++].ptr_value;
  if (element == NULL) {
    mix(walk, T_Invalid);
  } else {
    enter(walk, element, false);
  }
}

static void walk_tree(struct walk* walk, const Node* root) {
  enter(walk, root, false);
  while (walk->depth > 0 && !walk->out_of_memory) {
    struct frame* frame = &walk->frames[walk->depth - 1];
    if (frame->next_field != NULL) {
      step_node(walk, frame);
    } else {
      step_list(walk, frame);
    }
  }
}

// ---- The roots ----

static bool explain_runs(const ExplainStmt* explain) {
  ListCell* cell;
  bool runs = false;
  foreach (cell, explain->options) {
    const DefElem* option = lfirst(cell);
    if (strcmp(option->defname, "analyze") != 0) continue;
    runs = true;  // and the last one counts
    if (option->arg == NULL) continue;
    if (IsA(option->arg, Integer)) runs = intVal(option->arg) != 0;
    if (IsA(option->arg, String)) {
      const char* value = strVal(option->arg);
      runs = strcasecmp(value, "false") != 0 && strcasecmp(value, "off") != 0;
    }
  }
  return runs;
}

static bool asks_millrace(const ExplainStmt* explain) {
  if (list_length(explain->options) != 1) return false;
  const DefElem* option = linitial(explain->options);
  return strcmp(option->defname, "millrace") == 0 && option->arg == NULL;
}

static enum pg_tree_root root_of(const Node* statement) {
  const struct node_type* type = type_of(nodeTag(statement));
  switch (nodeTag(statement)) {
    case T_SelectStmt: {
      // In a set operation, INTO stands in the leftmost SELECT.
      const SelectStmt* select = (const SelectStmt*)statement;
      while (select->larg != NULL) select = select->larg;
      return select->intoClause != NULL ? PG_TREE_SELECT_INTO : PG_TREE_SELECT;
    }
    case T_CopyStmt: {
      const CopyStmt* copy = (const CopyStmt*)statement;
      if (copy->is_from) return PG_TREE_COPY_FROM;
      return copy->filename == NULL ? PG_TREE_COPY_TO_CLIENT : PG_TREE_COPY_TO_FILE;
    }
    case T_ExplainStmt:
      return explain_runs((const ExplainStmt*)statement) ? PG_TREE_EXPLAIN_ANALYZE : PG_TREE_EXPLAIN;
    default:
      return type == NULL ? PG_TREE_NONE : type->root;
  }
}

/// A constant as text, or null. Integers are the 0 and 1 of the modes of transactions.
static const char* constant_text(const Node* node) {
  if (node == NULL || !IsA(node, A_Const)) return NULL;
  const A_Const* constant = (const A_Const*)node;
  if (constant->isnull) return NULL;
  if (IsA(&constant->val.node, String)) return constant->val.sval.sval;
  if (IsA(&constant->val.node, Integer)) return constant->val.ival.ival != 0 ? "on" : "off";
  return NULL;
}

/// Of a BEGIN, as its text goes on: "" if it has none. Null: modes that only a server can judge, which are all but READ
/// COMMITTED and READ ONLY (a standby refuses READ WRITE).
static const char* plain_modes(const List* modes) {
  static const char* const texts[] = {"", " ISOLATION LEVEL READ COMMITTED", " READ ONLY",
                                      " ISOLATION LEVEL READ COMMITTED READ ONLY"};
  unsigned found = 0;
  ListCell* cell;
  foreach (cell, modes) {
    const DefElem* mode = lfirst(cell);
    const char* value = constant_text(mode->arg);
    unsigned bit = 0;
    if (value != NULL && strcmp(mode->defname, "transaction_isolation") == 0 && strcmp(value, "read committed") == 0) {
      bit = 1;
    } else if (value != NULL && strcmp(mode->defname, "transaction_read_only") == 0 && strcmp(value, "on") == 0) {
      bit = 2;
    }
    if (bit == 0 || (found & bit) != 0) return NULL;
    found |= bit;
  }
  return texts[found];
}

static void report_transaction(struct walk* walk, const TransactionStmt* transaction) {
  const char* modes = plain_modes(transaction->options);
  switch (transaction->kind) {
    case TRANS_STMT_BEGIN:
      walk->visitor->fact(walk->visitor->context, PG_TREE_BEGIN, modes != NULL ? "BEGIN" : NULL, modes);
      break;
    case TRANS_STMT_START:
      walk->visitor->fact(walk->visitor->context, PG_TREE_BEGIN, modes != NULL ? "START TRANSACTION" : NULL, modes);
      break;
    case TRANS_STMT_COMMIT:
      report(walk, PG_TREE_COMMIT, transaction->chain ? NULL : "COMMIT");
      break;
    case TRANS_STMT_ROLLBACK:
      report(walk, PG_TREE_ROLLBACK, transaction->chain ? NULL : "ROLLBACK");
      break;
    case TRANS_STMT_SAVEPOINT:
      report(walk, PG_TREE_SAVEPOINT, transaction->savepoint_name);
      break;
    case TRANS_STMT_RELEASE:
      report(walk, PG_TREE_RELEASE, transaction->savepoint_name);
      break;
    case TRANS_STMT_ROLLBACK_TO:
      report(walk, PG_TREE_ROLLBACK_TO, transaction->savepoint_name);
      break;
    case TRANS_STMT_PREPARE:
      report(walk, PG_TREE_PREPARE_TRANSACTION, transaction->gid);
      break;
    case TRANS_STMT_COMMIT_PREPARED:
    case TRANS_STMT_ROLLBACK_PREPARED:
      report(walk, PG_TREE_FINISH_PREPARED, transaction->gid);
      break;
  }
  if (transaction->chain) report(walk, PG_TREE_CHAIN, NULL);
}

static void report_modes(struct walk* walk, const List* modes) {
  ListCell* cell;
  foreach (cell, modes) {
    const DefElem* mode = lfirst(cell);
    walk->visitor->fact(walk->visitor->context, PG_TREE_SET_DEFAULT_TX, mode->defname, constant_text(mode->arg));
  }
}

static bool holds_temporary_schema(const List* values) {
  ListCell* cell;
  foreach (cell, values) {
    const Node* value = lfirst(cell);
    const char* text = value != NULL && IsA(value, A_Const) ? constant_text(value) : NULL;
    for (; text != NULL && *text != '\0'; ++text) {
      if (strncasecmp(text, "pg_temp", strlen("pg_temp")) == 0) return true;
    }
  }
  return false;
}

/// A list of strings as identifiers in quotes, which is how PostgreSQL keeps search_path. NULL: it has other values, or
/// is long.
static const char* quoted_list(const List* values, char* buffer, size_t size) {
  size_t at = 0;
  ListCell* cell;
  foreach (cell, values) {
    const Node* value = lfirst(cell);
    if (value == NULL || !IsA(value, A_Const)) return NULL;
    const A_Const* constant = (const A_Const*)value;
    if (constant->isnull || !IsA(&constant->val.node, String)) return NULL;
    if (at + 4 >= size) return NULL;
    if (at > 0) buffer[at++] = ',';
    buffer[at++] = '"';
    for (const char* text = constant->val.sval.sval; *text != '\0'; ++text) {
      if (at + 4 >= size) return NULL;
      if (*text == '"') buffer[at++] = '"';
      buffer[at++] = *text;
    }
    buffer[at++] = '"';
  }
  buffer[at] = '\0';
  return buffer;
}

static void report_value(struct walk* walk, const VariableSetStmt* set) {
  char buffer[1024];
  const char* value = NULL;
  if (strcasecmp(set->name, "search_path") == 0) {
    value = quoted_list(set->args, buffer, sizeof buffer);
  } else if (list_length(set->args) == 1 && IsA(linitial(set->args), A_Const)) {
    const A_Const* constant = linitial(set->args);
    if (!constant->isnull && IsA(&constant->val.node, String)) value = constant->val.sval.sval;
  }
  walk->visitor->fact(walk->visitor->context, PG_TREE_SET_VALUE, set->name, value);
}

static void report_set(struct walk* walk, const VariableSetStmt* set) {
  if (holds_temporary_schema(set->args)) report(walk, PG_TREE_TEMPORARY_SCHEMA, NULL);
  if (set->is_local) {
    report(walk, PG_TREE_SET_LOCAL, set->name);
    return;
  }
  switch (set->kind) {
    case VAR_SET_VALUE:
      report_value(walk, set);
      break;
    case VAR_SET_CURRENT:
      report(walk, PG_TREE_SET_CURRENT, set->name);
      break;
    case VAR_SET_MULTI:
      if (strcmp(set->name, "SESSION CHARACTERISTICS") == 0) {
        report_modes(walk, set->args);
      } else {
        report(walk, PG_TREE_SET_LOCAL, set->name);
      }
      break;
    case VAR_SET_DEFAULT:
    case VAR_RESET:
      report(walk, PG_TREE_RESET, set->name);
      break;
    case VAR_RESET_ALL:
      report(walk, PG_TREE_RESET_ALL, NULL);
      break;
  }
}

/// What counts only of a statement's root.
static const DefElem* option_named(const List* options, const char* name) {
  ListCell* cell;
  foreach (cell, options) {
    const DefElem* option = lfirst(cell);
    if (strcmp(option->defname, name) == 0) return option;
  }
  return NULL;
}

static void report_database_created(struct walk* walk, const CreatedbStmt* create) {
  const DefElem* template = option_named(create->options, "template");
  const bool is_named = template != NULL && template->arg != NULL && IsA(template->arg, String);
  report(walk, PG_TREE_UNUSED_DATABASE, create->dbname);
  report(walk, PG_TREE_UNUSED_DATABASE, is_named ? strVal(template->arg) : "template1");
}

static void report_root(struct walk* walk, const Node* statement) {
  switch (nodeTag(statement)) {
    case T_TransactionStmt:
      report_transaction(walk, (const TransactionStmt*)statement);
      break;
    case T_VariableSetStmt:
      report_set(walk, (const VariableSetStmt*)statement);
      break;
    case T_ConstraintsSetStmt:
      report(walk, PG_TREE_SET_LOCAL, NULL);
      break;
    case T_DiscardStmt: {
      DiscardMode target = ((const DiscardStmt*)statement)->target;
      if (target == DISCARD_ALL) report(walk, PG_TREE_DISCARD_ALL, NULL);
      if (target == DISCARD_TEMP) report(walk, PG_TREE_DISCARD_TEMPORARY, NULL);
      break;
    }
    case T_DeallocateStmt: {
      const char* name = ((const DeallocateStmt*)statement)->name;
      report(walk, name == NULL ? PG_TREE_DEALLOCATE_ALL : PG_TREE_DEALLOCATE_NAME, name);
      break;
    }
    case T_DeclareCursorStmt:
      if (((const DeclareCursorStmt*)statement)->options & CURSOR_OPT_HOLD) {
        report(walk, PG_TREE_CURSOR_WITH_HOLD, NULL);
      }
      break;
    case T_ExplainStmt:
      if (walk->numbers) report(walk, PG_TREE_EXPLAIN_MILLRACE, NULL);
      break;
    case T_VariableShowStmt:
      report(walk, PG_TREE_SHOWS, ((const VariableShowStmt*)statement)->name);
      break;
    case T_LoadStmt:
      report(walk, PG_TREE_LOAD, NULL);
      break;
    case T_CreatedbStmt:
      report_database_created(walk, (const CreatedbStmt*)statement);
      break;
    case T_DropdbStmt:
      report(walk, PG_TREE_UNUSED_DATABASE, ((const DropdbStmt*)statement)->dbname);
      break;
    case T_AlterDatabaseStmt: {
      const AlterDatabaseStmt* alter = (const AlterDatabaseStmt*)statement;
      const bool moves = option_named(alter->options, "tablespace") != NULL;
      report(walk, PG_TREE_UNUSED_DATABASE, moves ? alter->dbname : NULL);
      break;
    }
    case T_AlterDatabaseSetStmt:
    case T_AlterRoleStmt:
    case T_AlterRoleSetStmt:
    case T_AlterSystemStmt:
      report(walk, PG_TREE_NEW_SESSIONS, NULL);
      break;
    case T_RenameStmt: {
      const RenameStmt* rename = (const RenameStmt*)statement;
      ObjectType type = rename->renameType;
      if (type == OBJECT_DATABASE) {
        report(walk, PG_TREE_UNUSED_DATABASE, rename->subname);
        report(walk, PG_TREE_UNUSED_DATABASE, rename->newname);
      }
      if (type == OBJECT_ROLE) report(walk, PG_TREE_NEW_SESSIONS, NULL);
      break;
    }
    default:
      break;
  }
}

static bool names_are_asked_for(enum pg_tree_root root) {
  switch (root) {
    case PG_TREE_SELECT:
    case PG_TREE_INSERT:
    case PG_TREE_UPDATE:
    case PG_TREE_DELETE:
    case PG_TREE_MERGE:
    case PG_TREE_COPY_FROM:
    case PG_TREE_COPY_TO_CLIENT:
    case PG_TREE_COPY_TO_FILE:
      return true;
    default:
      return false;
  }
}

static void set_error(struct pg_tree_result* result, const char* message) {
  size_t length = strnlen(message, sizeof result->error - 1);
  memcpy(result->error, message, length);
  result->error[length] = '\0';
}

static void visit_statements(const List* statements, const struct pg_tree_visitor* visitor,
                             struct pg_tree_result* result) {
  struct walk walk;
  walk.visitor = visitor;
  walk.hash = 0;
  walk.frames = walk.inline_storage;
  walk.depth = 0;
  walk.capacity = inline_frames;
  walk.out_of_memory = false;
  walk.collects = false;
  walk.numbers = false;
  walk.references = (struct pg_references){.visitor = visitor};

  ListCell* cell;
  foreach (cell, statements) {
    const RawStmt* raw = lfirst(cell);
    const enum pg_tree_root root = root_of(raw->stmt);
    walk.collects = names_are_asked_for(root);
    walk.numbers =
        visitor->restrictions || (IsA(raw->stmt, ExplainStmt) && asks_millrace((const ExplainStmt*)raw->stmt));
    visitor->statement(visitor->context, root, (size_t)raw->stmt_location, (size_t)raw->stmt_len);
    report_root(&walk, raw->stmt);
    walk_tree(&walk, raw->stmt);
    if (walk.out_of_memory) break;
  }

  if (walk.frames != walk.inline_storage) free(walk.frames);
  result->fingerprint = walk.hash;
  result->parsed = !walk.out_of_memory;
  if (walk.out_of_memory) set_error(result, "out of memory");
}

void pg_tree_visit(const char* text, const struct pg_tree_visitor* visitor, struct pg_tree_result* result) {
  *result = (struct pg_tree_result){0};
  MemoryContext context = pg_query_enter_memory_context();
  PgQueryInternalParsetreeAndError parse = pg_query_raw_parse(text);
  if (parse.error != NULL) {
    set_error(result, parse.error->message);
    pg_query_free_error(parse.error);
  } else {
    visit_statements(parse.tree, visitor, result);
  }
  free(parse.stderr_buffer);
  pg_query_exit_memory_context(context);
}

bool pg_tree_collects(const char* node_type) {
#undef NODE
#define NODE(kind, struct_name, members)           \
  if (strcmp(node_type, #struct_name) == 0) {      \
    static const union {                           \
      Node node;                                   \
      struct_name whole;                           \
    } empty = {.node = {.type = T_##struct_name}}; \
    return pg_references_knows(&empty.node);       \
  }
#include "pg_tree_nodes.inc"
  return false;
}
