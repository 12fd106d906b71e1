#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/pool.hpp"
#include "base/result.hpp"
#include "gateway/core.hpp"
#include "pgwire/protocol/encode.hpp"

/// QueryRunner: how REST, jobs and whoever else isn't a client of the wire port have a statement run. It goes the same
/// way as a client's in transaction mode, through a Relay and a ServerLink: the same pool and queue, the same
/// decisions, one QueryRecord; and nothing of it is left on the server connection.
namespace millrace::gateway {

struct RunRequest {
  /// Whose pool, which must have been given a credential that the server takes (`Pool::set_credential`). That the
  /// caller may act for this user is the caller's to know.
  std::string user = {}, database = {};
  /// For the records and pg_stat_activity. What isn't printable ASCII becomes '?', as with the server.
  std::string application = {};
  /// One statement, in UTF-8. COPY and what controls transactions are refused (0A000): each run is a transaction of its
  /// own, so a BEGIN could only mislead. What a statement sets in its session is undone after it.
  std::string sql = {};
  /// As text, in UTF-8; nullopt: NULL. The server finds their types from the statement.
  std::vector<std::optional<std::string>> parameters = {};
  /// From the call to the last row, waits included; then the statement is cancelled on the server, and has failed with
  /// 57014. Zero: no limit.
  std::chrono::milliseconds timeout{0};
  /// Of the server's process, where that is on this machine; the statement is cancelled, and has failed with 53200.
  /// MEMORY_LIMIT_PER_QUERY_MB, if that is less. 0: no limit of its own.
  std::size_t memory_limit_mb = 0;
  /// `millrace.priority` and the like (`SessionWishes`); a comment in the text wins. Null: nothing is said.
  std::shared_ptr<const backend::ParameterList> wishes = {};
  /// For its turn, at most, within the timeout. Null: POOL_WAIT_TIMEOUT_SECONDS, where 0 is for ever.
  std::optional<std::chrono::milliseconds> wait_for_turn = {};
  /// On the core's thread: it has begun to wait for its turn. What is given knows whether it still does.
  std::function<void(std::shared_ptr<const executor::WaitingQuery>)> on_wait = {};
  /// On the core's thread, once: the server is asked. What is given is how long such statements take, in ns; 0: nobody
  /// knows.
  std::function<void(std::int64_t)> on_begin = {};
  /// Not null: its `give_up`, on the core's thread, ends the run in the same way.
  std::shared_ptr<backend::Pool::Patience> patience = {};
};

/// Gets what a statement answers. Called on the core's thread, from within `run_query`.
class RowSink {
 public:
  virtual ~RowSink() = default;
  /// Once, before the rows; not for a statement that has none to answer.
  virtual void on_columns(std::span<const pgwire::FieldDescription> columns) = 0;
  /// Values are text, valid until it returns. False: no more are wanted, and the statement is cancelled: what it has
  /// written is undone, unless it was done already.
  virtual bool on_row(std::span<const pgwire::Value> row) = 0;
  /// After the rows that have come together (of 64 KiB, or one that is larger): returns when it can take more. As long
  /// as it doesn't, the server isn't read, but for one more such read.
  virtual asio::awaitable<void> ready() { co_return; }
};

struct RunOutcome {
  std::string tag = {};    ///< CommandComplete's, such as "INSERT 0 5"; "": an empty statement, or `stopped`
  std::uint64_t rows = 0;  ///< by the tag; if there is no number in it, or `stopped`: how many the sink was given
  bool stopped = false;    ///< the sink wanted no more
};

/// Runs a statement; on the core's thread. Errors are the server's in its own words (all of the Error is then text that
/// may hold users' data); or 53300, 57014, 08006, 0A000, as a wire client would hear. Rows may have come before one.
/// If the coroutine is destroyed, the statement is cancelled. `core` outlives all runs; `sink` this one.
asio::awaitable<Result<RunOutcome>> run_query(Core& core, RunRequest request, RowSink& sink);

}  // namespace millrace::gateway
