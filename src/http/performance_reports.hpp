#pragma once

#include <cstdint>

#include "http/performance_types.hpp"
#include "monitor/performance_watch.hpp"
#include "monitor/query_performance_monitor.hpp"
#include "monitor/template_plans.hpp"

/// What the performance monitor knows, as it is answered. They walk through its history: not for an I/O thread. The
/// monitor must have a history.
namespace millrace::http {

struct ReportRequest {
  PerformanceSort sort = PerformanceSort::total_time;
  std::optional<std::chrono::minutes> window = {};  ///< null: since the start
  std::size_t limit = 100;
};

TemplatesAnswer templates_report(const QueryPerformanceMonitor& monitor, const ReportRequest& asked);
UsageAnswer usage_report(const QueryPerformanceMonitor& monitor, UsageBy by, const ReportRequest& asked);
std::string template_id(std::uint64_t fingerprint);
/// `plans`: null: nobody asks for plans.
SlowQueryAnswer slow_query_answer(const QueryPerformanceMonitor& monitor, const TemplatePlans* plans,
                                  const SlowQuery& query);
SlowQueriesAnswer slow_queries_report(const QueryPerformanceMonitor& monitor, const TemplatePlans* plans,
                                      std::size_t limit, std::chrono::milliseconds least);
PlanChangeAnswer plan_change_answer(const QueryPerformanceMonitor& monitor, const PlanChange& change);
/// Nothing: there is no such template, or it wasn't called in this time.
std::optional<TemplateDetail> template_detail(const QueryPerformanceMonitor& monitor, std::string_view template_id,
                                              std::chrono::minutes window);
TrendsAnswer trends_report(const QueryPerformanceMonitor& monitor, std::chrono::minutes window);
/// All but `system_health`.
/// `watch`: null: performance isn't watched, so there are no anomalies and no alerts.
PerformanceDashboard dashboard_report(const QueryPerformanceMonitor& monitor, const PerformanceWatch* watch);

}  // namespace millrace::http
