#include "http/jobs_api.hpp"

#include <gtest/gtest.h>

#include <boost/asio/detached.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/clock.hpp"
#include "http/job_result.hpp"
#include "http/parquet_result.hpp"
#include "http/test_ask.hpp"
#include "http/test_server.hpp"

namespace millrace::http {
namespace {

namespace json = boost::json;
using executor::QueryJob;
using executor::QueryJobs;
using Row = std::vector<executor::KeptRows::Value>;

constexpr std::string_view queries = "/api/v1/execution/queries";

class JobsApi : public testing::Test {
 protected:
  std::shared_ptr<const Router> router() {
    return api({.version = "1",
                .monitor = monitor_,
                .probe_postgresql = reachable,
                .executor = executor_,
                .jobs = jobs_,
                .query_timeout = [] { return std::chrono::seconds(300); }});
  }
  Response ask(std::string method, const std::string& rest, std::string body = {}, Headers headers = json_) {
    return http::ask(*router(), std::move(method), std::string(queries) + rest, std::move(body), std::move(headers));
  }
  json::value scheduled(const std::string& body) {
    const Response answer = ask("POST", "", body);
    EXPECT_EQ(answer.status, 202) << answer.body;
    return json::parse(answer.body);
  }
  /// The places of all that is wrong.
  std::string wrong(const std::string& body) {
    const Response answer = ask("POST", "", body);
    EXPECT_EQ(answer.status, 422) << answer.body;
    EXPECT_TRUE(begun_.empty());
    json::array places;
    for (const auto& one : json::parse(answer.body).at("detail").as_array()) places.push_back(one.at("loc"));
    return json::serialize(places);
  }
  std::string begin(const std::string& sql = "SELECT 1") {
    return "/" + std::string(scheduled(json::serialize(json::object{{"sql", sql}})).at("execution_id").as_string());
  }
  std::string complete(std::vector<QueryJob::Column> columns, const std::vector<Row>& rows) {
    auto id = begin();
    begun_.back()->has_columns(std::move(columns));
    for (const auto& row : rows) EXPECT_TRUE(begun_.back()->add(row));
    begun_.back()->end("SELECT", now_ns());
    return id;
  }

  struct Text final : BodyWriter {
    asio::awaitable<bool> write(std::string_view part) override {
      text += part;
      ++parts;
      co_return parts < most_parts;
    }
    std::string text;
    int parts = 0;
    int most_parts = 1'000'000;
  };
  /// What a streamed body says.
  static std::string body_of(const Response& response) {
    EXPECT_EQ(response.status, 200) << response.body;
    Text text;
    asio::io_context context;
    if (response.stream) asio::co_spawn(context, response.stream(text), asio::detached);
    context.run();
    return text.text;
  }

  static inline const Headers json_{{"content-type", "application/json"}};
  std::shared_ptr<QueryPerformanceMonitor> monitor_ =
      std::make_shared<QueryPerformanceMonitor>(1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}});
  std::shared_ptr<executor::AdaptiveQueryExecutor> executor_ =
      std::make_shared<executor::AdaptiveQueryExecutor>(executor::AdaptiveQueryExecutor::Limits{.most = 1});
  std::vector<std::shared_ptr<QueryJob>> begun_;
  std::shared_ptr<QueryJobs> jobs_ = std::make_shared<QueryJobs>(
      QueryJobs::Limits{.most = 3}, [this](std::shared_ptr<QueryJob> job) { begun_.push_back(std::move(job)); });
};

