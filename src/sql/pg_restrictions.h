#ifndef MILLRACE_SQL_PG_RESTRICTIONS_H
#define MILLRACE_SQL_PG_RESTRICTIONS_H

// Which rows of the relations in a SELECT's FROM its conditions leave, for Restrictions: part of pg_tree.c's walk,
// which calls this for each SELECT, in whatever subquery.

#include "pg_tree.h"

struct SelectStmt;

/// Reports the facts from PG_TREE_LEVEL_READS on, of this SELECT alone. Relations that it loses sight of aren't
/// reported.
void pg_restrictions_report(const struct pg_tree_visitor* visitor, const struct SelectStmt* select);

#endif
