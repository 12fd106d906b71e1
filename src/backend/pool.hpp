#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "backend/server_connection.hpp"
#include "base/places.hpp"

namespace millrace::backend {

/// Limits of one pool, the same for all; a reload changes them. A duration of zero is no limit.
struct PoolLimits {
  std::size_t size = 20;  ///< server connections of one user and database
  std::chrono::milliseconds wait{30000};
  std::chrono::milliseconds idle{600000};
  std::chrono::milliseconds lifetime{3600000};
};

/// The server connections of one user to one database.
///
/// A connection is given only to a client whose start-up parameters (but for the application's name, which is made the
/// client's) are the same as those that it was opened with, so that a RESET means the same as without a pool.
/// Connections stay on their core; when only another core has one to spare, it is moved. Thread-safe: any core may
/// call.
class Pool : public std::enable_shared_from_this<Pool> {
 public:
  using Connection = std::shared_ptr<ServerConnection>;
  using Startup = std::shared_ptr<const ParameterList>;

  Pool(std::string user, std::string database, std::shared_ptr<const ServerAddress> address, PoolLimits limits,
       std::shared_ptr<Places> places = std::make_shared<Places>());

  const std::string& user() const { return user_; }
  const std::string& database() const { return database_; }
  /// Of its server; null: it has none.
  const std::shared_ptr<CircuitBreaker>& breaker() const { return breaker_; }
  /// Its connections that nobody has, and that nobody in its own queue waits for.
  const std::shared_ptr<Places>& places() const { return places_; }

  /// Start-up parameters that are equal are one object.
  Startup intern(ParameterList startup);

  /// An idle connection on this core, if there is one and nobody has waited longer. One whose settings are `preferred`
  /// comes first. `known`: it may have these placeholders, and no others.
  Connection try_take(asio::io_context& core, const Startup& startup, const std::shared_ptr<const Settings>& preferred,
                      const PlaceholderNames& known = {});

  enum class Queue { join, avoid };
  /// Lets whoever waits for a connection stop waiting; on its thread.
  struct Patience {
    std::function<void()> give_up;  ///< set while somebody waits, or one is opened: then it mayn't wait for another
  };
  struct Wanted {
    PlaceholderNames known = {};              ///< as for `try_take`
    Queue queue = Queue::join;                ///< `avoid`: null instead of waiting for a connection that others have
    std::shared_ptr<Patience> patience = {};  ///< null: nobody will want to stop waiting
    /// Is called if none is there at once, and once more if one is opened in vain. True: it has to wait for one that
    /// others have; false: one is opened for it, or on its way.
    std::function<void(bool is_full)> when_waits = {};
  };
  /// Waits for a connection, or opens one; where the server grants no more while others are open, it waits for one of
  /// those. Errors: 53300 after `PoolLimits::wait`, or what the log-in failed with, or 57014 after `Patience::give_up`,
  /// or, at once, what the server's breaker refuses it with.
  asio::awaitable<std::expected<Connection, LoginError>> take(asio::io_context& core, Startup startup, Wanted wanted);

  /// One that isn't the pool's and that nobody else gets, with a credential of its own; it is only counted if it fails.
  asio::awaitable<std::expected<Connection, LoginError>> open_apart(asio::io_context& core, Startup startup,
                                                                    pgwire::ServerCredential credential);

  /// Any that is idle, on whichever core: for a question whether it still lives. Null: none is.
  Connection take_idle();

  /// Gives a clean connection back; on its own thread. A closed one only frees its place.
  void give_back(Connection connection);

  /// The server's breaker has opened: whoever waits is told.
  void refuse_waiting();

  /// A cancel request for the connection was dealt with: it may be given to others, if it was given back meanwhile.
  void cancel_done(const Connection& connection);

  /// What the server said at the log-in with these parameters, once a connection was open; null before.
  std::shared_ptr<const ParameterList> welcome(const Startup& startup) const;

