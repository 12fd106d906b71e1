#include "sql/normalized_text.hpp"

#include <gtest/gtest.h>

#include <random>

namespace millrace::sql {
namespace {

TEST(NormalizedText, HasNoConstants) {
  EXPECT_EQ(normalized("SELECT * FROM t1 WHERE a = 1 AND b = 'it''s' AND c > 1.5e-3 AND d = .5"),
            "SELECT * FROM t1 WHERE a = ? AND b = ? AND c > ? AND d = ?");
  EXPECT_EQ(normalized(R"(SELECT E'a\'b', B'01', x'ff', $$q$$, $t$ $$ $t$ || "na""me")"),
            R"(SELECT ?, ?, ?, ?, ? || "na""me")");
  EXPECT_EQ(normalized("SELECT date '2020-01-01', x.a1, -1, a-1, 3::int"), "SELECT date ?, x.a1, ?, a-?, ?::int");
}

TEST(NormalizedText, KeepsParametersAndCollapsesLists) {
  EXPECT_EQ(normalized("SELECT $1::int WHERE a IN ($2, $3,$4) AND b = $5"),
            "SELECT $1::int WHERE a IN ($2, ...) AND b = $5");
  EXPECT_EQ(normalized("SELECT 1 WHERE a IN (1,2 , -3)"), normalized("SELECT 7 WHERE a IN (9,8)"));
  EXPECT_EQ(normalized("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c') RETURNING id"),
            "INSERT INTO t VALUES (?, ...), ... RETURNING id");
  EXPECT_EQ(normalized("INSERT INTO t VALUES (1), (2)"), "INSERT INTO t VALUES (?), ...");
  EXPECT_EQ(normalized("SELECT f(1, 2), ARRAY[1, 2, 3], (1, 2)"), "SELECT f(?, ?), ARRAY[?, ...], (?, ?)");
}

TEST(NormalizedText, SpacesAndCommentsAreOneSpace) {
  EXPECT_EQ(normalized("  SELECT\n\t1 -- one\n  /* two /* nested */ */ FROM t  "), "SELECT ? FROM t");
}

TEST(NormalizedText, WhatIsUncertainEndsIt) {
  EXPECT_EQ(normalized("SELECT 1, 'secr"), "SELECT ?, ...");
  EXPECT_EQ(normalized(R"(SELECT 'a\' || secret || ')"), "SELECT ...");
  EXPECT_EQ(normalized(R"(SELECT b WHERE a = 'x\'' AND b = 'secret')"), "SELECT b WHERE a = ...");
  EXPECT_EQ(normalized(R"(SELECT b WHERE a = 'x\\'' AND b = 'secret')"), "SELECT b WHERE a = ...");
  EXPECT_EQ(normalized(R"(SELECT b WHERE a = 'x\\y' AND b = 'secret')"), "SELECT b WHERE a = ? AND b = ?");
  EXPECT_EQ(normalized("SELECT $x$secret"), "SELECT ...");
  EXPECT_EQ(normalized("SELECT a /* secret"), "SELECT a ...");
  EXPECT_EQ(normalized(""), "");
}

/// The letter z and the digit 9 stand in constants and comments only, wherever the text is cut off: also where
/// backslashes escape in all strings, and one with an escaped quote stands before another.
TEST(NormalizedText, NoConstantGetsThrough) {
  std::mt19937 random(5);
  const std::vector<std::string> parts = {"'z'",    "'z''z'",  "E'z\\'z'", "$$z'z$$",  "$a$z$$z$a$", "9",
                                          "9.9e+9", "/* z */", "-- z\n",   "x'9'",     "'z\\'",      "N'z'",
                                          ".9",     "(9, -9)", "'9\\''",   "'9\\\\''", "'\\'z'",     "N'9\\''"};
  for (int round = 0; round < 5'000; ++round) {
    std::string text;
    for (int i = 0; i < 6; ++i) text += parts[random() % parts.size()] + " , ";
    text.resize(random() % text.size());
    const std::string shown = normalized(text);
    ASSERT_EQ(shown.find_first_of("z9"), std::string::npos) << text << " -> " << shown;
  }
}

}  // namespace
}  // namespace millrace::sql
