#pragma once

#include "config/load.hpp"

namespace millrace::cli {

/// Asks a running Millrace for its status and prints a summary, or the answer's JSON as it came. The exit code:
/// failure if there is no answer.
int status(const config::Sources& sources, bool json);

/// The summary of the answer of GET /api/v1/optimization/status.
std::string status_summary(std::string_view body);

}  // namespace millrace::cli
