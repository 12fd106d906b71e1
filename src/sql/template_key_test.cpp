#include "sql/template_key.hpp"

#include <gtest/gtest.h>

#include <string>

namespace millrace::sql {
namespace {

/// The key with placeholders one can read; "" if there is none.
std::string key_of(std::string_view text) {
  std::string buffer(text.size(), ' ');
  std::string out;
  for (const char c : template_key(text, buffer)) {
    if (c == '\x01') {
      out += "<int>";
    } else if (c == '\x02') {
      out += "<number>";
    } else if (c == '\x03') {
      out += "<string>";
    } else {
      out += c;
    }
  }
  return out;
}

TEST(TemplateKey, TakesConstantsOut) {
  EXPECT_EQ(key_of("SELECT abalance FROM pgbench_accounts WHERE aid = 4711;"),
            "SELECT abalance FROM pgbench_accounts WHERE aid = <int>;");
  EXPECT_EQ(key_of("1"), "<int>");
  EXPECT_EQ(key_of("f(1,'a''b',2.5,3.)"), "f(<int>,<string>,<number>,<number>)");
  EXPECT_EQ(key_of("a-1/-2&3"), "a-<int>/-<int>&<int>");
  EXPECT_EQ(key_of("'\xc3\xa4' = \"\xc3\xa4 1 'x'\""), "<string> = \"\xc3\xa4 1 'x'\"");
  EXPECT_EQ(key_of("\"a\"\"b\" = 'c' 'd'"), "\"a\"\"b\" = <string> <string>");
  EXPECT_EQ(key_of("t1.c2 = $12 AND x::int4 = 5"), "t1.c2 = $12 AND x::int4 = <int>");
}

TEST(TemplateKey, KeepsTheTokenApart) {
  EXPECT_EQ(key_of("2147483647"), "<int>");
  EXPECT_EQ(key_of("2147483648"), "<number>");
  EXPECT_EQ(key_of("99999999999999999999"), "<number>");
  EXPECT_EQ(key_of("000000001"), "<int>");
}

TEST(TemplateKey, LeavesNumbersOfTypes) {
  EXPECT_EQ(key_of("'1'::FLOAT (24)"), "<string>::FLOAT (24)");
  EXPECT_EQ(key_of("'{1}'::int[ 3]"), "<string>::int[ 3]");
  EXPECT_EQ(key_of("a[1] + 2"), "a[1] + <int>");
}

class NoTemplateKey : public testing::TestWithParam<std::string_view> {};

TEST_P(NoTemplateKey, ForWhatTakesMoreThanAGlance) { EXPECT_EQ(key_of(GetParam()), ""); }

INSTANTIATE_TEST_SUITE_P(TemplateKey, NoTemplateKey,
                         testing::Values("", "SELECT a", "SELECT $1", "1 -- c", "1 /* c */", "1 + $$a$$", "1 + $a$b$a$",
                                         "'a\\b'", "E'a'", "e'a'", "n'a' = 1", "U&'a'", "u&\"a\" = 1", "x'1f'", "b'01'",
                                         "1e5", "1.5e5", ".5 + 1", "1..2", "1.2.3", "1a", "1_000", "1$", "$1a = 1",
                                         "0000000001", "'a", "1 + \"a", "1 \x01", "1 \x7f", "1'a'", "1\xc3\xa4"));

}  // namespace
}  // namespace millrace::sql
