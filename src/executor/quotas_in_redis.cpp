#include "executor/quotas_in_redis.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "executor/quota_text.hpp"

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

const std::string set_script = R"(
for i = 3, #ARGV, 2 do redis.call(ARGV[1], KEYS[1], ARGV[i], ARGV[i + 1]) end
return redis.call('SET', KEYS[2], ARGV[2]))";

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

Result<std::vector<Quotas::Set>> QuotasInRedis::all_set(std::size_t& unreadable) {
  std::vector<Quotas::Set> all;
  std::string cursor = "0";
  do {
    const auto answer = redis_.ask({"HSCAN", set_key, cursor, "COUNT", "500"});
    if (!answer) return std::unexpected(answer.error());
    const auto* const both = answer->list();
    const auto* const next = both != nullptr && both->size() == 2 ? both->front().text() : nullptr;
    const auto* const fields = next != nullptr ? both->back().list() : nullptr;
    if (fields == nullptr || fields->size() % 2 != 0) return makes_no_sense("HSCAN");
    for (std::size_t at = 0; at < fields->size() && all.size() < Quotas::most_accounts; at += 2) {
      const auto* const key = (*fields)[at].text();
      const auto* const quota = (*fields)[at + 1].text();
      if (key == nullptr || quota == nullptr) return makes_no_sense("HSCAN");
      const auto parsed = parse_quota(*quota);
      const auto of = Quotas::of_key(*key);
      if (!of || !parsed) {
        ++unreadable;
        continue;
      }
      all.push_back({.of = *of, .name = key->substr(1), .quota = *parsed});
    }
    cursor = *next;
  } while (cursor != "0" && all.size() + unreadable < Quotas::most_accounts);
  return all;
}

Result<> QuotasInRedis::set(std::span<const Quotas::Set> quotas, const std::string& version, bool where_none) {
  std::vector<std::string> command{"EVAL", set_script, "2", set_key, version_key, where_none ? "HSETNX" : "HSET",
                                   version};
  for (const auto& each : quotas) {
    command.push_back(each.key());
    command.push_back(quota_text(each.quota));
  }
  if (const auto answer = redis_.ask(command); !answer) return std::unexpected(answer.error());
  return {};
}

}  // namespace millrace::executor
