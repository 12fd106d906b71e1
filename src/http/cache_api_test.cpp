#include "http/cache_api.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "http/api.hpp"
#include "http/metrics.hpp"
#include "http/test_ask.hpp"

namespace millrace::http {
namespace {

namespace json = boost::json;

constexpr std::size_t mib = std::size_t{1} << 20;
const std::string entries = "/api/v1/cache/entries/";
const std::string invalidate = "/api/v1/cache/invalidate";
const std::string statistics = "/api/v1/cache/statistics";

class CacheApi : public testing::Test {
 protected:
  Response ask(std::string method, const std::string& target, std::string body = {}, Headers headers = {}) {
    headers.emplace_back("content-type", "application/json");
    return http::ask(*router_, std::move(method), target, std::move(body), std::move(headers));
  }
  json::value ask_json(std::string method, const std::string& target, std::string body = {}) {
    const Response answer = ask(std::move(method), target, std::move(body));
    EXPECT_EQ(answer.status, 200) << target << " " << answer.body;
    return json::parse(answer.body);
  }
  /// The places of what is wrong: "body.tags.0".
  std::vector<std::string> wrong(std::string method, const std::string& target, std::string body = {}) {
    const Response answer = ask(std::move(method), target, std::move(body));
    EXPECT_EQ(answer.status, 422) << answer.body;
    std::vector<std::string> places;
    const json::value parsed = json::parse(answer.body);
    for (const json::value& problem : parsed.at("detail").as_array()) {
      EXPECT_TRUE(problem.at("msg").is_string());
      EXPECT_TRUE(problem.at("type").is_string());
      std::string place;
      for (const json::value& step : problem.at("loc").as_array()) {
        place += place.empty() ? "" : ".";
        place += step.is_string() ? std::string(step.get_string()) : json::serialize(step);
      }
      places.push_back(place);
    }
    return places;
  }

  std::shared_ptr<cache::IntelligentCacheManager> cache_ = std::make_shared<cache::IntelligentCacheManager>(16 * mib);
  std::shared_ptr<QueryPerformanceMonitor> monitor_ =
      std::make_shared<QueryPerformanceMonitor>(1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}});
  std::shared_ptr<const Router> router_ =
      api({.version = "1", .monitor = monitor_, .probe_postgresql = reachable, .cache = cache_});
};

TEST_F(CacheApi, PutsGetsAndDeletes) {
  const json::value put =
      ask_json("PUT", entries + "analytics:-1%2F%3F%C3%A9",
               R"({"result": {"rows": [1]}, "ttl": 60, "tags": ["t"], "dependencies": ["table:x"]})");
  EXPECT_EQ(put, json::parse(R"({"cache_key": "analytics:-1/?é", "cached": true, "reason": null, "ttl_seconds": 60})"));
  const json::value got = ask_json("GET", entries + "analytics:-1%2F%3F%C3%A9");
  EXPECT_EQ(got.at("data"), json::parse(R"({"rows": [1]})"));
  EXPECT_EQ(got.at("metadata").at("tags"), json::parse(R"(["t"])"));
  EXPECT_EQ(got.at("metadata").at("dependencies"), json::parse(R"(["table:x"])"));
  EXPECT_EQ(got.at("cache_key").as_string(), "analytics:-1/?é");
  EXPECT_EQ(got.at("ttl_seconds").as_int64(), 60);
  EXPECT_EQ(got.at("source_level").as_string(), "memory");
  EXPECT_EQ(got.at("hit_count").as_int64(), 1);
  EXPECT_TRUE(got.at("cached_at").is_string());
  EXPECT_EQ(ask("DELETE", entries + "analytics:-1%2F%3F%C3%A9").status, 204);
  EXPECT_EQ(ask("DELETE", entries + "analytics:-1%2F%3F%C3%A9").status, 404);
  EXPECT_EQ(ask("GET", entries + "analytics:-1%2F%3F%C3%A9").status, 404);
}

TEST_F(CacheApi, KeepsTheResultsTextAsItWas) {
  const std::string large(20'000, 'x');
  for (const std::string& text :
       {std::string("12345678901234567890123456789"), std::string("1.10"), std::string("null"), std::string("\"\""),
        std::string(R"({"a": [1, {"b": "},]\"\\"}], "result": 2 })"), std::string("[ ]"), std::string("-0.0"),
        "\"" + large + "\""}) {
    for (const std::string& body :
         {"{\"result\":" + text + "}", " { \"ttl\" : 5 , \"result\" :\n" + text + "\t, \"tags\":[\"}\"] } ",
          R"({"result": [1], "r\u0065sult": )" + text + "}"}) {
      ASSERT_EQ(ask("PUT", entries + "k", body).status, 200) << body;
      EXPECT_EQ(cache_->get_cached_result("k")->data, text) << body;
    }
    EXPECT_NE(ask("GET", entries + "k").body.find("\"data\":" + text + ","), std::string::npos);
  }
}

