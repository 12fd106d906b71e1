#pragma once

#include <string>

#include "cli/given_query.hpp"
#include "config/load.hpp"

namespace millrace::cli {

/// Asks a running Millrace what a query is, and how PostgreSQL would run it. The exit code: failure if there is no
/// answer, or it isn't SQL.
int analyze(const config::Sources& sources, const GivenQuery& options);

/// For people: the answer of POST /api/v1/optimization/analyze-query.
std::string analysis_text(std::string_view body);

}  // namespace millrace::cli
