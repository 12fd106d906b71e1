#pragma once

#include <string>

#include "config/load.hpp"

namespace millrace::cli {

struct AnalyzeOptions {
  std::string query = {};                ///< "-": standard input
  std::string database = {}, user = {};  ///< "": DATABASE_URL's
  bool json = false;                     ///< the answer as it came
};

/// Asks a running Millrace what a query is, and how PostgreSQL would run it. The exit code: failure if there is no
/// answer, or it isn't SQL.
int analyze(const config::Sources& sources, const AnalyzeOptions& options);

/// For people: the answer of POST /api/v1/optimization/analyze-query.
std::string analysis_text(std::string_view body);

}  // namespace millrace::cli
