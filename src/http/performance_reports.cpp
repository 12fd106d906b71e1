#include "http/performance_reports.hpp"

#include <algorithm>
#include <boost/describe/enum_to_string.hpp>
#include <ranges>

#include "base/clock.hpp"
#include "base/log.hpp"

namespace millrace::http {
namespace {

constexpr double ns_a_ms = 1e6;
constexpr std::size_t longest_query = 500, longest_query_of_dashboard = 200;
constexpr std::size_t slow_queries_of_dashboard = 10, anomalies_of_dashboard = 10, opportunities_of_dashboard = 10;
constexpr auto trend_window = std::chrono::hours(1);
constexpr auto current_window = std::chrono::minutes(1);

double in_ms(std::uint64_t ns) { return static_cast<double>(ns) / ns_a_ms; }

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

std::optional<double> percent_if_any(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? std::nullopt : std::optional(percent(part, whole));
}

std::optional<double> mean_ms(const QueryFigures& figures) {
  if (figures.calls == 0) return std::nullopt;
  return in_ms(figures.total_ns) / static_cast<double>(figures.calls);
}

std::optional<double> quantile_ms(const CompactHistogram& durations, double q) {
  if (durations.empty()) return std::nullopt;
  return in_ms(durations.quantile(q));
}

/// Moments of the clock that stands still with nobody, as those that people know.
class WallClock {
 public:
  Timestamp at(std::int64_t ns) const {
    return now_.wall + std::chrono::duration_cast<Timestamp::duration>(std::chrono::nanoseconds(ns - now_.ns));
  }
  std::int64_t now() const { return now_.ns; }
  const Moment& moment() const { return now_; }

 private:
  Moment now_ = Moment::now();
};

PerformanceFigures figures_of(const QueryFigures& figures, const CompactHistogram& durations,
                              const PeriodReport& report) {
  const std::uint64_t asked = figures.hits + figures.misses;
  PerformanceFigures said{.calls = figures.calls,
                          .errors = figures.errors,
                          .error_rate = percent(figures.errors, figures.calls),
                          .slow = figures.slow,
                          .rows = figures.rows,
                          .bytes = figures.bytes,
                          .cache_hits = figures.hits,
                          .cache_misses = figures.misses,
                          .cache_bypasses = figures.bypasses,
                          .cache_hit_rate = percent_if_any(figures.hits, asked),
                          .total_time_ms = in_ms(figures.total_ns),
                          .time_share = percent(figures.total_ns, report.all.figures.total_ns),
                          .queue_time_ms = in_ms(figures.queue_ns),
                          .mean_ms = mean_ms(figures),
                          .p50_ms = quantile_ms(durations, 0.5),
                          .p95_ms = quantile_ms(durations, 0.95),
                          .p99_ms = quantile_ms(durations, 0.99),
                          .p999_ms = quantile_ms(durations, 0.999),
                          .max_ms = {}};
  if (figures.calls > 0) said.max_ms = in_ms(figures.max_ns);
  if (report.seconds() > 0) said.calls_per_second = static_cast<double>(figures.calls) / report.seconds();
  return said;
}

double weight(const SubjectReport& subject, PerformanceSort sort) {
  switch (sort) {
    case PerformanceSort::calls:
      return static_cast<double>(subject.figures.calls);
    case PerformanceSort::mean:
      return mean_ms(subject.figures).value_or(0);
    case PerformanceSort::p99:
      return static_cast<double>(subject.durations.quantile(0.99));
    case PerformanceSort::errors:
      return static_cast<double>(subject.figures.errors);
    case PerformanceSort::total_time:
      break;
  }
  return static_cast<double>(subject.figures.total_ns);
}

/// Where they come first that were asked for. `total`: how many there were.
PeriodReport sorted_report(const PastQueries& past, SubjectKind kind, const ReportRequest& asked, const Moment& now,
                           std::uint64_t& total) {
  PeriodReport report = past.report(kind, asked.window, now);
  total = report.subjects.size();
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t at = 0; at < report.subjects.size(); ++at)
    order.emplace_back(weight(report.subjects[at], asked.sort), at);
  std::ranges::sort(order, std::greater());
  if (order.size() > asked.limit) order.resize(asked.limit);
  std::vector<SubjectReport> first;
  first.reserve(order.size());
  for (const auto& [each, at] : order) first.push_back(std::move(report.subjects[at]));
  report.subjects = std::move(first);
  return report;
}

/// A text's first characters; those of UTF-8 aren't cut through.
std::string beginning(std::string_view text, std::size_t characters) {
  std::size_t at = 0;
  const auto is_inside = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80; };
  for (std::size_t count = 0; at < text.size(); ++at) {
    if (!is_inside(text[at]) && ++count > characters) break;
  }
  return std::string(text.substr(0, at));
}

