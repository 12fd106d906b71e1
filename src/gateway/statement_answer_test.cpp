#include "gateway/statement_answer.hpp"

#include <gtest/gtest.h>

#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

struct Messages {
  Messages& row(std::string_view value) {
    const pgwire::Value values[] = {value};
    std::string one;
    pgwire::append_data_row(one, values);
    rows += one;
    all += one;
    return *this;
  }
  std::string all, rows;
};

std::string answer_of_a_select(std::size_t size, std::string& rows) {
  Messages messages;
  pgwire::append_parse_complete(messages.all);
  pgwire::append_bind_complete(messages.all);
  const pgwire::FieldDescription fields[] = {{.name = "one"}};
  pgwire::append_row_description(messages.all, fields);
  messages.row("a").row("");
  pgwire::append_notice_response(messages.all, {.severity = "NOTICE", .sqlstate = "00000", .message = "hear"});
  messages.row(std::string(size, 'x')).row("b");
  pgwire::append_command_complete(messages.all, "SELECT 4");
  pgwire::append_ready_for_query(messages.all, 'I');
  rows = messages.rows;
  return messages.all;
}

TEST(StatementAnswer, IsTheSameHoweverItComes) {
  for (const std::size_t size : {10uz, 100'000uz}) {
    std::string rows;
    const std::string bytes = answer_of_a_select(size, rows);
    for (const std::size_t part : {1uz, 2uz, 3uz, 7uz, 1000uz, 65'536uz, bytes.size()}) {
      HeldBytes held{.now = 0, .most = 1 << 30};
      StatementAnswer answer(held);
      std::string taken;
      for (std::size_t at = 0; at < bytes.size(); at += part) {
        ASSERT_TRUE(answer.read(pgwire::as_bytes(std::string_view(bytes).substr(at, part))));
        taken += answer.take_rows();
      }
      EXPECT_EQ(taken, rows);
      EXPECT_TRUE(answer.columns.has_value());
      EXPECT_EQ(answer.tag, "SELECT 4");
      EXPECT_EQ(answer.rows, 4u);
      EXPECT_FALSE(answer.lacks_rows());
      EXPECT_EQ(held.now, 0u);
    }
  }
}

TEST(StatementAnswer, DropsRowsFromAnyByteOn) {
  std::string rows;
  const std::string bytes = answer_of_a_select(100'000, rows);
  for (std::size_t at = 0; at < bytes.size(); at += at < 300 || at > 99'000 ? 1 : 997) {
    HeldBytes held{.now = 0, .most = 1 << 30};
    StatementAnswer answer(held);
    ASSERT_TRUE(answer.read(pgwire::as_bytes(std::string_view(bytes).substr(0, at))));
    answer.drop_rows();
    EXPECT_EQ(held.now, 0u);
    ASSERT_TRUE(answer.read(pgwire::as_bytes(std::string_view(bytes).substr(at))));
    EXPECT_FALSE(answer.has_rows());
    EXPECT_TRUE(answer.lacks_rows());
    EXPECT_EQ(answer.tag, "SELECT 4");
  }
}

TEST(StatementAnswer, HoldsNoMoreThanAllMay) {
  std::string rows;
  const std::string bytes = answer_of_a_select(100'000, rows);
  HeldBytes held{.now = 50'000, .most = 120'000};  // others have some
  StatementAnswer answer(held);
  const auto begin = std::string_view(bytes).substr(0, 1000);
  EXPECT_FALSE(answer.read(pgwire::as_bytes(begin)));
  EXPECT_TRUE(answer.read(pgwire::as_bytes(std::string_view(bytes).substr(1000))));
  EXPECT_TRUE(answer.lacks_rows());
  EXPECT_EQ(answer.tag, "SELECT 4");
  EXPECT_EQ(held.now, 50'000u);
}

TEST(StatementAnswer, KeepsTheFirstError) {
  HeldBytes held;
  StatementAnswer answer(held);
  std::string bytes;
  const pgwire::ErrorFields first{
      .severity = "ERROR", .sqlstate = "22012", .message = "division by zero", .detail = "d", .hint = "h"};
  pgwire::append_error_response(bytes, first);
  pgwire::append_error_response(bytes, {.severity = "FATAL", .sqlstate = "57P01", .message = "terminating"});
  ASSERT_TRUE(answer.read(pgwire::as_bytes(bytes)));
  ASSERT_TRUE(answer.error.has_value());
  EXPECT_EQ(answer.error->sqlstate, "22012");
  EXPECT_EQ(answer.error->message, "division by zero");
  EXPECT_EQ(answer.error->detail, "d");
  EXPECT_EQ(answer.error->hint, "h");
}

}  // namespace
}  // namespace millrace::gateway
