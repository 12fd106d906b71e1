#pragma once

#include <cstdint>

#include "http/performance_types.hpp"
#include "http/recommendations_types.hpp"
#include "monitor/past_queries.hpp"
#include "monitor/performance_watch.hpp"
#include "monitor/query_performance_monitor.hpp"
#include "monitor/template_plans.hpp"

/// What the performance monitor knows, as it is answered. They walk through its history, and may wait for the store:
/// not for an I/O thread. The monitor must have a history.
namespace millrace::http {

struct ReportRequest {
  PerformanceSort sort = PerformanceSort::total_time;
  std::optional<std::chrono::minutes> window = {};  ///< null: since the start
  std::size_t limit = 100;
};

TemplatesAnswer templates_report(const PastQueries& past, const ReportRequest& asked);
UsageAnswer usage_report(const PastQueries& past, UsageBy by, const ReportRequest& asked);
std::string template_id(std::uint64_t fingerprint);
/// `plans`: null: nobody asks for plans.
SlowQueryAnswer slow_query_answer(const QueryPerformanceMonitor& monitor, const TemplatePlans* plans,
                                  const SlowQuery& query);
struct SlowQueriesRequest {
  std::optional<std::chrono::minutes> window = {};  ///< null: all that are remembered
  std::chrono::milliseconds least{0};
  std::size_t limit = 0;
};
SlowQueriesAnswer slow_queries_report(const PastQueries& past, const TemplatePlans* plans,
                                      const SlowQueriesRequest& asked);
PlanChangeAnswer plan_change_answer(const QueryPerformanceMonitor& monitor, const PlanChange& change);
/// Nothing: there is no such template, or it wasn't called in this time.
/// `watch`: null: performance isn't watched, so there are no anomalies, marks and alerts.
std::optional<TemplateDetail> template_detail(const PastQueries& past, const PerformanceWatch* watch,
                                              std::string_view template_id, std::chrono::minutes window);
TrendsAnswer trends_report(const PastQueries& past, std::chrono::minutes window);
/// All but `system_health`.
/// `recommended`: null: nothing was, lately. `system_health` is left out.
PerformanceDashboard dashboard_report(const PastQueries& past, const PerformanceWatch* watch,
                                      const RecommendationsAnswer* recommended);

}  // namespace millrace::http
