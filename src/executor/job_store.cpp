#include "executor/job_store.hpp"

#include <algorithm>
#include <utility>

#include "base/clock.hpp"
#include "base/log.hpp"

namespace millrace::executor {
namespace {

using backend::DuckDb;

/// Once as usual, and once more.
constexpr std::uint32_t most_runs = 2;
/// What the catalogs haven't said by then isn't known to be a read.
constexpr std::int64_t patience_for_catalogs = 60'000'000'000;

/// DuckDB may have all jobs' texts in memory at once, and has not much memory: longer ones are kept as those that may
/// not be run again.
constexpr std::size_t most_request = std::size_t{16} << 10;
/// In place of how many rows there are.
constexpr std::uint64_t not_kept = std::uint64_t{1} << 62;
constexpr std::size_t most_shown = std::size_t{4} << 10;

bool is_ours(const Error& error) { return error.message.starts_with(restarted("").message); }

/// As said at `most_request`.
bool is_short(const JobRequest& request) {
  std::size_t bytes = request.sql.size();
  for (const auto& value : request.parameters) bytes += sizeof value + (value ? value->size() : 0);
  return bytes <= most_request;
}

/// Texts and parameters may be large: what isn't kept isn't copied.
JobRequest kept_request(const JobRequest& asked, bool may_run_again) {
  if (may_run_again) return asked;
  return {.query_id = asked.query_id,
          .user_id = asked.user_id,
          .project_id = asked.project_id,
          .priority = asked.priority,
          .timeout = asked.timeout,
          .memory_limit_mb = asked.memory_limit_mb};
}

/// Null: it may be run.
std::optional<Error> why_not_again(const JobRecord& record, const std::string& server) {
  const bool was_begun = record.view.status == QueryStatus::running;
  if (!record.may_run_again) {
    if (!was_begun) {
      return restarted("Millrace ended while the statement waited, which isn't known to be a read",
                       "After a crash it isn't certain that it wasn't begun just then.");
    }
    return restarted("Millrace ended while the statement ran, which isn't known to be a read",
                     "What it was to change may have been changed or not.");
  }
  if (record.view.server != server) return went_elsewhere();
  if (was_begun && record.view.runs >= most_runs) {
    return restarted("Millrace ended while the statement ran or was about to, twice");
  }
  return std::nullopt;
}

QueryStatus status_of(const QueryJob::View& view) {
  return view.cancel_asked && !has_ended(view.status) ? QueryStatus::cancelled : view.status;
}

}  // namespace

JobStore::JobStore(std::shared_ptr<QueryJobs> jobs, Hooks hooks) : jobs_(std::move(jobs)), hooks_(std::move(hooks)) {}

Result<std::optional<std::string>> JobStore::forget(DuckDb& database) {
  bool is_there = false;
  const auto take = [&](const backend::DuckDbRows&) -> Result<> {
    is_there = true;
    return {};
  };
  auto done = database.each("SELECT 1 FROM duckdb_tables() WHERE table_name = 'jobs'", take);
  if (done && is_there) done = database.run("DELETE FROM jobs; DELETE FROM job_results");
  if (!done) return std::unexpected(std::move(done).error());
  if (!is_there) return std::nullopt;
  return "DROP TABLE jobs; DROP TABLE job_results";
}

Result<std::optional<std::string>> JobStore::prepare(DuckDb& database) {
  known_.clear();
  restored_.clear();
  auto done = make_job_tables(database);
  if (done) done = restore_all(database);
  if (!done) return std::unexpected(std::move(done).error());
  changed();  // once this is committed
  return std::nullopt;
}

bool JobStore::is_too_old(const QueryJob::View& view) const {
  if (!has_ended(view.status) || !view.completed) return false;
  return std::chrono::system_clock::now() - *view.completed >= jobs_->limits().kept_for;
}

Result<> JobStore::restore_all(DuckDb& database) {
  auto records = read_jobs(database, now_ns());
  if (!records) return std::unexpected(std::move(records).error());
  const std::size_t present = jobs_->list(now_ns()).size();
  const std::size_t room = jobs_->limits().most - std::min(jobs_->limits().most, present);
  std::vector<std::string> gone;
  std::erase_if(*records, [&](const JobRecord& record) {
    const bool is_present = jobs_->find(record.id, now_ns()) != nullptr;
    // What isn't there any more was removed by this process.
    const bool is_removed = jobs_->is_own(record.id) || adopted_.contains(record.id) || is_too_old(record.view);
    if (!is_present && is_removed) gone.push_back(record.id);
    return is_present || is_removed;
  });
  for (std::size_t at = room; at < records->size(); ++at) gone.push_back((*records)[at].id);
  records->resize(std::min(room, records->size()));
  if (auto deleted = delete_jobs(database, gone); !deleted) return deleted;
  if (auto deleted =
          database.run("DELETE FROM job_results WHERE job NOT IN (SELECT id FROM jobs WHERE status = 'completed')");
      !deleted) {
    return deleted;
  }
  Results results;
  std::size_t bytes = 0;
  for (const auto& record : *records) {
    if (record.view.status == QueryStatus::completed) results[record.id];
  }
  auto read = read_results(database, [&](std::string_view id, JobPiece piece) {
    const auto wanted = results.find(id);
    if (wanted == results.end()) return;
    bytes += piece.bytes.size();
    if (bytes <= jobs_->limits().most_bytes) wanted->second.push_back(std::move(piece));
  });
  for (auto& record : *records) {
    if (read) read = restore(database, std::move(record), results);
  }
  return read;
}

Result<> JobStore::restore(DuckDb& database, JobRecord record, Results& results) {
  Restored restored;
  restored.known.may_run_again = record.may_run_again;
  auto& view = record.view;
  const auto fails = [&](Error why) {
    view.status = QueryStatus::failed;
    view.error = std::move(why);
    if (view.completed) return;
    view.completed = std::chrono::system_clock::now();
    view.ended_at = now_ns();
  };
  if (!has_ended(view.status)) {
    if (auto why = why_not_again(record, jobs_->server())) {
      fails(*std::move(why));
    } else {
      restored.is_held = view.status == QueryStatus::running || view.runs > 0;
      // Whatever becomes of this process, it was begun.
      restored.known.written = Written{QueryStatus::running, view.runs + 1, true};
      auto noted =
          database.run_with("UPDATE jobs SET status = 'running', runs = ? WHERE id = ?", view.runs + 1, record.id);
      if (!noted) return noted;
      view.status = QueryStatus::queued;
      view.started.reset();
      view.started_at = 0;
    }
  } else {
    restored.known.written = Written{view.status, view.runs, record.may_run_again};
  }
  auto& pieces = results[record.id];
  view.columns = columns_of(pieces);
  const auto make = [&] { return jobs_->restore(record.id, record.request, view); };
  restored.job = make();
  if (restored.job && view.status == QueryStatus::completed) {
    auto& rows = restored.job->restored_rows();
    add_rows(rows, pieces);
    if (rows.rows() != record.row_count) {
      fails(restarted(record.row_count == not_kept
                          ? "the statement was completed; its result isn't kept, as it may hold a password"
                          : "the statement was completed, but there is no room for its result"));
      restored.known.written.reset();
      restored.job = nullptr;
      restored.job = make();
    }
  }
  if (restored.job) {
    restored_.push_back(std::move(restored));
  } else {
    log::warn("a job of before the restart isn't kept: there is no room", {{"id", record.id}});
    known_[record.id] = {};  // and goes
  }
  return {};
}

/// Before this, what was noted of them is committed.
void JobStore::adopt_restored() {
  std::size_t ended = 0, waiting = 0, held = 0;
  std::erase_if(restored_, [&](Restored& restored) {
    const auto& job = restored.job;
    if (!jobs_->adopt(job, restored.is_held)) return false;
    known_[job->id()] = restored.known;
    adopted_.insert(job->id());
    if (restored.is_held) held_.push_back(job);
    ++(restored.is_held ? held : job->ended_at() == 0 ? waiting : ended);
    return true;
  });
  if (held > 0) held_since_ = now_ns();
  if (ended + waiting + held > 0) {
    log::info("there are jobs of before the restart", {{"ended", ended}, {"to_run", waiting}, {"to_run_again", held}});
  }
  if (restored_.empty()) has_read_ = true;
}

void JobStore::look_at_held(std::int64_t now) {
  std::erase_if(held_, [&](const std::shared_ptr<QueryJob>& job) {
    if (job->ended_at() != 0) return true;
    const auto may = hooks_.may_run_again(job->request().sql);
    if (!may && now - held_since_ < patience_for_catalogs) return false;
    if (may.value_or(false)) {
      jobs_->release(*job);
    } else {
      jobs_->refuse(*job, restarted("Millrace ended while the statement ran, which isn't known to be a read any more"),
                    now);
    }
    return true;
  });
}

Result<> JobStore::write(DuckDb& database, bool is_last) {
  adopt_restored();
  look_at_held(now_ns());
  waits_ = !held_.empty();
  auto all = jobs_->list(now_ns());
  for (const auto& restored : restored_) {  // as the process ends
    all.push_back(restored.job);
    known_[restored.job->id()] = restored.known;
  }
  std::set<std::string_view> ids;
  for (const auto& job : all) ids.insert(job->id());
  // First what makes room, and what can't be written is in nobody's way.
  Result<> done;
  const auto note = [&done](Result<> one) {
    if (done && !one) done = std::move(one);
  };
  note(delete_gone(database, ids));
  for (const auto& job : all) note(write_one(database, *job, known_[job->id()], is_last));
  return done;
}

Result<> JobStore::delete_gone(DuckDb& database, const std::set<std::string_view>& ids) {
  std::vector<std::string> gone;
  for (const auto& [id, known] : known_) {
    if (!ids.contains(id)) gone.push_back(id);
  }
  if (gone.empty()) return {};
  auto deleted = database.in_transaction([&] { return delete_jobs(database, gone); });
  if (deleted) std::erase_if(known_, [&](const auto& entry) { return !ids.contains(entry.first); });
  return deleted;
}

Result<> JobStore::write_one(DuckDb& database, const QueryJob& job, Known& known, bool is_last) {
  const auto& asked = job.request();
  auto view = job.view();
  view.status = status_of(view);
  const bool is_over = has_ended(view.status);  // then the catalogs aren't waited for
  const bool is_news = !is_over || !known.written || known.written->status != view.status;
  if (!known.may_run_again && is_news && !is_last) {
    known.may_run_again = is_short(asked) ? hooks_.may_run_again(asked.sql) : false;
    if (!known.may_run_again && !is_over) waits_ = true;
  }
  // Of before the restart, it counts as begun until it is known better: at the end, or by its own end.
  if (view.is_restored && view.status == QueryStatus::queued && !is_last) {
    view.status = QueryStatus::running;
    ++view.runs;
  }
  const Written written{view.status, view.runs, known.may_run_again.value_or(false)};
  if (known.written == written) return {};
  JobRecord record{.id = job.id(), .request = kept_request(asked, written.may_run_again), .view = std::move(view)};
  record.may_run_again = written.may_run_again;
  auto& kept = record.view;
  bool keeps_result = true;
  if (!record.may_run_again) {
    auto shown = hooks_.without_constants(asked.sql);
    record.request.sql = std::move(shown.text).substr(0, most_shown);
    keeps_result = shown.keeps_error;
    if (kept.error && !shown.keeps_error && !is_ours(*kept.error)) {
      kept.error = Error{.message = "(not kept)", .sqlstate = kept.error->sqlstate};
    }
  }
  if (kept.status == QueryStatus::cancelled && !kept.completed) {
    kept.completed = std::chrono::system_clock::now();
    kept.error = Error{.message = "the statement was cancelled",
                       .sqlstate = "57014",
                       .hint = "Millrace ended before PostgreSQL had answered: it may have been done."};
  }
  if (kept.status == QueryStatus::completed && kept.rows) {
    record.row_count = kept.rows->rows();
    keeps_result |= kept.columns == nullptr;
    if (!keeps_result) record.row_count = not_kept;
    if (auto done = keeps_result ? write_result(database, record.id, kept) : Result<>(); !done) return done;
  }
  if (auto done = write_job(database, record); !done) return done;
  known.written = written;
  return {};
}

}  // namespace millrace::executor