  /// What new connections log in with. One that is known to be right at a later time stays.
  void set_credential(pgwire::ServerCredential credential, TimePoint as_of = Clock::now());
  pgwire::ServerCredential credential() const;
  void set_limits(PoolLimits limits);

  /// Closes what was idle too long, or is too old. `all`: every idle connection.
  void sweep(bool all = false);

  /// The server is elsewhere from now on, with the same breaker: what is open isn't used again.
  void redirect(std::shared_ptr<const ServerAddress> address);
  /// It was opened before the last `retire`.
  bool is_retired(const ServerConnection& connection) const {
    return connection.opened_at < epoch_.load(std::memory_order_acquire);
  }
  /// Closes idle connections now, and of those in use the ones that were opened before when they come back.
  void retire(TimePoint opened_before = Clock::now());
  /// Who the user and database are by the server's catalog. If that isn't as before, `retire`.
  void identify(const std::string& identity);

  struct Counts {
    std::size_t idle = 0, in_use = 0, waiting = 0;
    std::uint64_t opened = 0, closed = 0;
    std::uint64_t moved = 0;   ///< from one core to another
    std::uint64_t failed = 0;  ///< could not be reached, or refused the log-in
    Counts& operator+=(const Counts& other);
  };
  Counts counts() const;
  bool unused() const;
  bool has_room() const;

 private:
  struct Waiter {
    asio::io_context* core;
    Startup startup;
    PlaceholderNames known;
    net::Signal signal;
    TimePoint since;
    Connection given;
    bool open_one = false;  ///< a place is free: open a connection
    bool gave_up = false;
    bool promised = false;  ///< a connection is on its way from another core
    bool refused = false;   ///< by the server's breaker
    bool served() const { return given || open_one || promised || refused; }
    Waiter(asio::io_context& c, Startup s, PlaceholderNames k, TimePoint since_when)
        : core(&c), startup(std::move(s)), known(std::move(k)), signal(c), since(since_when) {}
    bool may_have(ServerConnection& connection) const { return fits(connection, startup, known); }
  };
  using Waiters = std::list<std::shared_ptr<Waiter>>;

  /// With the lock held for as long as it is there; then `places_` knows what has changed.
  class Change {
   public:
    explicit Change(Pool& pool) : pool_(pool), lock_(pool.mutex_) {}
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;
    ~Change() {
      pool_.places_->set_free(pool_.free());
      lock_.unlock();
      pool_.places_->tell();
    }

   private:
    Pool& pool_;
    std::unique_lock<std::mutex> lock_;
  };
  std::int64_t free() const;                                             ///< with the lock held
  std::size_t most() const { return std::min(limits_.size, granted_); }  ///< likewise
  asio::awaitable<std::expected<Connection, LoginError>> take_once(asio::io_context& core, Startup startup,
                                                                   Wanted wanted, TimePoint since);
  void grants(std::size_t count);
  Connection opens(Connection connection, const Startup& startup);
  bool must_wait(const LoginError& failure) const;

  /// Whether a client with these start-up parameters, who knows these placeholders, can't tell the connection from a
  /// new one.
  static bool fits(ServerConnection& connection, const Startup& startup, const PlaceholderNames& known);
  asio::awaitable<std::expected<Connection, LoginError>> open(asio::io_context& core, Startup startup);
  asio::awaitable<std::expected<Connection, LoginError>> connect(asio::io_context& core, Startup startup,
                                                                 pgwire::ServerCredential credential);
  std::optional<LoginError> refusal() const;
  bool place_freed();  ///< lets a waiter open one, if there is place for it; with the lock held
  void hand_over(const std::shared_ptr<Waiter>& waiter, Connection connection);
  bool fetch_from_other_core(const std::shared_ptr<Waiter>& waiter);  ///< with the lock held
  void close_later(Connection connection);
  void make_room(Connection connection);

  const std::string user_;
  const std::string database_;
  const std::shared_ptr<CircuitBreaker> breaker_;
  const std::shared_ptr<Places> places_;

