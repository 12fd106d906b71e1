#pragma once

#include "optimizer/rule.hpp"

namespace millrace::optimizer {

/// No row can make anything in the whole statement fail, and all that it reads are tables: so it is nothing to it in
/// which order PostgreSQL asks for what, and of which rows, which is another matter where a rule makes other joins.
/// What the statement gives in the end is of the same rows before and after, so its list may fail; unless LIMIT or
/// OFFSET stand somewhere, or the item holds a sub-query. And it is nothing to it in which order rows come. If not: it
/// is said to be missing.
bool is_sure_in_any_order(const Site& site);

}  // namespace millrace::optimizer
