#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "executor/job_record.hpp"
#include "executor/query_jobs.hpp"

namespace millrace::executor {

/// Keeps jobs in the embedded store, so that they outlive the process: what is there is what `QueryJobs` has, so the
/// same limits hold. Nothing waits for it: what has happened since it last wrote is lost with the process.
///
/// After a restart what had ended is as it was. Of what hadn't, reads that are known to change nothing are run: what
/// was begun is run again, once, if the catalogs still say so; all else has failed, "restarted". That it may be run
/// again is on the disk before it is. Only of such reads are the texts and parameters kept, of others the texts without
/// constants.
///
/// `prepare` and `write` are for the store's thread; the rest is thread-safe.
class JobStore {
 public:
  struct Shown {
    std::string text;
    bool keeps_error = false;
  };
  struct Hooks {
    /// Whether a statement changes nothing, and may be kept with its constants. Null: that isn't known yet.
    std::function<std::optional<bool>(const std::string& sql)> may_run_again;
    /// How a statement is kept that may not, and whether what the server says of it may be: that may hold constants.
    std::function<Shown(const std::string& sql)> without_constants;
    /// Has `write` called soon.
    std::function<void()> write_soon;
  };
  static constexpr int version = 1;

  JobStore(std::shared_ptr<QueryJobs> jobs, Hooks hooks);

  /// As EmbeddedStore::Part has it.
  Result<std::optional<std::string>> prepare(backend::DuckDb& database);
  Result<> write(backend::DuckDb& database, bool is_last);
  /// Where nothing may be kept: as `prepare`, so that nothing of what was is left in the file.
  static Result<std::optional<std::string>> forget(backend::DuckDb& database);

  void changed() const { hooks_.write_soon(); }
  /// Some time has passed.
  void remind() const {
    if (waits_) hooks_.write_soon();
  }
  /// What is of before the restart is among the jobs.
  bool has_read() const { return has_read_; }

 private:
  /// Of a job, as far as it changes.
  struct Written {
    QueryStatus status = QueryStatus::queued;
    std::uint32_t runs = 0;
    bool may_run_again = false;
    bool operator==(const Written&) const = default;
  };
  struct Known {
    std::optional<Written> written = {};
    std::optional<bool> may_run_again = {};
  };
  struct Restored {
    std::shared_ptr<QueryJob> job = {};
    Known known = {};
    bool is_held = false;  ///< until the catalogs have said that it still may
  };
  using Results = std::map<std::string, std::vector<JobPiece>, std::less<>>;

  Result<> restore_all(backend::DuckDb& database);
  Result<> restore(backend::DuckDb& database, JobRecord record, Results& results);
  Result<> write_one(backend::DuckDb& database, const QueryJob& job, Known& known, bool is_last);
  Result<> delete_gone(backend::DuckDb& database, const std::set<std::string_view>& ids);
  void adopt_restored();
  void look_at_held(std::int64_t now);
  bool is_too_old(const QueryJob::View& view) const;

  const std::shared_ptr<QueryJobs> jobs_;
  const Hooks hooks_;
  std::atomic<bool> waits_ = false;  ///< for the catalogs
  std::atomic<bool> has_read_ = false;

  // The store's thread's.
  std::map<std::string, Known, std::less<>> known_;
  std::vector<Restored> restored_;               ///< that aren't among the jobs yet
  std::vector<std::shared_ptr<QueryJob>> held_;  ///< that are
  std::int64_t held_since_ = 0;
  std::set<std::string, std::less<>> adopted_;  ///< ids
};

}  // namespace millrace::executor
