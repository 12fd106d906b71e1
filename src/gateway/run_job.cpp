#include "gateway/run_job.hpp"

#include <fmt/format.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include "gateway/query_runner.hpp"

namespace millrace::gateway {
namespace {

using executor::QueryJob;
using std::chrono::milliseconds;

/// For its turn a job waits as long as it may take.
constexpr auto for_ever = std::chrono::hours(24) * 365;

class JobSink final : public RowSink {
 public:
  explicit JobSink(QueryJob& job) : job_(job) {}

  void on_columns(std::span<const pgwire::FieldDescription> columns) override {
    std::vector<QueryJob::Column> kept;
    kept.reserve(columns.size());
    for (const auto& column : columns) {
      kept.push_back(
          {.name = std::string(column.name), .type_oid = column.type_oid, .type_modifier = column.type_modifier});
    }
    job_.has_columns(std::move(kept));
  }
  bool on_row(std::span<const pgwire::Value> row) override { return job_.add(row); }

 private:
  QueryJob& job_;
};

std::shared_ptr<const backend::ParameterList> wishes_of(const executor::JobRequest& request) {
  backend::ParameterList wishes{{"millrace.priority", std::string(executor::name(request.priority))}};
  if (!request.user_id.empty()) wishes.emplace_back("millrace.user_id", request.user_id);
  if (!request.project_id.empty()) wishes.emplace_back("millrace.project_id", request.project_id);
  return std::make_shared<const backend::ParameterList>(std::move(wishes));
}

/// Zero: as long as it takes.
milliseconds time_for(const QueryJob& job) {
  const auto left = job.time_left(now_ns());
  return left ? std::max(std::chrono::ceil<milliseconds>(*left), milliseconds(1)) : milliseconds::zero();
}

asio::awaitable<void> run(Core* core, std::shared_ptr<QueryJob> job) {
  const auto& asked = job->request();
  const auto url = core->shared.rules.load()->settings->database_url;
  if (const auto past = job->view(); past.is_restored && past.server != server_of_jobs(url)) {
    job->end(std::unexpected(executor::went_elsewhere()), now_ns());  // that was reloaded since
    co_return;
  }
  job->goes_to(server_of_jobs(url));
  const auto pool = core->shared.pools.get(url.user, url.database);
  // What clients have proved themselves with is newer, whatever the password is that was set up.
  if (!url.password.empty()) pool->set_credential(pgwire::PlainPassword{url.password}, TimePoint());
  const auto patience = std::make_shared<backend::Pool::Patience>();
  job->on_cancel([&io = core->io, patience] {
    asio::post(io, [patience] {
      if (patience->give_up) patience->give_up();
    });
  });
  RunRequest request{
      .user = url.user,
      .database = url.database,
      .application = "millrace job",
      .sql = asked.sql,
      .parameters = asked.parameters,
      .timeout = time_for(*job),
      .memory_limit_mb = asked.memory_limit_mb,
      .wishes = wishes_of(asked),
      .wait_for_turn = for_ever,
      .on_wait = [job](std::shared_ptr<const executor::WaitingQuery> turn) { job->waits(std::move(turn)); },
      .on_begin = [job](std::int64_t predicted) { job->runs(predicted, now_ns()); },
      .patience = patience};
  JobSink sink(*job);
  auto outcome = co_await run_query(*core, std::move(request), sink);
  if (!outcome) {
    job->end(std::unexpected(std::move(outcome).error()), now_ns());
  } else if (outcome->stopped) {
    job->end(std::unexpected(job->why_no_room()), now_ns());
  } else {
    job->end(std::move(outcome->tag), now_ns());
  }
}

}  // namespace

std::string server_of_jobs(const config::DatabaseUrl& url) {
  std::string hosts;
  for (const auto& [host, port] : url.hosts()) hosts += fmt::format("{}:{},", host, port);
  return fmt::format("{}/{}:{}@{}", hosts, url.database.size(), url.database, url.user);
}

void start_job(Core& core, std::shared_ptr<QueryJob> job) {
  asio::post(core.io, [&core, job = std::move(job)]() mutable {
    asio::co_spawn(core.io, run(&core, std::move(job)), asio::detached);
  });
}

}  // namespace millrace::gateway
