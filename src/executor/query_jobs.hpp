#pragma once

#include <expected>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "executor/query_job.hpp"

namespace millrace::executor {

/// The jobs that are under way, and those that have ended and whose results are still kept: so many, so many bytes, for
/// so long, and until the process ends, unless a Keeper keeps them. Thread-safe.
///
/// So many run at a time. The others wait, and next is one of the highest priority; of those, one whose user and
/// project have the fewest that run; of those, the first.
class QueryJobs {
 public:
  struct Limits {
    std::size_t most = 1000;                                    ///< jobs
    std::size_t most_bytes = std::size_t{256} << 20;            ///< of all their texts and results
    std::size_t most_result_bytes = std::size_t{64} << 20;      ///< of one result
    std::chrono::nanoseconds kept_for = std::chrono::hours(1);  ///< after its end
    /// The same, for those that ended first while half of the jobs or bytes that there may be are there.
    std::chrono::nanoseconds kept_for_at_least = std::chrono::minutes(1);
  };
  /// Begins to run a job, and returns at once; it must come to its end (`QueryJob::end`), while this is there.
  using Runner = std::function<void(std::shared_ptr<QueryJob>)>;

  QueryJobs(Limits limits, Runner runner);

  /// Who keeps them over a restart. `changed`: something of some job has changed; `remind`: some time has passed; on
  /// any thread, and neither may call back. `server`: that jobs go to at present.
  struct Keeper {
    std::function<void()> changed, remind;
    std::function<std::string()> server;
  };
  /// Before the first job. What is under way at `stop` is then left, not cancelled.
  void use(Keeper keeper) { keeper_ = std::move(keeper); }

  /// One of before a restart, which isn't among the others until `adopt`; the newest first. Null: there is no room.
  std::shared_ptr<QueryJob> restore(std::string id, JobRequest request, QueryJob::View past);
  /// What isn't `held` waits to be begun if it hasn't ended; what is held, until it is released. False: as many are
  /// kept as may, or the process ends.
  bool adopt(const std::shared_ptr<QueryJob>& job, bool held);
  void release(const QueryJob& job);
  /// Ends one that waits to be begun.
  void refuse(const QueryJob& job, Error why, std::int64_t now);

  /// How many run at a time; as many as there are until this is said.
  void set_most_at_once(std::size_t most);

  enum class Refused : std::uint8_t {
    too_many,  ///< as many are kept as may
    no_room,   ///< as many bytes are
    stopping,  ///< the process ends
  };
  struct Refusal {
    Refused why;
    std::chrono::seconds retry_after;  ///< when there may be room: a guess
  };
  std::expected<std::shared_ptr<QueryJob>, Refusal> schedule(JobRequest request, std::int64_t now);

  /// Null: there is none by this id (any more).
  std::shared_ptr<QueryJob> find(std::string_view id, std::int64_t now);
  /// The newest first.
  std::vector<std::shared_ptr<QueryJob>> list(std::int64_t now);
  /// Of one that waits to be begun: how many would be before it, and 1, by priority and time. Null: it doesn't wait.
  std::optional<std::size_t> position(const QueryJob& job) const;
  /// Cancels one that is under way; one that has ended is kept no longer.
  void remove(const QueryJob& job, std::int64_t now);

  /// Once in a while: what has been kept for long enough goes, and what has waited for all of its time ends.
  void tick(std::int64_t now);
  void remind_keeper() const {
    if (keeper_.remind) keeper_.remind();
  }
  /// No more are taken, and what is under way is cancelled, or left to the keeper.
  void stop(std::int64_t now);
  std::size_t under_way() const;
  const Limits& limits() const { return limits_; }
  std::string server() const { return keeper_.server ? keeper_.server() : ""; }
  /// Whether it is an id of this process's.
  bool is_own(std::string_view id) const { return id.starts_with(prefix_); }

 private:
  using Number = std::int64_t;
  using Jobs = std::map<Number, std::shared_ptr<QueryJob>>;

  std::shared_ptr<QueryJob> make(Number number, std::string id, JobRequest request, std::int64_t now);
  std::optional<Number> number_of(std::string_view id) const;
  std::chrono::seconds until_next_goes(std::int64_t now) const;
  std::shared_ptr<QueryJob> take_first_of_many(std::int64_t now);
  void begin_some();
  std::shared_ptr<QueryJob> take_next();
  void changed(Number number);
  void tell_keeper() const {
    if (keeper_.changed) keeper_.changed();
  }

  const Limits limits_;
  const Runner runner_;
  Keeper keeper_;
  const std::string prefix_;  ///< of the ids: of this process alone
  const std::shared_ptr<ByteBudget> budget_;

  mutable std::mutex mutex_;  ///< of what follows
  Jobs jobs_;                 ///< by their numbers, which are their ids' ends; of those before a restart, 0 and less
  Jobs waiting_, running_;    ///< of these
  std::size_t most_at_once_ = std::numeric_limits<std::size_t>::max();
  std::set<Number> held_;  ///< of those that wait
  Number last_number_ = 0, first_number_ = 1;
  bool stopping_ = false;
};

}  // namespace millrace::executor