TEST_F(JobsApi, WhatWasRunAgainAfterARestartSaysSo) {
  jobs_->set_most_at_once(0);
  QueryJob::View past;
  past.runs = 1;
  const auto job = jobs_->restore("exec_old_1", {.sql = "SELECT 1"}, past);
  ASSERT_TRUE(job && jobs_->adopt(job, true));
  jobs_->set_most_at_once(2);
  EXPECT_TRUE(begun_.empty()) << "it is held";
  jobs_->release(*job);
  ASSERT_EQ(begun_.size(), 1);
  job->runs(0, now_ns());
  const auto said = json::parse(ask("GET", "/exec_old_1").body);
  EXPECT_EQ(said.at("restored"), true);
  EXPECT_EQ(said.at("retry_count"), 1);
  EXPECT_EQ(json::parse(ask("GET", begin()).body).at("restored"), false);
  EXPECT_EQ(ask("GET", "/exec_old_2").status, 404);
}

TEST_F(JobsApi, WhatIsAskedForReachesTheJob) {
  const Response answer = ask("POST", "", R"({"sql": "SELECT $1", "query_id": "mine", "user_id": "42",
      "project_id": "7", "priority": "HIGH", "timeout_seconds": 1.5, "memory_limit_mb": 512, "enable_caching": true,
      "enable_optimization": true, "database_type": "postgresql",
      "parameters": ["a\u00e9\"", null, true, 12345678901234567890.50, {"a": [1, "]"]}, [1, 2]]})");
  ASSERT_EQ(answer.status, 202) << answer.body;
  const auto said = json::parse(answer.body);
  const std::string id(said.at("execution_id").as_string());
  EXPECT_EQ(answer.headers, (Headers{{"Location", std::string(queries) + "/" + id}}));
  EXPECT_EQ(said.at("status"), "queued");
  EXPECT_EQ(said.at("query_id"), "mine");
  EXPECT_EQ(said.at("priority"), "high");
  EXPECT_EQ(said.at("timeout_seconds"), 1.5);
  EXPECT_EQ(said.at("warnings").as_array().size(), 1) << "of memory_limit_mb";
  const auto& request = begun_.at(0)->request();
  EXPECT_EQ(request.sql, "SELECT $1");
  EXPECT_EQ(request.user_id, "42");
  EXPECT_EQ(request.project_id, "7");
  EXPECT_EQ(request.priority, executor::Priority::high);
  EXPECT_EQ(request.timeout, std::chrono::milliseconds(1500));
  EXPECT_EQ(request.memory_limit_mb, 512);
  const std::vector<std::optional<std::string>> parameters{
      "a\u00e9\"", std::nullopt, "true", "12345678901234567890.50", R"({"a": [1, "]"]})", "[1, 2]"};
  EXPECT_EQ(request.parameters, parameters);
}

TEST_F(JobsApi, WhatIsNotSaid) {
  scheduled(R"({"sql": "SELECT 1"})");
  scheduled(R"({"sql": "SELECT 1", "priority": 5, "parameters": []})");
  EXPECT_EQ(begun_.at(0)->request().priority, executor::Priority::normal);
  EXPECT_EQ(begun_.at(0)->request().timeout, std::chrono::seconds(300));
  EXPECT_EQ(begun_.at(1)->request().priority, executor::Priority::emergency);
}

TEST_F(JobsApi, AQuotaLimitsTheTime) {
  executor_->quotas().set_defaults(true, {});
  executor_->quotas().set(executor::Quotas::Of::user, "42", executor::Quota{.max_execution_time_seconds = 5}, now_ns());
  scheduled(R"({"sql": "SELECT 1", "user_id": "42", "timeout_seconds": 60})");
  scheduled(R"({"sql": "SELECT 1", "user_id": "42", "timeout_seconds": 2})");
  EXPECT_EQ(begun_.at(0)->request().timeout, std::chrono::seconds(5));
  EXPECT_EQ(begun_.at(1)->request().timeout, std::chrono::seconds(2));
}

