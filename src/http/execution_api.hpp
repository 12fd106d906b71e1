#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/circuit_breaker.hpp"
#include "executor/adaptive_query_executor.hpp"
#include "executor/shared_quotas.hpp"
#include "http/api_table.hpp"
#include "monitor/query_performance_monitor.hpp"

namespace millrace::http {

/// What runs and waits, and what it takes. `executor` may be null: then its operations answer 503. `shared_quotas`:
/// null: each node counts alone. `pool_usage`: of all server connections that there may be, how many are used, 0 to
/// 100; `breakers`: of the servers; both thread-safe.
void add_execution(ApiTable& table, std::shared_ptr<executor::AdaptiveQueryExecutor> executor,
                   std::shared_ptr<executor::SharedQuotas> shared_quotas,
                   std::shared_ptr<const QueryPerformanceMonitor> monitor,
                   std::function<std::optional<double>()> pool_usage,
                   std::function<std::vector<CircuitBreaker::Status>()> breakers);

}  // namespace millrace::http
