#include "pg_references.h"

#include <postgres.h>

#include <catalog/pg_class.h>
#include <nodes/parsenodes.h>

// Whatever isn't named here isn't known: a node that is new, or that nobody has thought of, must not go unseen.

static void report(struct pg_references* references, enum pg_tree_fact fact, const char* name, const char* schema) {
  references->visitor->fact(references->visitor->context, fact, name, schema);
}

static void not_known(struct pg_references* references, const char* words) {
  report(references, PG_TREE_NOT_KNOWN, words, NULL);
}

/// A name that may have its schema before it. `words`: what it is.
static void report_name(struct pg_references* references, enum pg_tree_fact fact, const List* name, const char* words) {
  switch (list_length(name)) {
    case 1:
      report(references, fact, strVal(linitial(name)), NULL);
      break;
    case 2:
      report(references, fact, strVal(lsecond(name)), strVal(linitial(name)));
      break;
    default:
      not_known(references, words);
      break;
  }
}

/// "" where there is none: deny rather than crash.
static const char* last_name(const List* name) {
  const Node* last = name == NIL ? NULL : llast(name);
  return last != NULL && IsA(last, String) ? strVal(last) : "";
}

static void report_operator(struct pg_references* references, const char* name) {
  report(references, PG_TREE_OPERATOR, name, NULL);
}

static void report_target(struct pg_references* references, const RangeVar* target, bool only_written) {
  references->within_write = true;
  if (target == NULL) {
    not_known(references, "a write without a target");
    return;
  }
  if (only_written) references->only_written = target;
  report(references, PG_TREE_TARGET, target->relname, target->schemaname);
}

static void report_relation(struct pg_references* references, const RangeVar* relation) {
  if (relation->catalogname != NULL) not_known(references, "a relation with its database");
  if (relation->relpersistence != RELPERSISTENCE_PERMANENT) not_known(references, "a temporary table");
  if (relation != references->only_written) report(references, PG_TREE_READS, relation->relname, relation->schemaname);
}

static void report_expression(struct pg_references* references, const A_Expr* expression) {
  switch (expression->kind) {
    case AEXPR_OP:
    case AEXPR_OP_ANY:
    case AEXPR_OP_ALL:
    case AEXPR_DISTINCT:
    case AEXPR_NOT_DISTINCT:
    case AEXPR_NULLIF:
    case AEXPR_IN:
    case AEXPR_LIKE:
    case AEXPR_ILIKE:
    case AEXPR_SIMILAR:
      report_name(references, PG_TREE_OPERATOR, expression->name, "an operator with its database");
      break;
    case AEXPR_BETWEEN:
    case AEXPR_BETWEEN_SYM:
      report_operator(references, ">=");
      report_operator(references, "<=");
      break;
    case AEXPR_NOT_BETWEEN:
    case AEXPR_NOT_BETWEEN_SYM:
      report_operator(references, "<");
      report_operator(references, ">");
      break;
    default:
      not_known(references, "an expression of another version");
      break;
  }
}

/// Types whose input understands 'now', and what is made of them; `name` may be that of the type of their arrays.
static bool is_moment(const char* name) {
  static const char* const types[] = {
      "date",      "time",      "timetz",       "timestamp",      "timestamptz",    "tsrange",
      "tstzrange", "daterange", "tsmultirange", "tstzmultirange", "datemultirange",
  };
  if (*name == '_') ++name;
  if (*name != 'd' && *name != 't') return false;
  for (size_t i = 0; i < lengthof(types); ++i) {
    if (strcmp(name, types[i]) == 0) return true;
  }
  return false;
}

static void report_moment(struct pg_references* references, const Node* of) {
  enum { longest = NAMEDATALEN + sizeof "()" };
  char source[longest] = "";
  const char* before = "";
  const char* name = NULL;
  const char* behind = "";
  if (of == NULL || IsA(of, A_Const) || IsA(of, ParamRef)) return;
  switch (nodeTag(of)) {
    case T_ColumnRef:
      name = last_name(((const ColumnRef*)of)->fields);
      break;
    case T_FuncCall:
      name = last_name(((const FuncCall*)of)->funcname);
      behind = "()";
      break;
    case T_A_Expr:
      if (((const A_Expr*)of)->kind == AEXPR_OP) name = last_name(((const A_Expr*)of)->name);
      break;
    case T_TypeCast: {
      const TypeName* type = ((const TypeCast*)of)->typeName;
      if (type->arrayBounds == NIL) name = last_name(type->names);
      before = "::";
      break;
    }
    default:
      break;
  }
  if (name != NULL) snprintf(source, sizeof source, "%s%s%s", before, name, behind);
  report(references, PG_TREE_TO_MOMENT, source, NULL);
}

static void report_call(struct pg_references* references, const FuncCall* call) {
  report_name(references, PG_TREE_CALLS, call->funcname, "a function with its database");
  // A call that has a type's name may be a cast.
  if (list_length(call->args) == 1 && is_moment(last_name(call->funcname))) {
    report_moment(references, linitial(call->args));
  }
}