TEST_F(JobsApi, WhatIsWrongIsNamed) {
  EXPECT_EQ(wrong("{}"), R"([["body","sql"]])");
  EXPECT_EQ(wrong(R"({"sql": " "})"), R"([["body","sql"]])");
  EXPECT_EQ(wrong(R"({"sql": "a\u0000b"})"), R"([["body","sql"]])");
  EXPECT_EQ(wrong(R"({"sql": "x", "priority": "urgent"})"), R"([["body","priority"]])");
  EXPECT_EQ(wrong(R"({"sql": "x", "priority": 0, "timeout_seconds": 0})"),
            R"([["body","timeout_seconds"],["body","priority"]])");
  EXPECT_EQ(wrong(R"({"sql": "x", "timeout_seconds": 1e300})"), R"([["body","timeout_seconds"]])");
  EXPECT_EQ(wrong(R"({"sql": "x", "memory_limit_mb": 0})"), R"([["body","memory_limit_mb"]])");
  EXPECT_EQ(wrong(R"({"sql": "x", "parameters": {"a": 1}})"), R"([["body","parameters"]])");
  EXPECT_EQ(wrong(R"({"sql": "x", "parameters": ["a", "b\u0000"]})"), R"([["body","parameters",1]])");
  EXPECT_EQ(wrong(R"({"sql": "x", "database_type": "duckdb", "user_id": "", "query_id": ")" + std::string(129, 'q') +
                  R"("})"),
            R"([["body","database_type"],["body","query_id"],["body","user_id"]])");
  EXPECT_EQ(wrong(R"({"sql": "x", "colour": "red"})"), R"([["body","colour"]])");
}

TEST_F(JobsApi, AJobIsLookedAt) {
  const auto id = begin("SELECT " + std::string(600, 'x'));
  const auto job = begun_.at(0);
  const auto look = [&] {
    const Response answer = ask("GET", id);
    EXPECT_EQ(answer.status, 200);
    return json::parse(answer.body);
  };
  EXPECT_EQ(look().at("query").as_string().size(), 500);
  EXPECT_TRUE(look().at("queue_position").is_null());

  const auto party = executor_->party("ada", "");
  auto permit = executor_->try_take(*party, nullptr, now_ns());
  const auto first = executor_->wait({.party = party}, [] {}, now_ns());
  const auto second = executor_->wait({.party = party}, [] {}, now_ns());
  job->waits(second);
  EXPECT_EQ(look().at("queue_position"), 2);
  executor_->stop_waiting(*first, now_ns());
  EXPECT_EQ(look().at("queue_position"), 1);
  executor_->stop_waiting(*second, now_ns());
  permit.give_back(now_ns());

  constexpr std::int64_t hour = 3'600'000'000'000;
  job->runs(hour, now_ns() - hour / 2);
  const auto running = look();
  EXPECT_EQ(running.at("status"), "running");
  EXPECT_TRUE(running.at("queue_position").is_null());
  EXPECT_GE(running.at("progress_percent").to_number<double>(), 50);
  EXPECT_LE(running.at("estimated_remaining_ms").to_number<double>(), 1'800'000);
  job->runs(1, now_ns() - hour);
  EXPECT_EQ(look().at("progress_percent").to_number<double>(), 99) << "it can't be known to be done";

  jobs_->set_most_at_once(1);
  const auto next = begin();
  EXPECT_EQ(json::parse(ask("GET", next).body).at("queue_position"), 1) << "of the jobs";

  job->end(fail("division by zero", "22012", "", "in line 1"), now_ns());
  const auto failed = look();
  EXPECT_EQ(failed.at("status"), "failed");
  EXPECT_EQ(
      failed.at("error"),
      json::parse(R"({"message": "division by zero", "sqlstate": "22012", "detail": "in line 1", "hint": null})"));
  EXPECT_EQ(ask("GET", id + "/result").status, 409);
}

TEST_F(JobsApi, TurnsWantAnExecutor) {
  executor_ = nullptr;
  const Response answer = http::ask(*router(), "GET", "/api/v1/execution/metrics");
  EXPECT_EQ(answer.status, 503);
  EXPECT_TRUE(answer.body.contains("ENABLE_ADAPTIVE_EXECUTOR")) << answer.body;
  EXPECT_EQ(json::parse(ask("GET", begin()).body).at("queue_position"), nullptr) << "jobs don't";
}

