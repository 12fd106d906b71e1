#include "http/api.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/json/parse.hpp>
#include <set>

#include "base/clock.hpp"
#include "http/api_table.hpp"
#include "http/metrics.hpp"
#include "http/optimization_health.hpp"
#include "http/optimization_status.hpp"

namespace millrace::http {
namespace {

namespace json = boost::json;

std::shared_ptr<QueryPerformanceMonitor> monitor() {
  return std::make_shared<QueryPerformanceMonitor>(
      1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}, {"insert", StatementGroup::write}});
}

asio::awaitable<Result<>> reachable() { co_return Result<>(); }
asio::awaitable<Result<>> unreachable() { co_return fail("connection refused"); }

/// Runs a handler to its end; there is nothing here that it could wait for.
Response ask(const Router& router, std::string method, std::string path) {
  asio::io_context context;
  Response answer;
  asio::co_spawn(context,
                 router.answer({.method = std::move(method),
                                .raw_target = path,
                                .target = {.path = path, .query = {}},
                                .content_type = {},
                                .body = {}}),
                 [&answer](std::exception_ptr, Response response) { answer = std::move(response); });
  context.run();
  return answer;
}

TEST(Router, FindsByPathThenMethod) {
  Router router;
  router.add("GET", "/a", [](const Request&) { return ready({.body = "get"}); });
  router.add("POST", "/a", [](const Request&) { return ready({.body = "post"}); });
  router.add("GET", "/throws", [](const Request&) -> asio::awaitable<Response> { throw std::runtime_error("no"); });
  EXPECT_EQ(ask(router, "GET", "/a").body, "get");
  EXPECT_EQ(ask(router, "HEAD", "/a").body, "get");
  EXPECT_EQ(ask(router, "POST", "/a").body, "post");
  const Response missing = ask(router, "GET", "/b");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.body, R"({"detail":"Not Found"})");
  const Response wrong_method = ask(router, "DELETE", "/a");
  EXPECT_EQ(wrong_method.status, 405);
  EXPECT_EQ(wrong_method.allow, "GET, HEAD, POST");
  EXPECT_EQ(wrong_method.body, R"({"detail":"Method Not Allowed"})");
  EXPECT_EQ(ask(router, "GET", "/throws").status, 500);
}

TEST(Api, StatusHasTheKeysThatClientsKnow) {
  const auto figures = monitor();
  figures->wire(0).clients_connected.add(3);
  figures->record(0, {.kind = 0, .started_ns = now_ns(), .duration_ns = 2'000'000});
  const auto router = api({.version = "1.2.3", .monitor = figures, .probe_postgresql = reachable});
  for (const char* path : {"/api/v1/optimization/status", "/api/v1/optimization/optimization/status"}) {
    const json::value status = json::parse(ask(*router, "GET", path).body);
    EXPECT_EQ(status.at("status").as_string(), "active");
    EXPECT_FALSE(status.at("optimization_engine_available").as_bool());
    for (const char* key :
         {"optimization_cache_size", "plan_cache_size", "cost_cache_size", "table_stats_cache_size"}) {
      EXPECT_TRUE(status.at("cache_stats").at(key).is_null()) << key;
    }
    for (const char* key : {"total_optimizations", "cache_hits", "cache_misses"}) {
      EXPECT_TRUE(status.at("optimization_counts").at(key).is_null()) << key;
    }
    EXPECT_FALSE(status.at("service_health").at("thread_pool_active").as_bool());
    EXPECT_FALSE(status.at("warnings").as_array().empty());
    EXPECT_EQ(status.at("wire").at("version").as_string(), "1.2.3");
    EXPECT_EQ(status.at("wire").at("clients").at("connected").to_number<int>(), 3);
    EXPECT_EQ(status.at("wire").at("queries").at("total").to_number<int>(), 1);
    EXPECT_NEAR(status.at("wire").at("queries").at("p99_ms").to_number<double>(), 2.0, 2.0 / 64);
  }
}

