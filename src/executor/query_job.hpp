#pragma once

#include <boost/describe/enum.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "executor/kept_rows.hpp"
#include "executor/priority.hpp"
#include "executor/waiting_query.hpp"

namespace millrace::executor {

/// The spec's states of an execution.
enum class QueryStatus : std::uint8_t { queued, running, completed, failed, cancelled, timeout };
BOOST_DESCRIBE_ENUM(QueryStatus, queued, running, completed, failed, cancelled, timeout)

inline bool has_ended(QueryStatus status) { return status != QueryStatus::queued && status != QueryStatus::running; }

/// What somebody wants to have run.
struct JobRequest {
  std::string query_id = {};  ///< the caller's name for it; "": none
  std::string sql = {};
  std::vector<std::optional<std::string>> parameters = {};  ///< as text; nullopt: NULL
  std::string user_id = {}, project_id = {};                ///< "": nobody is named
  Priority priority = Priority::normal;
  std::chrono::milliseconds timeout{0};  ///< from when it is scheduled to its last row; 0: none
  std::size_t memory_limit_mb = 0;       ///< of PostgreSQL's process; 0: none of its own
};

/// Why one of before a restart has failed.
Error restarted(std::string_view why, std::string hint = {});
/// It was to run on another server, in another database, or as somebody else.
Error went_elsewhere();

/// A query that runs while nobody waits for it, and its result. Thread-safe, but for what is said otherwise.
class QueryJob {
 public:
  using Wall = std::chrono::system_clock::time_point;
  struct Column {
    std::string name;
    std::uint32_t type_oid = 0;
    std::int32_t type_modifier = -1;  ///< as in RowDescription
  };
  using Columns = std::vector<Column>;

  /// `number`, `id`: unique. `charged`: so much of the budget was taken for the request; it is given back with this.
  /// `most_bytes`: of the result. `on_change`: is called by who begins to run it, and by who ends it. `now`: of the
  /// monotonic clock, in ns; so are all times here that aren't Wall.
  QueryJob(std::int64_t number, std::string id, JobRequest request, std::shared_ptr<ByteBudget> budget,
           std::size_t charged, std::size_t most_bytes, std::function<void()> on_change, std::int64_t now);
  QueryJob(const QueryJob&) = delete;
  QueryJob& operator=(const QueryJob&) = delete;
  ~QueryJob() { budget_->give(charged_); }

  std::int64_t number() const { return number_; }
  const std::string& id() const { return id_; }
  const JobRequest& request() const { return request_; }
  /// What of its timeout is left; null: it has none.
  std::optional<std::chrono::nanoseconds> time_left(std::int64_t now) const;

  // Of who runs it, who is on one thread; `end` also of who has it not run at all.

  /// How it is cancelled: `cancel` is called once, on any thread, if that is wanted, also at once.
  void on_cancel(std::function<void()> cancel);
  /// It waits for its turn; or, null, no longer.
  void waits(std::shared_ptr<const WaitingQuery> turn);
  /// On this server, as this user, from now on: a text that is another for another.
  void goes_to(std::string server);
  /// The server has been asked. `predicted`: how long such ones take, in ns; 0: nobody knows.
  void runs(std::int64_t predicted, std::int64_t now);
  void has_columns(Columns columns);
  /// False: there is no room, and the job is to end with `why_no_room`.
  bool add(std::span<const KeptRows::Value> row);
  Error why_no_room() const;
  /// Its end: the command's tag, or why it failed, as far as that is short enough to be kept. Of one that hasn't
  /// completed no rows are kept.
  void end(Result<std::string> tag, std::int64_t now);

  /// Whatever its state.
  void cancel();
  /// The process ends, and the job goes on as one that was interrupted: it is stopped, and stays what it is now, unless
  /// it completes or was cancelled.
  void leave();

  /// When it ended; 0: it hasn't.
  std::int64_t ended_at() const { return ended_at_.load(std::memory_order::acquire); }

  struct View {
    QueryStatus status = QueryStatus::queued;
    std::shared_ptr<const WaitingQuery> turn = {};  ///< null: it doesn't wait for its turn
    Wall created = {};
    std::optional<Wall> started = {}, completed = {};
    std::int64_t created_at = 0, started_at = 0, ended_at = 0;  ///< 0: not yet
    std::int64_t predicted = 0;
    std::optional<std::string> tag = {};
    std::optional<Error> error = {};
    std::shared_ptr<const Columns> columns = {};  ///< null: there are none (yet)
    std::shared_ptr<const KeptRows> rows = {};    ///< to be read if it has completed; they live as long as this
    std::string server = {};                      ///< where it is to run, or ran last, and as whom
    std::uint32_t runs = 0;                       ///< how often it was begun
    bool is_restored = false;                     ///< it is of before a restart
    bool cancel_asked = false;
  };
  View view() const;
  /// Before anybody else has it: it is as it was before a restart. Of one that has completed, `rows` are added yet.
  void restore(View past);
  KeptRows& restored_rows() { return *rows_; }

 private:
  std::shared_ptr<KeptRows> end_here(Result<std::string> tag, std::int64_t now);

  const std::int64_t number_;
  const std::string id_;
  const JobRequest request_;
  const std::shared_ptr<ByteBudget> budget_;
  const std::int64_t created_at_;
  const std::function<void()> on_change_;
  std::atomic<std::int64_t> ended_at_ = 0;

  mutable std::mutex mutex_;  ///< of what follows; the rows' counts need none
  std::size_t charged_;
  View view_;
  std::shared_ptr<KeptRows> rows_;
  bool is_too_large_ = false;
  bool was_left_ = false;
  std::function<void()> cancel_;
};

}  // namespace millrace::executor
