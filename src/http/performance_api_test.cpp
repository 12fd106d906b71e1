#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>

#include "base/clock.hpp"
#include "http/test_ask.hpp"

namespace millrace::http {
namespace {

namespace json = boost::json;

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t ms = 1'000'000;

/// An API over a monitor whose clock is the test's.
class Performance {
 public:
  explicit Performance(std::optional<RecordingOptions> options = RecordingOptions{.normalized =
                                                                                      [](std::string_view text) {
                                                                                        return "normal " +
                                                                                               std::string(text);
                                                                                      }})
      : monitor(std::make_shared<QueryPerformanceMonitor>(
            1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}, {"insert", StatementGroup::write}},
            std::move(options))),
        router(api({.version = "1",
                    .monitor = monitor,
                    .probe_postgresql = reachable,
                    .api_keys = {.hashes = {}, .only_loopback = true},
                    .watch = std::make_shared<PerformanceWatch>(monitor, PerformanceWatch::Options(),
                                                                PerformanceWatch::Hooks())})) {
    pass();
  }

  void record(std::uint64_t fingerprint, std::int64_t duration_ns, int times, QueryRecord query = {}) {
    query.fingerprint = fingerprint;
    query.started_ns = now - duration_ns;
    query.duration_ns = duration_ns;
    for (int i = 0; i < times; ++i) {
      if (!monitor->record(0, query)) continue;
      monitor->describe(0, {.fingerprint = fingerprint,
                            .kind = query.kind,
                            .text = "q",
                            .parameters = {"7", std::nullopt},
                            .database = "shop"});
    }
  }

  void pass() {
    now += 2 * second;
    monitor->tick(0, now);
    if (monitor->records()) monitor->make_history(now);
  }

  Response answer(const std::string& target) const { return http::ask(*router, "GET", target); }

  json::value ask(const std::string& target) const {
    const Response got = answer("/api/v1/performance/" + target);
    EXPECT_EQ(got.status, 200) << got.body;
    return json::parse(got.body);
  }

  std::int64_t now = now_ns();
  std::shared_ptr<QueryPerformanceMonitor> monitor;
  std::shared_ptr<const Router> router;
};

std::vector<std::string> ids(const json::value& answer) {
  std::vector<std::string> found;
  for (const auto& each : answer.at("templates").as_array()) found.emplace_back(each.at("template_id").as_string());
  return found;
}

TEST(PerformanceApi, TemplatesAreSorted) {
  Performance performance;
  performance.record(0xa, 10 * ms, 1);                                                     // the longest
  performance.record(0xb, ms, 6, {.rows = 2, .cache = CacheUse::hit});                     // the most often
  performance.record(0xc, 4 * ms, 3, {.kind = 1, .sqlstate = {'4', '2', '6', '0', '1'}});  // the most time and errors
  performance.pass();
  using Ids = std::vector<std::string>;
  const std::string a = "000000000000000a", b = "000000000000000b", c = "000000000000000c";
  const json::value all = performance.ask("templates");
  EXPECT_EQ(ids(all), (Ids{c, a, b}));
  EXPECT_EQ(ids(performance.ask("templates?sort=calls")), (Ids{b, c, a}));
  EXPECT_EQ(ids(performance.ask("templates?sort=mean")), (Ids{a, c, b}));
  EXPECT_EQ(ids(performance.ask("templates?sort=p99&limit=1")), (Ids{a}));
  EXPECT_EQ(ids(performance.ask("templates?sort=errors&limit=1&window=5")), (Ids{c}));
  EXPECT_EQ(performance.ask("templates?limit=1").at("total_count").to_number<int>(), 3);

  const json::value& most_time = all.at("templates").at(0);
  EXPECT_EQ(most_time.at("query"), "normal q");
  EXPECT_EQ(most_time.at("kind"), "insert");
  EXPECT_EQ(most_time.at("database_type"), "postgresql");
  EXPECT_EQ(most_time.at("sample").at("query"), "q");
  EXPECT_EQ(most_time.at("sample").at("parameters"), json::value({"7", nullptr}));
  EXPECT_EQ(most_time.at("figures").at("error_rate"), 100.0);
  EXPECT_DOUBLE_EQ(most_time.at("figures").at("total_time_ms").as_double(), 12);
  EXPECT_DOUBLE_EQ(most_time.at("figures").at("time_share").as_double(), 100 * 12.0 / 28);
  EXPECT_NEAR(most_time.at("figures").at("p99_ms").as_double(), 4, 4.0 / 64);
  EXPECT_TRUE(most_time.at("figures").at("cache_hit_rate").is_null());
  EXPECT_EQ(all.at("templates").at(2).at("figures").at("cache_hit_rate"), 100.0);
}

