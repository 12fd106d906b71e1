#include "http/jobs_api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "http/job_result.hpp"
#include "http/jobs_types.hpp"
#include "http/parquet_result.hpp"
#include "http/worker.hpp"

namespace millrace::http {
namespace {

using executor::JobRequest;
using executor::QueryJob;
using executor::QueryJobs;
using Problems = std::vector<ValidationProblem>;

constexpr std::string_view path = "/api/v1/execution/queries";
constexpr double ns_a_ms = 1e6;
constexpr double longest_seconds = 7 * 24 * 3600;
constexpr std::uint64_t most_memory_mb = 1048576;
constexpr std::size_t shown_bytes = 500;  // of a query's text
constexpr std::size_t name_bytes = 128;
constexpr std::size_t most_parameters = 65535;
constexpr std::uint32_t usual_listed = 100, most_listed = 1000;
constexpr std::uint64_t usual_page = 1000, most_page = 100'000;
/// Who asks in this time for what isn't known is told to ask again, after it that it isn't there.
constexpr std::int64_t longest_reading = 30'000'000'000;
constexpr std::size_t most_deletions = 16;
constexpr std::size_t most_files = 4;
constexpr auto patience_for_disk = std::chrono::seconds(2);

struct Jobs {
  std::shared_ptr<QueryJobs> jobs;
  std::shared_ptr<executor::AdaptiveQueryExecutor> executor;
  std::function<std::chrono::seconds()> query_timeout;
  KeptJobs kept;
  std::int64_t began = now_ns();
  mutable Worker worker{most_deletions};  // waits for the disk
  mutable Worker worker_of_files{most_files};
  mutable ParquetFiles files;
};
using Shared = std::shared_ptr<const Jobs>;

Response no_jobs() { return problem(503, "there are no jobs here"); }
Response unknown(const Jobs& jobs) {
  using enum backend::EmbeddedStore::State;
  if (!jobs.kept.jobs || jobs.kept.jobs->has_read()) {
    return problem(404, "there is no such execution, or it is no longer kept");
  }
  const auto state = jobs.kept.store->status().state;
  if ((state == opening || state == open) && now_ns() - jobs.began < longest_reading) {
    return problem(503, "the jobs of before the restart are still being read", {{"Retry-After", "1"}});
  }
  return problem(404, "there is no such execution; those of before the restart can't be read at present");
}

void warn_if_not_kept(const Jobs& jobs, std::vector<std::string>& warnings) {
  if (!jobs.kept.store || jobs.kept.store->status().state == backend::EmbeddedStore::State::open) return;
  warnings.emplace_back("the store isn't available, as the status says: at present a restart would lose this");
}

/// UTF-8 isn't cut within a character.
std::string beginning(std::string_view text) {
  if (text.size() <= shown_bytes) return std::string(text);
  std::size_t end = shown_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;
  return std::string(text.substr(0, end));
}

std::optional<std::string> said(const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); }

double ms(std::int64_t ns) { return static_cast<double>(ns) / ns_a_ms; }

/// By how long such statements take; it can't know how long this one does.
void add_progress(QueryExecution& execution, const QueryJob::View& view, std::int64_t now) {
  constexpr double all = 100, nearly_all = 99;
  if (view.status == QueryStatus::queued) execution.progress_percent = 0;
  if (view.status == QueryStatus::completed) {
    execution.progress_percent = all;
    execution.estimated_remaining_ms = 0;
  }
  if (view.status != QueryStatus::running || view.predicted <= 0) return;
  const std::int64_t took = now - view.started_at;
  execution.progress_percent =
      std::min(nearly_all, all * static_cast<double>(took) / static_cast<double>(view.predicted));
  execution.estimated_remaining_ms = ms(std::max<std::int64_t>(0, view.predicted - took));
}

enum class Columns : bool { no, yes };

QueryExecution execution_of(const Jobs& jobs, const QueryJob& job, Columns columns = Columns::yes) {
  const auto& asked = job.request();
  const auto view = job.view();
  const std::int64_t now = now_ns();
  QueryExecution execution;
  execution.execution_id = job.id();
  execution.query_id = said(asked.query_id);
  execution.query = beginning(asked.sql);
  execution.user_id = said(asked.user_id);
  execution.project_id = said(asked.project_id);
  execution.priority = executor::name(asked.priority);
  if (asked.timeout.count() > 0) execution.timeout_seconds = std::chrono::duration<double>(asked.timeout).count();
  execution.status = view.status;
  execution.queue_position =
      view.turn && jobs.executor ? jobs.executor->position(*view.turn) : jobs.jobs->position(job);
  add_progress(execution, view, now);
  execution.created_at = view.created;
  execution.started_at = view.started;
  execution.completed_at = view.completed;
  if (view.completed) {
    execution.expires_at =
        *view.completed + std::chrono::duration_cast<QueryJob::Wall::duration>(jobs.jobs->limits().kept_for);
  }
  const std::int64_t end = view.ended_at != 0 ? view.ended_at : now;
  execution.queue_wait_ms = ms((view.started_at != 0 ? view.started_at : end) - view.created_at);
  if (view.started_at != 0) execution.duration_ms = ms(end - view.started_at);
  if (view.rows) {
    execution.row_count = view.rows->rows();
    execution.result_bytes = view.rows->bytes();
  }
  execution.command_tag = view.tag;
  if (view.columns && columns == Columns::yes) execution.columns = columns_of(*view.columns);
  if (view.error) {
    execution.error = ExecutionError{.message = view.error->message,
                                     .sqlstate = said(view.error->sqlstate),
                                     .detail = said(view.error->detail),
                                     .hint = said(view.error->hint)};
  }
  execution.retry_count = view.runs > 1 ? view.runs - 1 : 0;
  execution.restored = view.is_restored;
  if (columns == Columns::yes) warn_if_not_kept(jobs, execution.warnings);
  return execution;
}

void check_name(std::string field, const std::optional<std::string>& name, Problems& problems) {
  if (!name || (!name->empty() && name->size() <= name_bytes && !name->contains('\0'))) return;
  problems.push_back({{"body", std::move(field)}, "must have 1 to 128 bytes, and no NUL", "value_error"});
}

std::string text_of(std::string_view json) {
  if (!json.starts_with('"')) return std::string(json);
  const auto parsed = boost::json::parse(json);
  return std::string(std::string_view(parsed.get_string()));
}

/// Numbers go as they were written, so none loses digits.
void read_parameters(const std::optional<RawJson>& given, JobRequest& request, Problems& problems) {
  if (!given) return;
  if (!given->text.starts_with('[')) {
    problems.push_back({{"body", "parameters"}, "must be a list", "list_type"});
    return;
  }
  const auto elements = element_texts(given->text);
  if (elements.size() > most_parameters) {
    problems.push_back({{"body", "parameters"}, "must be 65535 at most", "too_long"});
    return;
  }
  for (std::size_t at = 0; at < elements.size(); ++at) {
    auto& value = request.parameters.emplace_back();
    if (elements[at] != "null") value = text_of(elements[at]);
    if (value && value->contains('\0')) {
      problems.push_back({{"body", "parameters", at}, "must have no NUL", "value_error"});
      return;  // there may be very many
    }
  }
}

void read_priority(const std::optional<RawJson>& given, JobRequest& request, Problems& problems) {
  if (!given) return;
  if (const auto priority = executor::parse_priority(text_of(given->text))) {
    request.priority = *priority;
  } else {
    problems.push_back({{"body", "priority"}, "must be low, normal, high, critical or emergency, or 1 to 5", "enum"});
  }
}

std::chrono::milliseconds timeout_of(const Jobs& jobs, const QueryToSchedule& asked) {
  auto timeout = asked.timeout_seconds
                     ? std::chrono::milliseconds(static_cast<std::int64_t>(*asked.timeout_seconds * 1e3))
                     : std::chrono::milliseconds(jobs.query_timeout());
  if (!jobs.executor || (!asked.user_id && !asked.project_id)) return timeout;
  const auto party = jobs.executor->party(asked.user_id.value_or(""), asked.project_id.value_or(""));
  const std::chrono::milliseconds most = std::chrono::seconds(party->most_seconds());
  if (most.count() > 0 && (timeout.count() == 0 || most < timeout)) timeout = most;
  return timeout;
}

JobRequest request_of(const Jobs& jobs, QueryToSchedule asked, Problems& problems) {
  JobRequest request;
  if (asked.sql.find_first_not_of(" \t\r\n") == std::string::npos || asked.sql.contains('\0')) {
    problems.push_back({{"body", "sql"}, "must be a statement, and have no NUL", "value_error"});
  }
  if (asked.database_type.value_or("postgresql") != "postgresql") {
    problems.push_back({{"body", "database_type"}, "only postgresql is in this version", "value_error"});
  }
  check_name("query_id", asked.query_id, problems);
  check_name("user_id", asked.user_id, problems);
  check_name("project_id", asked.project_id, problems);
  if (asked.timeout_seconds && !(*asked.timeout_seconds >= 1e-3 && *asked.timeout_seconds <= longest_seconds)) {
    problems.push_back({{"body", "timeout_seconds"}, "must be from 0.001 to 604800", "value_error"});
  }
  if (asked.memory_limit_mb && (*asked.memory_limit_mb < 1 || *asked.memory_limit_mb > most_memory_mb)) {
    problems.push_back({{"body", "memory_limit_mb"}, "must be from 1 to 1048576", "value_error"});
  }
  read_parameters(asked.parameters, request, problems);
  read_priority(asked.priority, request, problems);
  if (!problems.empty()) return request;
  request.timeout = timeout_of(jobs, asked);
  request.memory_limit_mb = asked.memory_limit_mb.value_or(0);
  request.sql = std::move(asked.sql);
  request.query_id = std::move(asked.query_id).value_or("");
  request.user_id = std::move(asked.user_id).value_or("");
  request.project_id = std::move(asked.project_id).value_or("");
  return request;
}

std::vector<std::string> warnings_of(const QueryToSchedule& asked) {
  std::vector<std::string> warnings;
  if (asked.memory_limit_mb)
    warnings.emplace_back("memory_limit_mb holds if PostgreSQL is on the same machine as Millrace");
  return warnings;
}

Response refused(const QueryJobs::Refusal& refusal) {
  using enum QueryJobs::Refused;
  const Headers headers{{"Retry-After", std::to_string(refusal.retry_after.count())}};
  switch (refusal.why) {
    case too_many:
      return problem(429, "as many jobs are kept as may be: DELETE those that are no longer needed", headers);
    case no_room:
      return problem(503,
                     "jobs and their results take all the memory that they may: DELETE those that are no longer "
                     "needed",
                     headers);
    default:
      return problem(503, "Millrace is stopping", headers);
  }
}

asio::awaitable<Reply<QueryExecution>> schedule(Shared shared, QueryToSchedule asked) {
  if (!shared->jobs) co_return no_jobs();
  Problems problems;
  auto warnings = warnings_of(asked);
  auto request = request_of(*shared, std::move(asked), problems);
  if (!problems.empty()) co_return unprocessable(problems);
  const auto job = shared->jobs->schedule(std::move(request), now_ns());
  if (!job) co_return refused(job.error());
  auto execution = execution_of(*shared, **job);
  std::ranges::move(warnings, std::back_inserter(execution.warnings));
  co_return Reply<QueryExecution>{std::move(execution), {{"Location", fmt::format("{}/{}", path, (*job)->id())}}};
}

asio::awaitable<Reply<QueryExecution>> look(Shared shared, std::string id) {
  if (!shared->jobs) co_return no_jobs();
  shared->files.forget_old();
  const auto job = shared->jobs->find(id, now_ns());
  if (!job) co_return unknown(*shared);
  co_return execution_of(*shared, *job);
}

asio::awaitable<Reply<QueryExecution>> remove(Shared shared, std::string id) {
  if (!shared->jobs) co_return no_jobs();
  const auto job = shared->jobs->find(id, now_ns());
  if (!job) co_return unknown(*shared);
  const bool had_ended = job->ended_at() != 0;
  shared->jobs->remove(*job, now_ns());
  const auto& kept = shared->kept;
  if (had_ended || !kept.jobs || kept.store->status().state != backend::EmbeddedStore::State::open) {
    co_return execution_of(*shared, *job);
  }
  // Whoever hears that it is cancelled can rely on that: it isn't run again after a crash.
  const auto write = [kept] {
    const auto on_thread = [kept](backend::DuckDb& database) { return kept.jobs->write(database, false); };
    return kept.store->ask(on_thread, patience_for_disk);
  };
  const auto written = co_await shared->worker.run(write);
  auto execution = execution_of(*shared, *job);
  if (!written || !*written) execution.warnings.emplace_back("that it is cancelled isn't on the disk yet");
  co_return execution;
}

asio::awaitable<Reply<Executions>> list(Shared shared, ExecutionsWanted wanted) {
  if (!shared->jobs) co_return no_jobs();
  shared->files.forget_old();
  const std::uint32_t limit = wanted.limit.value_or(usual_listed);
  if (limit < 1 || limit > most_listed) {
    co_return unprocessable({{{"query", "limit"}, "must be from 1 to 1000", "value_error"}});
  }
  Executions found;
  const std::uint32_t offset = wanted.offset.value_or(0);
  for (const auto& job : shared->jobs->list(now_ns())) {
    const auto& asked = job->request();
    if (wanted.user_id && asked.user_id != *wanted.user_id) continue;
    if (wanted.project_id && asked.project_id != *wanted.project_id) continue;
    if (wanted.status && job->view().status != *wanted.status) continue;
    const std::uint64_t number = found.total_count++;
    if (number >= offset && found.executions.size() < limit) {
      found.executions.push_back(execution_of(*shared, *job, Columns::no));
    }
  }
  co_return found;
}

asio::awaitable<void> send_and_forget(Shared shared, ParquetFilePtr file, BodyWriter& body) {
  if (co_await send_file(file, body)) shared->files.is_sent(file);
}

asio::awaitable<Reply<ResultPage>> parquet(Shared shared, ResultPart part) {
  // The jobs outlive what the worker does for them.
  const auto made = co_await shared->worker_of_files.run(
      [files = &shared->files, part = std::move(part)] { return files->of(part); });
  if (!made) co_return problem(503, "other results are being made Parquet files", {{"Retry-After", "5"}});
  if (!*made) {
    const auto& error = made->error();
    if (error.sqlstate == "53400") co_return problem(503, error.message, {{"Retry-After", "10"}});
    if (error.sqlstate != "22023") {
      log::warn("a result can't be made a Parquet file",
                {{"reason", error.message}, {"detail", error.detail}, {"hint", error.hint}});
      co_return problem(503, "the result can't be made a Parquet file here, as the log says; take another format");
    }
    const auto column = error.detail.empty() ? "" : fmt::format(" ({})", error.detail);
    co_return unprocessable(
        {{{"query", "format"}, fmt::format("{}{}. {}", error.message, column, error.hint), "value_error"}});
  }
  Response response{.content_type = media_type_of(ResultFormat::parquet)};
  response.stream = [shared, file = **made](BodyWriter& body) { return send_and_forget(shared, file, body); };
  co_return response;
}

asio::awaitable<Reply<ResultPage>> result(Shared shared, std::string id, ResultWanted wanted, Accept accept) {
  if (!shared->jobs) co_return no_jobs();
  const auto format = wanted.format.value_or(format_of(accept.value));
  const bool is_page = format == ResultFormat::json;
  const std::uint64_t limit = wanted.limit.value_or(is_page ? usual_page : ~std::uint64_t{0});
  if (limit < 1 || (is_page && limit > most_page)) {
    co_return unprocessable(
        {{{"query", "limit"},
          is_page ? "must be from 1 to 100000; in other formats than json there is no limit" : "must be 1 or more",
          "value_error"}});
  }
  const auto job = shared->jobs->find(id, now_ns());
  if (!job) co_return unknown(*shared);
  auto view = job->view();
  if (view.status != QueryStatus::completed) {
    const auto status = boost::describe::enum_to_string(view.status, "unknown");
    Headers headers;
    if (!executor::has_ended(view.status)) headers.emplace_back("Retry-After", "1");
    co_return problem(409, fmt::format("there is no result: the execution's status is {}", status), headers);
  }
  ResultPart part{.execution_id = job->id(),
                  .columns = view.columns ? view.columns : std::make_shared<const QueryJob::Columns>(),
                  .rows = std::move(view.rows),
                  .offset = wanted.offset.value_or(0),
                  .limit = limit};
  if (format == ResultFormat::parquet) co_return co_await parquet(std::move(shared), std::move(part));
  Response response{.content_type = media_type_of(format)};
  response.stream = [part = std::move(part), format](BodyWriter& body) { return send_result(part, format, body); };
  co_return response;
}

About about(std::string_view rest, std::string summary, std::string description) {
  return {.path = fmt::format("{}{}", path, rest),
          .summary = std::move(summary),
          .description = std::move(description),
          .problems = {{503, "There are no jobs here"}}};
}

}  // namespace

