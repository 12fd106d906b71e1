#pragma once

#include <functional>
#include <string>

#include "http/api_table.hpp"
#include "optimizer/planned_query.hpp"
#include "pipeline/read_cache.hpp"

namespace millrace::http {

struct Asker {
  std::string database, user;
};

/// Asks the server how it would run a query; on the io_context of whoever asks.
using Planner = std::function<asio::awaitable<Result<optimizer::PlannedQuery>>(optimizer::PlanRequest)>;

/// Adds analyze-query. `reads`: null: there is no cache; else it outlives the table's router. `usual`: who asks where a
/// request doesn't say; asked from any thread. `plan`: null: nobody can be asked.
void add_analysis(ApiTable& table, pipeline::ReadCache* reads, std::function<Asker()> usual, Planner plan);

}  // namespace millrace::http
