#include "pg_restrictions.h"

#include <postgres.h>

#include <nodes/parsenodes.h>

// Why a condition restricts a relation of FROM: take a row r of it that fails the condition. WHERE is looked at last,
// and
// `=` is never true of NULL. So what has r in it goes; and what has NULLs in its place, because r or its like found no
// partner in an outer join, goes as well. What has another row of the relation in it is there with and without r: each
// join puts it together from that row and the other side, where the relation isn't. So the answer is the same without
// r, under whatever joins it stands. The condition of an inner join is a WHERE of what stands below the join; that of a
// LEFT JOIN is one of its right side, whose rows it only chooses among, and not of its left side, whose rows stay.

enum {
  most_joins_deep = 32,
  most_relations = 32,
  most_conditions = 33,
  most_ands_deep = 8,
  most_predicates = 8,
  most_values = 64,
};

struct relation {
  const RangeVar* named;  ///< null: a subquery, a function, the alias of a join
  const char* alias;      ///< by which columns are qualified
  bool hidden;            ///< below a join with an alias: columns can't be qualified by its own
};

/// It is looked at for the relations from `begin` to before `end`.
struct condition {
  const Node* node;
  int begin, end;
};

struct level {
  struct relation relations[most_relations];
  int relation_count;
  struct condition conditions[most_conditions];
  int condition_count;
  bool too_large;
};

static void add_relation(struct level* level, struct relation relation) {
  if (level->relation_count == most_relations) {
    level->too_large = true;
  } else {
    level->relations[level->relation_count++] = relation;
  }
}

static void add_condition(struct level* level, const Node* node, int begin, int end) {
  if (node == NULL || level->condition_count == most_conditions) return;
  level->conditions[level->condition_count++] = (struct condition){.node = node, .begin = begin, .end = end};
}

static void add_alias(struct level* level, const Alias* alias) {
  add_relation(level, (struct relation){.alias = alias == NULL ? NULL : alias->aliasname});
}

static void add_item(struct level* level, const Node* item, int depth, bool hidden) {
  switch (nodeTag(item)) {
    case T_RangeVar: {
      const RangeVar* named = (const RangeVar*)item;
      const char* alias = named->alias == NULL ? named->relname : named->alias->aliasname;
      add_relation(level, (struct relation){.named = named, .alias = alias, .hidden = hidden});
      return;
    }
    case T_RangeSubselect:
      add_alias(level, ((const RangeSubselect*)item)->alias);
      return;
    case T_RangeFunction:
      add_alias(level, ((const RangeFunction*)item)->alias);
      return;
    case T_JoinExpr: {
      const JoinExpr* join = (const JoinExpr*)item;
      if (depth == most_joins_deep) {
        level->too_large = true;
        return;
      }
      const bool hides = hidden || join->alias != NULL;
      const int begin = level->relation_count;
      add_item(level, join->larg, depth + 1, hides);
      const int middle = level->relation_count;
      add_item(level, join->rarg, depth + 1, hides);
      const int end = level->relation_count;
      if (join->alias != NULL) add_alias(level, join->alias);
      if (join->join_using_alias != NULL) add_alias(level, join->join_using_alias);
      if (join->jointype == JOIN_INNER) add_condition(level, join->quals, begin, end);
      if (join->jointype == JOIN_LEFT) add_condition(level, join->quals, middle, end);
      if (join->jointype == JOIN_RIGHT) add_condition(level, join->quals, begin, middle);
      return;
    }
    default:
      level->too_large = true;
      return;
  }
}

static bool is_equals(const List* name) {
  return list_length(name) == 1 && IsA(linitial(name), String) && strcmp(strVal(linitial(name)), "=") == 0;
}

/// Whether the column can't but be the relation's, if the relation has one of this name. Inside of a level a name means
/// something there before it means something outside.
static bool is_of(const struct level* level, int index, const ColumnRef* column) {
  const struct relation* relation = &level->relations[index];
  const Node* last = llast(column->fields);
  if (!IsA(last, String)) return false;
  if (list_length(column->fields) == 1) return level->relation_count == 1;
  const Node* first = linitial(column->fields);
  if (list_length(column->fields) != 2 || !IsA(first, String) || relation->hidden) return false;
  for (int i = 0; i < level->relation_count; ++i) {
    const char* alias = level->relations[i].alias;
    const bool same = alias != NULL && strcmp(alias, strVal(first)) == 0;
    if (same != (i == index)) return false;
  }
  return true;
}

// What a column is compared with.

static const Node* without_cast(const Node* node) {
  return node != NULL && IsA(node, TypeCast) ? (const Node*)((const TypeCast*)node)->arg : node;
}

static bool is_plain_type(const TypeName* type, bool of_array) {
  const int names = list_length(type->names);
  if (type->setof || type->pct_type || type->typmods != NIL || names < 1 || names > 2) return false;
  return of_array ? list_length(type->arrayBounds) == 1 : type->arrayBounds == NIL;
}

/// A parameter or constant, perhaps with a cast. `of_array`: it is an array.
static bool is_value(const Node* node, bool of_array) {
  if (node == NULL) return false;
  if (IsA(node, TypeCast) && !is_plain_type(((const TypeCast*)node)->typeName, of_array)) return false;
  node = without_cast(node);
  if (node == NULL) return false;
  if (IsA(node, ParamRef)) return ((const ParamRef*)node)->number > 0;
  if (!IsA(node, A_Const)) return false;
  const A_Const* constant = (const A_Const*)node;
  if (constant->isnull) return false;
  switch (nodeTag(&constant->val.node)) {
    case T_String:
      return true;
    case T_Integer:
    case T_Float:
    case T_Boolean:
      return !of_array;
    default:
      return false;
  }
}

