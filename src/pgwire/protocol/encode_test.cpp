#include "pgwire/protocol/encode.hpp"

#include <gtest/gtest.h>

#include "pgwire/protocol/decode.hpp"

namespace millrace::pgwire {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

TEST(Encode, WritesTheBytesOfTheManual) {
  std::string out;
  append_ready_for_query(out, 'I');
  append_parse(out, "s", "SELECT $1", std::array{23U});
  append_execute(out, "", 1);
  append_sync(out);
  EXPECT_EQ(out,
            "Z\0\0\0\5I"
            "P\0\0\0\x16s\0SELECT $1\0\0\1\0\0\0\x17"
            "E\0\0\0\x09\0\0\0\0\1"
            "S\0\0\0\4"s);
}

TEST(Encode, StartupHasNoTypeByte) {
  std::string out;
  append_startup(out, std::array{std::pair("user"s, "a"s)});
  EXPECT_EQ(out, "\0\0\0\x10\0\3\0\0user\0a\0\0"s);
}

TEST(Encode, ATextEndsAtItsFirstNul) {
  std::string out;
  append_query(out, "SELECT 1\0X\0\0\0\4"s);
  EXPECT_EQ(out, "Q\0\0\0\x0dSELECT 1\0"s);
}

TEST(Encode, ValuesMayHoldAnyByte) {
  std::string out;
  append_data_row(out, std::array<Value, 2>{Value("\0\xff"sv), std::nullopt});
  EXPECT_EQ(out, "D\0\0\0\x10\0\2\0\0\0\2\0\xff\xff\xff\xff\xff"s);
}

TEST(Encode, ErrorsLeaveOutEmptyFieldsAndHaveASqlstate) {
  std::string out;
  append_error_response(out, "FATAL", Error{.message = "no", .sqlstate = "", .hint = "try", .detail = ""});
  EXPECT_EQ(out.substr(header_size), "SFATAL\0VFATAL\0CXX000\0Mno\0Htry\0\0"s);
  const auto view = decode_notice(as_bytes(out).subspan(header_size)).value();
  EXPECT_EQ(view.find('H'), "try");
}

}  // namespace
}  // namespace millrace::pgwire
