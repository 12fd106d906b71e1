#include "optimizer/identifier.hpp"

#include <gtest/gtest.h>

namespace millrace::optimizer {
namespace {

TEST(Identifier, IsQuotedWhereItMust) {
  EXPECT_EQ(quoted_identifier("pages_v2"), "pages_v2");
  EXPECT_EQ(quoted_identifier("name"), "name");  // a word that may be a column
  EXPECT_EQ(quoted_identifier("order"), "\"order\"");
  EXPECT_EQ(quoted_identifier("select"), "\"select\"");
  EXPECT_EQ(quoted_identifier("Pages"), "\"Pages\"");
  EXPECT_EQ(quoted_identifier("2nd"), "\"2nd\"");
  EXPECT_EQ(quoted_identifier(R"(a"b)"), R"("a""b")");
  EXPECT_EQ(quoted_identifier(""), "\"\"");
  EXPECT_EQ(quoted_identifier("a; DROP TABLE t"), "\"a; DROP TABLE t\"");
}

TEST(Identifier, IsShortenedBetweenCharacters) {
  EXPECT_EQ(shortened("idx"), "idx");
  EXPECT_EQ(shortened(std::string(70, 'a')), std::string(63, 'a'));
  EXPECT_EQ(shortened(std::string(62, 'a') + "\u00e9"), std::string(62, 'a'));
  EXPECT_EQ(plain_name("\"Order\" DESC"), "Order");
}

}  // namespace
}  // namespace millrace::optimizer
