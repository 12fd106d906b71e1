#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "cache/intelligent_cache_manager.hpp"
#include "http/api_keys.hpp"
#include "http/router.hpp"
#include "integration/stream_status.hpp"
#include "monitor/query_performance_monitor.hpp"

namespace millrace::http {

/// What the endpoints draw from.
struct Sources {
  std::string version;
  std::shared_ptr<const QueryPerformanceMonitor> monitor;

  /// Asks PostgreSQL whether it can be reached, or why not; must end within a few seconds. Runs on the io_context of
  /// whoever asks for the health.
  std::function<asio::awaitable<Result<>>()> probe_postgresql;

  std::shared_ptr<cache::IntelligentCacheManager> cache = {};  ///< null: caching is off
  /// How it is with the change streams: one a database whose answers are kept. Thread-safe.
  std::function<std::vector<integration::StreamStatus>()> change_streams = [] {
    return std::vector<integration::StreamStatus>();
  };
  ApiKeys api_keys = {};
};

/// Millrace's REST API.
std::shared_ptr<const Router> api(const Sources& sources);

}  // namespace millrace::http
