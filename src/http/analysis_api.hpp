#pragma once

#include <functional>
#include <string>

#include "http/api_table.hpp"
#include "pipeline/read_cache.hpp"

namespace millrace::http {

struct Asker {
  std::string database, user;
};

/// Adds analyze-query. `reads`: null: there is no cache; else it outlives the table's router. `usual`: who asks where a
/// request doesn't say; asked from any thread.
void add_analysis(ApiTable& table, pipeline::ReadCache* reads, std::function<Asker()> usual);

}  // namespace millrace::http
