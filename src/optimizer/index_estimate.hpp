#pragma once

#include <span>

#include "optimizer/index_candidates.hpp"
#include "optimizer/what_if.hpp"

namespace millrace::optimizer {

// What indexes cost and would bring, by formulas of our own, in PostgreSQL's units of cost.

/// Of a btree: a tuple has 8 bytes of its own and 4 for its place on the page, pages are filled to 90 %.
double estimated_bytes(const IndexCandidate& index, const IndexFacts& facts);

/// Of one more row in a btree of so many: the way down, as PostgreSQL's btcostestimate has it (a comparison for each
/// bit of the number of rows, 50 cpu_operator_cost for each level), the new tuple, and a leaf page that is fetched at
/// random to be written. So it is rather too much where the index is in memory.
double row_write_cost(double rows, double bytes, const PlannerSettings& settings);

/// What a plan would cost with these indexes, where nobody can be asked: of each table that is read whole as many pages
/// at random as the rows that an index would find, or all in order, whichever is less; joined rows found one by one;
/// and the first rows of an order without the others. How many rows a part of the conditions leaves is taken to be the
/// same share for each condition. Rough; never more than the plan's own cost.
double estimated_cost(const PlanNode& plan, std::span<const TableUse> uses, std::span<const IndexCandidate> with,
                      const IndexFacts& facts);

}  // namespace millrace::optimizer
