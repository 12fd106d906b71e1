#include "cli/check_command.hpp"

#include <cstdio>

#include "cli/check_report.hpp"
#include "cli/exit_code.hpp"
#include "cli/look_at_database.hpp"
#include "cli/redis_address.hpp"
#include "config/find_database.hpp"
#include "config/setting.hpp"
#include "executor/quotas_in_redis.hpp"

namespace millrace::cli {
namespace {

bool needs_stream(config::ConsistencyLevel level) {
  return level != config::ConsistencyLevel::eventual && level != config::ConsistencyLevel::bounded;
}

/// Without it each node counts quotas on its own, and everything else is as it was.
integration::Check check_redis(const config::RedisUrl& url) {
  auto redis = executor::QuotasInRedis::connect(redis_address(url), std::chrono::seconds(2));
  const auto version = redis ? redis->version() : std::unexpected(std::move(redis).error());
  return {.name = "redis",
          .status = version ? integration::CheckStatus::ok : integration::CheckStatus::warning,
          .meaning = version ? fmt::format("quotas are counted together with other nodes, in {}", config::masked(url))
                             : version.error().message};
}

void print(const CheckReport& report, bool json) { fmt::print("{}", json ? as_json(report) : as_text(report)); }

}  // namespace

int check_database(const config::Sources& sources, const std::optional<std::string>& url, bool json) {
  const auto database = config::find_database(sources, url);
  const auto loaded = database ? config::load(database->sources) : std::unexpected(database.error());
  if (!loaded) {
    fmt::print(stderr, "{}\n", loaded.error().message);
    return bad_usage;
  }
  for (const std::string& warning : loaded->warnings) fmt::print(stderr, "warning: {}\n", warning);
  const auto& settings = loaded->settings;
  CheckReport report{.database = config::masked(settings.database_url),
                     .found_in = database->origin,
                     .left_out = database->left_out,
                     .asked_for = config::print(*config::find_setting("CACHE_CONSISTENCY_LEVEL"), settings)};
  const auto seen = look_at_database(settings);
  if (!seen) {
    report.checks.push_back(
        {.name = "connection", .status = integration::CheckStatus::missing, .meaning = seen.error().message});
    print(report, json);
    return bad_usage;
  }
  auto judged = integration::judge(*seen, {.needs_stream = needs_stream(settings.cache_consistency_level),
                                           .stream_enabled = settings.enable_change_stream});
  report.checks = std::move(judged.checks);
  report.checks.insert(report.checks.begin(),
                       {.name = "connection",
                        .status = integration::CheckStatus::ok,
                        .meaning = fmt::format("logged in to {} as {}", seen->server.database, seen->server.user)});
  if (settings.redis_url) report.checks.push_back(check_redis(*settings.redis_url));
  report.guarantees = std::move(judged.guarantees);
  report.all_met = judged.all_met;
  print(report, json);
  return report.all_met ? succeeded : failed;
}

}  // namespace millrace::cli
