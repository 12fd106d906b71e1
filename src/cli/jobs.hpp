#pragma once

#include <string>

#include "config/load.hpp"

namespace millrace::cli {

struct JobsCommand {
  enum class What { list, show, cancel };
  What what = What::list;
  std::string id = {};
  std::string status = {};  ///< of `list`: only these; "": all
};

/// Asks a running Millrace for its jobs, or to cancel one. The exit code: failure if it doesn't.
int jobs(const config::Sources& sources, const JobsCommand& command, bool json);

}  // namespace millrace::cli
