#include "http/analysis_api.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "http/test_ask.hpp"
#include "pipeline/cacheability_test.hpp"

namespace millrace::http {
namespace {

namespace json = boost::json;

class AnalysisApi : public testing::Test {
 protected:
  AnalysisApi() {
    pipeline::test::Database database;
    database.builder.role("ada", {.search_path = "public", .isolation = "read committed"});
    database.view("v", "SELECT id FROM public.logs");
    snapshot_ = database.builder.build();
    reads_.use([this](const std::string& name, bool starts) {
      if (starts) started_.push_back(name);
      auto snapshot = name == "crawl" ? snapshot_ : nullptr;
      return std::make_shared<const pipeline::CatalogSource>(
          pipeline::CatalogSource{[snapshot] { return snapshot; }, [] { return nullptr; }});
    });
  }

  std::shared_ptr<const Router> router(pipeline::ReadCache* reads) {
    return api(
        {.version = "1", .monitor = monitor_, .probe_postgresql = reachable, .reads = reads, .default_asker = [] {
           return Asker{.database = "crawl", .user = "ada"};
         }});
  }
  Response ask(const std::string& body, const std::shared_ptr<const Router>& of) {
    return http::ask(*of, "POST", "/api/v1/optimization/analyze-query", body);
  }
  json::value analyzed(std::string_view query) {
    const Response answer = ask(json::serialize(json::object{{"query", query}}), router(&reads_));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body);
  }
  /// The place of the one thing that is wrong.
  std::string wrong(const std::string& body) {
    const Response answer = ask(body, router(&reads_));
    EXPECT_EQ(answer.status, 422) << answer.body;
    return json::serialize(json::parse(answer.body).at("detail").as_array().at(0).at("loc"));
  }

  std::shared_ptr<QueryPerformanceMonitor> monitor_ =
      std::make_shared<QueryPerformanceMonitor>(1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}});
  std::shared_ptr<const catalog::Snapshot> snapshot_;
  std::vector<std::string> started_;
  pipeline::ReadCache reads_{std::make_shared<cache::IntelligentCacheManager>(std::size_t{1} << 20),
                             std::chrono::seconds(300)};
};

TEST_F(AnalysisApi, WhatMayBeKept) {
  const auto said = analyzed("WITH w AS (SELECT id FROM v) SELECT * FROM users, w /* millrace: ttl=60, tags='a' */");
  EXPECT_EQ(said.at("statement_kind"), "select");
  EXPECT_EQ(said.at("tables_accessed"), json::parse(R"(["public.users", "public.v"])"));
  EXPECT_EQ(said.at("complexity"), "moderate");
  const auto& cache = said.at("cache");
  EXPECT_EQ(cache.at("cacheable"), true);
  EXPECT_TRUE(cache.at("reason").is_null());
  EXPECT_EQ(cache.at("level"), "memory");
  EXPECT_EQ(cache.at("ttl_seconds"), 60.0);
  EXPECT_EQ(cache.at("tags"), json::parse(R"(["a"])"));
  EXPECT_EQ(cache.at("dependency_tables"), json::parse(R"(["public.users", "public.logs", "public.logs_1"])"));
  EXPECT_EQ(cache.at("key_fields").at("database"), "crawl");
  EXPECT_EQ(cache.at("key_fields").at("search_path"), json::parse(R"(["public"])"));
  EXPECT_EQ(cache.at("cache_key").as_string(), "query:" + std::string(said.at("query_hash").as_string()));
  EXPECT_EQ(started_, std::vector<std::string>{"crawl"});
}

TEST_F(AnalysisApi, WhyNot) {
  const auto said = analyzed("DELETE FROM orders USING users WHERE now() > at");
  EXPECT_EQ(said.at("tables_accessed"), json::parse(R"(["public.orders", "public.users"])"));
  EXPECT_EQ(said.at("cache").at("cacheable"), false);
  EXPECT_EQ(said.at("cache").at("reason"), "not_a_select");
  EXPECT_TRUE(said.at("cache").at("ttl_seconds").is_null());
  const auto stable = analyzed("SELECT now()");
  EXPECT_EQ(stable.at("cache").at("why_not"), "calls now(), which is stable");
  EXPECT_TRUE(stable.at("cache").at("what_helps").is_string());
  EXPECT_EQ(stable.at("complexity"), "simple");
}

TEST_F(AnalysisApi, WhatIsNotKnownIsNull) {
  const auto said = analyzed("VACUUM");
  for (const char* field : {"estimated_cost", "estimated_rows", "complexity", "tables_accessed", "indexes_used",
                            "missing_indexes", "performance_issues", "optimization_suggestions"}) {
    EXPECT_TRUE(said.at(field).is_null()) << field;
  }
  EXPECT_FALSE(said.at("warnings").as_array().empty());
}

TEST_F(AnalysisApi, OthersDatabasesAreNotReadForIt) {
  const auto answer = ask(R"({"query": "SELECT 1", "database": "other", "user": "bob"})", router(&reads_));
  const auto said = json::parse(answer.body);
  EXPECT_EQ(said.at("cache").at("reason"), "catalog_unknown");
  EXPECT_EQ(said.at("cache").at("key_fields").at("user"), "bob");
  EXPECT_TRUE(started_.empty());
}

TEST_F(AnalysisApi, WithoutACache) {
  const auto said = json::parse(ask(R"({"query": "SELECT 1 FROM t"})", router(nullptr)).body);
  EXPECT_EQ(said.at("cache").at("reason"), "no_cache");
  EXPECT_EQ(said.at("tables_accessed"), json::parse(R"(["t"])"));
}

TEST_F(AnalysisApi, SaysWhatIsWrong) {
  EXPECT_EQ(wrong("{}"), R"(["body","query"])");
  EXPECT_EQ(wrong(R"({"query": "SELEC 1"})"), R"(["body","query"])");
  EXPECT_EQ(wrong("{\"query\": \"" + std::string(70'000, ' ') + "\"}"), R"(["body","query"])");
  EXPECT_EQ(wrong(R"({"query": "SELECT 1", "database_type": "duckdb"})"), R"(["body","database_type"])");
  EXPECT_EQ(wrong(R"({"query": "SELECT 1", "database_type": "oracle"})"), R"(["body","database_type"])");
  EXPECT_EQ(wrong(R"({"query": "SELECT 1", "database": ""})"), R"(["body","database"])");
  EXPECT_EQ(wrong(R"({"query": "SELECT 1", "user": "a\u0000"})"), R"(["body","user"])");
}

}  // namespace
}  // namespace millrace::http