std::optional<std::string> if_any(const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); }

std::string kind_name(const QueryPerformanceMonitor& monitor, std::uint8_t kind) {
  return std::string(monitor.kinds()[std::min<std::size_t>(kind, monitor.kinds().size() - 1)].name);
}

std::string engine_name(Engine engine) { return std::string(engine_names[static_cast<std::size_t>(engine)]); }

std::string query_id(const SlowQuery& query) {
  return query.run == 0 ? fmt::format("q_{}", query.number) : fmt::format("q_{}_{}", query.number, query.run);
}

bool reads(const QueryPerformanceMonitor& monitor, std::uint8_t kind) {
  return kind < monitor.kinds().size() && monitor.kinds()[kind].group == StatementGroup::read;
}

CurrentMetrics current_metrics(const QueryPerformanceMonitor& monitor, std::int64_t now) {
  CurrentMetrics current;
  SubjectFigures sum;
  const auto intervals = monitor.history()->since(now - std::chrono::nanoseconds(current_window).count());
  for (const IntervalPtr& interval : intervals) {
    current.window_seconds += interval->seconds();
    sum += interval->all;
  }
  const QueryFigures& figures = sum.figures;
  if (current.window_seconds > 0) current.throughput = static_cast<double>(figures.calls) / current.window_seconds;
  current.execution_time = mean_ms(figures);
  current.p50_ms = quantile_ms(sum.durations, 0.5);
  current.p95_ms = quantile_ms(sum.durations, 0.95);
  current.p99_ms = quantile_ms(sum.durations, 0.99);
  current.error_rate = percent_if_any(figures.errors, figures.calls);
  current.cache_hit_rate = percent_if_any(figures.hits, figures.hits + figures.misses);
  current.slow_queries = figures.slow;
  const WireTotals wire = monitor.snapshot().wire;
  const auto level = [](std::uint64_t count) { return not_negative(static_cast<std::int64_t>(count)); };
  current.queue_depth = level(wire.clients_waiting);
  current.concurrency = level(wire.clients_active);
  current.connections = level(wire.clients_connected);
  return current;
}

std::map<std::string, std::vector<TrendPoint>> trends(const PastQueries& past, const WallClock& clock) {
  std::map<std::string, std::vector<TrendPoint>> trends;
  for (const char* name :
       {"throughput", "execution_time", "p99_ms", "error_rate", "cache_hit_rate", "queue_depth", "concurrency"}) {
    trends[name];
  }
  for (const IntervalPtr& interval :
       past.since(clock.now() - std::chrono::nanoseconds(trend_window).count(), nullptr, clock.moment())) {
    const Timestamp at = clock.at(interval->to_ns);
    const QueryFigures& figures = interval->all.figures;
    const auto add = [&](const char* name, std::optional<double> value) {
      if (value) trends[name].emplace_back(at, *value);
    };
    add("throughput", static_cast<double>(figures.calls) / interval->seconds());
    add("execution_time", mean_ms(figures));
    add("p99_ms", quantile_ms(interval->all.durations, 0.99));
    add("error_rate", percent_if_any(figures.errors, figures.calls));
    add("cache_hit_rate", percent_if_any(figures.hits, figures.hits + figures.misses));
    add("queue_depth", interval->levels.clients_waiting);
    add("concurrency", interval->levels.clients_active);
  }
  return trends;
}

