#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>

#include "http/api_table.hpp"
#include "http/known_recommendations.hpp"
#include "http/optimization_health.hpp"
#include "monitor/past_queries.hpp"
#include "monitor/performance_watch.hpp"
#include "monitor/query_performance_monitor.hpp"
#include "monitor/template_plans.hpp"
#include "pipeline/reported_queries.hpp"

namespace millrace::http {

/// Adds what people ask of the performance monitor: templates, usage, slow queries, the dashboard. `health` is asked
/// for the dashboard. `watch`: null: there are no anomalies and no alerts. `reports`: null: nobody may tell of
/// queries. `plans`: null: nobody asks for plans. `past`: null: nothing but what is in the monitor's memory.
/// `recommended` is for the dashboard.
void add_performance(ApiTable& table, std::shared_ptr<const QueryPerformanceMonitor> monitor,
                     std::shared_ptr<const PastQueries> past, std::shared_ptr<const PerformanceWatch> watch,
                     std::function<asio::awaitable<OptimizationHealth>()> health,
                     std::shared_ptr<pipeline::ReportedQueries> reports, std::shared_ptr<const TemplatePlans> plans,
                     std::shared_ptr<const KnownRecommendations> recommended);

}  // namespace millrace::http
