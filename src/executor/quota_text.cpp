#include "executor/quota_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ranges>

namespace millrace::executor {
namespace {

/// Calls `use` with each name and its member.
template <typename Q, typename Use>
void for_each_limit(Q& quota, Use use) {
  use("max_concurrent_queries", quota.max_concurrent_queries);
  use("hourly_query_limit", quota.hourly_query_limit);
  use("daily_query_limit", quota.daily_query_limit);
  use("max_execution_time_seconds", quota.max_execution_time_seconds);
  use("max_memory_mb", quota.max_memory_mb);
}

template <typename T>
bool read(std::string_view text, T& to) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), to);
  return error == std::errc() && end == text.data() + text.size();
}

bool may_be_set(const Quota& quota) {
  return quota.max_concurrent_queries != 0U && quota.max_memory_mb != 0U && quota.max_execution_time_seconds != 0U &&
         quota.max_execution_time_seconds.value_or(1) <= Quota::longest_execution_seconds &&
         quota.priority_boost >= -Quota::most_boost && quota.priority_boost <= Quota::most_boost;
}

constexpr std::string_view removed = "removed", changed = "changed=";
constexpr std::int64_t latest = std::int64_t{1} << 53;  ///< of what Redis' scripts can count

}  // namespace

std::string quota_text(const Quota& quota) {
  std::string text;
  for_each_limit(quota, [&](std::string_view name, const auto& limit) {
    if (limit) text += fmt::format("{}={} ", name, *limit);
  });
  return text + fmt::format("priority_boost={}", quota.priority_boost);
}

Result<Quota> parse_quota(std::string_view text) {
  if (text.empty()) return fail("a quota is empty");
  Quota quota;
  for (const auto part : std::views::split(text, ' ')) {
    const std::string_view word(part);
    const auto equals = word.find('=');
    if (equals == std::string_view::npos) return fail("a quota's part has no value");
    const auto name = word.substr(0, equals), value = word.substr(equals + 1);
    bool is_number = true;
    for_each_limit(quota, [&](std::string_view its_name, auto& limit) {
      if (name == its_name) is_number = read(value, limit.emplace());
    });
    if (name == "priority_boost") is_number = read(value, quota.priority_boost);
    if (!is_number) return fail("a quota's value is no number, or too large");
  }
  if (!may_be_set(quota)) return fail("a quota has a value that may not be set");
  return quota;
}

std::string set_quota_text(const SetQuota& set) { return set.quota ? quota_text(*set.quota) : std::string(removed); }

Result<SetQuota> parse_set_quota(std::string_view text) {
  SetQuota set;
  if (text.starts_with(changed)) {
    const auto space = std::min(text.find(' '), text.size());
    if (!read(text.substr(changed.size(), space - changed.size()), set.changed) || set.changed < 0 ||
        set.changed >= latest) {
      return fail("the time of a quota's change is none");
    }
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  if (text == removed) return set;
  auto quota = parse_quota(text);
  if (!quota) return std::unexpected(std::move(quota).error());
  set.quota = *quota;
  return set;
}

}  // namespace millrace::executor
