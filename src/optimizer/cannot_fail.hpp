#pragma once

#include "optimizer/scope.hpp"

namespace millrace::optimizer {

/// No row can make it fail, whatever the data: rules may let it be evaluated for more rows, or fewer, or none. Literals
/// fail when they are parsed or never; what else depends on no row, but isn't evaluated before there is one, has to be
/// known not to fail at all.
bool cannot_fail(Analysis& analysis, const Node* node, Scope scope, const Cte* ctes);

/// Of a simple SELECT from tables: its conditions. (Its list is the caller's to look at.)
bool select_cannot_fail(Analysis& analysis, Select* select, Scope parent, const Cte* ctes);

/// The same, and nor can PostgreSQL find fault with it before it has seen a row: all names are known, types fit, and
/// literals are values of theirs. So it may be left out.
bool can_go(Analysis& analysis, const Node* node, Scope scope, const Cte* ctes);
bool select_can_go(Analysis& analysis, Select* select, Scope parent, const Cte* ctes);

}  // namespace millrace::optimizer
