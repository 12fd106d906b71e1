#pragma once

#include "optimizer/query_plan.hpp"

namespace millrace::optimizer {

/// By how much the cost of `after` is to be multiplied, which says the same as `before`: PostgreSQL takes each
/// recursion for ten rounds over ten rows (costsize.c, cost_recursive_union), whatever it is. One from value to value
/// has as many as `before` makes groups, as PostgreSQL estimates. At least 1; 1 where `after` has no more recursions
/// than `before`. Safe to call from any thread.
double rounds_factor(const PlanNode& before, const PlanNode& after);

}  // namespace millrace::optimizer
