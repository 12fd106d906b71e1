#include "http/optimization_health.hpp"

#include <algorithm>

namespace millrace::http {
namespace {

constexpr double postgresql_points = 60;
constexpr double points_of_each_other = 8;
constexpr double healthy_from = 100;
constexpr double degraded_from = 60;

ServiceHealth health_of(const Result<>& service) {
  if (service) return {.available = true, .status = ServiceStatus::healthy, .reason = {}};
  return {.available = false, .status = ServiceStatus::unavailable, .reason = service.error().message};
}

/// Null: it isn't.
const ServiceHealth* wanted(const ServiceHealth& service) { return &service; }
const ServiceHealth* wanted(const std::optional<ServiceHealth>& service) { return service ? &*service : nullptr; }

OverallStatus overall(double score) {
  if (score >= healthy_from) return OverallStatus::healthy;
  return score >= degraded_from ? OverallStatus::degraded : OverallStatus::unhealthy;
}

}  // namespace

OptimizationHealth optimization_health(const ServiceResults& services, Timestamp now) {
  OptimizationHealth health{.services = {.postgresql = health_of(services.postgresql),
                                         .optimization_engine = health_of(services.engine),
                                         .cache_manager = health_of(services.cache),
                                         .performance_monitor = health_of(services.monitor),
                                         .query_executor = health_of(services.executor),
                                         .cache_integration = health_of(services.integration),
                                         .redis = {}},
                            .checked_at = now,
                            .warnings = {}};
  health.health_score = health.services.postgresql.available ? postgresql_points : 0;
  const auto& redis = services.redis;
  if (redis) health.services.redis = health_of(*redis);
  for_each_member<Services>([&](auto member) {
    const ServiceHealth* const service = wanted(health.services.*member.pointer);
    if (service == nullptr) return;
    if (!service->available) {
      health.warnings.push_back(std::string(member.name) + ": " + service->reason.value_or("not available"));
    } else if (service != &health.services.postgresql && service != wanted(health.services.redis)) {
      health.health_score += points_of_each_other;
    }
  });
  if (redis && !*redis) health.health_score = std::max(health.health_score - points_of_each_other, 0.0);
  health.overall_status = overall(health.health_score);
  return health;
}

}  // namespace millrace::http