TEST(PerformanceApi, OneTemplateHasItsDurationsAndItsTrend) {
  Performance performance;
  performance.record(0xa, 2 * ms, 3);
  performance.record(0xb, ms, 1);
  performance.pass();
  performance.record(0xa, 100 * ms, 1);
  performance.pass();
  const json::value detail = performance.ask("templates/000000000000000a?window=2");
  EXPECT_EQ(detail.at("performance").at("query"), "normal q");
  EXPECT_EQ(detail.at("performance").at("figures").at("calls"), 4);
  std::int64_t calls = 0;
  double last = 0;
  for (const auto& bucket : detail.at("durations").as_array()) {
    calls += bucket.at("count").as_int64();
    if (last > 0) EXPECT_DOUBLE_EQ(bucket.at("from_ms").as_double(), last);
    last = bucket.at("to_ms").as_double();
  }
  EXPECT_EQ(calls, 4);
  const auto& first = detail.at("durations").at(0);
  EXPECT_TRUE(first.at("from_ms").as_double() <= 2 && first.at("to_ms").as_double() > 2 && first.at("count") == 3);
  EXPECT_LE(detail.at("durations").as_array().back().at("from_ms").as_double(), 100);
  const auto& p50 = detail.at("trend").at("p50_ms").as_array();
  ASSERT_GE(p50.size(), 2U);
  EXPECT_NEAR(p50[p50.size() - 2].as_double(), 2, 2.0 / 64);
  EXPECT_NEAR(p50.back().as_double(), 100, 100.0 / 64);

  EXPECT_EQ(performance.answer("/api/v1/performance/templates/00000000000000ff").status, 404);
  EXPECT_EQ(performance.answer("/api/v1/performance/templates/other").status, 404);
  EXPECT_EQ(performance.answer("/api/v1/performance/templates/000000000000000a?window=0").status, 422);
}

TEST(PerformanceApi, TrendsAreInSteps) {
  Performance performance;
  const auto pass = [&](int times) {
    for (int i = 0; i < times; ++i) {
      performance.record(0xa, (i % 10 + 1) * ms, 2);
      performance.pass();
    }
  };
  pass(20);
  const json::value fine = performance.ask("trends?window=1");
  EXPECT_EQ(fine.at("step_seconds"), 1.0);
  const json::value coarse = performance.ask("trends?window=30");
  EXPECT_EQ(coarse.at("step_seconds"), 10.0);
  for (const json::value& answer : {fine, coarse}) {
    const auto& trend = answer.at("trend");
    const std::size_t steps = trend.at("at").as_array().size();
    EXPECT_GE(steps, 4U);
    for (const char* name : {"throughput", "p50_ms", "p95_ms", "p99_ms", "error_rate", "cache_hit_rate"}) {
      EXPECT_EQ(trend.at(name).as_array().size(), steps) << name;
    }
    EXPECT_EQ(answer.at("queue_depth").as_array().size(), steps);
    EXPECT_EQ(answer.at("concurrency").as_array().size(), steps);
    EXPECT_TRUE(trend.at("cache_hit_rate").at(0).is_null());
    EXPECT_NEAR(trend.at("throughput").as_array().back().as_double(), 1, 0.01);
  }
  EXPECT_EQ(performance.ask("trends").at("step_seconds"), 60.0);
  EXPECT_EQ(performance.answer("/api/v1/performance/trends?window=527041").status, 422);
}

TEST(PerformanceApi, UsageIsByWhoAsks) {
  Performance performance;
  performance.record(1, ms, 3, {.user = "ann", .database = "shop", .application = "web", .project = "9"});
  performance.record(1, ms, 1, {.user = "bob", .database = "shop", .application = "web"});
  performance.pass();
  const auto first = [&](const std::string& by) {
    const json::value answer = performance.ask("usage?by=" + by);
    const json::value& one = answer.at("usage").at(0);
    return std::string(one.at("name").as_string()) + " " +
           std::to_string(one.at("figures").at("calls").to_number<int>());
  };
  EXPECT_EQ(first("user"), "ann 3");
  EXPECT_EQ(first("database"), "shop 4");
  EXPECT_EQ(first("application"), "web 4");
  EXPECT_EQ(first("project"), "9 3");
}

TEST(PerformanceApi, SlowQueriesComeSlowestFirst) {
  Performance performance;
  for (const int took : {1500, 3000, 700}) {
    SlowQuery query;
    query.text = std::string(499, 'x') + "\xc3\xa4\xc3\xa4";
    query.user = "ann";
    query.duration_ns = took * ms;
    query.rows = 4;
    query.started = std::chrono::system_clock::now();
    performance.monitor->add_slow(0, std::move(query));
  }
  performance.pass();
  const json::value all = performance.ask("slow-queries");
  EXPECT_EQ(all.at("total_count").to_number<int>(), 2) << "of 1000 ms or more";
  EXPECT_DOUBLE_EQ(all.at("average_duration_ms").as_double(), 2250);
  EXPECT_EQ(all.at("slow_queries").at(0).at("duration_ms").as_double(), 3000);
  EXPECT_EQ(all.at("slow_queries").at(0).at("query").as_string(), std::string(499, 'x') + "\xc3\xa4");
  EXPECT_EQ(all.at("slow_queries").at(0).at("rows_returned").to_number<int>(), 4);
  EXPECT_TRUE(all.at("slow_queries").at(0).at("cpu_usage_percent").is_null());
  EXPECT_EQ(all.at("slow_queries_lost").to_number<int>(), 0);
  EXPECT_EQ(performance.ask("slow-queries?min_duration_ms=0&limit=1").at("total_count").to_number<int>(), 3);
  EXPECT_EQ(performance.ask("slow-queries?min_duration_ms=0&limit=1").at("slow_queries").as_array().size(), 1);
  EXPECT_TRUE(performance.ask("slow-queries?min_duration_ms=9000").at("average_duration_ms").is_null());
  const json::value dashboard = performance.ask("dashboard");
  EXPECT_EQ(dashboard.at("top_slow_queries").as_array().size(), 3);
  EXPECT_EQ(dashboard.at("top_slow_queries").at(0).at("query").as_string(), std::string(200, 'x'));
}