/// A step of a chart: of what is remembered for so long in so fine intervals, so that all of it is by the same.
double step_seconds(std::chrono::minutes window) {
  if (window <= std::chrono::minutes(2)) return 1;
  if (window <= std::chrono::minutes(30)) return 10;
  return window <= std::chrono::days(1) ? 60 : 3600;
}

/// Puts intervals together into steps.
class TrendMaker {
 public:
  TrendMaker(const WallClock& clock, double step) : clock_(clock), step_(step) {}

  /// `figures`: of the interval; null: nothing was called. Whether a step has ended.
  bool add(const Interval& interval, const SubjectFigures* figures) {
    if (figures != nullptr) sum_ += *figures;
    seconds_ += interval.seconds();
    to_ns_ = interval.to_ns;
    // The intervals are a little longer or shorter than they are meant to be.
    return seconds_ >= 0.9 * step_ && end_step();
  }

  /// Ends the step that isn't full, unless it is so short that it would say little. Whether there is one.
  bool end_step() {
    if (seconds_ == 0 || (seconds_ < 0.3 * step_ && !trend.at.empty())) return false;
    trend.at.push_back(clock_.at(to_ns_));
    const QueryFigures& all = sum_.figures;
    trend.throughput.push_back(static_cast<double>(all.calls) / seconds_);
    trend.execution_time.push_back(mean_ms(all));
    trend.p50_ms.push_back(quantile_ms(sum_.durations, 0.5));
    trend.p95_ms.push_back(quantile_ms(sum_.durations, 0.95));
    trend.p99_ms.push_back(quantile_ms(sum_.durations, 0.99));
    trend.error_rate.push_back(percent_if_any(all.errors, all.calls));
    trend.cache_hit_rate.push_back(percent_if_any(all.hits, all.hits + all.misses));
    sum_ = {};
    seconds_ = 0;
    return true;
  }

  PerformanceTrend trend;

 private:
  const WallClock& clock_;
  const double step_;
  SubjectFigures sum_;
  double seconds_ = 0;
  std::int64_t to_ns_ = 0;
};

std::vector<DurationBucket> buckets_of(const CompactHistogram& durations) {
  constexpr std::size_t together = 8;
  constexpr std::size_t first = LogLinear::index(1024);  // ns: what takes less is all the same
  static_assert(LogLinear::lower(first) == 1024);
  HistogramTotals totals;
  durations.add_to(totals);
  std::vector<DurationBucket> buckets;
  std::uint64_t before = 0;
  double from_ms = 0;
  for (std::size_t at = first; at <= LogLinear::buckets && before < totals.count(); at += together) {
    const double to_ms = in_ms(LogLinear::lower(at));
    const std::uint64_t up_to = totals.count_up_to(LogLinear::lower(at) - 1);
    if (up_to > 0) buckets.push_back({.from_ms = from_ms, .to_ms = to_ms, .count = up_to - before});
    before = up_to;
    from_ms = to_ms;
  }
  return buckets;
}

std::string id_of(const SubjectReport& subject) {
  return subject.about == nullptr ? "other" : template_id(subject.about->fingerprint);
}

TemplatePerformance template_performance(const QueryPerformanceMonitor& monitor, const SubjectReport& subject,
                                         const PeriodReport& report) {
  TemplatePerformance said{.template_id = id_of(subject),
                           .query = subject.name,
                           .kind = {},
                           .database_type = {},
                           .figures = figures_of(subject.figures, subject.durations, report),
                           .sample = {}};
  if (const auto& about = subject.about) {
    said.kind = kind_name(monitor, about->kind);
    said.database_type = engine_name(about->engine);
    said.sample = {.query = about->text, .parameters = about->parameters, .database = about->database};
  }
  return said;
}

