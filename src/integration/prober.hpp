#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "backend/server_connection.hpp"
#include "integration/freshness.hpp"
#include "integration/told_xids.hpp"
#include "net/signal.hpp"

namespace millrace::integration {

/// Asks the server how far its log is, and which transactions run, as often as Freshness wants to know: one question
/// at a time, for all that wait. Belongs to its io_context's thread.
///
/// The stream tells rows, and what it tells means what the catalogs and the publications were known to be. A
/// transaction that may have changed those is over, and nobody is certain before they were looked at: any that wasn't
/// told or rolled back, or whose commit says that it has changed a catalog. That is so of those that a look finds to
/// have changed nothing, too; the catalogs are too large to be asked about with each question.
class Prober : public std::enable_shared_from_this<Prober> {
 public:
  using Rows = Result<std::vector<backend::ServerConnection::Row>>;
  using Query = std::function<boost::asio::awaitable<Rows>(std::string sql)>;
  /// Looks at the catalogs and the publications. True: what was known of them when it was called is so still, or all
  /// that depends on it is stale, and what is known from then on is of later moments. False: that can't be had.
  using Confirm = std::function<boost::asio::awaitable<bool>()>;

  struct Parts {
    Query query;
    Confirm confirm;
    /// Who is asked isn't the stream's server.
    std::function<void()> on_another;
  };

  /// What tells one server's run from all others: an expression for text.
  static constexpr std::string_view server_sql =
      "extract(epoch from pg_catalog.pg_postmaster_start_time())::pg_catalog.text";

  /// Begins at once. `server`: that of the stream, by `server_sql`. `freshness` must outlive `stop`.
  static std::shared_ptr<Prober> start(boost::asio::io_context& io, std::string server, Parts parts,
                                       std::shared_ptr<Freshness> freshness);
  /// The stream has told of this transaction, and of the record of its commit. Before `told` of its end.
  void committed(Xid xid, Lsn commit_lsn, Lsn end_lsn);
  /// The stream has told all before `end`.
  void told(Lsn end);
  void stop();

 private:
  Prober(boost::asio::io_context& io, std::string server, Parts parts, std::shared_ptr<Freshness> freshness);

  boost::asio::awaitable<void> run();
  boost::asio::awaitable<void> ask();
  boost::asio::awaitable<void> look_up_rolled_back(XidSnapshot seen);
  boost::asio::awaitable<void> bring_to_disk();
  void prove_what_is_told();
  void certify();
  bool is_asked(const Moments& wanted) const;

  boost::asio::io_context& io_;
  const std::string is_the_same_;  ///< SQL
  const Parts parts_;
  const std::shared_ptr<Freshness> freshness_;
  net::Signal wake_;
  bool stopped_ = false;
  Lsn told_ = 0;
  ToldXids xids_;
  ToldXids harmless_;  ///< of those, what has changed no catalog
  struct Asked {
    Lsn end, on_disk;  ///< of the log, when it was asked
    XidSnapshot seen;
    std::int64_t at;
    bool is_looked_up = false;  ///< what was rolled back
    bool is_brought_to_disk = false;
  };
  boost::asio::awaitable<void> confirm(Asked asked);
  bool is_to_be_looked_up(const Asked& asked) const;

  std::deque<Asked> asked_;                      ///< that aren't told yet; positions and moments grow
  std::optional<Asked> told_up_to_;              ///< the last that is, and of which nobody is certain
  std::int64_t confirming_ = 0;                  ///< the moment that is being confirmed; 0: none
  std::int64_t ask_after_ = 0, look_after_ = 0;  ///< of now_ns()
  std::int64_t confirm_after_ = 0, looked_at_ = 0;
  std::int64_t rest_ = 0;
};

}  // namespace millrace::integration
