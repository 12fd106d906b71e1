#include "pgwire/protocol/decode.hpp"

#include <gtest/gtest.h>

#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/limits.hpp"

namespace millrace::pgwire {
namespace {

using namespace std::string_view_literals;

template <typename T>
void expect_error(const Result<T>& result, std::string_view message) {
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().sqlstate, "08P01");
  EXPECT_EQ(result.error().message, message);
}

TEST(Decode, SaysWhatIsWrongAsPostgreSqlDoes) {
  expect_error(decode_query(as_bytes("SELECT 1")), "invalid string in message");
  expect_error(decode_query(as_bytes("SELECT 1\0x"sv)), "invalid message format");
  expect_error(decode_execute(as_bytes("\0\0\0\0"sv)), "insufficient data left in message");
  expect_error(decode_empty(as_bytes("x")), "invalid message format");
  expect_error(decode_describe({}), "no data left in message");
  expect_error(decode_function_call(as_bytes("\0\0\0\1\0\0\0\1\xff\xff\xff\xfe\0\0"sv)),
               "invalid argument size -2 in function call message");
  expect_error(decode_describe(as_bytes("X\0"sv)), "invalid DESCRIBE message subtype 88");
  expect_error(decode_close(as_bytes("\xff\0"sv)), "invalid CLOSE message subtype 255");
  expect_error(decode_bind(as_bytes("\0\0\0\2\0\1\0\1\0\1"sv)),
               "bind message has 2 parameter formats but 1 parameters");
  expect_error(decode_password(as_bytes("a\0b"sv)), "invalid password packet size");
  expect_error(decode_ready_for_query(as_bytes("X")), "invalid transaction status in message");
}

TEST(Decode, NegativeAndHugeLengthsFindNothing) {
  expect_error(decode_data_row(as_bytes("\0\1\xff\xff\xff\xfe"sv)), "insufficient data left in message");
  expect_error(decode_data_row(as_bytes("\0\1\x7f\xff\xff\xffx"sv)), "insufficient data left in message");
  expect_error(decode_data_row(as_bytes("\xff\xff"sv)), "insufficient data left in message");
  expect_error(decode_negotiate_protocol_version(as_bytes("\0\0\0\0\xff\xff\xff\xff"sv)), "invalid string in message");
  expect_error(decode_parse(as_bytes("\0\0\xff\xff"sv)), "insufficient data left in message");
}

TEST(Decode, BindNamesWaitForTheirLastByte) {
  std::string message;
  append_bind(message, {.portal = "portal", .statement = "statement"});
  const Bytes body = as_bytes(message).subspan(header_size);
  for (std::size_t length = 0; length < body.size(); ++length) {
    const auto names = bind_names(body.first(length));
    EXPECT_EQ(names.has_value(), length >= 17);
    if (!names) continue;
    EXPECT_EQ(names->portal, "portal");
    EXPECT_EQ(names->statement, "statement");
    EXPECT_EQ(names->length(), 17U);
  }
}

TEST(Decode, BindGivesValuesAndFormats) {
  std::string message;
  const std::vector<Value> values{"1", std::nullopt, ""};
  const std::vector<std::int16_t> formats{0, 1, 1};
  append_bind(message, {.parameter_formats = formats, .values = values, .result_formats = std::span(formats).first(1)});
  const auto view = decode_bind(as_bytes(message).subspan(header_size)).value();
  ASSERT_EQ(view.parameter_formats.size(), 3U);
  EXPECT_EQ(view.parameter_formats[1], 1);
  ASSERT_EQ(view.result_formats.size(), 1U);
  auto value = view.values.begin();
  EXPECT_EQ(as_text(**value), "1");
  ++value;
  EXPECT_FALSE(value->has_value());
  ++value;
  EXPECT_TRUE(value->has_value() && (*value)->empty());
  ++value;
  EXPECT_EQ(value, view.values.end());
}

TEST(Decode, CountsTheRowsOfATag) {
  EXPECT_EQ(command_rows("SELECT 5"), 5U);
  EXPECT_EQ(command_rows("INSERT 0 18446744073709551615"), 18446744073709551615U);
  for (const auto tag :
       {"INSERT 0 18446744073709551616", "CREATE TABLE", "BEGIN", "", "5", "SELECT ", "SELECT 5x", "X -5"}) {
    EXPECT_EQ(command_rows(tag), std::nullopt) << tag;
  }
}

TEST(Decode, AuthenticationRequests) {
  std::string message;
  const std::string_view mechanisms[] = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"};
  append_authentication_sasl(message, mechanisms);
  const auto sasl = decode_authentication(as_bytes(message).subspan(header_size)).value();
  EXPECT_EQ(sasl.kind, AuthenticationKind::sasl);
  ASSERT_EQ(sasl.mechanisms.size(), 2U);
  EXPECT_EQ(*sasl.mechanisms.begin(), "SCRAM-SHA-256-PLUS");
  expect_error(decode_authentication(as_bytes("\0\0\0\x0aSCRAM\0"sv)), "invalid string in message");
  expect_error(decode_authentication(as_bytes("\0\0\0\5abc"sv)), "insufficient data left in message");
  EXPECT_EQ(static_cast<unsigned>(decode_authentication(as_bytes("\0\0\0\x63"sv)).value().kind), 99U);
}

TEST(Decode, NoticesMayLackAnyField) {
  const auto bare = decode_notice(as_bytes("\0"sv)).value();
  EXPECT_EQ(bare.sqlstate(), "");
  EXPECT_EQ(bare.message(), "");
  EXPECT_EQ(bare.severity(), "");
  const auto translated = decode_notice(as_bytes("SFEHLER\0VERROR\0C42P01\0Mtext\0\0"sv)).value();
  EXPECT_EQ(translated.fields.size(), 4U);
  EXPECT_EQ(translated.severity(), "ERROR");
  EXPECT_EQ(translated.sqlstate(), "42P01");
  EXPECT_EQ(translated.message(), "text");
  EXPECT_EQ(decode_notice(as_bytes("SFEHLER\0\0"sv)).value().severity(), "FEHLER");
  expect_error(decode_notice(as_bytes("Mtext\0"sv)), "no data left in message");
  expect_error(decode_notice(as_bytes("\0x"sv)), "invalid message format");
}

TEST(Limits, ArePostgreSqls) {
  EXPECT_EQ(frontend::max_length('Q'), 0x3ffffffeU);
  EXPECT_EQ(frontend::max_length('S'), 10'000U);
  EXPECT_EQ(frontend::max_length('p'), 0U);
  EXPECT_EQ(frontend::max_length('Z'), 0U);
  EXPECT_EQ(backend::max_length('D'), 0x7fffffffU);
  EXPECT_EQ(backend::max_length('Z'), 30'000U);
  EXPECT_EQ(backend::max_length('Q'), 0U);
  int frontend_kinds = 0;
  int backend_kinds = 0;
  for (int type = 0; type < 256; ++type) {
    frontend_kinds += frontend::max_length(static_cast<char>(type)) > 0;
    backend_kinds += backend::max_length(static_cast<char>(type)) > 0;
  }
  EXPECT_EQ(frontend_kinds, 13);
  EXPECT_EQ(backend_kinds, 24);
}

}  // namespace
}  // namespace millrace::pgwire