TEST(Api, PercentilesAreNullWithoutQueries) {
  const OptimizationStatus status = optimization_status(monitor()->snapshot(), "1");
  EXPECT_EQ(status.wire.queries.p50_ms, std::nullopt);
  EXPECT_EQ(status.wire.queries.per_second, 0);
}

TEST(Api, HealthIsDegradedWhileQueriesAreAnswered) {
  const auto router = api({.version = "1", .monitor = monitor(), .probe_postgresql = reachable});
  for (const char* path : {"/api/v1/optimization/health", "/api/v1/optimization/optimization/health", "/health"}) {
    const Response response = ask(*router, "GET", path);
    EXPECT_EQ(response.status, 200);
    const json::value health = json::parse(response.body);
    EXPECT_EQ(health.at("overall_status").as_string(), "degraded");
    EXPECT_EQ(health.at("health_score").to_number<double>(), 68);
    EXPECT_TRUE(health.at("services").at("postgresql").at("available").as_bool());
    EXPECT_EQ(health.at("services").at("performance_monitor").at("status").as_string(), "healthy");
    EXPECT_EQ(health.at("services").at("cache_manager").at("status").as_string(), "unavailable");
    EXPECT_EQ(health.at("warnings").as_array().size(), 4);
    EXPECT_TRUE(health.at("checked_at").is_string());
  }
}

TEST(Api, HealthIsUnhealthyWithoutPostgresql) {
  const auto router = api({.version = "1", .monitor = monitor(), .probe_postgresql = unreachable});
  const json::value health = json::parse(ask(*router, "GET", "/health").body);
  EXPECT_EQ(health.at("overall_status").as_string(), "unhealthy");
  EXPECT_EQ(health.at("services").at("postgresql").at("reason").as_string(), "connection refused");
}

TEST(Api, DocumentDescribesEveryOperation) {
  const auto router = api({.version = "1.2.3", .monitor = monitor(), .probe_postgresql = reachable});
  const json::value document = json::parse(ask(*router, "GET", "/openapi.json").body);
  EXPECT_EQ(document.at("openapi").as_string(), "3.1.0");
  EXPECT_EQ(document.at("info").at("version").as_string(), "1.2.3");
  const json::object& paths = document.at("paths").as_object();
  EXPECT_EQ(paths.size(), 3);
  std::set<std::string> ids;
  for (const auto& [path, methods] : paths) {
    for (const auto& [method, operation] : methods.as_object()) {
      EXPECT_TRUE(ids.insert(std::string(operation.at("operationId").as_string())).second);
      EXPECT_TRUE(operation.at("responses").as_object().contains("200"));
      EXPECT_EQ(ask(*router, "GET", std::string(path)).status, 200);
    }
  }
}

TEST(Metrics, AreNamedWithUnitsAndExplained) {
  const auto figures = monitor();
  figures->record(0, {.kind = 1, .started_ns = now_ns(), .duration_ns = 3'000'000, .sqlstate = {"23505"}});
  figures->wire(0).clients_connected.sub();
  const std::string text = metrics_text(figures->snapshot(), "1.2.3");
  for (const char* line :
       {"# TYPE millrace_queries_total counter", "millrace_queries_total{kind=\"insert\"} 1",
        "millrace_query_errors_total{sqlstate_class=\"23\"} 1", "millrace_clients_connected 0",
        "millrace_query_duration_seconds_bucket{group=\"write\",le=\"0.0025\"} 0",
        "millrace_query_duration_seconds_bucket{group=\"write\",le=\"0.005\"} 1",
        "millrace_query_duration_seconds_count{group=\"write\"} 1", "millrace_build_info{version=\"1.2.3\"} 1",
        "# HELP millrace_cancels_total ", "millrace_log_lines_lost_total 0"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

}  // namespace
}  // namespace millrace::http
