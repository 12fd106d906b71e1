#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/pool.hpp"
#include "optimizer/what_if.hpp"

namespace millrace::gateway {

/// One log-in at a database, on a connection that no pool has and that ends with the object; with it ends what HypoPG
/// holds, which keeps its indexes in the session's memory. Each question is a transaction of its own that only reads
/// and is rolled back: no lock and no setting outlives it, whatever planning calls. Planning has two seconds.
///
/// Partial indexes are shown to HypoPG as whole ones that begin with the column that their condition is about: in
/// HypoPG up to 1.4 partial ones can bring the server down (its issue 116).
///
/// Methods block, for some seconds at most, and mustn't be used on `io`'s thread; one thread at a time.
class WhatIfSession {
 public:
  using Rows = std::vector<backend::ServerConnection::Row>;

  /// Logs in as the pool's user. Errors are the server's, or that it can't be reached.
  static Result<std::unique_ptr<WhatIfSession>> open(boost::asio::io_context& io,
                                                     const std::shared_ptr<backend::Pool>& pool,
                                                     pgwire::ServerCredential credential);
  WhatIfSession(boost::asio::io_context& io, backend::Pool::Connection server);
  WhatIfSession(const WhatIfSession&) = delete;
  WhatIfSession& operator=(const WhatIfSession&) = delete;
  ~WhatIfSession();

  /// HypoPG is in the database, and the user may use it.
  bool measures() const { return !schema_.empty(); }
  /// A query of Millrace's own, about pg_catalog: only that is in its search path.
  Result<Rows> ask_catalog(std::string sql, std::vector<std::string> parameters = {});
  Result<optimizer::PlanNode> plan(const optimizer::StatementToPlan& statement,
                                   std::span<const optimizer::IndexCandidate> with);
  Result<double> bytes_of(const optimizer::IndexCandidate& index);

 private:
  Result<> look_for_hypopg();
  Result<Rows> ask(std::string settings, std::string sql, std::vector<std::string> parameters = {});
  Result<std::string> prepare(const std::string& name, const optimizer::StatementToPlan& statement);
  Result<optimizer::PlanNode> explain(const std::string& execute, std::span<const optimizer::IndexCandidate> with);

  boost::asio::io_context& io_;
  const backend::Pool::Connection server_;
  std::string schema_;                           ///< HypoPG's; "": it isn't there, or not for this user
  std::map<std::size_t, std::string> prepared_;  ///< what asks for the plan, by the statement's number
  std::map<std::size_t, std::size_t> parameters_;
};

}  // namespace millrace::gateway