static bool are_values(const List* list) {
  if (list_length(list) == 0 || list_length(list) > most_values) return false;
  ListCell* cell;
  foreach (cell, list) {
    if (!is_value(lfirst(cell), false)) return false;
  }
  return true;
}

static void report(const struct pg_tree_visitor* visitor, enum pg_tree_fact fact, const char* name, const char* value) {
  visitor->fact(visitor->context, fact, name, value);
}

static void report_constant(const struct pg_tree_visitor* visitor, const A_Const* constant) {
  char digits[16];
  switch (nodeTag(&constant->val.node)) {
    case T_String:
      report(visitor, PG_TREE_EQUALS_STRING, constant->val.sval.sval, NULL);
      break;
    case T_Integer:
      snprintf(digits, sizeof digits, "%d", constant->val.ival.ival);
      report(visitor, PG_TREE_EQUALS_NUMBER, digits, NULL);
      break;
    case T_Float:
      report(visitor, PG_TREE_EQUALS_NUMBER, constant->val.fval.fval, NULL);
      break;
    default:
      report(visitor, PG_TREE_EQUALS_BOOLEAN, constant->val.boolval.boolval ? "t" : "f", NULL);
      break;
  }
}

static void report_value(const struct pg_tree_visitor* visitor, const Node* node, bool of_array) {
  const Node* inner = without_cast(node);
  if (IsA(inner, ParamRef)) {
    char number[16];
    snprintf(number, sizeof number, "%d", ((const ParamRef*)inner)->number);
    report(visitor, PG_TREE_EQUALS_PARAMETER, number, NULL);
  } else {
    report_constant(visitor, (const A_Const*)inner);
  }
  if (inner != node) {
    const List* names = ((const TypeCast*)node)->typeName->names;
    report(visitor, PG_TREE_EQUALS_CAST, strVal(llast(names)),
           list_length(names) == 2 ? strVal(linitial(names)) : NULL);
  }
  if (of_array) report(visitor, PG_TREE_EQUALS_ANY, NULL, NULL);
}

static void report_values(const struct pg_tree_visitor* visitor, const List* values) {
  ListCell* cell;
  foreach (cell, values) report_value(visitor, lfirst(cell), false);
}

static void report_predicate(const struct pg_tree_visitor* visitor, const ColumnRef* column) {
  report(visitor, PG_TREE_EQUALS, strVal(llast(column->fields)), NULL);
}

/// Reports the condition if it compares a column of the relation with values. Answers whether it does.
static bool report_comparison(const struct pg_tree_visitor* visitor, const struct level* level, int index,
                              const A_Expr* expression) {
  if (!is_equals(expression->name)) return false;
  const Node* column = expression->lexpr;
  const Node* value = expression->rexpr;
  if (expression->kind == AEXPR_OP && value != NULL && IsA(value, ColumnRef)) {
    column = expression->rexpr;
    value = expression->lexpr;
  }
  if (column == NULL || value == NULL || !IsA(column, ColumnRef)) return false;
  if (!is_of(level, index, (const ColumnRef*)column)) return false;
  const bool is_array = expression->kind == AEXPR_OP_ANY && IsA(value, A_ArrayExpr);
  switch (expression->kind) {
    case AEXPR_OP:
      if (!is_value(value, false)) return false;
      report_predicate(visitor, (const ColumnRef*)column);
      report_value(visitor, value, false);
      return true;
    case AEXPR_IN:
      if (!IsA(value, List) || !are_values((const List*)value)) return false;
      report_predicate(visitor, (const ColumnRef*)column);
      report_values(visitor, (const List*)value);
      return true;
    case AEXPR_OP_ANY:
      if (is_array ? !are_values(((const A_ArrayExpr*)value)->elements) : !is_value(value, true)) return false;
      report_predicate(visitor, (const ColumnRef*)column);
      if (is_array) {
        report_values(visitor, ((const A_ArrayExpr*)value)->elements);
      } else {
        report_value(visitor, value, true);
      }
      return true;
    default:
      return false;
  }
}

/// Of what is joined by AND.
static void report_condition(const struct pg_tree_visitor* visitor, const struct level* level, int index,
                             const Node* node, int depth, int* left) {
  if (node == NULL || *left == 0) return;
  if (IsA(node, A_Expr)) {
    if (report_comparison(visitor, level, index, (const A_Expr*)node)) --*left;
  } else if (IsA(node, BoolExpr) && ((const BoolExpr*)node)->boolop == AND_EXPR && depth < most_ands_deep) {
    ListCell* cell;
    foreach (cell, ((const BoolExpr*)node)->args) {
      report_condition(visitor, level, index, lfirst(cell), depth + 1, left);
    }
  }
}

void pg_restrictions_report(const struct pg_tree_visitor* visitor, const struct SelectStmt* select) {
  struct level level = {0};
  ListCell* cell;
  foreach (cell, select->fromClause) add_item(&level, lfirst(cell), 0, false);
  if (level.too_large) return;
  add_condition(&level, select->whereClause, 0, level.relation_count);
  for (int i = 0; i < level.relation_count; ++i) {
    const RangeVar* named = level.relations[i].named;
    if (named == NULL) continue;
    report(visitor, PG_TREE_LEVEL_READS, named->relname, named->schemaname);
    if (named->catalogname != NULL || (named->alias != NULL && named->alias->colnames != NIL)) continue;
    int left = most_predicates;
    for (int c = 0; c < level.condition_count; ++c) {
      const struct condition* condition = &level.conditions[c];
      if (condition->begin <= i && i < condition->end) {
        report_condition(visitor, &level, i, condition->node, 0, &left);
      }
    }
  }
}