PlanAnswer plan_answer(const TemplatePlan& plan) {
  return {.outline = plan.outline, .total_cost = plan.total_cost, .estimated_rows = plan.rows, .asked_at = plan.at};
}

FiguresAround figures_around(const SubjectFigures& sum) {
  return {.calls = sum.figures.calls,
          .p50_ms = quantile_ms(sum.durations, 0.5),
          .p95_ms = quantile_ms(sum.durations, 0.95),
          .p99_ms = quantile_ms(sum.durations, 0.99)};
}

}  // namespace

std::string template_id(std::uint64_t fingerprint) { return fmt::format("{:016x}", fingerprint); }

SlowQueryAnswer slow_query_answer(const QueryPerformanceMonitor& monitor, const TemplatePlans* plans,
                                  const SlowQuery& query) {
  SlowQueryAnswer said{.query_id = query_id(query),
                       .query = beginning(query.text, longest_query),
                       .duration_ms = static_cast<double>(query.duration_ns) / ns_a_ms,
                       .database_type = engine_name(query.engine),
                       .user_id = query.asker(),
                       .project_id = if_any(query.project),
                       .cpu_usage_percent = query.cpu_percent,
                       .memory_usage_mb = query.memory_mb,
                       .rows_processed = query.rows,
                       .rows_returned = reads(monitor, query.kind) ? query.rows : 0,
                       .cache_hit = query.cache == CacheUse::hit,
                       .optimization_applied = query.rewritten,
                       .start_time = query.started,
                       .error = {},
                       .template_id = template_id(query.fingerprint),
                       .kind = kind_name(monitor, query.kind),
                       .parameters = query.parameters,
                       .queue_ms = static_cast<double>(query.queue_ns) / ns_a_ms,
                       .bytes = query.bytes,
                       .database = query.database,
                       .application = query.application,
                       .route = if_any(query.route),
                       .traceparent = if_any(query.traceparent)};
  if (query.failed()) said.error = std::string(query.sqlstate.data());
  const auto plan = plans == nullptr ? std::nullopt : plans->find(query.fingerprint);
  if (plan && plan->outline.empty()) said.why_no_plan = plan->why_none;
  if (plan && !plan->outline.empty()) said.plan = plan_answer(*plan);
  return said;
}

PlanChangeAnswer plan_change_answer(const QueryPerformanceMonitor& monitor, const PlanChange& change) {
  constexpr std::int64_t around_ns = 600'000'000'000;
  PlanChangeAnswer said{.change_id = fmt::format("plan_{}", change.number),
                        .template_id = template_id(change.fingerprint),
                        .detected_at = change.after.at,
                        .description = "Its plan has changed: " + difference(change),
                        .before = plan_answer(change.before),
                        .after = plan_answer(change.after),
                        .figures_before = {.p50_ms = {}, .p95_ms = {}, .p99_ms = {}},
                        .figures_after = {.p50_ms = {}, .p95_ms = {}, .p99_ms = {}}};
  const std::int64_t turn = change.before.at_ns;
  const PeriodReport report = monitor.history()->report(SubjectKind::query_template, std::nullopt, turn);
  const auto found = std::ranges::find(report.subjects, std::string_view(said.template_id), id_of);
  if (found == report.subjects.end()) return said;
  said.query = found->name;
  SubjectFigures before;
  SubjectFigures after;
  for (const IntervalPtr& interval : monitor.history()->since(turn - around_ns)) {
    if (interval->from_ns > turn + around_ns) break;
    const auto figures = std::ranges::lower_bound(interval->subjects, found->id, {}, &SubjectFigures::id);
    if (figures == interval->subjects.end() || figures->id != found->id) continue;
    (interval->to_ns <= turn ? before : after) += *figures;
  }
  said.figures_before = figures_around(before);
  said.figures_after = figures_around(after);
  return said;
}