TEST_F(CacheApi, AResultMayBeDeepButNotEndlesslySo) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(ask("PUT", entries + "k", "{\"result\":" + nested(31) + "}").status, 200);
  EXPECT_EQ(ask("PUT", entries + "k", "{\"result\":" + nested(32) + "}").status, 422);
  EXPECT_EQ(ask("PUT", entries + "k", "{\"result\":" + nested(1'000'000) + "}").status, 422);
}

TEST_F(CacheApi, DefaultsOfAnEntry) {
  EXPECT_EQ(ask_json("PUT", entries + "k", R"({"result": 1})").at("ttl_seconds").as_int64(), 3600);
}

TEST_F(CacheApi, SaysWhatIsWrongWithAnEntry) {
  EXPECT_EQ(wrong("PUT", entries + "k", "{}"), std::vector<std::string>{"body.result"});
  EXPECT_EQ(wrong("PUT", entries + "k", R"({"result": 1, "ttl": 0})"), std::vector<std::string>{"body.ttl"});
  EXPECT_EQ(wrong("PUT", entries + "k", R"({"result": 1, "ttl": 31536001})"), std::vector<std::string>{"body.ttl"});
  EXPECT_EQ(wrong("PUT", entries + "k", R"({"result": 1, "ttl": "x", "tags": "t", "more": 1})"),
            (std::vector<std::string>{"body.ttl", "body.tags", "body.more"}));
  EXPECT_EQ(wrong("PUT", entries + "k", R"({"result": 1, "tags": ["t", ""], "dependencies": ["a\nb"]})"),
            (std::vector<std::string>{"body.tags.1", "body.dependencies.0"}));
  std::string many = "\"t\"";
  for (int i = 0; i < 64; ++i) many += ",\"t\"";
  EXPECT_EQ(wrong("PUT", entries + "k", R"({"result": 1, "tags": [)" + many + "]}"),
            std::vector<std::string>{"body.tags"});
  EXPECT_EQ(wrong("PUT", entries + std::string(1025, 'k'), R"({"result": 1})"), std::vector<std::string>{"path.key"});
  EXPECT_EQ(wrong("PUT", entries + "%FF", R"({"result": 1})"), std::vector<std::string>{"path.key"});
  EXPECT_EQ(wrong("PUT", entries + "a%00", R"({"result": 1, "ttl": -1})"),
            (std::vector<std::string>{"path.key", "body.ttl"}));
  EXPECT_EQ(wrong("GET", entries + "%0A"), std::vector<std::string>{"path.key"});
  EXPECT_EQ(wrong("PUT", entries + "k", R"({"result": 1)"), std::vector<std::string>{"body.12"});
  EXPECT_EQ(cache_->l1().counts().inserted, 0);
}

TEST_F(CacheApi, SaysThatAResultWasNotKept) {
  ASSERT_EQ(ask("PUT", entries + "k", R"({"result": 1})").status, 200);
  const json::value answer = ask_json("PUT", entries + "k", "{\"result\": \"" + std::string(2 * mib, 'x') + "\"}");
  EXPECT_FALSE(answer.at("cached").as_bool());
  EXPECT_EQ(answer.at("reason").as_string(), "too_large");
  EXPECT_EQ(ask("GET", entries + "k").status, 404);
}

