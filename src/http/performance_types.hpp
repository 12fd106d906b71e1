#pragma once

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "http/json_types.hpp"
#include "http/optimization_health.hpp"
#include "monitor/performance_types.hpp"

/// What the performance monitor's operations take and answer. Rates are percentages, 0 to 100; times are milliseconds
/// where their names end so.
namespace millrace::http {

enum class PerformanceSort { total_time, calls, mean, p99, errors };
BOOST_DESCRIBE_ENUM(PerformanceSort, total_time, calls, mean, p99, errors)

enum class UsageBy { user, database, application, project };
BOOST_DESCRIBE_ENUM(UsageBy, user, database, application, project)

struct TemplatesQuery {
  std::optional<PerformanceSort> sort = {};
  std::optional<std::uint32_t> window = {};  ///< minutes; since the start unless it is said
  std::optional<std::uint32_t> limit = {};
};
BOOST_DESCRIBE_STRUCT(TemplatesQuery, (), (sort, window, limit))

struct UsageQuery {
  std::optional<UsageBy> by = {};
  std::optional<PerformanceSort> sort = {};
  std::optional<std::uint32_t> window = {};  ///< minutes; since the start unless it is said
  std::optional<std::uint32_t> limit = {};
};
BOOST_DESCRIBE_STRUCT(UsageQuery, (), (by, sort, window, limit))

/// Figures of queries that belong together. Percentiles are within 1/64; null: there were no queries.
struct PerformanceFigures {
  std::uint64_t calls = 0;
  double calls_per_second = 0;
  std::uint64_t errors = 0;
  double error_rate = 0;
  std::uint64_t slow = 0;  ///< took SLOW_QUERY_THRESHOLD_MS or longer
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;  ///< to clients
  std::uint64_t cache_hits = 0;
  std::uint64_t cache_misses = 0;
  std::uint64_t cache_bypasses = 0;
  std::optional<double> cache_hit_rate = {};  ///< null: none of them asks the cache
  double total_time_ms = 0;
  double time_share = 0;     ///< of the time of all queries
  double queue_time_ms = 0;  ///< of the total: waiting for a server connection
  std::optional<double> mean_ms = {};
  std::optional<double> p50_ms;
  std::optional<double> p95_ms;
  std::optional<double> p99_ms;
  std::optional<double> p999_ms;
  std::optional<double> max_ms = {};
};
BOOST_DESCRIBE_STRUCT(PerformanceFigures, (),
                      (calls, calls_per_second, errors, error_rate, slow, rows, bytes, cache_hits, cache_misses,
                       cache_bypasses, cache_hit_rate, total_time_ms, time_share, queue_time_ms, mean_ms, p50_ms,
                       p95_ms, p99_ms, p999_ms, max_ms))

/// One of a template's statements, as it was sent first. Of long ones only the beginning is kept.
struct StatementSample {
  std::string query = {};
  std::vector<std::optional<std::string>> parameters = {};  ///< binary ones in hexadecimal
  std::string database = {};
};
BOOST_DESCRIBE_STRUCT(StatementSample, (), (query, parameters, database))

struct TemplatePerformance {
  std::string template_id = {};  ///< the fingerprint in hexadecimal; "other": all that have no place of their own
  std::string query = {};        ///< without constants
  std::optional<std::string> kind = {};
  std::optional<std::string> database_type = {};
  PerformanceFigures figures = {};
  std::optional<StatementSample> sample = {};
};
BOOST_DESCRIBE_STRUCT(TemplatePerformance, (), (template_id, query, kind, database_type, figures, sample))

struct TemplatesAnswer {
  std::vector<TemplatePerformance> templates = {};
  std::uint64_t total_count = 0;        ///< that had queries, beyond the limit too
  std::uint64_t evicted_templates = 0;  ///< since the start: they count as other
  Timestamp from = {};                  ///< what is asked for, as far back as it is remembered
  Timestamp to = {};
};
BOOST_DESCRIBE_STRUCT(TemplatesAnswer, (), (templates, total_count, evicted_templates, from, to))

struct TemplatePath {
  std::string template_id = {};
};
BOOST_DESCRIBE_STRUCT(TemplatePath, (), (template_id))

struct WindowQuery {
  std::optional<std::uint32_t> window = {};  ///< minutes; 60 unless it is said
};
BOOST_DESCRIBE_STRUCT(WindowQuery, (), (window))

/// How many queries took longer than `from_ms`, and at most `to_ms`.
struct DurationBucket {
  double from_ms = 0;
  double to_ms = 0;
  std::uint64_t count = 0;
};
BOOST_DESCRIBE_STRUCT(DurationBucket, (), (from_ms, to_ms, count))

/// Figures by time, the oldest first: in each list what was in the step that ended then. Null: there was nothing to
/// take it of.
struct PerformanceTrend {
  std::vector<Timestamp> at = {};
  std::vector<double> throughput = {};  ///< queries a second
  std::vector<std::optional<double>> execution_time = {};
  std::vector<std::optional<double>> p50_ms = {};
  std::vector<std::optional<double>> p95_ms = {};
  std::vector<std::optional<double>> p99_ms = {};
  std::vector<std::optional<double>> error_rate = {};
  std::vector<std::optional<double>> cache_hit_rate = {};
};
BOOST_DESCRIBE_STRUCT(PerformanceTrend, (),
                      (at, throughput, execution_time, p50_ms, p95_ms, p99_ms, error_rate, cache_hit_rate))

struct TrendsAnswer {
  double step_seconds = 0;  ///< about
  PerformanceTrend trend = {};
  std::vector<double> queue_depth = {};  ///< clients that wait for a server connection; by the trend's times
  std::vector<double> concurrency = {};  ///< clients that hold one
  Timestamp from = {};                   ///< what was asked for, whether it is remembered or not
  Timestamp to = {};
};
BOOST_DESCRIBE_STRUCT(TrendsAnswer, (), (step_seconds, trend, queue_depth, concurrency, from, to))

struct TemplateDetail {
  TemplatePerformance performance = {};
  std::vector<DurationBucket> durations = {};  ///< four in each power of two; less than 1 µs is one
  double step_seconds = 0;                     ///< about
  PerformanceTrend trend = {};
  Timestamp from = {};  ///< what was asked for, as far back as it is remembered
  Timestamp to = {};
  std::vector<AnomalyMark> marks = {};  ///< when its calls began to take longer, the newest first; that alone is a hint
};
BOOST_DESCRIBE_STRUCT(TemplateDetail, (), (performance, durations, step_seconds, trend, from, to, marks))

struct UsageOfOne {
  std::string name = {};  ///< "other": all that have no place of their own
  bool is_other = false;
  PerformanceFigures figures = {};
};
BOOST_DESCRIBE_STRUCT(UsageOfOne, (), (name, is_other, figures))

struct UsageAnswer {
  UsageBy by = UsageBy::user;
  std::vector<UsageOfOne> usage = {};
  std::uint64_t total_count = 0;
  Timestamp from = {};
  Timestamp to = {};
};
BOOST_DESCRIBE_STRUCT(UsageAnswer, (), (by, usage, total_count, from, to))

enum class TrackedEngine { postgresql, duckdb, hybrid };
BOOST_DESCRIBE_ENUM(TrackedEngine, postgresql, duckdb, hybrid)

/// What is known of a query that ran past Millrace, beside its text and how long it took.
struct TrackedMetadata {
  std::optional<std::string> query_id = {};  ///< of the application's; only given back
  std::optional<std::string> user_id = {}, project_id = {}, application = {};
  std::optional<TrackedEngine> database_type = {};  ///< postgresql unless it is said; hybrid counts as that
  std::optional<double> cpu_usage_percent = {}, memory_usage_mb = {};
  std::optional<std::uint64_t> rows_returned = {}, rows_processed = {};
  std::optional<bool> cache_hit = {};
  std::optional<std::string> error = {};  ///< its SQLSTATE; any other text counts as XX000
};
BOOST_DESCRIBE_STRUCT(TrackedMetadata, (),
                      (query_id, user_id, project_id, application, database_type, cpu_usage_percent, memory_usage_mb,
                       rows_returned, rows_processed, cache_hit, error))

struct TrackedExecution {
  std::string query;
  double duration_ms = 0;
  std::optional<TrackedMetadata> metadata = {};
};
BOOST_DESCRIBE_STRUCT(TrackedExecution, (), (query, duration_ms, metadata))

struct TrackedAnswer {
  std::optional<std::string> query_id = {};
  std::string template_id = {};
  bool slow = false;  ///< it took SLOW_QUERY_THRESHOLD_MS or longer
};
BOOST_DESCRIBE_STRUCT(TrackedAnswer, (), (query_id, template_id, slow))

struct SlowQueriesQuery {
  std::optional<std::uint32_t> limit = {};            ///< 50 unless it is said
  std::optional<std::uint32_t> min_duration_ms = {};  ///< 1000 unless it is said
  std::optional<std::uint32_t> window = {};           ///< minutes; all that are remembered unless it is said
};
BOOST_DESCRIBE_STRUCT(SlowQueriesQuery, (), (limit, min_duration_ms, window))

/// How PostgreSQL would run a statement, when Millrace asked that.
struct PlanAnswer {
  std::vector<std::string> outline = {};  ///< a line a step, indented by what it feeds
  double total_cost = 0;                  ///< in PostgreSQL's units, by its estimate; so are the rows
  double estimated_rows = 0;
  Timestamp asked_at = {};
};
BOOST_DESCRIBE_STRUCT(PlanAnswer, (), (outline, total_cost, estimated_rows, asked_at))

/// `user_id` and `project_id`: whom the client asks for, as it says; of who names no user it is the database's.
struct SlowQueryAnswer {
  std::string query_id = {};
  std::string query = {};  ///< at most 500 characters
  double duration_ms = 0;
  std::string database_type = {};
  std::string user_id = {};
  std::optional<std::string> project_id = {};
  std::optional<double> cpu_usage_percent = {};  ///< null: not known, as is the next
  std::optional<double> memory_usage_mb = {};
  std::uint64_t rows_processed = 0;
  std::uint64_t rows_returned = 0;
  bool cache_hit = false;
  bool optimization_applied = false;
  Timestamp start_time = {};
  std::optional<std::string> error = {};  ///< its SQLSTATE
  std::string template_id = {};
  std::string kind = {};
  std::vector<std::optional<std::string>> parameters = {};
  double queue_ms = 0;
  std::uint64_t bytes = 0;
  std::string database = {};
  std::string application = {};
  std::optional<std::string> route = {};
  std::optional<std::string> traceparent = {};
  std::optional<PlanAnswer> plan = {};  ///< of a statement of its template; null: nobody has asked, or there is none
  std::optional<std::string> why_no_plan = {};
};
BOOST_DESCRIBE_STRUCT(SlowQueryAnswer, (),
                      (query_id, query, duration_ms, database_type, user_id, project_id, cpu_usage_percent,
                       memory_usage_mb, rows_processed, rows_returned, cache_hit, optimization_applied, start_time,
                       error, template_id, kind, parameters, queue_ms, bytes, database, application, route, traceparent,
                       plan, why_no_plan))

struct SlowQueriesAnswer {
  std::vector<SlowQueryAnswer> slow_queries = {};  ///< the slowest first
  std::uint64_t total_count = 0;                   ///< of those remembered that took so long
  std::optional<double> average_duration_ms = {};  ///< of these
  std::uint64_t slow_queries_lost = 0;             ///< since the start: too many at once, only their number is known
};
BOOST_DESCRIBE_STRUCT(SlowQueriesAnswer, (), (slow_queries, total_count, average_duration_ms, slow_queries_lost))

struct TopSlowQuery {
  std::string query_id = {};
  std::string query = {};  ///< at most 200 characters
  double duration_ms = 0;
  std::string database_type = {};
  std::string user_id = {};
  std::optional<std::string> project_id = {};
  Timestamp start_time = {};
};
BOOST_DESCRIBE_STRUCT(TopSlowQuery, (), (query_id, query, duration_ms, database_type, user_id, project_id, start_time))

/// Of the last minute, and of now.
struct CurrentMetrics {
  double window_seconds = 0;                  ///< of the figures that aren't of now
  double throughput = 0;                      ///< queries a second
  std::optional<double> execution_time = {};  ///< their mean, in milliseconds; null: there were none
  std::optional<double> p50_ms;
  std::optional<double> p95_ms;
  std::optional<double> p99_ms;
  std::optional<double> error_rate = {};
  std::optional<double> cache_hit_rate = {};
  std::uint64_t slow_queries = 0;
  std::uint64_t queue_depth = 0;  ///< clients that wait for a server connection
  std::uint64_t concurrency = 0;  ///< clients that hold one
  std::uint64_t connections = 0;  ///< clients
};
BOOST_DESCRIBE_STRUCT(CurrentMetrics, (),
                      (window_seconds, throughput, execution_time, p50_ms, p95_ms, p99_ms, error_rate, cache_hit_rate,
                       slow_queries, queue_depth, concurrency, connections))

struct DashboardAnomaly {
  std::string anomaly_id = {};
  std::string type = {};
  std::string severity = {};
  std::string description = {};
  Timestamp detected_at = {};
  double confidence_score = 0;  ///< 0 to 1
};
BOOST_DESCRIBE_STRUCT(DashboardAnomaly, (), (anomaly_id, type, severity, description, detected_at, confidence_score))

struct DashboardAlert {
  std::string alert_id = {};
  std::string severity = {};
  std::string description = {};
  Timestamp triggered_at = {};
  double current_value = 0;
};
BOOST_DESCRIBE_STRUCT(DashboardAlert, (), (alert_id, severity, description, triggered_at, current_value))

struct OptimizationOpportunity {
  std::string recommendation_id = {};
  std::string type = {};
  std::string description = {};
  std::optional<double> estimated_improvement_percent = {};  ///< null: it isn't about time
  int priority = 1;                                          ///< 1 to 5; 5: do it first
};
BOOST_DESCRIBE_STRUCT(OptimizationOpportunity, (),
                      (recommendation_id, type, description, estimated_improvement_percent, priority))

/// Of a template's calls in ten minutes at most; null: there were none.
struct FiguresAround {
  std::uint64_t calls = 0;
  std::optional<double> p50_ms;
  std::optional<double> p95_ms;
  std::optional<double> p99_ms;
};
BOOST_DESCRIBE_STRUCT(FiguresAround, (), (calls, p50_ms, p95_ms, p99_ms))

/// A template is run another way than it was.
struct PlanChangeAnswer {
  std::string change_id = {};
  std::string template_id = {};
  std::string query = {};  ///< without constants
  Timestamp detected_at = {};
  std::string description = {};
  PlanAnswer before = {};  ///< as it was seen last; figures_before are of the time until then, the others of that since
  PlanAnswer after = {};
  FiguresAround figures_before = {};
  FiguresAround figures_after = {};
};
BOOST_DESCRIBE_STRUCT(PlanChangeAnswer, (),
                      (change_id, template_id, query, detected_at, description, before, after, figures_before,
                       figures_after))

struct PlanChangesAnswer {
  std::vector<PlanChangeAnswer> plan_changes = {};  ///< the newest first
  std::uint64_t total_count = 0;
};
BOOST_DESCRIBE_STRUCT(PlanChangesAnswer, (), (plan_changes, total_count))

using TrendPoint = std::pair<Timestamp, double>;

struct PerformanceDashboard {
  CurrentMetrics current_metrics = {};
  /// By metric, the oldest first: when an interval ended, and what was in it. Where nothing was, there is no point.
  std::map<std::string, std::vector<TrendPoint>> historical_trends = {};
  std::vector<TopSlowQuery> top_slow_queries = {};
  std::vector<DashboardAnomaly> recent_anomalies = {};  ///< the newest first, as are the alerts
  std::vector<DashboardAlert> active_alerts = {};
  OptimizationHealth system_health = {};
  /// Of what was recommended within the last hour: the first ten.
  std::vector<OptimizationOpportunity> optimization_opportunities = {};
};
BOOST_DESCRIBE_STRUCT(PerformanceDashboard, (),
                      (current_metrics, historical_trends, top_slow_queries, recent_anomalies, active_alerts,
                       system_health, optimization_opportunities))

}  // namespace millrace::http
