#include "executor/quotas_in_redis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace millrace::executor {
namespace {

constexpr std::int64_t ns_a_ms = 1'000'000;
const std::string set_key = "millrace:quota:set", version_key = "millrace:quota:version";

// Each key comes with what its node knew of its window, what it counted since, and how many ms the window goes on
// there. Where there is no such window (it is a new one, or Redis has lost it), or something else is at the key, it
// begins with what that node knows; with 0 it doesn't begin.
const std::string tell_script = R"(
local answer = {}
for i, key in ipairs(KEYS) do
  local known, counted, left = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local ends = redis.call('PTTL', key)
  local sum = ends > 0 and redis.pcall('INCRBY', key, counted)
  if type(sum) ~= 'number' then
    sum, ends = known + counted, left
    if sum > 0 then redis.call('SET', key, sum, 'PX', left) else ends = 0 end
  end
  answer[2 * i - 1], answer[2 * i] = sum, ends
end
return answer)";

// When it has changed; 0: that isn't known, or is nothing that can be counted.
const std::string function_changed = R"(
local function changed(key)
  local there = redis.call('HGET', KEYS[1], key)
  local at = there and tonumber(string.match(there, '^changed=(%d+) ')) or 0
  return at < 9007199254740992 and at or 0
end
)";

// What isn't known anywhere needn't be taken away.
const std::string set_script = function_changed + R"(
local answer, is_any = {}, false
for i = 3, #ARGV, 3 do
  local key, at, before = ARGV[i], tonumber(ARGV[i + 1]), changed(ARGV[i])
  if at == 0 and ARGV[i + 2] == 'removed' and redis.call('HEXISTS', KEYS[1], key) == 0 then
    before = math.huge
  elseif at <= 0 then
    at = math.max(before + 1, tonumber(ARGV[1]), -at)
  end
  if at > before then
    redis.call('HSET', KEYS[1], key, string.format('changed=%.0f %s', at, ARGV[i + 2]))
    is_any = true
  end
  answer[#answer + 1] = at
end
if is_any then redis.call('SET', KEYS[2], ARGV[2]) end
answer[#answer + 1] = redis.call('GET', KEYS[2]) or ''
return answer)";

const std::string forget_script = function_changed + R"(
for i = 1, #ARGV, 2 do
  if changed(ARGV[i]) == tonumber(ARGV[i + 1]) then redis.call('HDEL', KEYS[1], ARGV[i]) end
end)";

std::string text(std::int64_t number) { return fmt::format("{}", number); }

std::unexpected<Error> makes_no_sense(std::string_view of) {
  return fail(fmt::format("Redis: what {} answers makes no sense", of));
}

}  // namespace

Result<QuotasInRedis> QuotasInRedis::connect(const backend::RedisAddress& address, std::chrono::milliseconds limit) {
  auto redis = backend::Redis::connect(address, limit);
  if (!redis) return std::unexpected(std::move(redis).error());
  return QuotasInRedis(*std::move(redis));
}

Result<std::vector<QuotasInRedis::Heard>> QuotasInRedis::tell(std::span<const News> news) {
  std::vector<std::string> command{"EVAL", tell_script, fmt::format("{}", news.size())};
  for (const auto& [key, window, untold] : news)
    command.push_back(std::string(window == Window::hour ? "millrace:quota:hour:" : "millrace:quota:day:").append(key));
  for (const auto& [key, window, untold] : news) {
    command.push_back(text(static_cast<std::int64_t>(untold.known)));
    command.push_back(text(untold.counted));
    command.push_back(text(std::max<std::int64_t>(untold.left / ns_a_ms, 1)));
  }
  const auto answer = redis_.ask(command);
  if (!answer) return std::unexpected(answer.error());
  const auto* const list = answer->list();
  if (list == nullptr || list->size() != 2 * news.size()) return makes_no_sense("EVAL");
  std::vector<Heard> heard;
  for (std::size_t at = 0; at < list->size(); at += 2) {
    const auto* const sum = (*list)[at].number();
    const auto* const left = (*list)[at + 1].number();
    constexpr std::int64_t longest_ms = 24 * 3600 * std::int64_t{1000};
    if (sum == nullptr || left == nullptr || *left < 0 || *left > longest_ms) return makes_no_sense("EVAL");
    heard.push_back({.sum = static_cast<std::uint64_t>(std::max<std::int64_t>(*sum, 0)), .left = *left * ns_a_ms});
  }
  return heard;
}

Result<std::string> QuotasInRedis::version() {
  const auto answer = redis_.ask({"GET", version_key});
  if (!answer) return std::unexpected(answer.error());
  if (answer->is_nothing()) return std::string();
  if (const auto* const version = answer->text()) return *version;
  return makes_no_sense("GET");
}

Result<QuotasInRedis::AllSet> QuotasInRedis::all_set() {
  AllSet all;
  std::array<std::size_t, 2> counts{};  // of quotas, and of those that are removed
  std::string cursor = "0";
  do {
    const auto answer = redis_.ask({"HSCAN", set_key, cursor, "COUNT", "500"});
    if (!answer) return std::unexpected(answer.error());
    const auto* const both = answer->list();
    const auto* const next = both != nullptr && both->size() == 2 ? both->front().text() : nullptr;
    const auto* const fields = next != nullptr ? both->back().list() : nullptr;
    if (fields == nullptr || fields->size() % 2 != 0) return makes_no_sense("HSCAN");
    for (std::size_t at = 0; at < fields->size(); at += 2) {
      const auto* const key = (*fields)[at].text();
      const auto* const what = (*fields)[at + 1].text();
      if (key == nullptr || what == nullptr) return makes_no_sense("HSCAN");
      const auto set = parse_set_quota(*what);
      if (!Quotas::of_key(*key) || !set) {
        ++all.unreadable;
      } else if (counts.at(set->quota ? 0 : 1)++ < Quotas::most_accounts) {
        all.entries.push_back({.key = *key, .set = *set});
      } else {
        ++all.left_out;
      }
    }
    cursor = *next;
  } while (cursor != "0" && all.unreadable + all.left_out < Quotas::most_accounts);
  return all;
}

Result<QuotasInRedis::Set> QuotasInRedis::set(std::span<const Entry> entries, std::int64_t now,
                                              const std::string& version) {
  std::vector<std::string> command{"EVAL", set_script, "2", set_key, version_key, text(now), version};
  for (const auto& [key, set] : entries) {
    command.push_back(key);
    command.push_back(text(set.changed));
    command.push_back(set_quota_text(set));
  }
  const auto answer = redis_.ask(command);
  if (!answer) return std::unexpected(answer.error());
  const auto* const list = answer->list();
  if (list == nullptr || list->size() != entries.size() + 1 || list->back().text() == nullptr)
    return makes_no_sense("EVAL");
  Set set{.changed = {}, .version = *list->back().text()};
  for (const auto& each : std::span(*list).first(entries.size())) {
    if (each.number() == nullptr) return makes_no_sense("EVAL");
    set.changed.push_back(*each.number());
  }
  return set;
}

Result<> QuotasInRedis::forget(std::span<const Entry> entries) {
  std::vector<std::string> command{"EVAL", forget_script, "1", set_key};
  for (const auto& [key, set] : entries) {
    command.push_back(key);
    command.push_back(text(set.changed));
  }
  if (const auto answer = redis_.ask(command); !answer) return std::unexpected(answer.error());
  return {};
}

}  // namespace millrace::executor
