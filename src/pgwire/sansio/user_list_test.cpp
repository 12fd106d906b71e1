#include "pgwire/sansio/user_list.hpp"

#include <gtest/gtest.h>

namespace millrace::pgwire {
namespace {

TEST(UserList, ReadsUsersOfEveryKind) {
  const auto users = parse_user_list(
      "; PgBouncer's comment\n"
      "# another\n"
      "\n"
      "\"alice\" \"secret\"\n"
      "  \"bo\"\"b\"\t\"say \"\"hi\"\" ; # not a comment\"  ; a comment\r\n"
      "\"carol\" \"md50123456789abcdef0123456789abcdef\"\n"
      "\"dave\" \"\"");
  ASSERT_TRUE(users.has_value()) << users.error().message;
  ASSERT_EQ(users->size(), 4U);
  EXPECT_EQ(std::get<PlainPassword>(users->at("alice")).text, "secret");
  EXPECT_EQ(std::get<PlainPassword>(users->at("bo\"b")).text, "say \"hi\" ; # not a comment");
  EXPECT_TRUE(std::holds_alternative<Md5Password>(users->at("carol")));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(users->at("dave")));
}

TEST(UserList, AnErrorNamesTheLineAndShowsNoSecret) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"\n\nalice secret", "line 3: a user's name in double quotes is expected"},
      {"\"alice\" \"a\"\n\"bob", "line 2: a user's name in double quotes is expected"},
      {"\"alice\"", "line 1: the user's secret in double quotes is expected after the name"},
      {"\"alice\" \"secret\n\"", "line 1: the user's secret in double quotes is expected after the name"},
      {"\"alice\" \"secret\" more", "line 1: nothing is expected after the secret"},
      {"\"\" \"secret\"", "line 1: the user's name is empty"},
      {"\"alice\" \"a\"\n\"alice\" \"b\"", "line 2: the user is listed a second time"}};
  for (const auto& [text, message] : cases) {
    const auto users = parse_user_list(text);
    ASSERT_FALSE(users.has_value()) << text;
    EXPECT_EQ(users.error().message, message);
  }
  EXPECT_FALSE(parse_user_list("\"" + std::string(64, 'u') + "\" \"x\""));
  EXPECT_TRUE(parse_user_list("\"" + std::string(63, 'u') + "\" \"x\""));
  EXPECT_TRUE(parse_user_list("").value().empty());
}

}  // namespace
}  // namespace millrace::pgwire
