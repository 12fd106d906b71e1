#include "http/recommendations_report.hpp"

#include <gtest/gtest.h>

namespace millrace::http {
namespace {

TEST(Recommendations, TextsWithoutConstantsGetParameters) {
  EXPECT_EQ(with_parameters("SELECT * FROM t WHERE a IN (?, ...) AND \"b?\" = ? LIMIT ?"),
            "SELECT * FROM t WHERE a IN ($1) AND \"b?\" = $2 LIMIT $3");
  EXPECT_EQ(with_parameters("SELECT 1 FROM \"open"), "SELECT 1 FROM \"open");
}

TEST(Recommendations, WhatGainsMostComesFirst) {
  optimizer::IndexAdvice advice{.indexes = {}, .findings = {}, .measured = true, .warnings = {"w"}};
  for (const double share : {1.0, 30.0, 6.0}) {
    advice.indexes.push_back(
        {.index = {.schema = "public", .table = "t", .columns = {"a"}, .include = {"b"}, .where = "c"},
         .statement = "CREATE INDEX CONCURRENTLY i ON t (a)",
         .bytes = 3 << 20,
         .improvement_percent = 90,
         .share_percent = share,
         .serves = {{.id = "x", .shown = "SELECT ?", .executions = 2, .cost_before = 9, .cost_after = 1}},
         .supersedes = {"public.old"}});
  }
  advice.findings.push_back({.kind = optimizer::IndexFinding::Kind::invalid,
                             .schema = "public",
                             .table = "u",
                             .index = "i",
                             .sentence = "It is broken",
                             .statements = {"REINDEX INDEX CONCURRENTLY i"}});
  const auto answer = recommendations_of(advice);
  ASSERT_EQ(answer.recommendations.size(), 4);
  EXPECT_EQ(answer.recommendations[0].priority, 5);
  EXPECT_EQ(answer.recommendations[1].description, "It is broken.");
  EXPECT_EQ(answer.recommendations[1].type, RecommendationType::resource_optimization);
  EXPECT_EQ(answer.recommendations[1].estimated_improvement_percent, std::nullopt);
  EXPECT_EQ(answer.recommendations[2].priority, 3);
  EXPECT_EQ(answer.recommendations[3].priority, 1);
  const auto& first = answer.recommendations[0];
  EXPECT_EQ(
      first.description,
      "An index on public.t (a) INCLUDE (b) WHERE c would serve a query that ran about 0 times an hour: planned by "
      "PostgreSQL "
      "with the index in mind, it costs 90 % less, which is 30.0 % of what all queries take. It needs 3.0 MB. With it "
      "public.old is no longer needed, as its beginning does the same.");
  EXPECT_EQ(first.affected_queries, std::vector<std::string>{"SELECT ?"});
  EXPECT_EQ(first.index->where, "c");
  EXPECT_EQ(first.index->queries.at(0).cost_after, 1);
  EXPECT_EQ(first.recommendation_id, answer.recommendations[3].recommendation_id);
  EXPECT_EQ(answer.warnings, std::vector<std::string>{"w"});
}

}  // namespace
}  // namespace millrace::http
