#pragma once

#include "optimizer/rule.hpp"

namespace millrace::optimizer {

/// No row can make anything in the whole statement fail, and all that it reads are tables: so it is nothing to it in
/// which order PostgreSQL asks for what, and of which rows, which is another matter where a rule makes other joins.
/// What the statement gives in the end is of the same rows before and after, so its list may fail; unless LIMIT or
/// OFFSET stand somewhere, or the item holds a sub-query. And it is nothing to it in which order rows come. If not: it
/// is said to be missing.
bool is_sure_in_any_order(const Site& site);

/// The same without regard to the order in which rows come, for what lets PostgreSQL make a join of a sub-query: such a
/// sub-query is asked where its table is read, and keeps rows away from whatever else is asked of them in joins; or it
/// isn't pulled up, and its list is of its own rows only. Nor is it anything to a statement of one table, where all is
/// asked at once. If not: it is said to be missing.
bool may_be_joined(const Site& site);

}  // namespace millrace::optimizer
