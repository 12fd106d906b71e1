#include "http/execution_api.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "base/clock.hpp"
#include "http/breaker_status.hpp"
#include "http/execution_types.hpp"
#include "http/worker.hpp"
#include "monitor/system_usage.hpp"

namespace millrace::http {
namespace {

constexpr std::size_t most_waiting = 16;
constexpr double ns_a_ms = 1e6;

/// What the operations share.
struct Execution {
  std::shared_ptr<executor::AdaptiveQueryExecutor> executor;
  std::shared_ptr<executor::SharedQuotas> shared_quotas;  ///< null: each node counts alone
  std::shared_ptr<const QueryPerformanceMonitor> monitor;
  std::function<std::optional<double>()> pool_usage;
  std::function<std::vector<CircuitBreaker::Status>()> breakers;
  SystemUsageMeter system = {};  ///< on the worker's thread only
  Worker worker{most_waiting};
};
using Shared = std::shared_ptr<Execution>;

std::optional<double> known(double value) { return std::isnan(value) ? std::nullopt : std::optional(value); }

void add_last_hour(ExecutionMetrics& metrics, const PerformanceHistory& history) {
  const auto all = history.report(SubjectKind::query_template, std::chrono::hours(1), now_ns()).all.figures;
  metrics.completed_queries_last_hour = all.calls - all.errors;
  metrics.failed_queries_last_hour = all.errors;
  if (all.calls == 0) return;
  const auto calls = static_cast<double>(all.calls);
  metrics.average_execution_time_ms = static_cast<double>(all.total_ns - all.queue_ns) / calls / ns_a_ms;
  metrics.queue_wait_time_ms = static_cast<double>(all.queue_ns) / calls / ns_a_ms;
}

ExecutionMetrics metrics_of(Execution& execution) {
  const auto figures = execution.executor->figures(now_ns());
  const auto& waiting = figures.waiting;
  const auto usage = execution.system.look();
  ExecutionMetrics metrics;
  metrics.active_queries = figures.running;
  metrics.queued_queries = std::accumulate(waiting.begin(), waiting.end(), std::size_t{0});
  if (const auto* const history = execution.monitor->history()) add_last_hour(metrics, *history);
  metrics.connection_pool_usage = execution.pool_usage();
  metrics.resource_utilization.cpu = known(usage.cpu_percent);
  metrics.resource_utilization.memory = known(usage.memory_percent);
  metrics.resource_utilization.connections = metrics.connection_pool_usage;
  if (double load = 0; getloadavg(&load, 1) == 1) metrics.system_load = load;
  metrics.concurrency_limit = figures.limit;
  metrics.max_concurrent_queries = figures.most;
  metrics.queued_by_priority = {waiting[0], waiting[1], waiting[2], waiting[3], waiting[4]};
  metrics.oldest_wait_ms = static_cast<double>(figures.oldest_wait) / ns_a_ms;
  metrics.refused_queries = {figures.refused[0], figures.refused[1], figures.refused[2], figures.refused[3]};
  for (const auto& breaker : execution.breakers())
    metrics.circuit_breakers.push_back(breaker_status(breaker, now_ns()));
  return metrics;
}

Response no_executor() { return problem(503, "there is no executor: ENABLE_ADAPTIVE_EXECUTOR is off"); }

asio::awaitable<Reply<ExecutionMetrics>> metrics(Shared shared) {
  if (!shared->executor) co_return no_executor();
  auto answer = co_await shared->worker.run([&] { return metrics_of(*shared); });
  if (!answer) co_return problem(503, "too many such requests wait already", {{"Retry-After", "1"}});
  co_return *std::move(answer);
}

using Quotas = executor::Quotas;
using Problems = std::vector<ValidationProblem>;

/// Whose quota it is about.
struct Subject {
  Quotas::Of of;
  std::string name;

