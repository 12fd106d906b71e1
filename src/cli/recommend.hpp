#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "config/load.hpp"

namespace millrace::cli {

struct RecommendOptions {
  std::string table = {}, database = {};  ///< "": all; DATABASE_URL's
  std::optional<std::uint32_t> budget_mb = {};
};

/// Asks a running Millrace which indexes would pay. The exit code: failure if there is no answer.
int recommend(const config::Sources& sources, const RecommendOptions& options, bool json);

}  // namespace millrace::cli
