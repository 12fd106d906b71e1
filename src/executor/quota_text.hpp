#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "executor/quotas.hpp"

namespace millrace::executor {

/// A quota as others read it: `hourly_query_limit=10 priority_boost=1`, by the names that REST has; what isn't there
/// has no limit.
std::string quota_text(const Quota& quota);
/// What isn't known is left out: a later version may have written it. Error: a value is none, or none that may be set.
Result<Quota> parse_quota(std::string_view text);

}  // namespace millrace::executor