TEST_F(JobsApi, Cancelling) {
  const auto id = begin();
  bool told = false;
  begun_.at(0)->on_cancel([&] { told = true; });
  EXPECT_EQ(ask("DELETE", id).status, 200);
  EXPECT_TRUE(told);
  begun_.at(0)->end(fail("the statement was cancelled", "57014"), now_ns());
  EXPECT_EQ(json::parse(ask("GET", id).body).at("status"), "cancelled");
  EXPECT_EQ(json::parse(ask("DELETE", id).body).at("status"), "cancelled") << "and now it is forgotten";
  EXPECT_EQ(ask("GET", id).status, 404);
  EXPECT_EQ(ask("DELETE", id).status, 404);
  EXPECT_EQ(ask("GET", id + "/result").status, 404);
}

TEST_F(JobsApi, TheListIsFiltered) {
  scheduled(R"({"sql": "a", "user_id": "1"})");
  scheduled(R"({"sql": "b", "user_id": "2"})");
  scheduled(R"({"sql": "c", "user_id": "1", "project_id": "p"})");
  begun_.at(0)->runs(0, now_ns());
  const auto listed = [&](const std::string& by) {
    const auto answer = json::parse(ask("GET", by).body);
    std::string texts;
    for (const auto& one : answer.at("executions").as_array()) texts += one.at("query").as_string();
    return texts + " of " + json::serialize(answer.at("total_count"));
  };
  EXPECT_EQ(listed(""), "cba of 3");
  EXPECT_EQ(listed("?user_id=1"), "ca of 2");
  EXPECT_EQ(listed("?project_id=p"), "c of 1");
  EXPECT_EQ(listed("?status=running"), "a of 1");
  EXPECT_EQ(listed("?limit=1&offset=1"), "b of 3");
  EXPECT_EQ(ask("GET", "?limit=0").status, 422);
  EXPECT_EQ(ask("GET", "?status=lost").status, 422);
}

TEST_F(JobsApi, NoMoreThanMayBe) {
  for (int at = 0; at < 3; ++at) begin();
  const Response answer = ask("POST", "", R"({"sql": "x"})");
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(answer.headers, (Headers{{"Retry-After", "1"}}));
  jobs_->stop(now_ns());
  EXPECT_EQ(ask("POST", "", R"({"sql": "x"})").status, 503);
  jobs_ = nullptr;
  EXPECT_EQ(ask("POST", "", R"({"sql": "x"})").status, 503);
  EXPECT_EQ(ask("GET", "").status, 503);
  EXPECT_EQ(ask("GET", "/x/result").status, 503);
}

TEST_F(JobsApi, AResultInAllFormats) {
  const auto id = complete(
      {{.name = "n", .type_oid = 23},
       {.name = "b", .type_oid = 16},
       {.name = "f", .type_oid = 701},
       {.name = "d", .type_oid = 1700},
       {.name = "j", .type_oid = 114},
       {.name = "n", .type_oid = 25}},
      {{"-1", "t", "1e-05", "1.50", "{\"a\":\n1}", "x,\"y\"\n"}, {"2", "f", "NaN", std::nullopt, std::nullopt, ""}});
  EXPECT_EQ(json::parse(body_of(ask("GET", id + "/result"))).at("rows"),
            json::parse(R"([[-1,true,1e-05,"1.50",{"a":1},"x,\"y\"\n"],[2,false,"NaN",null,null,""]])"));
  const Response lines = ask("GET", id + "/result", "", {{"accept", "application/x-ndjson"}});
  EXPECT_EQ(lines.content_type, "application/x-ndjson");
  EXPECT_EQ(body_of(lines), R"({"n":-1,"b":true,"f":1e-05,"d":"1.50","j":{"a": 1},"n_2":"x,\"y\"\n"})"
                            "\n"
                            R"({"n":2,"b":false,"f":"NaN","d":null,"j":null,"n_2":""})"
                            "\n");
  const Response csv = ask("GET", id + "/result?format=csv", "", {{"accept", "application/json"}});
  EXPECT_TRUE(csv.content_type.starts_with("text/csv"));
  EXPECT_EQ(body_of(csv), "n,b,f,d,j,n\n-1,t,1e-05,1.50,\"{\"\"a\"\":\n1}\",\"x,\"\"y\"\"\n\"\n2,f,NaN,,,\"\"\n");
}

