#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "catalog/snapshot.hpp"
#include "optimizer/index_findings.hpp"
#include "optimizer/session.hpp"
#include "optimizer/what_if.hpp"

namespace millrace::optimizer {

/// What a template has asked of the server in the time that is looked at.
struct WorkloadStatement {
  std::string id;     ///< the template's
  std::string shown;  ///< without constants
  std::string text;   ///< one of them, as it was sent
  std::string user;   ///< who sent that one
  std::vector<std::optional<std::string>> parameters = {};
  double executions = 0;    ///< that reached the server
  double milliseconds = 0;  ///< that these took, together
  double rows = 0;          ///< returned or changed
};

struct AdviceRequest {
  std::vector<WorkloadStatement> workload;  ///< what takes most comes first
  double seconds = 0;                       ///< that it is of
  std::optional<double> budget_bytes = {};  ///< of new indexes together; half of what the tables take unless it is said
  Session session = {};
  std::chrono::milliseconds patience{10'000};  ///< then the answer is what was found so far
};

struct StatementGain {
  std::string id, shown;
  double executions = 0;
  double cost_before = 0, cost_after = 0;  ///< PostgreSQL's, without the index and with it, beside the others advised
};

struct AdvisedIndex {
  IndexCandidate index;
  std::string statement;  ///< CREATE INDEX CONCURRENTLY, with a name that nobody has
  double bytes = 0;
  double improvement_percent = 0;  ///< of what the statements that it serves take
  double share_percent = 0;        ///< of what the whole workload takes
  double uses_per_hour = 0;
  double creation_cost = 0;             ///< reading the table, sorting, and writing; in PostgreSQL's units
  double maintenance_cost = 0;          ///< an hour's writes, likewise
  std::vector<StatementGain> serves;    ///< those that gain most come first
  std::vector<std::string> supersedes;  ///< existing indexes that are its beginning, as DROP INDEX has them
};

struct IndexAdvice {
  std::vector<AdvisedIndex> indexes;
  std::vector<IndexFinding> findings;
  bool measured = false;           ///< by HypoPG; else by formulas of our own
  std::size_t statements = 0;      ///< of which indexes could be thought
  double executions = 0;           ///< of these
  double improvement_percent = 0;  ///< of what they take, writes counted
  double budget_bytes = 0, bytes = 0;
  std::size_t plans = 0;  ///< that the server was asked for
  bool out_of_time = false;
  std::vector<std::string> warnings;
};

/// Which indexes this workload would gain by, and which that are there it doesn't need. Statements count by the time
/// that they have taken, or where that isn't known by the server's estimates. Writes count by rows written in the same
/// time: what the workload wrote, or what PostgreSQL's statistics say, whichever is more; statistics of less than a day
/// are taken to be of a day, so that a table that was just loaded isn't one that is always written to.
///
/// Blocks, for `patience` and the answer under way. It needs stack as `candidates_of` does: statements that are too
/// long for it aren't looked at. Errors: the server's, where it can't even be asked what is there.
Result<IndexAdvice> advise(const AdviceRequest& request, const catalog::Snapshot& snapshot, WhatIf& server);

}  // namespace millrace::optimizer