static void report_type(struct pg_references* references, const TypeName* type) {
  if (type->pct_type) not_known(references, "%TYPE");
  if (type->setof) not_known(references, "SETOF");
  report_name(references, PG_TREE_TYPE, type->names, "a type with its database");
}

static void report_column(struct pg_references* references, const ColumnRef* column) {
  static const char* const system_columns[] = {"ctid", "xmin", "xmax", "cmin", "cmax"};
  const char* name = last_name(column->fields);
  if (*name == '\0') return;  // a star
  if (list_length(column->fields) > 1) report(references, PG_TREE_FIELD, name, NULL);
  // They change without a change of the row's.
  if (*name != 'c' && *name != 'x') return;
  for (size_t i = 0; i < lengthof(system_columns); ++i) {
    if (strcmp(name, system_columns[i]) == 0) not_known(references, "a system column");
  }
}

static void report_fields(struct pg_references* references, const List* indirection) {
  ListCell* cell;
  foreach (cell, indirection) {
    const Node* part = lfirst(cell);
    if (IsA(part, String)) report(references, PG_TREE_FIELD, strVal(part), NULL);
  }
}

static void report_renamed(struct pg_references* references, const List* names) {
  ListCell* cell;
  foreach (cell, names) report(references, PG_TREE_RENAMES, strVal(lfirst(cell)), NULL);
}

/// Of a function's rows: `f() AS x (a int)`.
static void report_column_definition(struct pg_references* references, const ColumnDef* column) {
  if (column->raw_default != NULL || column->constraints != NIL || column->identitySequence != NULL ||
      column->fdwoptions != NIL || column->generated != '\0' || column->identity != '\0') {
    not_known(references, "a column that isn't plain");
  }
  // What becomes of the column isn't cast where it is seen: json_to_record() does it.
  if (column->typeName != NULL && is_moment(last_name(column->typeName->names))) {
    report(references, PG_TREE_TO_MOMENT, "", NULL);
  }
}

static void report_value_function(struct pg_references* references, const SQLValueFunction* function) {
  switch (function->op) {
    case SVFOP_CURRENT_ROLE:
    case SVFOP_CURRENT_USER:
    case SVFOP_USER:
    case SVFOP_SESSION_USER:
    case SVFOP_CURRENT_CATALOG:
    case SVFOP_CURRENT_SCHEMA:
      report(references, PG_TREE_WHO, NULL, NULL);
      break;
    case SVFOP_CURRENT_DATE:
      report(references, PG_TREE_CLOCK, "CURRENT_DATE", NULL);
      break;
    case SVFOP_CURRENT_TIME:
    case SVFOP_CURRENT_TIME_N:
      report(references, PG_TREE_CLOCK, "CURRENT_TIME", NULL);
      break;
    case SVFOP_CURRENT_TIMESTAMP:
    case SVFOP_CURRENT_TIMESTAMP_N:
      report(references, PG_TREE_CLOCK, "CURRENT_TIMESTAMP", NULL);
      break;
    case SVFOP_LOCALTIME:
    case SVFOP_LOCALTIME_N:
      report(references, PG_TREE_CLOCK, "LOCALTIME", NULL);
      break;
    case SVFOP_LOCALTIMESTAMP:
    case SVFOP_LOCALTIMESTAMP_N:
      report(references, PG_TREE_CLOCK, "LOCALTIMESTAMP", NULL);
      break;
    default:
      not_known(references, "a value of the session");
      break;
  }
}

static void report_lock(struct pg_references* references, const LockingClause* lock) {
  switch (lock->strength) {
    case LCS_FORKEYSHARE:
      report(references, PG_TREE_CLOCK, "FOR KEY SHARE", NULL);
      break;
    case LCS_FORSHARE:
      report(references, PG_TREE_CLOCK, "FOR SHARE", NULL);
      break;
    case LCS_FORNOKEYUPDATE:
      report(references, PG_TREE_CLOCK, "FOR NO KEY UPDATE", NULL);
      break;
    default:
      report(references, PG_TREE_CLOCK, "FOR UPDATE", NULL);
      break;
  }
}

static void report_copy(struct pg_references* references, const CopyStmt* copy) {
  if (copy->is_program) not_known(references, "COPY and a program");
  if (copy->filename != NULL && !copy->is_program) not_known(references, "COPY and a file");
  if (copy->is_from) report_target(references, copy->relation, true);
}

