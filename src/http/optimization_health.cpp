#include "http/optimization_health.hpp"

namespace millrace::http {
namespace {

constexpr double postgresql_points = 60;
constexpr double points_of_each_other = 8;
constexpr double healthy_from = 100;
constexpr double degraded_from = 60;

ServiceHealth available() { return {.available = true, .status = ServiceStatus::healthy, .reason = {}}; }

ServiceHealth unavailable(std::string reason) {
  return {.available = false, .status = ServiceStatus::unavailable, .reason = std::move(reason)};
}

OverallStatus overall(double score) {
  if (score >= healthy_from) return OverallStatus::healthy;
  return score >= degraded_from ? OverallStatus::degraded : OverallStatus::unhealthy;
}

}  // namespace

OptimizationHealth optimization_health(const Result<>& postgresql, const Result<>& cache, const Result<>& executor,
                                       const Result<>& integration, Timestamp now) {
  OptimizationHealth health{
      .services = {.postgresql = postgresql ? available() : unavailable(postgresql.error().message),
                   .optimization_engine = available(),
                   .cache_manager = cache ? available() : unavailable(cache.error().message),
                   .performance_monitor = available(),
                   .query_executor = executor ? available() : unavailable(executor.error().message),
                   .cache_integration = integration ? available() : unavailable(integration.error().message)},
      .checked_at = now,
      .warnings = {}};
  health.health_score = health.services.postgresql.available ? postgresql_points : 0;
  for_each_member<Services>([&](auto member) {
    const ServiceHealth& service = health.services.*member.pointer;
    if (!service.available) {
      health.warnings.push_back(std::string(member.name) + ": " + service.reason.value_or("not available"));
    } else if (&service != &health.services.postgresql) {
      health.health_score += points_of_each_other;
    }
  });
  health.overall_status = overall(health.health_score);
  return health;
}

}  // namespace millrace::http