  std::string field() const { return of == Quotas::Of::user ? "user_id" : "project_id"; }
};

void check(const Subject& subject, Problems& problems) {
  constexpr std::size_t longest = 128;
  if (!subject.name.empty() && subject.name.size() <= longest && !subject.name.contains('\0')) return;
  problems.push_back({{"path", subject.field()}, "must have 1 to 128 bytes, and no NUL", "value_error"});
}

QuotaWindow window_of(const executor::Account& account, executor::Window window, std::optional<std::uint64_t> limit) {
  constexpr double second = 1e9;
  const auto used = account.used(window, now_ns());
  QuotaWindow answer{.used = used.queries, .left = {}, .resets_in_seconds = {}};
  if (limit) answer.left = *limit - std::min(*limit, used.queries);
  if (used.resets_in > 0) answer.resets_in_seconds = static_cast<double>(used.resets_in) / second;
  return answer;
}

ResourceQuota quota_of(const Execution& execution, const Subject& subject) {
  auto& quotas = execution.executor->quotas();
  const auto account = quotas.account(subject.of, subject.name, now_ns());
  const auto quota = account->quota();
  ResourceQuota answer;
  (subject.of == Quotas::Of::user ? answer.user_id : answer.project_id) = subject.name;
  answer.max_concurrent_queries = quota.max_concurrent_queries;
  answer.max_memory_mb = quota.max_memory_mb;
  answer.max_execution_time_seconds = quota.max_execution_time_seconds;
  answer.hourly_query_limit = quota.hourly_query_limit;
  answer.daily_query_limit = quota.daily_query_limit;
  answer.priority_boost = quota.priority_boost;
  answer.enforced = quotas.on();
  answer.counted_across_nodes = execution.shared_quotas && execution.shared_quotas->state();
  answer.running_queries = account->running;
  answer.hour = window_of(*account, executor::Window::hour, quota.hourly_query_limit);
  answer.day = window_of(*account, executor::Window::day, quota.daily_query_limit);
  return answer;
}

asio::awaitable<Reply<ResourceQuota>> get_quota(Shared shared, Subject subject) {
  if (!shared->executor) co_return no_executor();
  Problems problems;
  check(subject, problems);
  if (!problems.empty()) co_return unprocessable(problems);
  co_return quota_of(*shared, subject);
}

void set_quota(const Execution& execution, const Subject& subject, const std::optional<executor::Quota>& quota) {
  if (execution.shared_quotas) {
    execution.shared_quotas->set(subject.of, subject.name, quota, now_ns());
  } else {
    execution.executor->quotas().set(subject.of, subject.name, quota, now_ns());
  }
  execution.executor->follow_quotas(now_ns());
}

asio::awaitable<Reply<ResourceQuota>> put_quota(Shared shared, Subject subject, NewResourceQuota wanted) {
  if (!shared->executor) co_return no_executor();
  using executor::Quota;
  Problems problems;
  check(subject, problems);
  const auto at_least_1 = [&](std::string name, const std::optional<std::uint32_t>& value) {
    if (value == 0U) problems.push_back({{"body", std::move(name)}, "must be 1 or more", "greater_than_equal"});
  };
  at_least_1("max_concurrent_queries", wanted.max_concurrent_queries);
  at_least_1("max_memory_mb", wanted.max_memory_mb);
  at_least_1("max_execution_time_seconds", wanted.max_execution_time_seconds);
  if (wanted.max_execution_time_seconds.value_or(0) > Quota::longest_execution_seconds) {
    problems.push_back({{"body", "max_execution_time_seconds"},
                        fmt::format("must be {} or less", Quota::longest_execution_seconds),
                        "less_than_equal"});
  }
  const std::int32_t boost = wanted.priority_boost.value_or(0);
  if (boost < -Quota::most_boost || boost > Quota::most_boost) {
    problems.push_back(
        {{"body", "priority_boost"}, fmt::format("must be from -{0} to {0}", Quota::most_boost), "value_error"});
  }
  if (wanted.max_cpu_percent) {
    problems.push_back({{"body", "max_cpu_percent"}, "can't be limited in this version: must be null", "value_error"});
  }
  if (!problems.empty()) co_return unprocessable(problems);
  set_quota(*shared, subject,
            Quota{.max_concurrent_queries = wanted.max_concurrent_queries,
                  .hourly_query_limit = wanted.hourly_query_limit,
                  .daily_query_limit = wanted.daily_query_limit,
                  .max_execution_time_seconds = wanted.max_execution_time_seconds,
                  .max_memory_mb = wanted.max_memory_mb,
                  .priority_boost = boost});
  co_return quota_of(*shared, subject);
}

asio::awaitable<Reply<ResourceQuota>> remove_quota(Shared shared, Subject subject) {
  if (!shared->executor) co_return no_executor();
  Problems problems;
  check(subject, problems);
  if (!problems.empty()) co_return unprocessable(problems);
  set_quota(*shared, subject, std::nullopt);
  co_return quota_of(*shared, subject);
}

About about_quotas(std::string_view path, std::string summary, std::string description) {
  return {.path = fmt::format("/api/v1/execution/resource-quota/{}", path),
          .summary = std::move(summary),
          .description = std::move(description),
          .problems = {{503, "There is no executor"}}};
}

void add_quotas(ApiTable& table, const Shared& shared) {
  const std::string shown =
      "Of one that clients name by millrace.user_id or millrace.project_id. A null limit is none. A window begins with "
      "the first query that is counted in it. Where counted_across_nodes is false, used is of this node, and of others "
      "as far as it had heard of them. max_cpu_percent isn't limited in this version: null.";
  const std::string set =
      "What isn't said has no limit. A limit of 0 queries an hour or a day lets nothing in. It holds on this node, "
      "until Millrace ends; with REDIS_URL on all nodes, for good. What GET has answered may be sent: user_id, "
      "project_id, enforced, counted_across_nodes, running_queries, hour and day are ignored, and max_cpu_percent must "
      "be null.";
  const std::string removed =
      "What holds where nothing is set holds again, on all nodes with REDIS_URL, and is the answer. What was used is "
      "kept. It is no error where nothing was set.";
  table.add(
      "GET", about_quotas("users/{user_id}", "The quota of a user, and what is used of it", shown),
      [shared](Path<UserPath> path) { return get_quota(shared, {Quotas::Of::user, std::move(path.value.user_id)}); });
  table.add("GET", about_quotas("projects/{project_id}", "The quota of a project, and what is used of it", shown),
            [shared](Path<ProjectPath> path) {
              return get_quota(shared, {Quotas::Of::project, std::move(path.value.project_id)});
            });
  table.add("PUT", about_quotas("users/{user_id}", "Sets the quota of a user", set),
            [shared](Path<UserPath> path, Body<NewResourceQuota> body) {
              return put_quota(shared, {Quotas::Of::user, std::move(path.value.user_id)}, body.value);
            });
  table.add("PUT", about_quotas("projects/{project_id}", "Sets the quota of a project", set),
            [shared](Path<ProjectPath> path, Body<NewResourceQuota> body) {
              return put_quota(shared, {Quotas::Of::project, std::move(path.value.project_id)}, body.value);
            });
  table.add("DELETE", about_quotas("users/{user_id}", "Takes the quota of a user away", removed),
            [shared](Path<UserPath> path) {
              return remove_quota(shared, {Quotas::Of::user, std::move(path.value.user_id)});
            });
  table.add("DELETE", about_quotas("projects/{project_id}", "Takes the quota of a project away", removed),
            [shared](Path<ProjectPath> path) {
              return remove_quota(shared, {Quotas::Of::project, std::move(path.value.project_id)});
            });
}

}  // namespace

void add_execution(ApiTable& table, std::shared_ptr<executor::AdaptiveQueryExecutor> executor,
                   std::shared_ptr<executor::SharedQuotas> shared_quotas,
                   std::shared_ptr<const QueryPerformanceMonitor> monitor,
                   std::function<std::optional<double>()> pool_usage,
                   std::function<std::vector<CircuitBreaker::Status>()> breakers) {
  const auto shared = std::make_shared<Execution>(std::move(executor), std::move(shared_quotas), std::move(monitor),
                                                  std::move(pool_usage), std::move(breakers));
  table.add(
      "GET",
      {.path = "/api/v1/execution/metrics",
       .summary = "What runs and waits, and what it takes",
       .description = "active_queries are queries and transactions that hold a slot, of concurrency_limit. Times "
                      "are in milliseconds, and means of the last hour; shares are percentages, of this machine "
                      "where they are cpu and memory. io and network aren't measured: null. circuit_breakers says of "
                      "each server whether it is in reach.",
       .also_at = {"/api/v1/optimization/execution/metrics", "/api/v1/optimization/optimization/execution/metrics"},
       .problems = {{503, "There is no executor, or too many such requests wait"}}},
      [shared] { return metrics(shared); });
  add_quotas(table, shared);
}

}  // namespace millrace::http