TEST_F(JobsApi, AResultByPage) {
  std::vector<Row> rows;
  std::vector<std::string> texts;
  for (int at = 0; at < 1005; ++at) texts.push_back(std::to_string(at));
  for (const auto& text : texts) rows.push_back({text});
  const auto id = complete({{.name = "n", .type_oid = 20}}, rows);
  const auto page = json::parse(body_of(ask("GET", id + "/result?offset=2&limit=3")));
  EXPECT_EQ(page, json::parse(R"({"execution_id": ")" + id.substr(1) + R"(", "row_count": 1005, "offset": 2, "limit": 3,
                                  "columns": [{"name": "n", "type_oid": 20}], "rows": [[2], [3], [4]]})"));
  EXPECT_EQ(json::parse(body_of(ask("GET", id + "/result"))).at("rows").as_array().size(), 1000);
  EXPECT_EQ(json::parse(body_of(ask("GET", id + "/result?offset=1004"))).at("rows"), json::parse("[[1004]]"));
  EXPECT_EQ(json::parse(body_of(ask("GET", id + "/result?offset=9999"))).at("rows"), json::parse("[]"));
  EXPECT_EQ(std::ranges::count(body_of(ask("GET", id + "/result?format=ndjson")), '\n'), 1005);
  EXPECT_EQ(body_of(ask("GET", id + "/result?format=csv&offset=1003&limit=1")), "n\n1003\n");
  EXPECT_EQ(ask("GET", id + "/result?limit=0").status, 422);
  EXPECT_EQ(ask("GET", id + "/result?limit=100001").status, 422);
  EXPECT_EQ(ask("GET", id + "/result?offset=-1").status, 422);
  EXPECT_EQ(ask("GET", id + "/result?format=xml").status, 422);
}

TEST_F(JobsApi, MembersHaveDifferentNames) {
  const auto id =
      complete({{.name = "n", .type_oid = 23}, {.name = "n", .type_oid = 23}, {.name = "n_2", .type_oid = 23}},
               {{"1", "2", "3"}});
  EXPECT_EQ(body_of(ask("GET", id + "/result?format=ndjson")), R"({"n":1,"n_3":2,"n_2":3})"
                                                               "\n");
}

TEST_F(JobsApi, AResultWithoutColumns) {
  const auto id = complete({}, {});
  EXPECT_EQ(json::parse(body_of(ask("GET", id + "/result"))).at("rows"), json::parse("[]"));
  EXPECT_EQ(body_of(ask("GET", id + "/result?format=ndjson")), "");
}

TEST_F(JobsApi, AResultAsParquet) {
  const auto id = complete({{.name = "n", .type_oid = 23}, {.name = "day", .type_oid = 1082}},
                           {{"1", "2026-01-01"}, {"2", std::nullopt}, {"3", "infinity"}});
  const Response file = ask("GET", id + "/result?limit=2", "", {{"accept", "application/vnd.apache.parquet"}});
  EXPECT_EQ(file.content_type, "application/vnd.apache.parquet");
  const std::string bytes = body_of(file);
  EXPECT_TRUE(bytes.starts_with("PAR1") && bytes.ends_with("PAR1")) << bytes;
  const Response refused = ask("GET", id + "/result?format=parquet");
  EXPECT_EQ(refused.status, 422);
  EXPECT_TRUE(refused.body.contains("(day)")) << refused.body;
  EXPECT_EQ(ask("GET", complete({}, {}) + "/result?format=parquet").status, 422);
}

