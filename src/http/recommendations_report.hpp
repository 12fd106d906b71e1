#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/recommendations_types.hpp"
#include "monitor/query_performance_monitor.hpp"
#include "optimizer/index_advice.hpp"

namespace millrace::http {

struct RecordedWorkload {
  std::vector<optimizer::WorkloadStatement> statements;  ///< what took most comes first
  double seconds = 0;
};
/// What of a database reached PostgreSQL in the last day, as far as it is remembered.
RecordedWorkload recorded_workload(const QueryPerformanceMonitor& monitor, std::string_view database);

/// `$1` and so on in place of the constants of a text that was kept without them.
std::string with_parameters(std::string_view normalized);

/// In sentences.
RecommendationsAnswer recommendations_of(const optimizer::IndexAdvice& advice);

}  // namespace millrace::http
