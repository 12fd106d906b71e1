#pragma once

#include "optimizer/planned_query.hpp"

namespace millrace::optimizer {

/// What a plan costs, in PostgreSQL's units, in which reading a page in order is 1 (seq_page_cost).
///
/// EXPLAIN says only the total. Its parts are worked out from what its formulas are made of (PostgreSQL's costsize.c):
/// of a table that is read whole, pages times seq_page_cost is IO; of what an index finds, all but the rows' own costs;
/// the rest is CPU. `memory_cost` isn't part of the total: the pages of 8 kB that sorts, hashes and the like hold at
/// once, work_mem at most each. Nor is `network_cost`, the answer's pages of 8 kB.
struct QueryCost {
  double cpu_cost = 0, io_cost = 0, memory_cost = 0, network_cost = 0, total_cost = 0;

  double memory_mb() const { return memory_cost * 8192 / (1024 * 1024); }
};

QueryCost cost_of(const PlannedQuery& planned);

}  // namespace millrace::optimizer
