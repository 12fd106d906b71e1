#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "catalog/snapshot.hpp"
#include "optimizer/index_candidate.hpp"
#include "optimizer/session.hpp"

namespace millrace::optimizer {

/// What a statement asks of one table at one place, as an index's keys would be written.
struct TableUse {
  std::string schema = {}, table = {};
  std::vector<std::string> equals = {};      ///< compared with values: =, IN, = ANY, IS NULL
  std::vector<std::string> ranges = {};      ///< <, <=, >, >=, BETWEEN, LIKE with a beginning
  std::vector<std::string> joins = {};       ///< compared by = with another table's
  std::vector<std::string> alone = {};       ///< under OR
  std::vector<std::string> order = {};       ///< by which rows are wanted, with DESC; also groups, and min and max
  std::vector<std::string> predicates = {};  ///< what partial indexes may be WHERE
  std::size_t other_conditions = 0;          ///< that no index of ours serves

  bool asks_of(std::string_view key) const;
};

/// The rows that a statement writes. Of UPDATE: which columns.
struct TableWrite {
  std::string schema, table;
  std::vector<std::string> updates = {};
};

struct StatementIndexes {
  std::vector<TableUse> uses = {};
  std::vector<IndexCandidate> candidates = {};  ///< each once
  std::vector<TableWrite> writes = {};
};

/// Which indexes one SELECT, INSERT, UPDATE or DELETE could use, at most `most_candidates` of them: of each table the
/// columns compared with values, then one of a range, or those by which rows are ordered; columns of joins, before and
/// after these; expressions that are immutable; with columns that are only read; partial ones for booleans and IS NULL.
/// Not of partitioned, foreign or the system's own tables. Whether any of them pays isn't asked here.
///
/// No I/O; thread-safe. Needs stack as optimizer::rewrite does; errors as its.
Result<StatementIndexes> candidates_of(std::string_view text, const catalog::Snapshot& snapshot,
                                       const Session& session);
inline constexpr std::size_t most_candidates = 60;

}  // namespace millrace::optimizer
