#pragma once

#include <string>

#include "executor/adaptive_query_executor.hpp"

namespace millrace::http {

/// Prometheus' text format, of what runs and waits at present, and of what was refused.
std::string execution_metrics_text(const executor::AdaptiveQueryExecutor::Figures& figures);

}  // namespace millrace::http
