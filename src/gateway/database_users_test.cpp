#include "gateway/database_users.hpp"

#include <gtest/gtest.h>

namespace millrace::gateway {
namespace {

TEST(DatabaseUsers, AreThoseThatHaveNotGone) {
  DatabaseUsers users;
  EXPECT_EQ(users.of("a").users, 0U);
  auto first = users.add("a");
  const auto second = users.add("a");
  const auto other = users.add("b");
  EXPECT_EQ(users.of("a").users, 2U);
  first.reset();
  EXPECT_EQ(users.of("a").users, 1U);
  EXPECT_EQ(users.of("b").users, 1U);
}

TEST(DatabaseUsers, TheLastOneIsKnownByItsEnd) {
  DatabaseUsers users;
  auto one = users.add("a");
  const auto before = Clock::now();
  one.reset();
  EXPECT_EQ(users.of("a").users, 0U);
  EXPECT_GE(users.of("a").last, before);
}

}  // namespace
}  // namespace millrace::gateway
