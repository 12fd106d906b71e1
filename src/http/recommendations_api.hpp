#pragma once

#include <functional>
#include <memory>

#include "http/api_table.hpp"
#include "http/asked_query.hpp"
#include "http/known_recommendations.hpp"
#include "monitor/query_performance_monitor.hpp"
#include "optimizer/what_if.hpp"

namespace millrace::http {

/// Opens what can be asked about indexes of a database; blocks. Null: nobody can be asked.
using WhatIfOpener = std::function<Result<std::shared_ptr<optimizer::WhatIf>>(std::string database)>;

/// Adds what people are told to change: indexes, by the workload that the monitor has seen. `known`: keeps what was
/// answered.
void add_recommendations(ApiTable& table, const std::shared_ptr<QueryAnalysts>& analysts,
                         std::shared_ptr<const QueryPerformanceMonitor> monitor, WhatIfOpener open,
                         std::shared_ptr<KnownRecommendations> known);

}  // namespace millrace::http
