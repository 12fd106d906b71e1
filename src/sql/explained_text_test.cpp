#include "sql/explained_text.hpp"

#include <gtest/gtest.h>

namespace millrace::sql {
namespace {

TEST(ExplainedText, IsTheStatementAsItStands) {
  EXPECT_EQ(explained_text("EXPLAIN (MILLRACE) SELECT 1"), "SELECT 1");
  EXPECT_EQ(explained_text("explain(millrace)select 1 ; "), "select 1 ; ");
  EXPECT_EQ(explained_text("\n/* a /* ) */ b */EXPLAIN--(\n( -- )\n MillRace /*)*/ )\n /* c */ SELECT 1 -- d"),
            "/* c */ SELECT 1 -- d");
  EXPECT_EQ(explained_text("EXPLAIN (\"millrace\") SELECT 1"), "SELECT 1");
}

TEST(ExplainedText, IsNoneOfAnythingElse) {
  for (const char* text :
       {"", "EXPLAIN", "EXPLAIN (", "EXPLAIN (MILLRACE", "EXPLAIN (MILLRACE)", "EXPLAIN SELECT 1",
        "EXPLAIN (MILLRACE, ANALYZE) SELECT 1", "EXPLAIN (MILLRACES) SELECT 1", "EXPLAIN (ANALYZE, MILLRACE) SELECT 1",
        "EXPLAIN (\"Millrace\") SELECT 1", "EXPLAIN /* ( MILLRACE) SELECT 1", "SELECT 1"}) {
    EXPECT_EQ(explained_text(text), "") << text;
  }
}

}  // namespace
}  // namespace millrace::sql
