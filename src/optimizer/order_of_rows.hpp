#pragma once

#include "optimizer/rule.hpp"

namespace millrace::optimizer {

/// What the statement gives is the same in whatever order its rows come: no aggregate depends on it, there is no window
/// function, and where one of equal values is given for all of them, by GROUP BY, DISTINCT or a set operation, they are
/// the same. Of which rows LIMIT and OFFSET leave nothing is said. Deny by default: what isn't known isn't so.
bool is_in_any_order(Analysis& analysis, Select* top);

}  // namespace millrace::optimizer