TEST_F(CacheApi, Invalidates) {
  cache_->cache_result("user:123:a", "1", std::chrono::seconds(60));
  cache_->cache_result("user:123:b", "1", std::chrono::seconds(60), {"t"}, {"table:x"});
  const json::value done =
      ask_json("POST", invalidate, R"({"patterns": ["user:123:*", "q:*"], "scope": "key_pattern"})");
  const json::object& object = done.as_object();
  EXPECT_TRUE(object.at("invalidation_id").as_string().starts_with("inv_1"));
  EXPECT_EQ(object.at("scope").as_string(), "key_pattern");
  EXPECT_EQ(object.at("patterns"), json::parse(R"(["user:123:*", "q:*"])"));
  EXPECT_EQ(object.at("affected_databases"), json::parse(R"(["postgresql"])"));
  EXPECT_EQ(object.at("estimated_impact").as_int64(), 2);
  EXPECT_TRUE(object.at("triggered_at").is_string());
  EXPECT_EQ(object.size(), 6);

  const auto impact = [&](const std::string& target, const std::string& body) {
    cache_->cache_result("k", "1", std::chrono::seconds(60), {"t"}, {"table:x", "user:7", "project:9"});
    return ask_json("POST", target, body).at("estimated_impact").as_int64();
  };
  EXPECT_EQ(impact(invalidate, R"({"patterns": ["k"], "scope": "key_exact", "reason": "why not"})"), 1);
  EXPECT_EQ(impact(invalidate, R"({"patterns": ["x"], "scope": "table_based"})"), 1);
  EXPECT_EQ(impact(invalidate, R"({"patterns": ["7"], "scope": "user_based"})"), 1);
  EXPECT_EQ(impact(invalidate, R"({"patterns": ["project:9:*"], "scope": "project_based"})"), 1);
  EXPECT_EQ(impact(invalidate, R"({"patterns": ["t"], "scope": "tag_based"})"), 1);
  EXPECT_EQ(impact(invalidate, R"({"scope": "global"})"), 1);
  EXPECT_EQ(impact(invalidate, R"({"patterns": ["k"]})"), 1);
  // A list alone, with the rest in the query; and under the paths of the application.
  EXPECT_EQ(impact(invalidate, R"(["k*"])"), 1);
  EXPECT_EQ(impact(invalidate + "?scope=user_based&reason=r", R"(["7"])"), 1);
  EXPECT_EQ(impact("/api/v1/optimization/cache/invalidate", R"(["k"])"), 1);
  EXPECT_EQ(impact("/api/v1/optimization/optimization/cache/invalidate", R"(["k"])"), 1);
}

TEST_F(CacheApi, SaysWhatIsWrongWithAnInvalidation) {
  EXPECT_EQ(wrong("POST", invalidate, "{}"), std::vector<std::string>{"body.patterns"});
  EXPECT_EQ(wrong("POST", invalidate, "[]"), std::vector<std::string>{"body.patterns"});
  EXPECT_EQ(wrong("POST", invalidate, R"({"patterns": [], "scope": "user_based"})"),
            std::vector<std::string>{"body.patterns"});
  EXPECT_EQ(wrong("POST", invalidate, R"({"patterns": ["x"], "scope": "nosuch"})"),
            std::vector<std::string>{"body.scope"});
  EXPECT_EQ(wrong("POST", invalidate + "?scope=nosuch", R"(["x"])"), std::vector<std::string>{"query.scope"});
  EXPECT_EQ(wrong("POST", invalidate, R"(["x", 1])"), std::vector<std::string>{"body.1"});
  EXPECT_EQ(wrong("POST", invalidate, R"(["x", ""])"), std::vector<std::string>{"body.patterns.1"});
  EXPECT_EQ(wrong("POST", invalidate, "[\"" + std::string(1025, '*') + "\"]"),
            std::vector<std::string>{"body.patterns.0"});
  std::string many = "\"t\"";
  for (int i = 0; i < 100; ++i) many += ",\"t\"";
  EXPECT_EQ(wrong("POST", invalidate, "[" + many + "]"), std::vector<std::string>{"body.patterns"});
}

TEST_F(CacheApi, StatisticsHaveTheirFields) {
  cache_->cache_result("k", "1", std::chrono::seconds(60));
  cache_->get_cached_result("k");
  cache_->get_cached_result("no");
  for (const std::string& path : {statistics, std::string("/api/v1/optimization/cache/statistics")}) {
    const json::value stats = ask_json("GET", path);
    EXPECT_EQ(stats.at("total_entries").as_int64(), 1);
    EXPECT_EQ(stats.at("hit_rate").to_number<double>(), 50);
    EXPECT_EQ(stats.at("miss_rate").to_number<double>(), 50);
    EXPECT_EQ(stats.at("top_keys"), json::parse(R"([{"key": "k", "access_count": 1}])"));
    EXPECT_EQ(stats.at("level_stats").at("memory").at("hits").as_int64(), 1);
    EXPECT_EQ(stats.at("level_stats").at("redis").at("hits").as_int64(), 0);
    EXPECT_EQ(stats.at("level_stats").at("persistent").at("hit_rate").to_number<double>(), 0);
    EXPECT_GT(stats.at("total_size_mb").to_number<double>(), 0);
    EXPECT_TRUE(stats.at("last_cleanup").is_null());
    EXPECT_EQ(stats.as_object().size(), 15);
  }
}

