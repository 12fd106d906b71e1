#pragma once

#include "cli/given_query.hpp"
#include "config/load.hpp"

namespace millrace::cli {

/// Asks a running Millrace for another way to say a query. `level`: 1 to 5. The exit code: failure if there is no
/// answer, or it isn't SQL.
int optimize(const config::Sources& sources, const GivenQuery& given, int level);

}  // namespace millrace::cli
