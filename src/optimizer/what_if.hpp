#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "optimizer/index_candidate.hpp"
#include "optimizer/planned_query.hpp"

namespace millrace::optimizer {

struct IndexedTable {
  std::string schema, name;
  double rows = -1;  ///< pg_class.reltuples; -1: never counted
  double pages = 0;  ///< pg_class.relpages
  double bytes = 0;  ///< with what TOAST keeps, without indexes
  /// Since statistics began.
  double inserts = 0, updates = 0, hot_updates = 0, scans = 0;
};

struct ExistingIndex {
  std::string schema, table, name;  ///< without quotes; the index is in its table's schema
  std::string method;               ///< "btree"
  /// As CREATE INDEX has them, with what isn't usual: DESC, NULLS FIRST, operator class, collation.
  std::vector<std::string> keys;
  std::vector<std::string> include;
  std::string where;
  bool unique = false;
  bool needed = false;  ///< a constraint, or the replica identity, is by it, or it is part of a partitioned one
  bool valid = true;
  bool in_work = false;  ///< somebody may be building it
  double bytes = 0, scans = 0;
};

struct ColumnWidth {
  std::string schema, table;  ///< without quotes
  std::string column;         ///< as SQL has it
  double bytes = 0;           ///< on average
};

struct IndexFacts {
  std::vector<IndexedTable> tables;    ///< of users, but for partitioned ones
  std::vector<ExistingIndex> indexes;  ///< of these
  std::vector<ColumnWidth> widths;     ///< of those that were asked about
  double counted_seconds = 0;          ///< for how long statistics have been counted; as far as it is known
  PlannerSettings settings = {};

  const IndexedTable* find(std::string_view schema, std::string_view name) const;
};

struct StatementToPlan {
  std::size_t number = 0;  ///< the same for the same text and user
  std::string text;        ///< one statement
  std::string user;        ///< who sent it, and with whose rights it is planned
  /// Of its parameters, as the monitor keeps them; empty: they aren't known, and the plan is the generic one.
  std::vector<std::optional<std::string>> parameters;
};

/// A server that is asked what indexes would do that aren't there. Blocks the thread that asks, for some seconds at
/// most each time; one thread at a time. Nothing is run, and nothing of it stays.
///
/// Planning calls functions: immutable ones of constants, stable ones for estimates, and such as indexes of the tables
/// are by. So each statement is planned with the rights of who sent it, who has let them be called by sending it, and
/// with such indexes only as are of columns alone or by expressions of its user's own statements. What else is asked
/// about an index is asked as a user of whom a statement on that table was planned.
class WhatIf {
 public:
  virtual ~WhatIf() = default;

  /// Whether it plans with indexes that aren't there: the extension HypoPG is in the database, for Millrace to use.
  virtual bool measures() const = 0;
  virtual Result<IndexFacts> facts(std::span<const std::pair<std::string, std::string>> widths_of) = 0;
  /// With these besides those that are there. Without `measures` there can be none. Errors: the server's; 28000: it
  /// isn't known how to log in as the user.
  virtual Result<PlanNode> plan(const StatementToPlan& statement, std::span<const IndexCandidate> with) = 0;
  /// How large it would be. Needs `measures`. `user`: of a statement that was planned.
  virtual Result<double> bytes_of(const IndexCandidate& index, const std::string& user) = 0;
};

}  // namespace millrace::optimizer