TEST_F(CacheApi, OptimizeSaysWhatItDid) {
  cache_->cache_result("k", "1", std::chrono::seconds(60), {"t"});
  cache_->invalidate(cache::InvalidationScope::tag_based, {"t"});
  const json::value done = ask_json("POST", "/api/v1/cache/optimize");
  EXPECT_EQ(done.at("entries_evicted").as_int64(), 1);
  EXPECT_FALSE(done.at("optimizations_applied").as_array().empty());
  EXPECT_EQ(done.as_object().size(), 7);
  EXPECT_TRUE(ask_json("GET", statistics).at("last_cleanup").is_string());
}

TEST_F(CacheApi, WithoutACacheThereIsNone) {
  router_ = api({.version = "1", .monitor = monitor_, .probe_postgresql = reachable});
  for (const Response& answer :
       {ask("GET", statistics), ask("POST", invalidate, R"(["x"])"), ask("POST", "/api/v1/cache/optimize"),
        ask("GET", entries + "k"), ask("PUT", entries + "k", R"({"result": 1})"), ask("DELETE", entries + "k")}) {
    EXPECT_EQ(answer.status, 503);
    EXPECT_TRUE(answer.body.contains("ENABLE_MULTI_LEVEL_CACHING"));
  }
  EXPECT_EQ(ask("GET", "/metrics").body.find("millrace_cache"), std::string::npos);
}

TEST_F(CacheApi, WhatChangesSomethingOrShowsResultsNeedsAKey) {
  router_ = api({.version = "1",
                 .monitor = monitor_,
                 .probe_postgresql = reachable,
                 .cache = cache_,
                 .api_keys = {.hashes = {hash_of_api_key("secret")}}});
  cache_->cache_result("k", "1", std::chrono::seconds(60));
  const auto statuses = [&](const Headers& headers) {
    return std::vector{ask("POST", invalidate, R"(["x"])", headers).status,
                       ask("POST", "/api/v1/optimization/cache/invalidate", R"(["x"])", headers).status,
                       ask("POST", "/api/v1/cache/optimize", "", headers).status,
                       ask("GET", entries + "k", "", headers).status,
                       ask("PUT", entries + "k", R"({"result": 1})", headers).status,
                       ask("DELETE", entries + "k", "", headers).status};
  };
  EXPECT_EQ(statuses({}), std::vector(6, 401));
  EXPECT_EQ(statuses({{"x-api-key", "wrong"}}), std::vector(6, 401));
  EXPECT_TRUE(cache_->get_cached_result("k"));
  EXPECT_EQ(statuses({{"x-api-key", "secret"}}), (std::vector{200, 200, 200, 200, 200, 204}));
  for (const char* open :
       {"/api/v1/cache/statistics", "/api/v1/optimization/status", "/health", "/metrics", "/openapi.json"}) {
    EXPECT_EQ(ask("GET", open).status, 200) << open;
  }
  const json::value document = json::parse(ask("GET", "/openapi.json").body);
  EXPECT_EQ(document.at("components").at("securitySchemes").at("key").at("name").as_string(), "X-API-Key");
  const json::object& paths = document.at("paths").as_object();
  EXPECT_TRUE(paths.at(invalidate).at("post").as_object().contains("security"));
  EXPECT_FALSE(paths.at(statistics).at("get").as_object().contains("security"));
}

TEST_F(CacheApi, MetricsCountWhatHappened) {
  cache_->cache_result("k", "1", std::chrono::seconds(60), {"t"});
  cache_->get_cached_result("k");
  cache_->get_cached_result("no");
  cache_->invalidate(cache::InvalidationScope::tag_based, {"t"});
  cache_->get_cached_result("k");
  const std::string text = ask("GET", "/metrics").body;
  for (const char* line :
       {"millrace_cache_entries 1", "millrace_cache_hits_total 1", "# TYPE millrace_cache_bytes gauge",
        "millrace_cache_misses_total{reason=\"absent\"} 1", "millrace_cache_misses_total{reason=\"stale\"} 1",
        "millrace_cache_misses_total{reason=\"expired\"} 0", "millrace_cache_capacity_bytes 16777216",
        "millrace_cache_insertions_total{of=\"new\"} 1", "millrace_cache_evictions_total 0"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

}  // namespace
}  // namespace millrace::http
