#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/embedded_store.hpp"
#include "base/circuit_breaker.hpp"
#include "base/result.hpp"
#include "cache/intelligent_cache_manager.hpp"
#include "executor/adaptive_query_executor.hpp"
#include "executor/job_store.hpp"
#include "executor/query_jobs.hpp"
#include "executor/shared_quotas.hpp"
#include "http/api_keys.hpp"
#include "http/asked_query.hpp"
#include "http/live_updates.hpp"
#include "http/performance_metrics.hpp"
#include "http/recommendations_api.hpp"
#include "http/router.hpp"
#include "integration/stream_status.hpp"
#include "monitor/past_queries.hpp"
#include "monitor/performance_watch.hpp"
#include "monitor/query_performance_monitor.hpp"
#include "monitor/template_plans.hpp"
#include "optimizer/rewriter.hpp"
#include "pipeline/read_cache.hpp"
#include "pipeline/reported_queries.hpp"
#include "pipeline/rewrites.hpp"

namespace millrace::http {

/// What the endpoints draw from. What it points to outlives the server.
struct Sources {
  std::string version;
  std::shared_ptr<const QueryPerformanceMonitor> monitor;

  /// Asks PostgreSQL whether it can be reached, or why not; must end within a few seconds. Runs on the io_context of
  /// whoever asks for the health.
  std::function<asio::awaitable<Result<>>()> probe_postgresql;

  std::shared_ptr<cache::IntelligentCacheManager> cache = {};      ///< null: caching is off
  std::shared_ptr<executor::AdaptiveQueryExecutor> executor = {};  ///< null: nothing waits for a turn
  std::shared_ptr<executor::SharedQuotas> shared_quotas = {};      ///< null: each node counts alone
  std::shared_ptr<executor::QueryJobs> jobs = {};                  ///< null: nobody runs any
  /// QUERY_TIMEOUT_SECONDS. Thread-safe.
  std::function<std::chrono::seconds()> query_timeout = [] { return std::chrono::seconds(0); };
  /// Of all server connections that there may be, how many are used, 0 to 100. Thread-safe.
  std::function<std::optional<double>()> pool_usage = [] { return std::optional<double>(); };
  /// Of the servers that queries are for. Thread-safe.
  std::function<std::vector<CircuitBreaker::Status>()> breakers = [] { return std::vector<CircuitBreaker::Status>(); };
  /// How it is with the change streams: one a database whose answers are kept. Thread-safe.
  std::function<std::vector<integration::StreamStatus>()> change_streams = [] {
    return std::vector<integration::StreamStatus>();
  };
  /// What decides what of the wire is kept in `cache`. Null: nothing is.
  pipeline::ReadCache* reads = nullptr;
  /// Who asks, where a request about a statement doesn't say: DATABASE_URL's database and user.
  std::function<Asker()> default_asker = [] { return Asker{.database = "postgres", .user = "postgres"}; };
  /// How the server would run a query. Null: nobody can be asked.
  Planner plan = {};
  /// What the server would do with other indexes. Null: nobody can be asked.
  WhatIfOpener what_if = {};
  /// What of rewriting is switched on; asked from any thread.
  std::function<optimizer::Options()> rewriting = [] { return optimizer::Options(); };
  /// What is rewritten on the wire. Null: nothing can be.
  const pipeline::Rewrites* rewrites = nullptr;
  bool shows_constants = true;  ///< of their texts
  ApiKeys api_keys = {};
  /// Alerts and anomalies. Null: performance isn't watched.
  std::shared_ptr<PerformanceWatch> watch = {};
  NotificationChannels channels = {};
  std::shared_ptr<pipeline::ReportedQueries> reports = {};  ///< null: nobody may tell of queries
  std::shared_ptr<const TemplatePlans> plans = {};          ///< null: nobody asks for plans
  std::shared_ptr<backend::EmbeddedStore> store = {};       ///< null: nothing survives a restart
  std::shared_ptr<const PerformanceStore> kept = {};        ///< what of queries does; null: nothing
  std::shared_ptr<executor::JobStore> kept_jobs = {};       ///< what of jobs does; null: nothing
  std::shared_ptr<LiveUpdates> live = {};                   ///< null, too: performance isn't watched
};

/// Millrace's REST API, and the page.
std::shared_ptr<const Router> api(const Sources& sources);

}  // namespace millrace::http
