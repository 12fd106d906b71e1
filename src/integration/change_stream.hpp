#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "backend/server_connection.hpp"
#include "base/clock.hpp"
#include "integration/freshness.hpp"
#include "integration/prober.hpp"
#include "integration/publication_keeper.hpp"
#include "integration/replication_link.hpp"
#include "integration/replication_slot.hpp"
#include "integration/stream_status.hpp"
#include "integration/transactions.hpp"
#include "net/signal.hpp"

namespace millrace::integration {

/// What a ChangeStream needs, and whom it tells. All are called on its io_context's thread.
struct ChangeStreamParts {
  using Rows = Result<std::vector<backend::ServerConnection::Row>>;
  using Opened = std::expected<std::shared_ptr<backend::ServerConnection>, backend::LoginError>;

  /// Opens a connection of its own to the database, with `replication=database`.
  std::function<boost::asio::awaitable<Opened>()> open;
  /// Runs a simple query in the database, on another connection.
  std::function<boost::asio::awaitable<Rows>(std::string sql)> query;
  /// Why it isn't live, as the log was told last: it isn't told twice. May be of the same database's last stream.
  std::shared_ptr<std::string> logged = std::make_shared<std::string>();
  /// How many bytes of the server's log the slot may hold back.
  std::function<std::uint64_t()> most_retained = [] { return std::uint64_t{1} << 30; };

  /// Looks at the catalogs that what is told is understood by: as `Prober::Confirm`. Null: there are none.
  std::function<boost::asio::awaitable<bool>()> confirm_catalogs;

  /// Whether it is known that nobody can reach the server.
  std::function<bool()> out_of_reach = [] { return false; };

  /// What of it is proved, for who reads; never null.
  std::shared_ptr<Freshness> freshness;

  /// Who answers `query` isn't the stream's server: neither is to be asked on the connections that there are.
  std::function<void()> on_another = [] {};

  // None must call back.
  std::function<void(const Transaction& transaction)> committed;
  /// Changes may have been missed: of any table, or of these, which are followed from now on.
  std::function<void()> everything_may_have_changed;
  std::function<void(std::span<const Oid> tables)> tables_may_have_changed;
};

/// How often what is done. Tests are in more of a hurry.
struct StreamPace {
  /// Between looks at which tables there are, and how far the server is.
  std::chrono::milliseconds look{2000};
  std::chrono::milliseconds first_retry{500}, last_retry{30000};
  /// What was live for so long is retried as at first.
  std::chrono::milliseconds steady{30000};
  /// Transactions that write are waited for, so that a slot can begin.
  std::chrono::milliseconds slot{60000};
  /// A look that took long is followed by a pause of so many times its time.
  int rest = 50;
  /// The server is asked for a sign of life, and taken for lost without one.
  std::chrono::milliseconds ask{10000}, lost{30000};
  /// What was proved when the server was lost is kept for so long where nobody knows that it is out of reach.
  std::chrono::milliseconds frozen{10000};
};

/// Tells what is committed in one database, by whomever, within milliseconds: PostgreSQL's logical decoding, in a slot
/// of Millrace's own that ends with its connection.
///
/// Before it is live, and after each gap, it says that everything may have changed. A table that comes later is
/// followed from the next look on; then it says that the table may have changed. Nothing that an application does fails
/// or waits for it, with one exception: while a table is in the publication that publishes updates, and loses its
/// replica identity, its UPDATEs and DELETEs fail until the next look. It looks whether it is live or not.
class ChangeStream : public std::enable_shared_from_this<ChangeStream> {
 public:
  /// Begins at once, on `io`'s thread. `database`: its name, for status and log.
  static std::shared_ptr<ChangeStream> start(boost::asio::io_context& io, ChangeStreamParts parts, std::string database,
                                             StreamPace pace = {});

  /// Thread-safe.
  StreamStatus status() const;
  /// A table may have come, or have become another: looks soon. Thread-safe.
  void look();
  /// Begins anew on a new connection, at once: the server may be another. Nothing of what was proved holds.
  /// Thread-safe.
  void reconnect();
  /// Nobody can reach the server, though this connection may still seem to be there: what was proved is kept, and no
  /// more is. Thread-safe.
  void lose();
  /// Ends it, and drops the publications if nobody else needs them; `done` is called once, on its thread, when nothing
  /// of it is left in PostgreSQL, or after some seconds. Thread-safe.
  void stop(std::function<void()> done);

