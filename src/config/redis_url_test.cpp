#include "config/redis_url.hpp"

#include <gtest/gtest.h>

#include "config/load.hpp"
#include "config/setting.hpp"

namespace millrace::config {
namespace {

struct Good {
  std::string_view text;
  RedisUrl url;
  std::string_view masked;
};

TEST(RedisUrl, IsRead) {
  const std::vector<Good> table = {
      {"redis://", {}, ""},
      {"redis://cache", {.host = "cache"}, "redis://cache:6379/0"},
      {"redis://cache/", {.host = "cache"}, "redis://cache:6379/0"},
      {"redis://cache:7000/3", {.host = "cache", .port = 7000, .database = 3}, "redis://cache:7000/3"},
      {"redis://:secret@10.0.0.1/15",
       {.host = "10.0.0.1", .password = "secret", .database = 15},
       "redis://:***@10.0.0.1:6379/15"},
      {"redis://ada:s%40c%2Fr%3At@[::1]:6380",
       {.host = "::1", .port = 6380, .user = "ada", .password = "s@c/r:t"},
       "redis://ada:***@[::1]:6380/0"},
      {"unix:///run/redis/redis.sock", {.host = "/run/redis/redis.sock"}, "unix:///run/redis/redis.sock"},
      {"unix://ada:secret@/run/redis.sock?db=2",
       {.host = "/run/redis.sock", .user = "ada", .password = "secret", .database = 2},
       "unix://ada:***@/run/redis.sock?db=2"},
  };
  for (const Good& good : table) {
    const auto url = parse_redis_url(good.text);
    if (good.masked.empty()) {
      EXPECT_FALSE(url) << good.text;
      continue;
    }
    ASSERT_TRUE(url) << good.text << ": " << url.error().message;
    EXPECT_EQ(*url, good.url) << good.text;
    EXPECT_EQ(masked(*url), good.masked);
  }
}

TEST(RedisUrl, IsRefusedWithTheReasonAndWithoutThePassword) {
  const std::vector<std::pair<std::string, std::string_view>> table = {
      {"", "not a valid URL"},
      {"redis", "not a valid URL"},
      {"redis://:se cret@host", "not a valid URL"},
      {"rediss://:secret@host", "TLS towards Redis"},
      {"http://:secret@host", "must begin with"},
      {"redis:/host", "two slashes"},
      {"redis://:secret@host#1", "%23"},
      {"redis://:secret@", "name a host"},
      {"redis://:secret@host:0", "port"},
      {"redis://:secret@host:65536", "port"},
      {"redis://:secret@host:1x", "port"},
      {"redis://:secret@host/x", "database"},
      {"redis://:secret@host/-1", "database"},
      {"redis://:secret@host/99999999999", "database"},
      {"redis://:secret@host/1/2", "database"},
      {"redis://:secret@host/1?db=2", "parameters"},
      {"redis://secret@host", "without a password"},
      {"unix://:secret@host/path", "three slashes"},
      {"unix://", "absolute path"},
      {"unix:///", "absolute path"},
      {"unix:///" + std::string(107, 'x'), "107 bytes"},
      {"unix:///a%00b", "absolute path"},
      {"unix:///path?db=x", "database"},
      {"unix:///path?password=secret", "\"password\" is not known"},
  };
  for (const auto& [text, reason] : table) {
    const auto url = parse_redis_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_TRUE(url.error().message.contains(reason)) << text << ": " << url.error().message;
    EXPECT_FALSE(url.error().message.contains("secret")) << url.error().message;
  }
}

TEST(RedisUrl, IsASetting) {
  const auto loaded = [](std::string value) {
    return load({.default_file = "none", .environment = {{"MILLRACE_REDIS_URL", std::move(value)}}});
  };
  EXPECT_FALSE(loaded("")->settings.redis_url);
  const auto given = loaded("redis://:secret@host");
  ASSERT_TRUE(given) << given.error().message;
  EXPECT_EQ(given->settings.redis_url->password, "secret");
  EXPECT_EQ(print(*find_setting("REDIS_URL"), given->settings), "redis://:***@host:6379/0");
  EXPECT_TRUE(loaded("rediss://:secret@host").error().message.contains("REDIS_URL: TLS towards Redis"));
}

}  // namespace
}  // namespace millrace::config
