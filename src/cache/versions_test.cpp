#include "cache/versions.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace millrace::cache {
namespace {

TEST(Versions, AChangeMakesWhatWasSeenBeforeStale) {
  const auto versions = std::make_unique<Versions>();
  const auto users = Versions::of("table:app:16384");
  const auto pages = Versions::of("table:app:16385");
  ASSERT_NE(users, pages);
  const Seen seen_users = versions->see(users), seen_pages = versions->see(pages);
  EXPECT_TRUE(versions->is_current(seen_users));
  versions->changed(users);
  EXPECT_FALSE(versions->is_current(seen_users));
  EXPECT_TRUE(versions->is_current(seen_pages));
  EXPECT_TRUE(versions->is_current(versions->see(users)));
}

TEST(Versions, NamesHashIntoTheArray) {
  for (const auto* name : {"", "table:a:1", "tag:reports"}) {
    EXPECT_LT(Versions::of(name), Versions::count);
    EXPECT_EQ(Versions::of(name), Versions::of(std::string(name)));
  }
}

}  // namespace
}  // namespace millrace::cache