void add_jobs(ApiTable& table, std::shared_ptr<QueryJobs> jobs,
              std::shared_ptr<executor::AdaptiveQueryExecutor> executor,
              std::function<std::chrono::seconds()> query_timeout, KeptJobs kept) {
  const auto shared =
      std::make_shared<const Jobs>(std::move(jobs), std::move(executor), std::move(query_timeout), std::move(kept));
  auto scheduling =
      about("", "Has a query run, without waiting for it",
            "One statement, as DATABASE_URL's user. A quarter of POOL_SIZE run at a time; then it waits for its turn "
            "as the queries of clients do, by its priority and for its user and project, until its timeout_seconds "
            "are over "
            "(QUERY_TIMEOUT_SECONDS where that isn't said). parameters are $1 and so on: strings, numbers, "
            "booleans, null; what is a list or an object goes as JSON text. Location says where its status "
            "is. A result is kept for an hour, or, where there are many, a minute; with DATA_DIR over a restart. What "
            "had not ended by then is run (again, retry_count) if it is known to be a read; else it has failed, "
            "restarted.");
  scheduling.status = 202;
  scheduling.problems = {{429, "As many jobs are kept as may be"},
                         {503, "There are no jobs here, or no memory for more"}};
  table.add("POST", std::move(scheduling),
            [shared](Body<QueryToSchedule> body) { return schedule(shared, std::move(body.value)); });
  table.add(
      "GET",
      about("", "Queries that run as jobs, and those whose results are kept", "The newest first, without columns."),
      [shared](Query<ExecutionsWanted> query) { return list(shared, std::move(query.value)); });
  auto looking = about(
      "/{execution_id}", "How a job is",
      "queue_position counts what is to run before it, of jobs, or, once it waits for its turn, of clients too; "
      "fair shares may have it run sooner or later. progress_percent and estimated_remaining_ms of one that runs go "
      "by how long such statements have taken: null where none has.");
  looking.problems[404] = "There is no such execution, or it is no longer kept";
  table.add("GET", looking,
            [shared](Path<ExecutionPath> at) { return look(shared, std::move(at.value.execution_id)); });
  auto removing =
      about("/{execution_id}", "Cancels a job; one that has ended is forgotten, with its result",
            "Answers how it was. One that runs is cancelled in PostgreSQL, and its status is cancelled once "
            "PostgreSQL has ended it; or completed, if it was quicker.");
  removing.problems[404] = looking.problems[404];
  table.add("DELETE", removing,
            [shared](Path<ExecutionPath> at) { return remove(shared, std::move(at.value.execution_id)); });
  auto reading = about("/{execution_id}/result", "A job's result",
                       "format is json (a page: limit is 1000 unless it is said), ndjson (an object a line), csv or "
                       "parquet; "
                       "without it the header Accept decides: application/x-ndjson, text/csv, "
                       "application/vnd.apache.parquet. Booleans, integers, "
                       "float4 and float8, json and jsonb are JSON's; whatever else is a string, as PostgreSQL writes "
                       "it.");
  reading.problems[404] = looking.problems[404];
  reading.problems[409] = "It has no result, or not yet";
  reading.problems[503] = "There are no jobs here, or no Parquet file can be made now";
  table.add("GET", reading, [shared](Path<ExecutionPath> at, Query<ResultWanted> query, Accept accept) {
    return result(shared, std::move(at.value.execution_id), query.value, std::move(accept));
  });
}

}  // namespace millrace::http
