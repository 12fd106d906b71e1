#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "gateway/core.hpp"
#include "net/signal.hpp"
#include "optimizer/rewriter.hpp"
#include "pipeline/rewrites.hpp"

namespace millrace::gateway {

class Catalogs;

/// Says the ledger's candidates in another way, and tries both: as the same user, with the same settings, on a
/// connection of its own that ends afterwards, in one transaction that only reads, one candidate at a time, and rests
/// for longer than it works. On `io`'s thread; parsing and rules have a thread of their own.
class RewriteProver {
 public:
  RewriteProver(boost::asio::io_context& io, Shared& shared, Catalogs& catalogs, pipeline::Rewrites& rewrites);
  /// Nothing more is begun. Thread-safe.
  void stop();

 private:
  struct Said;

  boost::asio::awaitable<void> run();
  boost::asio::awaitable<pipeline::RewriteOutcome> prove(const pipeline::RewriteTask& task);
  boost::asio::awaitable<pipeline::RewriteOutcome> prove(const pipeline::RewriteTask& task,
                                                         std::shared_ptr<const catalog::Snapshot> catalog);
  boost::asio::awaitable<std::shared_ptr<const Said>> say(const pipeline::RewriteTask& task,
                                                          std::shared_ptr<const catalog::Snapshot> catalog);

  boost::asio::io_context& io_;
  Shared& shared_;
  Catalogs& catalogs_;
  pipeline::Rewrites& rewrites_;
  net::Signal wake_;
  std::atomic<bool> stopped_ = false;
  sql::ParsePool pool_;
};

/// How a statement is to be said, as far as its own text and the catalogs show. `refusal`: why it stays as it is; "":
/// it doesn't. Takes optimizer::rewrite's stack.
struct SaidAnew {
  std::string text;
  std::vector<std::string> rules;
  std::string refusal;
  bool out_of_time = false;  ///< MAX_QUERY_OPTIMIZATION_TIME_MS ended the search
  bool ordered = false;      ///< its rows have an order
  std::array<std::string, 3> guard_parameters;
  std::string lock;  ///< locks its tables
};
SaidAnew say_anew(const std::string& query, const catalog::Snapshot& catalog, const optimizer::Session& session,
                  const optimizer::Options& options);

}  // namespace millrace::gateway
