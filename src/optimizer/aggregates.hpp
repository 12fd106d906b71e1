#pragma once

#include <optional>
#include <string>
#include <vector>

#include "optimizer/rule.hpp"

namespace millrace::optimizer {

/// A call of count (of DISTINCT ones, too), sum, avg, min, max, bool_and, bool_or over columns of `level` that no rows
/// can make fail, and that gives the same bytes in whatever order the rows come. If it is none: `missing` says why,
/// where it is an aggregate.
const PgQuery__FuncCall* sure_aggregate(Analysis& analysis, const Node* node, const Level& level, std::string& missing);

/// An expression over sure aggregates and literals, without columns otherwise: each aggregate's place in it; nullopt:
/// it is something else.
std::optional<std::vector<Node**>> aggregates_in(Analysis& analysis, Node** slot, const Level& level,
                                                 std::string& missing);

/// Outside of sub-queries in it.
bool holds_aggregate(Analysis& analysis, const Node* node, const Level& level);

/// What is done with numbers, aggregates, and sub-queries for one value, doesn't overflow nor divide by zero; not so of
/// integers, but for counts.
bool number_cannot_fail(Analysis& analysis, const Node* node, Scope scope, const Cte* ctes);

}  // namespace millrace::optimizer
