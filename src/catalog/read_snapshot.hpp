#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/server_connection.hpp"
#include "base/result.hpp"
#include "catalog/snapshot.hpp"

namespace millrace::catalog {

using Row = backend::ServerConnection::Row;

/// Runs a text as a simple query in the database that is meant, on a connection of Millrace's own that nobody changes
/// the settings of; answers the rows of all its statements. It answers in time, with an error if need be: reading a
/// hundred thousand tables takes PostgreSQL some seconds.
using Query = std::function<boost::asio::awaitable<Result<std::vector<Row>>>(std::string sql,
                                                                             std::vector<std::string> parameters)>;

/// A version of a table's row in pg_class: the table, and the transaction that wrote it.
using Written = std::pair<Oid, std::uint32_t>;

/// What is compared to notice that something has changed.
struct Seen {
  std::string moment;                      ///< the server's snapshot: where it is the same, all catalogs are
  std::string configured;                  ///< when the configuration was loaded, as this connection knows it
  std::optional<std::string> fingerprint;  ///< of the catalogs; null: the moment was the known one
  std::vector<Written> written;            ///< in order: perhaps since the known moment; where that is the same, none
};

/// Of the row of `poll_sql`; or of the first such row among others.
Result<Seen> read_seen(const Result<std::vector<Row>>& rows);

struct Reading {
  std::shared_ptr<const Snapshot> snapshot;
  Seen seen;
  bool whole = true;  ///< false: some definitions of views couldn't be had
};

/// Those whose definitions are to be asked for, among the rows of `read_sql`: PostgreSQL's own are nobody's business.
std::vector<Oid> views_in(const std::vector<Row>& rows);

/// Makes a Snapshot of the rows that `read_sql` gives, and then `views_sql`. Takes a second for a hundred thousand
/// tables, and parses the definitions of views: not for an I/O thread. Definitions that take more stack than the thread
/// has stay unknown.
Result<Reading> read_snapshot(const Result<std::vector<Row>>& rows, std::uint64_t version);

}  // namespace millrace::catalog
