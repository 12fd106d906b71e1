#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_set>
#include <vector>

#include "base/clock.hpp"
#include "base/published.hpp"
#include "catalog/read_snapshot.hpp"
#include "net/signal.hpp"

namespace millrace::catalog {

/// How often what is done. Tests are in more of a hurry.
struct Pace {
  std::chrono::milliseconds poll{5000};
  /// After DDL has passed: more of it is likely to follow.
  std::chrono::milliseconds settle{200};
  std::chrono::milliseconds first_retry{500}, last_retry{30000};
  /// A poll or a reading that took long is followed by a pause of so many times its time: it costs PostgreSQL 2% of one
  /// processor at most. What changes behind Millrace's back is noticed that much later.
  int rest = 50;
  /// So many times the pause between polls after the last answer, nothing is known any more.
  int expires = 3;
};

/// What one database's catalogs hold: read in the background, and watched for changes.
///
/// What changes behind Millrace's back is noticed by the next poll, or when it is asked. What passes through Millrace
/// is told to it. What was another for a while between two looks is noticed as well: tables were written, or something
/// has changed.
class Catalog : public std::enable_shared_from_this<Catalog> {
 public:
  using OnWritten = std::function<void(std::span<const Oid> relations, const Snapshot& known)>;
  using OnRead = std::function<void(const Snapshot& before, const Snapshot& now)>;

  /// Begins to read at once, on `io`'s thread; snapshots are made on `workers`, which needs a large stack for long
  /// definitions of views and must have ended before `io` is gone. `query` is called on `io`'s thread, one call at a
  /// time. `changed` is called whenever something may have changed, after `current` has become null: on `io`'s thread,
  /// or on that of `ddl_passed`. `written` is called with those tables and views that may have been otherwise for a
  /// while (other rights, another name), and are as they were; or nothing of the kind: TRUNCATE, say, shows the same.
  /// On `io`'s thread. Neither must call back. `name`: the database's, for the log. `out_of_reach`: whether the server
  /// is known not to be there: until it is, what is known stays known; then `ddl_passed` is to be called. `read` is
  /// called with what was read last and what is read now, before that is known to anybody: on `io`'s thread.
  static std::shared_ptr<Catalog> start(boost::asio::io_context& io, boost::asio::any_io_executor workers, Query query,
                                        std::function<void()> changed, OnWritten written, std::string name,
                                        Pace pace = {}, std::function<bool()> out_of_reach = {}, OnRead read = {});

  /// Null while it isn't known, or out of date. Thread-safe.
  std::shared_ptr<const Snapshot> current() const { return current_.load(); }
  /// Grows whenever `current` becomes another: who asks often may keep what it was. Thread-safe; a load.
  std::uint64_t changes() const { return changes_.load(std::memory_order_acquire); }

  /// A statement that may change a catalog is about to be sent, or has ended. From now on what is known is out of date,
  /// also what is being read. Thread-safe.
  ///
  /// It must be called after its transaction has ended, too: until then others see the old, and so does a reading.
  void ddl_passed();
  /// The same, and nothing is known until the last copy of what it answers is gone, which counts as `ddl_passed`. For a
  /// transaction with DDL in it, which nobody else sees before its end. Thread-safe.
  [[nodiscard]] std::shared_ptr<const void> hold();

  /// Whether what is known, and was, is what the catalogs hold at a moment after the call. What isn't is forgotten by
  /// then, and `changed` or `written` was called; what is read from then on is of later moments. False: the server
  /// can't be asked. Takes a poll, of some milliseconds or, of a database with thousands of tables, some hundred. On
  /// `io`'s thread.
  boost::asio::awaitable<bool> confirm();

  /// Nothing is known, read or polled from then on until `resume`; what is under way is waited for, and forgotten.
  /// Thread-safe, as is `resume`.
  void pause();
  void resume();
  /// Ends reading and polling; nothing is known from then on. A query that is under way is still waited for, and then
  /// forgotten. Thread-safe.
  void stop();

 private:
  struct Job;
  struct Doubt;

  Catalog(boost::asio::io_context& io, boost::asio::any_io_executor workers, Query query, std::function<void()> changed,
          OnWritten written, std::string name, Pace pace, std::function<bool()> out_of_reach, OnRead read);

  boost::asio::awaitable<void> run();
  /// Answers how long to wait until the next.
  boost::asio::awaitable<std::chrono::milliseconds> step();
  boost::asio::awaitable<Result<>> read(std::uint64_t doubts);
  boost::asio::awaitable<Result<>> poll();
  boost::asio::awaitable<Result<>> check();
  boost::asio::awaitable<bool> rest(TimePoint until, bool up_to_ddl);
  boost::asio::awaitable<void> answer();
  boost::asio::awaitable<Result<Reading>> read_once();

  void tell_written(std::vector<Written> written);
  bool remember_configured(const std::string& configured);
  void rest_after(std::chrono::milliseconds poll);
  void publish();
  void forget();
  void set_current(std::shared_ptr<const Snapshot> snapshot);
  void expire_later();

  boost::asio::io_context& io_;
  const boost::asio::any_io_executor workers_;
  const Query query_;
  const std::function<void()> changed_;
  const OnWritten written_;
  const std::string name_;
  const Pace pace_;
  const std::function<bool()> out_of_reach_;  ///< never empty
  const OnRead on_read_;                      ///< may be empty

  Published<Snapshot> current_;
  std::atomic<std::uint64_t> changes_ = 0;
  std::atomic<bool> stopped_ = false;
  std::atomic<bool> paused_ = false;

  std::mutex mutex_;          ///< whoever changes `current_` holds it
  std::uint64_t doubts_ = 0;  ///< how often DDL has passed
  std::size_t holds_ = 0;

  // Of io's thread.
  net::Signal wake_;
  bool read_soon_ = false;                     ///< DDL was noticed since the last pause
  std::vector<std::shared_ptr<Doubt>> asked_;  ///< that wait for an answer
  boost::asio::steady_timer expiry_;
  std::shared_ptr<const Snapshot> known_;  ///< as last read; null: to be read
  std::shared_ptr<const Snapshot> last_;   ///< as last read, also if it isn't known any more
  std::uint64_t known_at_ = 0;             ///< doubts_ when that reading began
  bool whole_ = false;                     ///< with the definitions of views
  Seen seen_;
  std::unordered_set<std::string> configured_;  ///< each connection has its own time of the same loading
  std::chrono::milliseconds interval_, retry_;
  TimePoint next_reading_;  ///< not before, however much DDL passes
  int failures_ = 0;        ///< one after another
};

}  // namespace millrace::catalog
