#pragma once

#include <expected>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "executor/query_job.hpp"

namespace millrace::executor {

/// The jobs that are under way, and those that have ended and whose results are still kept: so many, so many bytes, for
/// so long, and until the process ends. Thread-safe.
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
  /// No more are taken, and what is under way is cancelled.
  void stop(std::int64_t now);
  std::size_t under_way() const;
  const Limits& limits() const { return limits_; }

 private:
  using Jobs = std::map<std::uint64_t, std::shared_ptr<QueryJob>>;

  std::optional<std::uint64_t> number_of(std::string_view id) const;
  std::chrono::seconds until_next_goes(std::int64_t now) const;
  std::shared_ptr<QueryJob> take_first_of_many(std::int64_t now);
  void begin_some();
  std::shared_ptr<QueryJob> take_next();
  void ended(std::uint64_t number);

  const Limits limits_;
  const Runner runner_;
  const std::string prefix_;  ///< of the ids: of this process alone
  const std::shared_ptr<ByteBudget> budget_;

  mutable std::mutex mutex_;  ///< of what follows
  Jobs jobs_;                 ///< by their numbers, which are their ids' ends
  Jobs waiting_, running_;    ///< of these
  std::size_t most_at_once_ = std::numeric_limits<std::size_t>::max();
  std::uint64_t last_number_ = 0;
  bool stopping_ = false;
};

}  // namespace millrace::executor