TEST(PerformanceApi, SlowQueriesThatWereTooManyAtOnceAreCounted) {
  Performance performance;
  for (std::size_t i = 0; i < CoreRecording::most_slow + 7; ++i) performance.monitor->add_slow(0, SlowQuery());
  performance.pass();
  EXPECT_EQ(performance.ask("slow-queries").at("slow_queries_lost").to_number<int>(), 7);
}

TEST(PerformanceApi, TheDashboardHasWhatWasRecorded) {
  Performance performance;
  performance.record(1, 2 * ms, 30, {.cache = CacheUse::miss});
  performance.record(1, 2 * ms, 10, {.cache = CacheUse::hit, .sqlstate = {'4', '2', '6', '0', '1'}});
  performance.monitor->wire(0).clients_waiting.add(3);
  performance.pass();
  const json::value dashboard = performance.ask("dashboard");
  const json::value& current = dashboard.at("current_metrics");
  EXPECT_DOUBLE_EQ(current.at("execution_time").as_double(), 2);
  EXPECT_DOUBLE_EQ(current.at("error_rate").as_double(), 25);
  EXPECT_DOUBLE_EQ(current.at("cache_hit_rate").as_double(), 25);
  EXPECT_EQ(current.at("queue_depth").to_number<int>(), 3);
  EXPECT_GT(current.at("throughput").as_double(), 0);
  const json::value& trend = dashboard.at("historical_trends").at("execution_time");
  ASSERT_EQ(trend.as_array().size(), 1) << "of intervals without queries there is none";
  EXPECT_TRUE(trend.at(0).at(0).is_string());
  EXPECT_DOUBLE_EQ(trend.at(0).at(1).as_double(), 2);
  EXPECT_EQ(dashboard.at("historical_trends").at("queue_depth").as_array().back().at(1).as_double(), 3);
  EXPECT_EQ(dashboard.at("system_health").at("services").at("performance_monitor").at("available"), true);
}

TEST(PerformanceApi, WhoIsNamedIsWhoAsks) {
  Performance performance;
  performance.record(1, ms, 2, {.user = "login", .user_id = "42"});
  performance.record(1, ms, 1, {.user = "login"});
  const SlowQuery slow{.user = "login",
                       .user_id = "42",
                       .project = "7",
                       .started = std::chrono::system_clock::now(),
                       .duration_ns = 2'000 * ms};
  performance.monitor->add_slow(0, slow);
  performance.pass();
  std::map<std::string, int> calls;
  for (const auto& one : performance.ask("usage?by=user").at("usage").as_array())
    calls[std::string(one.at("name").as_string())] = one.at("figures").at("calls").to_number<int>();
  EXPECT_EQ(calls, (std::map<std::string, int>{{"42", 2}, {"login", 1}}));
  for (const json::value& said : {performance.ask("slow-queries").at("slow_queries").at(0),
                                  performance.ask("dashboard").at("top_slow_queries").at(0)}) {
    EXPECT_EQ(said.at("user_id"), "42");
    EXPECT_EQ(said.at("project_id"), "7");
  }
}

TEST(PerformanceApi, WhatIsOutOfRangeIsNamed) {
  const Performance performance;
  for (const std::string target :
       {"templates?sort=beauty", "templates?window=0", "templates?limit=99999", "usage?by=planet",
        "usage?window=600000", "slow-queries?limit=0", "slow-queries?min_duration_ms=-1"}) {
    const Response got = performance.answer("/api/v1/performance/" + target);
    EXPECT_EQ(got.status, 422) << target;
    const std::string field = target.substr(target.find('?') + 1, target.find('=') - target.find('?') - 1);
    EXPECT_EQ(json::parse(got.body).at("detail").at(0).at("loc"), json::value({"query", field})) << target;
  }
}

TEST(PerformanceApi, WithoutRecordingThereIsNone) {
  const Performance performance(std::nullopt);
  for (const std::string name : {"templates", "usage", "slow-queries", "dashboard"}) {
    EXPECT_EQ(performance.answer("/api/v1/performance/" + name).status, 503) << name;
  }
}

}  // namespace
}  // namespace millrace::http
