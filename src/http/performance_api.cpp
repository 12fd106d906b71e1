#include "http/performance_api.hpp"

#include <utility>

#include "base/log.hpp"
#include "http/performance_reports.hpp"
#include "http/worker.hpp"

namespace millrace::http {
namespace {

constexpr std::size_t most_waiting = 16;
constexpr std::uint32_t most_subjects = 2000, subjects_unless_said = 100;
constexpr std::size_t most_plan_changes = 20;
constexpr std::uint32_t most_slow = 1000, slow_unless_said = 50, least_ms_unless_said = 1000;
constexpr std::uint32_t most_minutes = 366 * 24 * 60, minutes_unless_said = 60;

using Problems = std::vector<ValidationProblem>;

/// An answer may have megabytes: it is written by the thread that makes it, too.
template <typename T>
Response written(T answer) {
  return to_response(Reply<T>(std::move(answer)), 200);
}

/// What the operations share.
struct Operations {
  std::shared_ptr<const QueryPerformanceMonitor> monitor;
  std::shared_ptr<const PastQueries> past;  ///< null: nothing is recorded
  std::shared_ptr<const PerformanceWatch> watch;
  std::function<asio::awaitable<OptimizationHealth>()> health;
  std::shared_ptr<const TemplatePlans> plans;
  std::shared_ptr<const KnownRecommendations> recommended;
  Worker walks{most_waiting};
};
using Shared = std::shared_ptr<Operations>;

Response absent() {
  return problem(503,
                 "no query is recorded: PERFORMANCE_MONITORING_ENABLED or QUERY_PERFORMANCE_TRACKING_ENABLED is off");
}
Response busy() { return problem(503, "too many such requests wait already", {{"Retry-After", "1"}}); }

void check(std::string_view field, std::optional<std::uint32_t> given, std::uint32_t most, Problems& problems) {
  if (!given) return;
  if (*given < 1) problems.push_back({{"query", std::string(field)}, "must be 1 or more", "greater_than_equal"});
  if (*given > most) {
    problems.push_back({{"query", std::string(field)}, fmt::format("must be {} or less", most), "less_than_equal"});
  }
}

/// Of a TemplatesQuery or UsageQuery.
template <typename Asked>
ReportRequest request_of(const Asked& asked, Problems& problems) {
  check("window", asked.window, most_minutes, problems);
  check("limit", asked.limit, most_subjects, problems);
  ReportRequest request{.sort = asked.sort.value_or(PerformanceSort::total_time),
                        .limit = asked.limit.value_or(subjects_unless_said)};
  if (asked.window) request.window = std::chrono::minutes(*asked.window);
  return request;
}

asio::awaitable<Reply<TemplatesAnswer>> templates(Shared shared, TemplatesQuery asked) {
  if (shared->monitor->history() == nullptr) co_return absent();
  Problems problems;
  const ReportRequest request = request_of(asked, problems);
  if (!problems.empty()) co_return unprocessable(problems);
  auto answer = co_await shared->walks.run([&] { return written(templates_report(*shared->past, request)); });
  if (!answer) co_return busy();
  co_return *std::move(answer);
}

/// Up to a year.
std::optional<std::chrono::minutes> window_of(const WindowQuery& asked, Problems& problems) {
  check("window", asked.window, most_minutes, problems);
  if (!problems.empty()) return std::nullopt;
  return std::chrono::minutes(asked.window.value_or(minutes_unless_said));
}

asio::awaitable<Reply<TemplateDetail>> one_template(Shared shared, TemplatePath path, WindowQuery asked) {
  if (shared->monitor->history() == nullptr) co_return absent();
  Problems problems;
  const auto window = window_of(asked, problems);
  if (!window) co_return unprocessable(problems);
  auto answer = co_await shared->walks.run([&] {
    auto detail = template_detail(*shared->past, shared->watch.get(), path.template_id, *window);
    return detail ? written(*std::move(detail)) : problem(404, "there is no such template, or it wasn't called then");
  });
  if (!answer) co_return busy();
  co_return *std::move(answer);
}

asio::awaitable<Reply<TrendsAnswer>> trends(Shared shared, WindowQuery asked) {
  if (shared->monitor->history() == nullptr) co_return absent();
  Problems problems;
  const auto window = window_of(asked, problems);
  if (!window) co_return unprocessable(problems);
  auto answer = co_await shared->walks.run([&] { return written(trends_report(*shared->past, *window)); });
  if (!answer) co_return busy();
  co_return *std::move(answer);
}

asio::awaitable<Reply<UsageAnswer>> usage(Shared shared, UsageQuery asked) {
  if (shared->monitor->history() == nullptr) co_return absent();
  Problems problems;
  const ReportRequest request = request_of(asked, problems);
  if (!problems.empty()) co_return unprocessable(problems);
  const UsageBy by = asked.by.value_or(UsageBy::user);
  auto answer = co_await shared->walks.run([&] { return written(usage_report(*shared->past, by, request)); });
  if (!answer) co_return busy();
  co_return *std::move(answer);
}

asio::awaitable<Reply<SlowQueriesAnswer>> slow_queries(Shared shared, SlowQueriesQuery asked) {
  if (shared->monitor->history() == nullptr) co_return absent();
  Problems problems;
  check("window", asked.window, most_minutes, problems);
  check("limit", asked.limit, most_slow, problems);
  if (!problems.empty()) co_return unprocessable(problems);
  SlowQueriesRequest request{.least = std::chrono::milliseconds(asked.min_duration_ms.value_or(least_ms_unless_said)),
                             .limit = asked.limit.value_or(slow_unless_said)};
  if (asked.window) request.window = std::chrono::minutes(*asked.window);
  auto answer = co_await shared->walks.run(
      [&] { return written(slow_queries_report(*shared->past, shared->plans.get(), request)); });
  if (!answer) co_return busy();
  co_return *std::move(answer);
}

asio::awaitable<Reply<PlanChangesAnswer>> plan_changes(Shared shared) {
  if (shared->monitor->history() == nullptr || shared->plans == nullptr) co_return absent();
  auto answer = co_await shared->walks.run([&] {
    PlanChangesAnswer said;
    for (const PlanChange& change : shared->plans->changes()) {
      if (said.plan_changes.size() == most_plan_changes) break;
      said.plan_changes.push_back(plan_change_answer(*shared->monitor, change));
    }
    said.total_count = shared->plans->changes_found();
    return written(std::move(said));
  });
  if (!answer) co_return busy();
  co_return *std::move(answer);
}

asio::awaitable<Reply<PerformanceDashboard>> dashboard(Shared shared) {
  if (shared->monitor->history() == nullptr) co_return absent();
  const OptimizationHealth health = co_await shared->health();
  auto answer = co_await shared->walks.run([&] {
    const auto recommended = shared->recommended->newest();
    PerformanceDashboard dashboard = dashboard_report(*shared->past, shared->watch.get(), recommended.get());
    dashboard.system_health = health;
    return written(std::move(dashboard));
  });
  if (!answer) co_return busy();
  co_return *std::move(answer);
}

constexpr double longest_ms = 86'400'000;
constexpr std::size_t longest_name = 200;
constexpr std::size_t longest_text = 1 << 16;

std::vector<ValidationProblem> problems_of(const TrackedExecution& told) {
  Problems problems;
  if (told.query.size() > longest_text) {
    problems.push_back({{"body", "query"}, fmt::format("must have {} bytes at most", longest_text), "string_too_long"});
  }
  if (!(told.duration_ms >= 0 && told.duration_ms <= longest_ms)) {
    problems.push_back({{"body", "duration_ms"}, "must be from 0 to a day", "value_error"});
  }
  if (!told.metadata) return problems;
  const auto check_name = [&](const char* field, const std::optional<std::string>& name) {
    if (!name || (name->size() <= longest_name && name->find('\0') == std::string::npos)) return;
    problems.push_back(
        {{"body", "metadata", field}, fmt::format("must have {} bytes at most", longest_name), "value_error"});
  };
  check_name("query_id", told.metadata->query_id);
  check_name("user_id", told.metadata->user_id);
  check_name("project_id", told.metadata->project_id);
  check_name("application", told.metadata->application);
  return problems;
}

bool is_sqlstate(std::string_view text) {
  return text.size() == 5 && text.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string_view::npos;
}

pipeline::ReportedQuery reported(const TrackedExecution& told) {
  const TrackedMetadata more = told.metadata.value_or(TrackedMetadata());
  pipeline::ReportedQuery query{
      .text = told.query,
      .duration_ns = static_cast<std::int64_t>(told.duration_ms * 1e6),
      .engine = more.database_type == TrackedEngine::duckdb ? Engine::duckdb : Engine::postgresql,
      .user = more.user_id.value_or(""),
      .project = more.project_id.value_or(""),
      .application = more.application.value_or(""),
      .rows = more.rows_returned.value_or(more.rows_processed.value_or(0)),
      .cache_hit = more.cache_hit.value_or(false),
      .cpu_percent = more.cpu_usage_percent,
      .memory_mb = more.memory_usage_mb};
  if (more.error && !more.error->empty()) query.sqlstate = is_sqlstate(*more.error) ? *more.error : "XX000";
  return query;
}

asio::awaitable<Reply<TrackedAnswer>> track(Shared shared, std::shared_ptr<pipeline::ReportedQueries> reports,
                                            TrackedExecution told) {
  if (reports == nullptr || shared->monitor->history() == nullptr) co_return absent();
  if (const auto problems = problems_of(told); !problems.empty()) co_return unprocessable(problems);
  const auto recorded = co_await shared->walks.run([&] { return reports->record(reported(told)); });
  if (!recorded) co_return busy();
  TrackedAnswer answer{.template_id = template_id(recorded->fingerprint), .slow = recorded->slow};
  if (told.metadata) answer.query_id = std::move(told.metadata->query_id);
  co_return answer;
}

About about(std::string_view name, std::string summary, std::string description) {
  return {.path = fmt::format("/api/v1/performance/{}", name),
          .summary = std::move(summary),
          .description = std::move(description),
          .also_at = {fmt::format("/api/v1/optimization/performance/{}", name),
                      fmt::format("/api/v1/optimization/optimization/performance/{}", name)},
          .problems = {{503, "Queries aren't recorded, or too many such requests wait"}}};
}

}  // namespace

void add_performance(ApiTable& table, std::shared_ptr<const QueryPerformanceMonitor> monitor,
                     std::shared_ptr<const PastQueries> past, std::shared_ptr<const PerformanceWatch> watch,
                     std::function<asio::awaitable<OptimizationHealth>()> health,
                     std::shared_ptr<pipeline::ReportedQueries> reports, std::shared_ptr<const TemplatePlans> plans,
                     std::shared_ptr<const KnownRecommendations> recommended) {
  if (!past && monitor->history() != nullptr) past = std::make_shared<const PastQueries>(monitor);
  const auto shared = std::make_shared<Operations>(std::move(monitor), std::move(past), std::move(watch),
                                                   std::move(health), std::move(plans), std::move(recommended));
  const std::string times =
      "Rates are percentages, 0 to 100. window is in minutes; without it the figures "
      "are since the start. What is longer ago than a day, and what was before the start, is there by the hour where "
      "DATA_DIR is set, for PERFORMANCE_HISTORY_RETENTION_DAYS; from says how far back it goes. "
      "What happened less than two seconds ago may be missing. ";
  table.add("GET",
            about("templates", "Statements that differ in constants only, with their figures",
                  times + "query has ? in place of constants; sample is the first of them as it was sent, unless "
                          "ENABLE_QUERY_PARAMETER_CAPTURE is off or it may hold a password. The 1000 most used "
                          "templates have figures of their "
                          "own; the others are one more, with the template_id other."),
            [shared](Query<TemplatesQuery> asked) { return templates(shared, asked.value); });
  About one = about("templates/{template_id}", "One of them: how its durations are spread, and how it was by time",
                    "window is in minutes, 60 unless it is said. marks say since when its calls take longer; an "
                    "anomaly takes more than that.");
  one.problems.emplace(404, "There is no such template, or it wasn't called in this time");
  table.add("GET", std::move(one), [shared](Path<TemplatePath> path, Query<WindowQuery> asked) {
    return one_template(shared, std::move(path.value), asked.value);
  });
  table.add(
      "GET",
      about("trends", "How it was by time",
            "window is in minutes, 60 unless it is said. The steps are of a second for two minutes, of ten for half "
            "an hour, of a minute for a day, else of an hour. The last one may be shorter."),
      [shared](Query<WindowQuery> asked) { return trends(shared, asked.value); });
  table.add("GET",
            about("usage", "Users, databases, applications or projects, with their figures",
                  times + "application and project are what a sqlcommenter comment of the statement says (application, "
                          "project or project_id), else the client's application_name and millrace.project_id; user is "
                          "its millrace.user_id, else the database's user."),
            [shared](Query<UsageQuery> asked) { return usage(shared, asked.value); });
  table.add(
      "GET",
      about("slow-queries", "Queries that took SLOW_QUERY_THRESHOLD_MS or longer, the slowest first",
            "The newest ones and the slowest ones are remembered, 1000 in all, and where DATA_DIR is set 20000 for "
            "SLOW_QUERY_RETENTION_DAYS. window is in minutes. query is the text as it was sent "
            "(500 characters of it), with parameters beside it, unless ENABLE_QUERY_PARAMETER_CAPTURE is off or it may "
            "hold a password. plan is how PostgreSQL would run a statement of its template. slow_queries_lost were too "
            "many at once: only their number is known."),
      [shared](Query<SlowQueriesQuery> asked) { return slow_queries(shared, asked.value); });
  table.add(
      "GET",
      about("plan-changes", "Templates that PostgreSQL runs another way than it did",
            "The newest 20 first, with how long the template's calls took before and since. Millrace asks for the "
            "plans of slow queries, and once a minute for those of the statements that take the most."),
      [shared] { return plan_changes(shared); });
  table.add(
      "POST",
      about("track-execution", "Tells of a query that ran past Millrace",
            "It is recorded as if it had come by the wire: by its template and who asked, among the slow ones if it "
            "took SLOW_QUERY_THRESHOLD_MS or longer, and counts for alerts and anomalies. It ended now."),
      [shared, reports = std::move(reports)](Body<TrackedExecution> told) {
        return track(shared, reports, std::move(told.value));
      });
  table.add("GET",
            about("dashboard", "How it is, and how the last hour was",
                  "current_metrics are of the last minute; times are in milliseconds, rates are percentages. "
                  "historical_trends are of the last hour, in steps of a minute and finer ones at its end. "
                  "top_slow_queries are the ten slowest of that hour, optimization_opportunities the first ten that "
                  "/optimization/recommendations has answered within it, if somebody has asked."),
            [shared] { return dashboard(shared); });
}

}  // namespace millrace::http
