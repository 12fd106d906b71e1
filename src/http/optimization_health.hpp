#pragma once

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "http/json_types.hpp"

/// The answer of `GET /api/v1/optimization/health`.
namespace millrace::http {

enum class OverallStatus { healthy, degraded, unhealthy };
BOOST_DESCRIBE_ENUM(OverallStatus, healthy, degraded, unhealthy)

enum class ServiceStatus { healthy, unavailable };
BOOST_DESCRIBE_ENUM(ServiceStatus, healthy, unavailable)

struct ServiceHealth {
  bool available = false;
  ServiceStatus status = ServiceStatus::unavailable;
  std::optional<std::string> reason;  ///< why it isn't available
};
BOOST_DESCRIBE_STRUCT(ServiceHealth, (), (available, status, reason))

struct Services {
  ServiceHealth postgresql;
  ServiceHealth optimization_engine;
  ServiceHealth cache_manager;
  ServiceHealth performance_monitor;
  ServiceHealth query_executor;
  ServiceHealth cache_integration;
  std::optional<ServiceHealth> redis;  ///< null: REDIS_URL is empty
};
BOOST_DESCRIBE_STRUCT(Services, (),
                      (postgresql, optimization_engine, cache_manager, performance_monitor, query_executor,
                       cache_integration, redis))

/// The score is 60 if queries reach PostgreSQL, and 8 more for each of the other five services: so "degraded" (60 and
/// more) means that queries are answered but something is missing, and "unhealthy" that they are not answered. A Redis
/// that is wanted and can't be used takes 8 away.
struct OptimizationHealth {
  OverallStatus overall_status = OverallStatus::unhealthy;
  double health_score = 0;
  Services services;
  Timestamp checked_at;
  std::vector<std::string> warnings;
};
BOOST_DESCRIBE_STRUCT(OptimizationHealth, (), (overall_status, health_score, services, checked_at, warnings))

/// Of each service why it isn't available, if it isn't.
struct ServiceResults {
  Result<> postgresql;  ///< what a probe of the server found just now
  Result<> engine, cache, monitor, executor;
  Result<> integration;                ///< the change streams
  std::optional<Result<>> redis = {};  ///< null: none is wanted
};
OptimizationHealth optimization_health(const ServiceResults& services, Timestamp now);

}  // namespace millrace::http
