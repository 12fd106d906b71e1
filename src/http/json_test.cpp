#include <gtest/gtest.h>

#include <limits>

#include "http/fuzz/sample.hpp"

namespace millrace::http {
namespace {

using sample::Filter;
using sample::Level;
using sample::Page;
using sample::Search;

std::string shown(const std::vector<ValidationProblem>& problems) {
  std::string text;
  for (const auto& problem : problems) {
    for (const auto& step : problem.loc) {
      const auto* index = std::get_if<std::size_t>(&step);
      text += (index != nullptr ? std::to_string(*index) : std::get<std::string>(step)) + "/";
    }
    text += problem.type + " ";
  }
  return text;
}

std::string findings(std::string_view body) {
  const auto read = read_body<Search>(body);
  return read ? "" : shown(read.error());
}

constexpr std::string_view good =
    R"({"text":"a","limit":7,"exact":true,"level":"high","filters":[{"column":"c","above":2.5}],"weights":{"w":-3}})";

TEST(Json, APairIsAListOfTwo) {
  EXPECT_EQ(to_json(std::vector<std::pair<std::string, double>>{{"a", 1.5}, {"b", 2.5}}), R"([["a",1.5],["b",2.5]])");
}

TEST(Json, WhatIsWrittenReadsTheSame) {
  const Search search{.text = "line\n\"quoted\" \\ \x01 é",
                      .limit = 255,
                      .exact = true,
                      .level = Level::high,
                      .filters = {{.column = "c", .above = 0.1}, {.column = "", .above = {}}},
                      .weights = {{"least", std::numeric_limits<std::int64_t>::min()}}};
  const std::string text = to_json(search);
  const auto read = read_body<Search>(text);
  ASSERT_TRUE(read) << text;
  EXPECT_EQ(to_json(*read), text);
  EXPECT_EQ(read->text, search.text);
  EXPECT_EQ(read->filters[1].above, std::nullopt);
  EXPECT_EQ(read->weights, search.weights);
}

TEST(Json, WritesNumbersAndTextAsJsonHasThem) {
  EXPECT_EQ(to_json(100.0), "100.0");
  EXPECT_EQ(to_json(-0.0), "-0.0");
  EXPECT_EQ(to_json(1e300), "1e+300");
  EXPECT_EQ(to_json(0.1), "0.1");
  EXPECT_EQ(to_json(std::numeric_limits<double>::infinity()), "null");
  EXPECT_EQ(to_json(std::numeric_limits<std::uint64_t>::max()), "18446744073709551615");
  EXPECT_EQ(to_json(std::string("\xff ok \xed\xa0\x80 \xc0\x80 \xf0\x9f\x98\x80")),
            "\"\uFFFD ok \uFFFD\uFFFD\uFFFD \uFFFD\uFFFD \U0001F600\"");
  EXPECT_EQ(to_json(Timestamp(std::chrono::microseconds(1'700'000'000'123'456))),
            "\"2023-11-14T22:13:20.123456+00:00\"");
}

TEST(Json, ReadsWhatFits) {
  const auto read = read_body<Search>(good);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->limit, 7);
  EXPECT_EQ(read->level, Level::high);
  EXPECT_EQ(read->filters.at(0).above, 2.5);
  EXPECT_EQ(findings(R"({"text":"","limit":3.0,"exact":false,"filters":[],"weights":{}})"), "");
  EXPECT_EQ(findings(R"({"text":"","limit":3,"exact":false,"level":null,"filters":[],"weights":{}} )"), "");
}

TEST(Json, SaysAllThatDoesNotFitAndWhere) {
  EXPECT_EQ(findings("{}"),
            "body/text/missing body/limit/missing body/exact/missing body/filters/missing body/weights/missing ");
  EXPECT_EQ(findings(R"({"text":1,"limit":256,"exact":"yes","level":"medium","filters":[{"column":"c"},{"above":"x"}],
                         "weights":{"w":1.5},"more":1})"),
            "body/text/string_type body/limit/int_parsing_size body/exact/bool_type body/level/enum "
            "body/filters/1/column/missing body/filters/1/above/float_type body/weights/w/int_type "
            "body/more/extra_forbidden ");
  EXPECT_EQ(findings("[]"), "body/model_type ");
  EXPECT_EQ(findings(R"({"text":null,"limit":-1,"exact":null,"filters":{},"weights":[]})"),
            "body/text/string_type body/limit/int_parsing_size body/exact/bool_type body/filters/list_type "
            "body/weights/dict_type ");
}

TEST(Json, RefusesWhatIsNotJson) {
  EXPECT_EQ(findings(""), "body/0/json_invalid ");
  EXPECT_EQ(findings("{} x"), "body/3/json_invalid ");
  EXPECT_EQ(findings("{\"text\":\"\xff\"}"), "body/9/json_invalid ");
  EXPECT_NE(findings(std::string(100'000, '[')).find("json_invalid"), std::string::npos);
  EXPECT_NE(findings(R"({"limit":1e999})"), "");
}

TEST(Json, NonsenseGetsABoundedAnswer) {
  std::string body = R"({"filters":[1)";
  for (int i = 0; i < 10'000; ++i) body += ",1";
  const auto read = read_body<Search>(body + "]}");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().size(), Findings::most);
}

std::string query_findings(const std::vector<std::pair<std::string, std::string>>& query) {
  const auto read = read_query<Page>(query);
  return read ? "" : shown(read.error());
}

TEST(Query, ReadsParameters) {
  const auto page =
      read_query<Page>({{"limit", "5"}, {"limit", "6"}, {"newest", "true"}, {"above", "1.5"}, {"level", "low"}});
  ASSERT_TRUE(page);
  EXPECT_EQ(page->limit, 6);
  EXPECT_EQ(page->newest, true);
  EXPECT_EQ(page->above, 1.5);
  EXPECT_EQ(page->level, Level::low);
  EXPECT_EQ(page->after, std::nullopt);
}

TEST(Query, SaysWhatDoesNotFit) {
  EXPECT_EQ(query_findings({}), "query/limit/missing ");
  EXPECT_EQ(query_findings({{"limit", "x"}, {"newest", "maybe"}, {"above", "nan"}, {"level", ""}, {"page", "2"}}),
            "query/limit/int_parsing query/newest/bool_parsing query/above/finite_number query/level/enum "
            "query/page/extra_forbidden ");
  EXPECT_EQ(query_findings({{"limit", "-1"}}), "query/limit/int_parsing ");
  EXPECT_EQ(query_findings({{"limit", "4294967296"}}), "query/limit/int_parsing_size ");
  EXPECT_EQ(query_findings({{"limit", "7 "}}), "query/limit/int_parsing ");
  EXPECT_EQ(query_findings({{"limit", ""}}), "query/limit/int_parsing ");
}

TEST(Problem, HasFastApisShape) {
  EXPECT_EQ(problem(404, "Not Found").body, R"({"detail":"Not Found"})");
  const Response response =
      unprocessable({{{"query", "limit"}, "is required", "missing"}, {{"body", std::size_t{2}}, "m", "t"}});
  EXPECT_EQ(response.status, 422);
  EXPECT_EQ(response.body, R"({"detail":[{"loc":["query","limit"],"msg":"is required","type":"missing"},)"
                           R"({"loc":["body",2],"msg":"m","type":"t"}]})");
}

TEST(Schemas, DescribeTheSameTypes) {
  Schemas schemas;
  const auto reference = schemas.of<Search>(Schemas::Direction::request);
  EXPECT_EQ(reference.at("$ref").as_string(), "#/components/schemas/Search");
  const auto& search = schemas.components().at("Search").as_object();
  EXPECT_EQ(search.at("required").as_array().size(), 5);
  EXPECT_EQ(search.at("additionalProperties").as_bool(), false);
  EXPECT_EQ(search.at("properties").at("limit").at("minimum").as_int64(), 0);
  EXPECT_EQ(search.at("properties").at("filters").at("items").at("$ref").as_string(), "#/components/schemas/Filter");
  EXPECT_EQ(search.at("properties").at("level").at("anyOf").at(0).at("enum").as_array().size(), 2);
  EXPECT_EQ(search.at("properties").at("level").at("anyOf").at(1).at("type").as_string(), "null");
  EXPECT_THROW(schemas.of<Filter>(Schemas::Direction::answer), std::logic_error);
}

}  // namespace
}  // namespace millrace::http
