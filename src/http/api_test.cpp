#include "http/api.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <regex>
#include <set>

#include "base/clock.hpp"
#include "http/metrics.hpp"
#include "http/optimization_health.hpp"
#include "http/optimization_status.hpp"
#include "http/test_ask.hpp"

namespace millrace::http {
namespace {

namespace json = boost::json;

std::shared_ptr<QueryPerformanceMonitor> monitor() {
  return std::make_shared<QueryPerformanceMonitor>(
      1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}, {"insert", StatementGroup::write}});
}

asio::awaitable<Result<>> unreachable() { co_return fail("connection refused"); }

/// Answers with its own name and the path's parameters.
Route named(std::string name) {
  return {.handler = [name = std::move(name)](const Request& request, BodyReader&) {
    std::string body = name;
    for (const std::string& value : request.path_parameters) body += " " + value;
    return ready({.body = std::move(body)});
  }};
}

TEST(Router, FindsByPathThenMethod) {
  Router router;
  router.add("GET", "/a", named("get"));
  router.add("POST", "/a", named("post"));
  router.add("GET", "/throws", {.handler = [](const Request&, BodyReader&) -> asio::awaitable<Response> {
               throw std::runtime_error("no");
             }});
  EXPECT_EQ(ask(router, "GET", "/a").body, "get");
  EXPECT_EQ(ask(router, "HEAD", "/a").body, "get");
  EXPECT_EQ(ask(router, "POST", "/a").body, "post");
  const Response missing = ask(router, "GET", "/b");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.body, R"({"detail":"Not Found"})");
  const Response wrong_method = ask(router, "DELETE", "/a");
  EXPECT_EQ(wrong_method.status, 405);
  EXPECT_EQ(wrong_method.headers, (Headers{{"Allow", "GET, HEAD, POST"}}));
  EXPECT_EQ(wrong_method.body, R"({"detail":"Method Not Allowed"})");
  EXPECT_EQ(ask(router, "GET", "/throws").status, 500);
  EXPECT_THROW(router.add("GET", "/a", named("again")), std::logic_error);
}

TEST(Router, FindsParametersOfThePath) {
  Router router;
  router.add("GET", "/", named("root"));
  router.add("GET", "/jobs/{id}", named("job"));
  router.add("PATCH", "/jobs/{id}", named("change"));
  router.add("GET", "/jobs/all", named("all"));
  router.add("GET", "/jobs/all/new", named("new"));
  router.add("GET", "/jobs/{id}/steps/{number}", named("step"));
  const auto body = [&](const std::string& target) { return ask(router, "GET", target).body; };
  EXPECT_EQ(body("/"), "root");
  EXPECT_EQ(body("/jobs/7"), "job 7");
  EXPECT_EQ(body("/jobs/a%2Fb%20%25/"), "job a/b %");
  EXPECT_EQ(body("/jobs/.."), "job ..");
  EXPECT_EQ(body("/jobs/all"), "all");
  EXPECT_EQ(body("/jobs/%61ll"), "all");
  EXPECT_EQ(body("/jobs/all/new"), "new");
  EXPECT_EQ(body("/jobs/all/steps/3"), "step all 3");
  for (const char* target : {"/jobs", "/jobs/", "/jobs//steps/3", "/jobs/7/steps", "/jobs/7/steps/3/4", "/jobs%2F7"}) {
    EXPECT_EQ(ask(router, "GET", target).status, 404) << target;
  }
  EXPECT_EQ(ask(router, "PATCH", "/jobs/7").body, "change 7");
  EXPECT_EQ(ask(router, "DELETE", "/jobs/7").headers, (Headers{{"Allow", "GET, HEAD, PATCH"}}));
  EXPECT_EQ(ask(router, "PATCH", "/jobs/all").headers, (Headers{{"Allow", "GET, HEAD"}}));
}

TEST(ApiTable, ChecksPathQueryAndBodyTogether) {
  const auto router = sample::routes();
  const std::string search = R"({"text":"t","limit":1,"exact":true,"filters":[],"weights":{}})";
  const Response all = ask(*router, "PUT", "/places/a%2Fb/-7?limit=3", search);
  EXPECT_EQ(all.status, 201);
  EXPECT_NE(all.body.find(R"({\"name\":\"a/b\",\"number\":-7}{\"limit\":3)"), std::string::npos) << all.body;
  const Response wrong = ask(*router, "PUT", "/places/x/40000?limit=-1", R"({"text":1})");
  EXPECT_EQ(wrong.status, 422);
  const json::value findings = json::parse(wrong.body);
  const auto loc = [&](std::size_t i) { return json::serialize(findings.at("detail").at(i).at("loc")); };
  EXPECT_EQ(loc(0), R"(["query","limit"])");
  EXPECT_EQ(loc(1), R"(["path","number"])");
  EXPECT_EQ(loc(2), R"(["body","text"])");
  EXPECT_EQ(ask(*router, "GET", "/places/x/y").body,
            R"({"detail":[{"loc":["path","number"],"msg":"must be a whole number","type":"int_parsing"}]})");
}

