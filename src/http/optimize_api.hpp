#pragma once

#include <functional>

#include "http/api_table.hpp"
#include "http/asked_query.hpp"
#include "optimizer/rewriter.hpp"

namespace millrace::http {

/// Adds optimize-query. `options`: as the settings say; its level is the request's.
void add_optimization(ApiTable& table, const std::shared_ptr<QueryAnalysts>& analysts,
                      std::function<optimizer::Options()> options);

}  // namespace millrace::http