/// Says what the node names by itself; what stands below it is met later. False: it isn't known.
static bool collect(struct pg_references* references, const Node* node) {
  switch (nodeTag(node)) {
    // These name nothing by themselves.
    case T_A_ArrayExpr:
    case T_A_Indices:
    case T_A_Star:
    case T_BitString:
    case T_BoolExpr:
    case T_Boolean:
    case T_BooleanTest:
    case T_CaseWhen:
    case T_CoalesceExpr:
    case T_DefElem:
    case T_Float:
    case T_GroupingFunc:
    case T_GroupingSet:
    case T_InferClause:
    case T_Integer:
    case T_MergeWhenClause:
    case T_MinMaxExpr:
    case T_MultiAssignRef:
    case T_NamedArgExpr:
    case T_NullTest:
    case T_OnConflictClause:
    case T_RangeSubselect:
    case T_RowExpr:
    case T_SelectStmt:
    case T_String:
    case T_WindowDef:
    case T_WithClause:
      return true;

    case T_RangeVar:
      report_relation(references, (const RangeVar*)node);
      return true;
    case T_Alias:
      report_renamed(references, ((const Alias*)node)->colnames);
      return true;
    case T_ResTarget:
      if (((const ResTarget*)node)->name != NULL) {
        report(references, PG_TREE_RENAMES, ((const ResTarget*)node)->name, NULL);
      }
      return true;
    case T_CommonTableExpr:
      report(references, PG_TREE_WITH_NAME, ((const CommonTableExpr*)node)->ctename, NULL);
      report_renamed(references, ((const CommonTableExpr*)node)->aliascolnames);
      return true;
    case T_RangeFunction:
      report(references, PG_TREE_RENAMES, "", NULL);
      return true;
    case T_ColumnDef:
      report_column_definition(references, (const ColumnDef*)node);
      return true;
    case T_ColumnRef:
      report_column(references, (const ColumnRef*)node);
      return true;
    case T_A_Indirection:
      report_fields(references, ((const A_Indirection*)node)->indirection);
      return true;

    case T_FuncCall:
      report_call(references, (const FuncCall*)node);
      return true;
    case T_A_Expr:
      report_expression(references, (const A_Expr*)node);
      return true;
    case T_CaseExpr:
      if (((const CaseExpr*)node)->arg != NULL) report_operator(references, "=");
      return true;
    case T_SubLink: {
      const SubLink* link = (const SubLink*)node;
      if (link->operName != NIL) {
        report_name(references, PG_TREE_OPERATOR, link->operName, "an operator with its database");
      } else if (link->testexpr != NULL) {
        report_operator(references, "=");
      }
      return true;
    }
    case T_JoinExpr: {
      const JoinExpr* join = (const JoinExpr*)node;
      if (join->isNatural || join->usingClause != NIL) report_operator(references, "=");
      return true;
    }
    case T_SortBy: {
      const List* used = ((const SortBy*)node)->useOp;
      if (used != NIL) report_name(references, PG_TREE_OPERATOR, used, "an operator with its database");
      return true;
    }
    case T_TypeName:
      report_type(references, (const TypeName*)node);
      return true;
    case T_TypeCast: {
      const TypeCast* cast = (const TypeCast*)node;
      if (cast->typeName != NULL && is_moment(last_name(cast->typeName->names))) report_moment(references, cast->arg);
      return true;
    }
    case T_CollateClause:
      report_name(references, PG_TREE_COLLATION, ((const CollateClause*)node)->collname,
                  "a collation with its database");
      return true;
    case T_SQLValueFunction:
      report_value_function(references, (const SQLValueFunction*)node);
      return true;

    case T_InsertStmt: {
      const InsertStmt* insert = (const InsertStmt*)node;
      report_target(references, insert->relation, insert->onConflictClause == NULL);
      return true;
    }
    case T_UpdateStmt:
      report_target(references, ((const UpdateStmt*)node)->relation, false);
      return true;
    case T_DeleteStmt:
      report_target(references, ((const DeleteStmt*)node)->relation, false);
      return true;
    case T_MergeStmt:
      report_target(references, ((const MergeStmt*)node)->relation, false);
      return true;
    case T_CopyStmt:
      report_copy(references, (const CopyStmt*)node);
      return true;
    case T_IndexElem: {
      const IndexElem* element = (const IndexElem*)node;
      if (element->collation != NIL || element->opclass != NIL) {
        not_known(references, "ON CONFLICT with a collation or an operator class");
      }
      return true;
    }
    case T_SetToDefault:  // the column's default may call anything
      if (!references->within_write) not_known(references, "DEFAULT");
      return true;
    default:
      return false;
  }
}

static const char* words_for(const Node* node) {
  switch (nodeTag(node)) {
    case T_CTECycleClause:
      return "CYCLE";
    case T_CTESearchClause:
      return "SEARCH";
    case T_CurrentOfExpr:
      return "CURRENT OF";
    case T_IntoClause:
      return "SELECT INTO";
    case T_RangeTableFunc:
    case T_RangeTableFuncCol:
      return "XMLTABLE";
    case T_RangeTableSample:
      return "TABLESAMPLE";
    case T_XmlExpr:
      return "an XML function";
    case T_XmlSerialize:
      return "XMLSERIALIZE";
    default:
      return "a part that isn't known";
  }
}

static void ignore(void* context, enum pg_tree_fact fact, const char* name, const char* value) {
  (void)context, (void)fact, (void)name, (void)value;
}

bool pg_references_knows(const struct Node* node) {
  const struct pg_tree_visitor visitor = {.fact = ignore};
  struct pg_references references = {.visitor = &visitor};
  return collect(&references, node);
}

void pg_references_collect(struct pg_references* references, const struct Node* node) {
  if (IsA(node, LockingClause)) {
    report_lock(references, (const LockingClause*)node);
  } else if (!collect(references, node)) {
    not_known(references, words_for(node));
  }
}