TemplatesAnswer templates_report(const PastQueries& past, const ReportRequest& asked) {
  const WallClock clock;
  const QueryPerformanceMonitor& monitor = past.monitor();
  TemplatesAnswer answer;
  const PeriodReport report =
      sorted_report(past, SubjectKind::query_template, asked, clock.moment(), answer.total_count);
  answer.from = clock.at(report.from_ns);
  answer.to = clock.at(report.to_ns);
  answer.evicted_templates = monitor.history()->counts().evicted_templates;
  for (const SubjectReport& subject : report.subjects) {
    answer.templates.push_back(template_performance(monitor, subject, report));
  }
  return answer;
}

std::optional<TemplateDetail> template_detail(const PastQueries& past, const PerformanceWatch* watch,
                                              std::string_view id, std::chrono::minutes window) {
  const WallClock clock;
  const PeriodReport report = past.report(SubjectKind::query_template, window, clock.moment());
  const auto found = std::ranges::find(report.subjects, id, id_of);
  if (found == report.subjects.end()) return std::nullopt;
  TemplateDetail detail{.performance = template_performance(past.monitor(), *found, report),
                        .durations = buckets_of(found->durations),
                        .step_seconds = step_seconds(window),
                        .from = clock.at(report.from_ns),
                        .to = clock.at(report.to_ns)};
  TrendMaker maker(clock, detail.step_seconds);
  for (const IntervalPtr& interval : past.since(report.from_ns, &*found, clock.moment())) {
    const auto& subjects = interval->subjects;
    const auto figures = std::ranges::lower_bound(subjects, found->id, {}, &SubjectFigures::id);
    maker.add(*interval, figures != subjects.end() && figures->id == found->id ? &*figures : nullptr);
  }
  maker.end_step();
  detail.trend = std::move(maker.trend);
  if (watch != nullptr) {
    detail.marks = watch->anomalies().marks();
    std::erase_if(detail.marks,
                  [&](const AnomalyMark& mark) { return mark.template_id != id || mark.at < detail.from; });
  }
  return detail;
}

TrendsAnswer trends_report(const PastQueries& past, std::chrono::minutes window) {
  const WallClock clock;
  const std::int64_t from = clock.now() - std::chrono::nanoseconds(window).count();
  TrendsAnswer answer{.step_seconds = step_seconds(window), .from = clock.at(from), .to = clock.at(clock.now())};
  TrendMaker maker(clock, answer.step_seconds);
  double waiting = 0;
  double active = 0;
  double seconds = 0;
  const auto end_step = [&] {
    answer.queue_depth.push_back(waiting / seconds);
    answer.concurrency.push_back(active / seconds);
    waiting = active = seconds = 0;
  };
  for (const IntervalPtr& interval : past.since(from, nullptr, clock.moment())) {
    waiting += interval->levels.clients_waiting * interval->seconds();
    active += interval->levels.clients_active * interval->seconds();
    seconds += interval->seconds();
    if (maker.add(*interval, &interval->all)) end_step();
  }
  if (maker.end_step()) end_step();
  answer.trend = std::move(maker.trend);
  return answer;
}

UsageAnswer usage_report(const PastQueries& past, UsageBy by, const ReportRequest& asked) {
  const WallClock clock;
  UsageAnswer answer{.by = by, .usage = {}};
  const SubjectKind kind = by == UsageBy::user          ? SubjectKind::user
                           : by == UsageBy::database    ? SubjectKind::database
                           : by == UsageBy::application ? SubjectKind::application
                                                        : SubjectKind::project;
  const PeriodReport report = sorted_report(past, kind, asked, clock.moment(), answer.total_count);
  answer.from = clock.at(report.from_ns);
  answer.to = clock.at(report.to_ns);
  for (const SubjectReport& subject : report.subjects) {
    answer.usage.push_back({.name = subject.is_other ? "other" : subject.name,
                            .is_other = subject.is_other,
                            .figures = figures_of(subject.figures, subject.durations, report)});
  }
  return answer;
}