 private:
  /// For an answer of PostgreSQL's.
  static constexpr std::chrono::milliseconds patience{30000};

  ChangeStream(boost::asio::io_context& io, ChangeStreamParts parts, std::string database, StreamPace pace);

  boost::asio::awaitable<void> run();
  /// Until it can't be followed any more; why.
  boost::asio::awaitable<Obstacle> follow();
  boost::asio::awaitable<std::optional<Obstacle>> prepare();
  boost::asio::awaitable<std::optional<Obstacle>> begin();
  boost::asio::awaitable<std::optional<Obstacle>> make_slot();
  boost::asio::awaitable<std::optional<Obstacle>> keep_up();
  /// Sees to the publications while the stream isn't live.
  boost::asio::awaitable<void> guard();
  /// Waits until PostgreSQL has nothing of the stream's connection any more, within limits.
  boost::asio::awaitable<void> leave(std::shared_ptr<backend::ServerConnection> connection);
  /// One look at the publications; makes them what they must be.
  boost::asio::awaitable<std::optional<Obstacle>> look_once();
  boost::asio::awaitable<void> mend_tables();
  boost::asio::awaitable<void> notice_members();
  /// That the publications are as they were at the last look, or a look that found what they are; and the catalogs.
  static boost::asio::awaitable<bool> confirm(std::shared_ptr<ChangeStream> self);
  boost::asio::awaitable<bool> confirm_publications();
  /// What of the log is held back; too much is an obstacle.
  boost::asio::awaitable<std::optional<Obstacle>> look_at_slot();
  void tell_what_is_new();
  void tell_what_is_followed();

  Result<> on_data(const XLogData& data, bool whole);
  void on_keep_alive(const KeepAlive& alive);
  void received(Lsn end);
  void thaw();
  void thaw_later();
  /// Before it connects again. Finds out meanwhile whether the server is lost or only the connection was.
  boost::asio::awaitable<void> pause(TimePoint until);
  void stop_proving(bool freezes);
  void leave_another();
  void abandon(bool freezes);
  void disconnect(bool freezes);
  void set_unavailable(const Obstacle& obstacle);
  void set_waiting();

  boost::asio::io_context& io_;
  const ChangeStreamParts parts_;
  const StreamPace pace_;
  net::Signal wake_, wake_guard_;
  PublicationKeeper keeper_;
  bool guarding_ = true;
  std::optional<TimePoint> live_since_;
  bool stopped_ = false, ended_ = false;
  std::vector<std::function<void()>> on_stopped_;

  std::shared_ptr<backend::ServerConnection> connection_;
  std::uint32_t process_id_ = 0;  ///< of the last connection, in PostgreSQL
  std::string server_;            ///< by Prober::server_sql
  std::shared_ptr<ReplicationLink> link_;
  std::shared_ptr<Prober> prober_;
  Transactions transactions_;
  Lsn received_ = 0;
  std::chrono::milliseconds retry_;
  bool server_may_be_another_ = false;
  boost::asio::steady_timer thaws_;
  TimePoint asked_at_;
  bool look_asked_ = false;
  std::uint64_t looks_ = 0;   ///< that have begun
  std::uint64_t looked_ = 0;  ///< the last that has seen all, by when it began
  net::Signal looked_once_;
  TimePoint mend_after_;               ///< what failed is tried again then
  std::uint64_t told_unfollowed_ = 0;  ///< how many there were when they were told

  // As of the last look.
  Overview overview_;
  std::string identity_;  ///< of the publications that the slot was made for
  std::string members_text_;
  std::map<Oid, Member> members_;
  std::set<Oid> leaving_;  ///< members that are being taken out
  /// Followed since a moment; what ran then may have changed it before. Told once that has ended.
  struct New {
    std::uint64_t before;  ///< transactions
    bool everything;
    std::vector<Oid> tables;
  };
  std::vector<New> new_;
  bool begin_anew_ = false;  ///< once nothing is new: a table was added, and the server may forget it
  SlotState slot_;

  mutable std::mutex mutex_;
  StreamStatus status_;
};

}  // namespace millrace::integration
