#include "http/api.hpp"

#include "base/clock.hpp"
#include "http/alerts_api.hpp"
#include "http/analysis_api.hpp"
#include "http/api_table.hpp"
#include "http/breaker_status.hpp"
#include "http/cache_api.hpp"
#include "http/execution_api.hpp"
#include "http/execution_metrics.hpp"
#include "http/jobs_api.hpp"
#include "http/live_api.hpp"
#include "http/metrics.hpp"
#include "http/optimization_health.hpp"
#include "http/optimization_status.hpp"
#include "http/optimize_api.hpp"
#include "http/page_api.hpp"
#include "http/performance_api.hpp"
#include "http/recommendations_api.hpp"
#include "http/rewrites_api.hpp"
#include "http/store_report.hpp"
#include "http/stream_metrics.hpp"

namespace millrace::http {
namespace {

// The application that the paths come from mounts its router twice, so both forms are in use.
constexpr std::string_view prefix = "/api/v1/optimization";
constexpr std::string_view doubled_prefix = "/api/v1/optimization/optimization";

std::string under(std::string_view base, std::string_view name) { return std::string(base) + std::string(name); }

/// The first that isn't live says why. Of a database that nobody uses there is none, and none is lacking.
Result<> health_of_streams(const Sources& sources) {
  if (sources.reads == nullptr || !sources.reads->follows_changes()) {
    return fail("no changes are followed: ENABLE_CHANGE_STREAM or ENABLE_MULTI_LEVEL_CACHING is off");
  }
  for (const auto& stream : sources.change_streams()) {
    if (stream.state == integration::StreamState::live) continue;
    auto why = "database " + stream.database + ": " + stream.reason.value_or("the change stream begins");
    if (stream.remedy) why += "; in PostgreSQL: " + *stream.remedy;
    return fail(std::move(why));
  }
  return {};
}

/// Rewriting and recommending go by the catalogs, which are read for the cache.
Result<> health_of_engine(const Sources& sources) {
  return sources.reads ? Result<>() : fail("no catalogs are read: ENABLE_MULTI_LEVEL_CACHING is off");
}

Result<> health_of_monitor(const Sources& sources) {
  if (!sources.watch) return fail("PERFORMANCE_MONITORING_ENABLED is off");
  return sources.monitor->records() ? Result<>() : fail("QUERY_PERFORMANCE_TRACKING_ENABLED is off");
}

std::string store_warning(const StoreReport& store) {
  return fmt::format("store: {}: {}", store.state == "open" ? "it can't be written" : "it isn't available",
                     store.reason.value_or(""));
}

/// The figures are for everybody; names of tables and their owners for who may read what is kept of them.
asio::awaitable<OptimizationStatus> status(Sources sources, Principal principal) {
  auto streams = sources.change_streams();
  if (principal.name.empty()) {
    for (auto& stream : streams) stream.unfollowed.clear();
  }
  auto status = optimization_status(sources.monitor->snapshot(), sources.version, std::move(streams));
  for (const auto& breaker : sources.breakers()) status.service_health.circuit_breaker_state = name(breaker.state);
  status.optimization_engine_available = health_of_engine(sources).has_value();
  status.store = store_report(sources.store.get(), sources.kept.get());
  if (principal.name.empty()) {
    status.store.path.reset();
    if (status.store.reason) status.store.reason = "the log says why";  // it has paths
  }
  if (status.store.reason) status.warnings.push_back(store_warning(status.store));
  co_return status;
}

asio::awaitable<OptimizationHealth> health(Sources sources) {
  const Result<> postgresql = co_await sources.probe_postgresql();
  ServiceResults services{.postgresql = postgresql,
                          .engine = health_of_engine(sources),
                          .cache = sources.cache ? Result<>() : fail("ENABLE_MULTI_LEVEL_CACHING is off"),
                          .monitor = health_of_monitor(sources),
                          .executor = sources.executor ? Result<>() : fail("ENABLE_ADAPTIVE_EXECUTOR is off"),
                          .integration = health_of_streams(sources)};
  if (sources.shared_quotas) services.redis = sources.shared_quotas->state();
  auto health = optimization_health(services, std::chrono::system_clock::now());
  // Queries are answered as well without it, so that it costs no points.
  const auto store = store_report(sources.store.get(), sources.kept.get());
  if (store.reason) health.warnings.push_back(store_warning({.state = store.state, .reason = "the log says why"}));
  co_return health;
}

}  // namespace

std::shared_ptr<const Router> api(const Sources& sources) {
  ApiTable table;
  table.authenticate("bearer", by_api_key(sources.api_keys), "X-API-Key");
  table.add("GET",
            {.path = under(prefix, "/status"),
             .summary = "What is running, and its figures",
             .description = "Parts that this version doesn't have are false or null; warnings says "
                            "which. The wire object has the figures of the PostgreSQL port. Tables by name "
                            "(change_streams' unfollowed) are told only to who has an API key.",
             .also_at = {under(doubled_prefix, "/status")},
             .open = true},
            [sources](Principal principal) { return status(sources, std::move(principal)); });
  table.add("GET",
            {.path = under(prefix, "/health"),
             .summary = "Whether queries are answered, and by what",
             .description = "healthy: everything works. degraded (a score of 60 or more): queries "
                            "are answered, but a part is missing. unhealthy: PostgreSQL can't be "
                            "reached. The status code is 200 in every case.",
             .also_at = {under(doubled_prefix, "/health"), "/health"},
             .open = true},
            [sources] { return health(sources); });
  table.add(
      "GET",
      {.path = "/metrics",
       .summary = "All figures in Prometheus' text format",
       .media_type = "text/plain; version=0.0.4; charset=utf-8",
       .open = true},
      [sources] {
        const auto refusals = sources.reads == nullptr ? Refusals() : sources.reads->refusals();
        const auto invalidations =
            sources.reads == nullptr ? Invalidations() : sources.reads->invalidations().by_reason();
        return ready({.body = metrics_text(sources.monitor->snapshot(), sources.version, sources.cache.get(), refusals,
                                           invalidations) +
                              stream_metrics_text(sources.change_streams()) + breaker_metrics_text(sources.breakers()) +
                              (sources.rewrites ? rewrite_metrics_text(*sources.rewrites) : "") +
                              (!sources.executor ? "" : execution_metrics_text(sources.executor->figures(now_ns()))) +
                              store_metrics_text(sources.store.get(), sources.kept.get()) +
                              (sources.watch && sources.live
                                   ? performance_metrics_text(*sources.watch, sources.channels, *sources.live)
                                   : "")});
      });
  add_cache(table, sources.cache, sources.reads, sources.change_streams);
  add_alerts(table, sources.watch);
  const auto past =
      sources.kept ? std::make_shared<const PastQueries>(sources.monitor, sources.store, sources.kept) : nullptr;
  const auto recommended = std::make_shared<KnownRecommendations>();
  add_performance(
      table, sources.monitor, past, sources.watch, [sources] { return health(sources); }, sources.reports,
      sources.plans, recommended);
  add_execution(table, sources.executor, sources.shared_quotas, sources.monitor, sources.pool_usage, sources.breakers);
  add_jobs(table, sources.jobs, sources.executor, sources.query_timeout,
           {.jobs = sources.kept_jobs, .store = sources.store});
  add_live(table, sources.live);
  const auto analysts = std::make_shared<QueryAnalysts>(sources.reads, sources.default_asker, sources.plan,
                                                        sources.monitor, sources.plans);
  add_analysis(table, analysts);
  add_optimization(table, analysts, sources.rewriting);
  add_recommendations(table, analysts, sources.monitor, sources.what_if, recommended);
  add_rewrites(table, sources.rewrites, sources.shows_constants);
  auto router = table.router("Millrace", sources.version);
  add_page(*router);
  return router;
}

}  // namespace millrace::http
