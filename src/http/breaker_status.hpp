#pragma once

#include <string>
#include <vector>

#include "base/circuit_breaker.hpp"
#include "http/execution_types.hpp"

namespace millrace::http {

/// `now`: of now_ns().
CircuitBreakerStatus breaker_status(const CircuitBreaker::Status& status, std::int64_t now);

/// In Prometheus' text format.
std::string breaker_metrics_text(const std::vector<CircuitBreaker::Status>& breakers);

}  // namespace millrace::http
