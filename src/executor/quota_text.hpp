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

/// What was set last for one of those who have quotas, among all nodes.
struct SetQuota {
  std::optional<Quota> quota = {};  ///< null: it was taken away
  /// When, in ms of UNIX time, and later than what was there before: of two the later one holds. 0: not known.
  std::int64_t changed = 0;

  bool operator==(const SetQuota&) const = default;
};

/// As `quota_text`, or `removed`; when it was set isn't in it.
std::string set_quota_text(const SetQuota& set);
/// That, behind `changed=1764538000123 ` where it is known. Errors: as `parse_quota`; the time is none.
Result<SetQuota> parse_set_quota(std::string_view text);

}  // namespace millrace::executor
