#pragma once

#include <span>
#include <string>
#include <vector>

#include "optimizer/index_candidate.hpp"
#include "optimizer/query_plan.hpp"

namespace millrace::optimizer {

/// What is known of a table that a plan reads.
struct TableFacts {
  std::string schema, name;
  double rows = -1;  ///< pg_class.reltuples; -1: never counted
  double pages = 0;  ///< pg_class.relpages
  /// Of each valid index that isn't partial: its columns, in their order, without those that it merely includes; "" is
  /// an expression.
  std::vector<std::vector<std::string>> indexes;
};

/// What is worth to be looked at in a plan, in sentences for people.
struct PlanFindings {
  std::vector<std::string> issues, suggestions;
  std::vector<IndexCandidate> missing_indexes;
};

/// By the server's estimates, of which nothing was measured. `query`: the text that was planned. Parses some small
/// texts. Thread-safe.
PlanFindings findings_of(const PlanNode& root, std::string_view query, std::span<const TableFacts> tables,
                         double work_mem_bytes);

}  // namespace millrace::optimizer
