#pragma once

#include <string>

#include "config/load.hpp"

namespace millrace::cli {

struct TopOptions {
  std::string sort = "total_time";
  unsigned window = 5;  ///< minutes; 0: since the start
  unsigned limit = 20;
  unsigned every = 0;  ///< seconds; 0: once
};

/// Prints the templates that take the most, of a running Millrace. The exit code: failure if there is no answer.
int top(const config::Sources& sources, const TopOptions& options, bool json);

struct SlowOptions {
  unsigned min_duration_ms = 1000;
  unsigned limit = 20;
  unsigned window = 0;  ///< minutes; 0: all that are remembered
};

/// Prints the slow queries of a running Millrace. The exit code: failure if there is no answer.
int slow(const config::Sources& sources, const SlowOptions& options, bool json);

}  // namespace millrace::cli