TEST(ApiTable, AnswersWithAnyStatusAndHeaders) {
  const auto router = sample::routes();
  const Response found = ask(*router, "GET", "/places/x/1");
  EXPECT_EQ(found.status, 200);
  EXPECT_EQ(found.headers, (Headers{{"Location", "x"}}));
  const Response missing = ask(*router, "GET", "/places/x/-1");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.body, R"({"detail":"there is none"})");
  const Response deleted = ask(*router, "DELETE", "/places/x/1");
  EXPECT_EQ(deleted.status, 204);
  EXPECT_EQ(deleted.body, "");
}

TEST(ApiTable, DocumentsParametersAndStatuses) {
  const json::value document = json::parse(ask(*sample::routes(), "GET", "/openapi.json").body);
  const json::value& place = document.at("paths").at("/places/{name}/{number}");
  const json::value& get = place.at("get");
  EXPECT_EQ(json::serialize(get.at("parameters").at(1)),
            R"({"name":"number","in":"path","required":true,"schema":{"type":"integer"}})");
  EXPECT_EQ(get.at("responses").at("404").at("description").as_string(), "There is none");
  EXPECT_TRUE(document.at("components").at("schemas").as_object().contains("Problem"));
  EXPECT_TRUE(get.at("responses").as_object().contains("422"));
  EXPECT_FALSE(place.at("delete").at("responses").at("204").as_object().contains("content"));
  const json::value& put = place.at("put");
  EXPECT_TRUE(put.at("responses").as_object().contains("201"));
  EXPECT_TRUE(put.as_object().contains("requestBody"));
  EXPECT_EQ(put.at("parameters").as_array().size(), 7);
}

asio::awaitable<std::expected<Principal, Response>> by_header(const Request& request) {
  const std::string_view who = request.header("authorization");
  if (who.empty()) co_return std::unexpected(unauthorized("say who you are", "Bearer"));
  if (who == "Bearer nobody") co_return std::unexpected(problem(403, "not you"));
  co_return Principal{std::string(who.substr(7))};
}

asio::awaitable<sample::Answer> who_asks(Principal principal) { co_return sample::Answer{principal.name}; }

TEST(ApiTable, AsksWhoItIsUnlessTheOperationIsOpen) {
  ApiTable table;
  table.add("GET", {.path = "/who", .summary = "Who asks"}, who_asks);
  table.add("GET", {.path = "/open", .summary = "Nobody is asked", .open = true}, who_asks);
  const auto before = table.router("Sample", "1");
  EXPECT_EQ(ask(*before, "GET", "/who").body, R"({"text":""})");
  const json::value unguarded = json::parse(ask(*before, "GET", "/openapi.json").body);
  EXPECT_FALSE(unguarded.at("components").as_object().contains("securitySchemes"));

  table.authenticate("bearer", by_header);
  const auto router = table.router("Sample", "1");
  EXPECT_EQ(ask(*router, "GET", "/who", {}, {{"authorization", "Bearer ann"}}).body, R"({"text":"ann"})");
  const Response unknown = ask(*router, "GET", "/who");
  EXPECT_EQ(unknown.status, 401);
  EXPECT_EQ(unknown.headers, (Headers{{"WWW-Authenticate", "Bearer"}}));
  EXPECT_EQ(ask(*router, "GET", "/who", {}, {{"authorization", "Bearer nobody"}}).body, R"({"detail":"not you"})");
  EXPECT_EQ(ask(*router, "GET", "/open").status, 200);
  EXPECT_EQ(ask(*router, "GET", "/nothing").status, 404);

  const json::value document = json::parse(ask(*router, "GET", "/openapi.json").body);
  EXPECT_EQ(json::serialize(document.at("components").at("securitySchemes")),
            R"({"authorization":{"type":"http","scheme":"bearer"}})");
  const json::value& who = document.at("paths").at("/who").at("get");
  EXPECT_EQ(json::serialize(who.at("security")), R"([{"authorization":[]}])");
  EXPECT_TRUE(who.at("responses").as_object().contains("401"));
  EXPECT_FALSE(document.at("paths").at("/open").at("get").as_object().contains("security"));
}

TEST(ApiTable, KnowsWhoItIsAlsoWhereTheOperationIsOpen) {
  ApiTable table;
  table.authenticate("bearer", by_header);
  table.add("GET", {.path = "/open", .summary = "Nobody is asked", .open = true}, who_asks);
  const auto router = table.router("Sample", "1");
  EXPECT_EQ(ask(*router, "GET", "/open", {}, {{"authorization", "Bearer ann"}}).body, R"({"text":"ann"})");
  EXPECT_EQ(ask(*router, "GET", "/open", {}, {{"authorization", "Bearer nobody"}}).body, R"({"text":""})");
  EXPECT_EQ(ask(*router, "GET", "/open").body, R"({"text":""})");
}