  mutable std::mutex mutex_;
  std::shared_ptr<const ServerAddress> address_;
  PoolLimits limits_;
  pgwire::ServerCredential credential_;
  TimePoint credential_as_of_;
  std::vector<std::weak_ptr<const ParameterList>> startups_;
  std::vector<std::pair<Startup, std::shared_ptr<const ParameterList>>> welcomes_;
  std::vector<Connection> idle_;
  Waiters waiters_;
  std::size_t open_ = 0;            ///< connections open or being opened
  std::size_t granted_ = SIZE_MAX;  ///< so many the server grants, as far as is known; one more is tried now and then
  std::size_t places_coming_ = 0;   ///< connections that are being closed for whoever waits
  std::uint64_t opened_ = 0;
  std::uint64_t closed_ = 0;
  std::uint64_t moved_ = 0;
  std::uint64_t failed_ = 0;
  std::atomic<TimePoint> epoch_ = TimePoint();  ///< connections opened before are not used again
  std::string identity_;                        ///< empty: not known yet
};

/// All pools. Thread-safe.
class Pools {
 public:
  /// `on_free_place`: of `Places`, for all pools of clients.
  Pools(std::shared_ptr<const ServerAddress> address, PoolLimits limits, std::function<void()> on_free_place = {});

  enum class Purpose {
    clients,
    own,  ///< Millrace's own queries: a few connections, kept, that no client waits for or is given
  };
  std::shared_ptr<Pool> get(const std::string& user, const std::string& database, Purpose purpose = Purpose::clients);
  /// What its clients have last logged in with. Null: none has, as far as is known.
  std::optional<pgwire::ServerCredential> clients_credential(const std::string& user,
                                                             const std::string& database) const;
  /// Whether its clients could use one connection more than they do, and none of them waits. What is idle is theirs
  /// already, so for a while there may be one more than a pool has.
  bool has_room(const std::string& user, const std::string& database) const;
  /// `Pool::redirect` for all.
  void redirect(std::shared_ptr<const ServerAddress> address);
  /// `moved`: the address is another, so what is open isn't used again.
  void reconfigure(std::shared_ptr<const ServerAddress> address, bool moved, PoolLimits limits);
  void sweep();
  /// `Pool::take_idle` of any of them, with whose it is.
  std::pair<std::shared_ptr<Pool>, Pool::Connection> take_idle();
  /// Closes what is idle now.
  void close_idle();
  /// `Pool::refuse_waiting` for all.
  void refuse_waiting();
  /// `Pool::retire` for those of this database, or of them only Millrace's own; or for those of this user.
  void retire(const std::string& database);
  void retire_own(const std::string& database);
  void retire_of(const std::string& user);
  /// Whether Millrace's own queries have no connection to it.
  bool own_unused(const std::string& database) const;
  /// `Pool::retire` for all: a statement like DROP DATABASE or ALTER ROLE makes what is open stale, or wants it gone.
  void retire();
  /// At the end: no connection is kept any more.
  void close();
  /// Of the clients' pools, those that are gone among them; `failed` also of Millrace's own.
  Pool::Counts counts() const;
  /// Of the clients' pools, how many there are.
  std::size_t in_use() const;
  std::shared_ptr<const ServerAddress> address() const;

 private:
  PoolLimits limits_for(Purpose purpose) const;

  const std::function<void()> on_free_place_;
  mutable std::mutex mutex_;
  std::shared_ptr<const ServerAddress> address_;
  PoolLimits limits_;
  using Key = std::tuple<Purpose, std::string, std::string>;
  void count(const Key& key, const Pool& pool, Pool::Counts& into) const;

  std::map<Key, std::shared_ptr<Pool>> pools_;
  std::vector<std::pair<Key, std::shared_ptr<Pool>>> former_;  ///< of an earlier address; clients may still have them
  Pool::Counts gone_;                                          ///< what the pools that are no more have counted
  bool closed_ = false;
};

}  // namespace millrace::backend
