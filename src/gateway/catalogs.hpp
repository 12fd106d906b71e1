#pragma once

#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "catalog/catalog.hpp"
#include "gateway/change_streams.hpp"
#include "pipeline/read_cache.hpp"

namespace millrace::gateway {

struct Shared;

/// The databases that clients have asked for: the catalogs of each are read and watched, and what is committed in it is
/// followed, as DATABASE_URL's user on connections of Millrace's own. Thread-safe.
///
/// These connections are in the way of who wants to drop a database, to rename it or to use it as a template. So they
/// end, and what is kept of the database is stale, when a client wants that (`let_go`), when nobody has used the
/// database for a while, and when it isn't there any more; and they are there again once a client uses it.
class Catalogs {
 public:
  /// Reading is done on `io`'s thread; `shared` must outlive it.
  Catalogs(boost::asio::io_context& io, Shared& shared);
  ~Catalogs();

  /// `starts`: its catalogs are read and watched from now on; else nothing is known of them, unless they are already.
  std::shared_ptr<const pipeline::CatalogSource> of(const std::string& database, bool starts);
  /// Of the tables of this name, with or without a schema, what answers that read them depend on.
  std::vector<cache::Dependency> tables_of(std::string_view name);
  /// What is committed in it is followed from now on, where that is allowed.
  void follow(const std::string& database);
  /// Whether somebody wants it unused at present: nobody of Millrace's own may connect to it then.
  bool is_wanted_unused(const std::string& database);
  /// See `pipeline::ReadCache::let_go`.
  pipeline::ReadCache::LetGo let_go(const std::vector<std::string>& databases, const std::string& user,
                                    std::function<void()> ended);
  /// Twice a second or so: gives up what nobody uses, and begins anew with what is used again.
  void tick(TimePoint now);
  /// `catalog::Catalog::confirm` of the database's; on `io`'s thread.
  boost::asio::awaitable<bool> confirm(std::string database);
  ChangeStreams& streams() { return streams_; }
  /// The server is in reach again, or another one: what was known is forgotten, and read at once. The streams begin
  /// anew.
  void read_again();
  /// Nothing is known from then on.
  void stop();

 private:
  struct Database {
    bool is_read = false, is_followed = false;  ///< what was asked for
    std::shared_ptr<catalog::Catalog> catalog;  ///< null: not yet
    bool is_open = false;                       ///< that is done at present; else it was given up
    bool is_ending = false;                     ///< it was given up just now: Millrace's connections may still be there
    std::vector<std::function<void()>> on_ended;
    std::size_t holds = 0;  ///< how many want it unused
    TimePoint used;
    TimePoint not_before;  ///< it wasn't there, and isn't looked for earlier
  };

  /// Of who wants databases unused. Belongs to the lock.
  struct Hold {
    std::vector<std::string> names;  ///< that count it
    bool is_over = false;
  };

  // With the lock held.
  void open(const std::string& name, Database& database);
  void give_up(const std::string& name, Database& database);
  void make_stale(const std::string& name);
  /// Gives up a database that nobody uses, or begins anew with one that is used.
  bool is_worth_knowing(const std::string& name, Database& database, TimePoint now);

  std::shared_ptr<catalog::Catalog> start(const std::string& database);
  std::shared_ptr<catalog::Catalog> find(const std::string& database);
  /// Millrace's own connections, but for that of the stream. Takes a second at most.
  boost::asio::awaitable<void> end_own(std::string name);
  boost::asio::awaitable<void> end(std::string name);
  /// Those of them that the user may have the right to want unused.
  boost::asio::awaitable<std::vector<std::string>> may_want_unused(std::vector<std::string> names, std::string user);
  boost::asio::awaitable<void> let_go_if_allowed(std::vector<std::string> names, std::string user,
                                                 std::shared_ptr<Hold> hold, std::function<void()> ended);
  void begin_again(Hold& hold);
  void on_missing(const std::string& name);
  boost::asio::awaitable<Result<std::vector<catalog::Row>>> ask(std::string database, std::string sql,
                                                                std::vector<std::string> parameters);

  boost::asio::io_context& io_;
  Shared& shared_;
  ChangeStreams streams_;
  std::mutex mutex_;
  bool stopped_ = false;
  std::map<std::string, Database> databases_;
  boost::asio::thread_pool workers_{1};  ///< makes snapshots
};

}  // namespace millrace::gateway
