#include "sql/comment_labels.hpp"

#include <gtest/gtest.h>

#include "sql/comment_pairs.hpp"
#include "sql/statement.hpp"

namespace millrace::sql {
namespace {

TEST(CommentLabels, AreReadFromTheEnd) {
  const auto labels = labels_of(
      "SELECT 1 /*action='index',application='shop',project_id='456',route='%2Fcart%2F%3Aid',"
      "traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/;\n");
  EXPECT_EQ(labels.application, "shop");
  EXPECT_EQ(labels.project, "456");
  EXPECT_EQ(decoded(labels.route), "/cart/:id");
  EXPECT_EQ(labels.traceparent, "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01");
}

TEST(CommentLabels, AreReadFromTheBeginning) {
  EXPECT_EQ(labels_of("  /* application='shop' */ SELECT 1").application, "shop");
  EXPECT_EQ(labels_of("/* application='first' */ SELECT 1 /* application='last' */").application, "last");
}

TEST(CommentLabels, AnythingElseHasNone) {
  for (const std::string_view text :
       {"", ";", "SELECT 1", "*/", "/*/", "/**/", "/*", "/*application='a'", "application='a'*/", "SELECT '/*' || '*/'",
        "SELECT 1 /* application */", "SELECT 1 /*application='a*/"}) {
    const auto labels = labels_of(text);
    EXPECT_EQ(labels.application, "") << text;
    EXPECT_EQ(labels.route, "") << text;
  }
}

TEST(CommentLabels, LongOnesNameNothing) {
  EXPECT_EQ(labels_of("SELECT 1 /*application='" + std::string(1000, 'a') + "',route='r'*/").application, "");
}

TEST(CommentLabels, AreNoPartOfTheFingerprint) {
  EXPECT_EQ(parse("SELECT a FROM t WHERE b = 1 /*application='one',traceparent='00-1-2-01'*/")->fingerprint,
            parse("/*application='other'*/ SELECT a FROM t WHERE b = 2")->fingerprint);
}

}  // namespace
}  // namespace millrace::sql
