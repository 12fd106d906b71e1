#pragma once

#include <string>
#include <vector>

#include "optimizer/plan_findings.hpp"

namespace millrace::optimizer {

/// What the server is asked to plan.
struct PlanRequest {
  std::string database;
  std::string user;  ///< as whom
  /// If not, where no client has logged in as it, by SET ROLE from DATABASE_URL's user, who must be a
  /// member of it. Functions that planning calls can undo a SET ROLE: not for texts that nobody has asked about.
  bool only_by_its_log_in = false;
  std::vector<std::string> search_path = {};  ///< empty: that of the one who logs in
  std::string query;                          ///< one SELECT, INSERT, UPDATE, DELETE or MERGE; it may have parameters
};

/// By which the server estimates.
struct PlannerSettings {
  double seq_page_cost = 1, random_page_cost = 4;
  double cpu_tuple_cost = 0.01, cpu_index_tuple_cost = 0.005, cpu_operator_cost = 0.0025;
  double work_mem_bytes = 4 << 20;
};

/// What it said.
struct PlannedQuery {
  PlanNode plan;
  std::vector<TableFacts> tables = {};  ///< that it reads
  PlannerSettings settings = {};
};

}  // namespace millrace::optimizer
