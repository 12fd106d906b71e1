#include "http/result_encoder.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace millrace::http {
namespace {

namespace json = boost::json;
using Row = std::vector<executor::KeptRows::Value>;
using executor::QueryJob;

constexpr std::size_t piece_bytes = ResultEncoder::piece_bytes;
/// A member's name, or what a character may take.
constexpr std::size_t more = 64;

struct Encoded {
  std::string text;
  std::size_t pieces = 0;
  std::size_t largest = 0;  ///< memory of a piece
};

Encoded encoded(QueryJob::Columns columns, const std::vector<Row>& rows, ResultFormat format) {
  constexpr std::size_t most = std::size_t{64} << 20;
  const auto kept = std::make_shared<executor::KeptRows>(std::make_shared<executor::ByteBudget>(most), most);
  for (const auto& row : rows) EXPECT_TRUE(kept->add(row));
  const ResultPart part{.execution_id = "one",
                        .columns = std::make_shared<QueryJob::Columns>(std::move(columns)),
                        .rows = kept,
                        .limit = rows.size()};
  ResultEncoder encoder(part, format);
  Encoded all;
  std::string piece;
  for (bool is_more = true; is_more; ++all.pieces) {
    piece.clear();
    is_more = encoder.next(piece);
    all.text += piece;
    all.largest = std::max(all.largest, piece.capacity());
    EXPECT_LE(piece.size(), piece_bytes + more);
  }
  EXPECT_LE(all.largest, 2 * (piece_bytes + more)) << "whatever the values are";
  return all;
}

std::string repeated(std::string_view what, std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += what;
  return text;
}

std::string in_csv(std::string_view value) {
  std::string quoted = "\"";
  for (const char c : value) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

TEST(ResultEncoder, LargeValuesComeInPiecesThatAreSmall) {
  for (const std::string_view part :
       {"x", "\x01", "\"", "\\", "\n", "\u00e9", "\u20ac", "\U0001F600", "a\u00e9\u20ac\U0001F600\"\\\n\x01,"}) {
    for (std::size_t shift = 0; shift < 6; ++shift) {  // so that pieces end everywhere within characters and escapes
      const std::string value = std::string(shift, 's') + repeated(part, 2 * piece_bytes) + '"';
      const QueryJob::Columns columns{{.name = "n", .type_oid = 23}, {.name = "large", .type_oid = 25}};
      const std::vector<Row> rows = {{"1", value}, {"2", value}};

      const Encoded page = encoded(columns, rows, ResultFormat::json);
      EXPECT_EQ(json::parse(page.text).at("rows"), (json::array{{1, value}, {2, value}})) << part << shift;
      EXPECT_GE(page.pieces, 4);

      const Encoded lines = encoded(columns, rows, ResultFormat::ndjson);
      const auto second = lines.text.find('\n') + 1;
      EXPECT_EQ(json::parse(lines.text.substr(0, second)), (json::object{{"n", 1}, {"large", value}})) << part << shift;
      EXPECT_EQ(json::parse(lines.text.substr(second)), (json::object{{"n", 2}, {"large", value}})) << part << shift;
      EXPECT_EQ(std::ranges::count(lines.text, '\n'), 2);

      const Encoded csv = encoded(columns, rows, ResultFormat::csv);
      EXPECT_EQ(csv.text, "n,large\n1," + in_csv(value) + "\n2," + in_csv(value) + "\n") << part << shift;
    }
  }
}

TEST(ResultEncoder, WhatIsNotUtf8IsReplacedWhereverAPieceEnds) {
  for (std::size_t shift = 0; shift < 4; ++shift) {
    const std::string start(piece_bytes - 40 + shift, 's');
    // Of three bytes only two, of two only one, and one that begins nothing.
    const std::string value = start + repeated("\xe2\x82\xc3\x80\xff", 300);
    const Encoded page = encoded({{.name = "t", .type_oid = 25}}, {{value}}, ResultFormat::json);
    EXPECT_EQ(json::parse(page.text).at("rows").at(0).at(0).as_string(),
              start + repeated("\uFFFD\uFFFD\u00c0\uFFFD", 660))
        << shift;
    EXPECT_EQ(encoded({{.name = "t", .type_oid = 25}}, {{value}}, ResultFormat::csv).text, "t\n" + value + "\n");
  }
}

TEST(ResultEncoder, LargeJsonStaysAsItIsOnOneLine) {
  const std::string value = "[\r\n1" + repeated(",\n{\"a\\n\": \"\u20ac\"}", 4 * piece_bytes) + "\n]";
  std::string line = value;
  std::ranges::replace_if(line, [](char c) { return c == '\n' || c == '\r'; }, ' ');
  const Encoded lines = encoded({{.name = "j", .type_oid = 3802}}, {{value}}, ResultFormat::ndjson);
  EXPECT_EQ(lines.text, R"({"j":)" + line + "}\n");
}

TEST(ResultEncoder, CsvHasQuotesOnlyWhereTheyAreNeeded) {
  const std::string plain(4 * piece_bytes, 'x');
  const QueryJob::Columns columns{{.name = "a,b", .type_oid = 25}};
  const Encoded csv = encoded(columns, {{plain}, {plain + ','}, {plain + '\r'}, {""}, {"\\."}, {std::nullopt}, {"\\"}},
                              ResultFormat::csv);
  EXPECT_EQ(csv.text, "\"a,b\"\n" + plain + "\n\"" + plain + ",\"\n\"" + plain + "\r\"\n\"\"\n\"\\.\"\n\n\\\n");
  EXPECT_GE(csv.pieces, 24) << "each value is looked at in four parts, and written in four";
  EXPECT_EQ(encoded({{.name = "a"}, {.name = "b"}}, {{"\\.", "x"}}, ResultFormat::csv).text, "a,b\n\\.,x\n");
}

TEST(ResultEncoder, ManySmallRowsComeInFewPieces) {
  const std::vector<Row> rows(10'000, Row{"12345", std::nullopt});
  const QueryJob::Columns columns{{.name = "a", .type_oid = 25}, {.name = "b", .type_oid = 25}};
  for (const auto format : {ResultFormat::json, ResultFormat::ndjson, ResultFormat::csv}) {
    const Encoded all = encoded(columns, rows, format);
    EXPECT_EQ(all.pieces, all.text.size() / piece_bytes + 1);
  }
}

}  // namespace
}  // namespace millrace::http