TEST(ApiTable, RefusesAPathThatItsHandlerDoesNotFit) {
  ApiTable table;
  EXPECT_THROW(table.add("GET", {.path = "/places/{name}", .summary = ""}, sample::answer_place), std::logic_error);
  EXPECT_THROW(table.add("GET", {.path = "/page/{name}", .summary = ""}, sample::answer_page), std::logic_error);
  EXPECT_THROW(table.add("GET", {.path = "/{name}/{number}", .summary = "", .also_at = {"/{number}/{name}"}},
                         sample::answer_place),
               std::logic_error);
}

TEST(Api, StatusHasTheKeysThatClientsKnow) {
  const auto figures = monitor();
  figures->wire(0).clients_connected.add(3);
  figures->record(0, {.kind = 0, .started_ns = now_ns() - 2'000'000, .duration_ns = 2'000'000});
  const auto router = api({.version = "1.2.3", .monitor = figures, .probe_postgresql = reachable});
  for (const char* path : {"/api/v1/optimization/status", "/api/v1/optimization/optimization/status"}) {
    const json::value status = json::parse(ask(*router, "GET", path).body);
    EXPECT_EQ(status.at("status").as_string(), "active");
    EXPECT_FALSE(status.at("optimization_engine_available").as_bool()) << "no catalogs are read";
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
  const OptimizationStatus status = optimization_status(monitor()->snapshot(), "1", {});
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
    EXPECT_EQ(health.at("health_score").to_number<double>(), 60);
    EXPECT_TRUE(health.at("services").at("postgresql").at("available").as_bool());
    for (const auto& [service, reason] :
         {std::pair("performance_monitor", "PERFORMANCE_MONITORING_ENABLED is off"),
          std::pair("optimization_engine", "no catalogs are read: ENABLE_MULTI_LEVEL_CACHING is off")}) {
      EXPECT_FALSE(health.at("services").at(service).at("available").as_bool());
      EXPECT_EQ(health.at("services").at(service).at("reason").as_string(), reason);
    }
    EXPECT_EQ(health.at("services").at("cache_manager").at("status").as_string(), "unavailable");
    EXPECT_EQ(health.at("services").at("cache_manager").at("reason").as_string(), "ENABLE_MULTI_LEVEL_CACHING is off");
    EXPECT_EQ(health.at("services").at("query_executor").at("reason").as_string(), "ENABLE_ADAPTIVE_EXECUTOR is off");
    EXPECT_TRUE(health.at("services").at("redis").is_null()) << "none is wanted";
    EXPECT_EQ(health.at("warnings").as_array().size(), 5);
    EXPECT_TRUE(health.at("checked_at").is_string());
  }
  const auto with_turns =
      api({.version = "1",
           .monitor = monitor(),
           .probe_postgresql = reachable,
           .executor = std::make_shared<executor::AdaptiveQueryExecutor>(executor::AdaptiveQueryExecutor::Limits())});
  const json::value health = json::parse(ask(*with_turns, "GET", "/health").body);
  EXPECT_EQ(health.at("health_score").to_number<double>(), 68);
  EXPECT_TRUE(health.at("services").at("query_executor").at("available").as_bool());
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
  EXPECT_EQ(paths.size(), 34);
  std::set<std::string> ids;
  for (const auto& [path, methods] : paths) {
    for (const auto& [method, operation] : methods.as_object()) {
      EXPECT_TRUE(ids.insert(std::string(operation.at("operationId").as_string())).second);
      const json::object& responses = operation.at("responses").as_object();
      EXPECT_TRUE(responses.contains("200") || responses.contains("202") || responses.contains("204") ||
                  responses.contains("101"));
      // Who asks for nothing in particular gets an answer that is described.
      std::string upper;
      for (const char c : method) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      const std::string target = std::regex_replace(std::string(path), std::regex("\\{[^}]*\\}"), "x");
      const Response answer = ask(*router, upper, target);
      EXPECT_TRUE(responses.contains(std::to_string(answer.status))) << method << " " << path << ": " << answer.status;
    }
  }
}

TEST(Metrics, AreNamedWithUnitsAndExplained) {
  const auto figures = monitor();
  figures->record(0, {.kind = 1, .started_ns = now_ns() - 3'000'000, .duration_ns = 3'000'000, .sqlstate = {"23505"}});
  figures->wire(0).clients_connected.sub();
  const std::string text = metrics_text(figures->snapshot(), "1.2.3", nullptr);
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
