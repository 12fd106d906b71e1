#pragma once

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace millrace::integration {

enum class StreamState {
  starting,     ///< connects, or waits for transactions that ran before
  live,         ///< what is committed is told
  unavailable,  ///< the server or its settings don't allow it, or it can't be reached; tried again at intervals
};
BOOST_DESCRIBE_ENUM(StreamState, starting, live, unavailable)

/// A table some of whose changes aren't told.
struct UnfollowedTable {
  std::string table;   ///< with its schema
  std::string reason;  ///< "no replica identity": only INSERT and TRUNCATE are told; "not owned": nothing is
  std::string remedy;  ///< the statement that changes it
};
BOOST_DESCRIBE_STRUCT(UnfollowedTable, (), (table, reason, remedy))

/// How it is with a database's change stream.
struct StreamStatus {
  std::string database;
  StreamState state = StreamState::starting;
  std::optional<std::string> reason;  ///< why it isn't live
  std::optional<std::string> remedy;  ///< what to run in PostgreSQL so that it will be
  std::uint64_t transactions = 0;     ///< committed, and told
  std::uint64_t rows = 0;             ///< changed by them
  std::uint64_t starts = 0;           ///< how often it became live; each but the first was after a gap
  bool settled = false;               ///< live, and what was under way when it became so, or a table was added, is over
  std::uint64_t rows_known = 0;       ///< of which it is remembered what the stream doesn't tell: a column's old value
  std::uint64_t retained_bytes = 0;   ///< of the server's log, kept for the slot
  std::uint64_t lag_bytes = 0;        ///< of the server's log, not yet looked at when that was asked last
  std::optional<double> lag_ms;       ///< from the last transaction's commit until it was sent, by the server's clock
  std::vector<std::string> levels;    ///< of consistency that can be met at present
  std::optional<double> proof_ms;     ///< what it takes lately until the rows of a moment are proved
  std::uint64_t tables_followed = 0;
  std::uint64_t tables_unfollowed = 0;
  std::vector<UnfollowedTable> unfollowed;  ///< the first few
};
BOOST_DESCRIBE_STRUCT(StreamStatus, (),
                      (database, state, reason, remedy, transactions, rows, starts, settled, rows_known, retained_bytes,
                       lag_bytes, lag_ms, levels, proof_ms, tables_followed, tables_unfollowed, unfollowed))

}  // namespace millrace::integration
