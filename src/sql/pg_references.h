#ifndef MILLRACE_SQL_PG_REFERENCES_H
#define MILLRACE_SQL_PG_REFERENCES_H

// What a node of a raw tree names, for References: part of pg_tree.c's walk, which calls this for each node.

#include "pg_tree.h"

struct Node;

struct pg_references {
  const struct pg_tree_visitor* visitor;
  const void* only_written;  ///< the RangeVar of a target that isn't read
  bool within_write;         ///< a node that writes was met: DEFAULT may stand below it
};

/// Reports the facts from PG_TREE_READS on.
void pg_references_collect(struct pg_references* references, const struct Node* node);

/// Of a node of which only the tag is set.
bool pg_references_knows(const struct Node* node);

#endif