SlowQueriesAnswer slow_queries_report(const PastQueries& past, const TemplatePlans* plans,
                                      const SlowQueriesRequest& asked) {
  const auto found = past.slow_queries(asked.window, asked.least, asked.limit, Moment::now());
  SlowQueriesAnswer answer{.slow_queries = {},
                           .total_count = found.count,
                           .average_duration_ms = {},
                           .slow_queries_lost = past.monitor().history()->counts().slow_queries_lost};
  if (found.count > 0) answer.average_duration_ms = found.total_ns / ns_a_ms / static_cast<double>(found.count);
  for (const SlowQuery& query : found.slowest) {
    answer.slow_queries.push_back(slow_query_answer(past.monitor(), plans, query));
  }
  return answer;
}

namespace {

template <typename T>
std::string name_of(T value) {
  return boost::describe::enum_to_string(value, "unknown");
}

void add_watched(PerformanceDashboard& dashboard, const PerformanceWatch& watch) {
  for (auto& found : watch.anomalies().anomalies()) {
    if (dashboard.recent_anomalies.size() == anomalies_of_dashboard) break;
    dashboard.recent_anomalies.push_back({.anomaly_id = std::move(found.anomaly_id),
                                          .type = name_of(found.anomaly_type),
                                          .severity = name_of(found.severity),
                                          .description = std::move(found.description),
                                          .detected_at = found.detected_at,
                                          .confidence_score = found.confidence_score});
  }
  for (auto& alert : watch.alerts().alerts(true)) {
    dashboard.active_alerts.push_back({.alert_id = std::move(alert.alert_id),
                                       .severity = name_of(alert.threshold.severity),
                                       .description = std::move(alert.description),
                                       .triggered_at = alert.triggered_at,
                                       .current_value = alert.current_value});
  }
}

/// They are in the order of their priorities.
void add_recommended(PerformanceDashboard& dashboard, const RecommendationsAnswer& recommended) {
  for (const auto& one : recommended.recommendations | std::views::take(opportunities_of_dashboard)) {
    dashboard.optimization_opportunities.push_back({.recommendation_id = one.recommendation_id,
                                                    .type = name_of(one.type),
                                                    .description = one.description,
                                                    .estimated_improvement_percent = one.estimated_improvement_percent,
                                                    .priority = one.priority});
  }
}

}  // namespace

PerformanceDashboard dashboard_report(const PastQueries& past, const PerformanceWatch* watch,
                                      const RecommendationsAnswer* recommended) {
  const WallClock clock;
  PerformanceDashboard dashboard{.current_metrics = current_metrics(past.monitor(), clock.now()),
                                 .historical_trends = trends(past, clock),
                                 .top_slow_queries = {},
                                 .system_health = {}};
  const auto slow =
      past.slow_queries(trend_window, std::chrono::nanoseconds(0), slow_queries_of_dashboard, clock.moment());
  for (const SlowQuery& query : slow.slowest) {
    dashboard.top_slow_queries.push_back({.query_id = query_id(query),
                                          .query = beginning(query.text, longest_query_of_dashboard),
                                          .duration_ms = static_cast<double>(query.duration_ns) / ns_a_ms,
                                          .database_type = engine_name(query.engine),
                                          .user_id = query.asker(),
                                          .project_id = if_any(query.project),
                                          .start_time = query.started});
  }
  if (watch != nullptr) add_watched(dashboard, *watch);
  if (recommended != nullptr) add_recommended(dashboard, *recommended);
  return dashboard;
}

}  // namespace millrace::http
