#pragma once

#include "http/api_table.hpp"
#include "http/asked_query.hpp"

namespace millrace::http {

/// Adds analyze-query.
void add_analysis(ApiTable& table, const std::shared_ptr<QueryAnalysts>& analysts);

}  // namespace millrace::http
