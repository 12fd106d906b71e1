#include "sql/comments.hpp"

#include <gtest/gtest.h>

namespace millrace::sql {
namespace {

std::string plain(std::string_view text) {
  std::string buffer;
  return std::string(without_comments(text, buffer));
}

TEST(Comments, AreTakenOutWhereTheScannerFindsThem) {
  EXPECT_EQ(plain("SELECT 1 /* a */"), "SELECT 1  ");
  EXPECT_EQ(plain("/*a*/SELECT/**/1"), " SELECT 1");
  EXPECT_EQ(plain("SELECT 1 -- a\n, 2"), "SELECT 1  \n, 2");
  EXPECT_EQ(plain("SELECT 1 -- a"), "SELECT 1  ");
  EXPECT_EQ(plain("SELECT 1 /* a /* b */ c */ + 1"), "SELECT 1   + 1");
}

TEST(Comments, InWhatIsQuotedThereAreNone) {
  for (const auto* text :
       {"SELECT '/* a */'", "SELECT '--'", "SELECT 'it''s /* a */'", "SELECT \"/* a */\"", "SELECT $$/* a */$$",
        "SELECT $q$ -- $$ $q$", "SELECT 1 - -1", "SELECT a$b$ /**/ FROM t", "SELECT '", "SELECT /* a", "SELECT $1"}) {
    const std::string before = text;
    EXPECT_EQ(plain(before), before == "SELECT a$b$ /**/ FROM t" ? "SELECT a$b$   FROM t" : before);
  }
}

TEST(Comments, ADollarBehindANumberIsNotTakenForGranted) {
  EXPECT_EQ(plain("SELECT $1$$ /* a */ $$"), "SELECT $1$$ /* a */ $$");
  EXPECT_EQ(plain("SELECT 1$$ /* a */ $$"), "SELECT 1$$ /* a */ $$");
  EXPECT_EQ(plain("SELECT 1a$b$ /* a */"), "SELECT 1a$b$ /* a */");
  EXPECT_EQ(plain("SELECT 1e5/* a */"), "SELECT 1e5 ");
}

TEST(Comments, WhereABackslashMayHideAQuoteNothingIsTakenOut) {
  EXPECT_EQ(plain(R"(SELECT E'\' /* ' /* a */)"), R"(SELECT E'\' /* ' /* a */)");
}

TEST(Hints, InTheirOwnForm) {
  const auto hints = hints_of(
      "/* millrace: ttl=3600, tags='reports, analytics,reports', cache=off, consistency=eventual, after=7-f */ SELECT "
      "1");
  EXPECT_EQ(hints.ttl, std::chrono::hours(1));
  EXPECT_EQ(hints.tags, (std::vector<std::string>{"analytics", "reports"}));
  EXPECT_FALSE(hints.cache);
  EXPECT_EQ(hints.consistency, "eventual");
  EXPECT_EQ(hints.after, "7-f");
  EXPECT_FALSE(hints.always);
  EXPECT_TRUE(hints_of("/* millrace: cache=on */ SELECT 1").always);
  EXPECT_TRUE(hints_of("/* millrace: cache=on */ SELECT 1").cache);
}

TEST(Hints, RewriteOff) {
  EXPECT_TRUE(hints_of("SELECT 1 /* millrace: cache=off */").rewrite);
  EXPECT_FALSE(hints_of("SELECT 1 /* millrace: rewrite=off */").rewrite);
  EXPECT_FALSE(hints_of("SELECT 1 /*millrace_rewrite='off'*/").rewrite);
  EXPECT_TRUE(hints_of("SELECT '/* millrace: rewrite=off */'").rewrite);
}

TEST(Hints, InSqlcommentersForm) {
  const auto hints =
      hints_of("SELECT 1 /*action='%2Fa',millrace_tags='a%2Cb',millrace_ttl='60',traceparent='00-5bd6-01'*/");
  EXPECT_EQ(hints.ttl, std::chrono::seconds(60));
  EXPECT_EQ(hints.tags, (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(hints_of("SELECT 1 /*millrace_cache='off'*/").cache);
}

TEST(Hints, WhatIsNotUnderstoodIsLeftOut) {
  for (const auto* text :
       {"SELECT '/* millrace: ttl=1 */'", "SELECT 1 -- millrace: ttl=1", "/* millrace: ttl=0 */",
        "/* millrace: ttl=-1 */", "/* millrace: ttl=1s */", "/* millrace: ttl=99999999999999999999 */",
        "/* millrace: ttl */", "/* millrace: */", "/* millrace: tags=' */", "/* millrace: cache=maybe */",
        "/* ttl=5 millrace */", "/*millrace_ttl='5", "millrace"}) {
    EXPECT_FALSE(hints_of(text).any()) << text;
  }
  EXPECT_TRUE(hints_of("/* millrace: tags='" + std::string(200, 'x') + "' */").tags.empty());
  std::string many = "/* millrace: tags='";
  for (int i = 0; i < 1000; ++i) many += std::to_string(i) + ",";
  EXPECT_EQ(hints_of(many + "' */").tags.size(), 64);
}

}  // namespace
}  // namespace millrace::sql
