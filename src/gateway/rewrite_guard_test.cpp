#include "gateway/rewrite_guard.hpp"

#include <gtest/gtest.h>

#include <regex>

namespace millrace::gateway {
namespace {

/// They are asked as any client's user under its search path, where what has no schema may be somebody else's.
TEST(RewriteGuard, EachNameAndOperatorHasItsSchema) {
  for (const auto sql : {guard_sql, column_privileges_sql}) {
    const auto rest = std::regex_replace(std::string(sql), std::regex(R"(OPERATOR\(pg_catalog\.[<>=]+\)|'[^']*')"), "");
    EXPECT_EQ(rest.find_first_of("<>=|~+"), std::string::npos) << rest.substr(rest.find_first_of("<>=|~+"));
    const std::regex call(R"((^|[^.\w])(\w+)\()");
    for (std::sregex_iterator at(rest.begin(), rest.end(), call), end; at != end; ++at) {
      const std::string word = (*at)[2];
      EXPECT_TRUE(word == "FROM" || word == "ANY" || word == "n") << word;
    }
  }
}

TEST(RewriteGuard, TablesAreLockedAsTheyAreWritten) {
  sql::References one, other;
  one.reads = {{.schema = "", .name = "a\"b"}, {.schema = "s", .name = "t"}, {.schema = "", .name = "w"}};
  one.with = {"w"};
  other.reads = {{.schema = "s", .name = "t"}};
  EXPECT_EQ(lock_sql(one, other), R"(LOCK TABLE ONLY "a""b", ONLY "s"."t" IN ACCESS SHARE MODE)");
  EXPECT_EQ(guard_parameters(one, other)[0], R"({"\"a\"\"b\"","\"s\".\"t\""})");
}

}  // namespace
}  // namespace millrace::gateway