TEST(ParquetFiles, AreKeptWhileTheyAreRead) {
  ParquetFiles files;
  auto rows = std::make_shared<executor::KeptRows>(std::make_shared<executor::ByteBudget>(1000), 1000);
  const std::optional<std::string_view> value = "1";
  rows->add({&value, 1});
  ResultPart part{.execution_id = "one",
                  .columns = std::make_shared<QueryJob::Columns>(QueryJob::Columns{{.name = "n", .type_oid = 23}}),
                  .rows = rows,
                  .limit = 10};
  std::vector<ParquetFilePtr> read;
  for (std::size_t at = 0; at < ParquetFiles::most; ++at, ++part.limit) read.push_back(*files.of(part));
  const auto refused = files.of(part);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().sqlstate, "53400");
  part.limit = 10;
  EXPECT_EQ(*files.of(part), read.front()) << "it is there";
  part.execution_id = "two";
  read.back().reset();
  EXPECT_TRUE(files.of(part)) << "in the place of the one that isn't read";
}

TEST(JobResult, NamesThatDifferInCaseOnly) {
  const QueryJob::Columns columns = {{.name = "a"}, {.name = "A"}, {.name = "a"}, {.name = "a_1"}, {.name = "A_2"}};
  EXPECT_EQ(member_names(columns), (std::vector<std::string>{"a", "A", "a_2", "a_1", "A_2"}));
  EXPECT_EQ(member_names(columns, true), (std::vector<std::string>{"a", "A_3", "a_4", "a_1", "A_2"}));
}

TEST_F(JobsApi, AClientThatGoesEndsTheStream) {
  const std::string large(40'000, 'x');
  const auto id = complete({{.name = "n", .type_oid = 25}}, {{large}, {large}, {large}, {large}});
  const Response response = ask("GET", id + "/result?format=ndjson");
  Text text;
  text.most_parts = 2;
  asio::io_context context;
  asio::co_spawn(context, response.stream(text), asio::detached);
  context.run();
  EXPECT_EQ(text.parts, 2);
}

TEST_F(JobsApi, AResultGoesOverTheWireWhole) {
  std::vector<Row> rows;
  const std::string value(1000, 'v');
  for (int at = 0; at < 3000; ++at) rows.push_back({value});
  const auto id = complete({{.name = "n", .type_oid = 25}}, rows);
  TestServer server(router());
  TestClient client(server.port());
  ASSERT_TRUE(client.send(fmt::format("GET {}{}/result?format=csv HTTP/1.0\r\n\r\n", queries, id)));
  const std::string answer = client.receive_all();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_NE(answer.find("Content-Type: text/csv; charset=utf-8; header=present\r\n"), std::string::npos);
  EXPECT_EQ(std::ranges::count(answer.substr(answer.find("\r\n\r\n")), 'v'), 3'000'000);
}

TEST(JobResult, WhatTheClientLikesBest) {
  using enum ResultFormat;
  EXPECT_EQ(format_of(""), json);
  EXPECT_EQ(format_of("*/*"), json);
  EXPECT_EQ(format_of("text/csv"), csv);
  EXPECT_EQ(format_of("application/x-ndjson;q=0.5, text/csv;q=0.9"), csv);
  EXPECT_EQ(format_of("text/csv; q=0.1 , application/x-ndjson"), ndjson);
  EXPECT_EQ(format_of("image/png, text/*"), csv);
  EXPECT_EQ(format_of("application/vnd.apache.parquet, */*;q=0.5"), parquet);
  EXPECT_EQ(format_of("image/png"), json);
  EXPECT_EQ(format_of("text/csv;q=0, */*;q=0.1"), json);
}

}  // namespace
}  // namespace millrace::http
