#include "integration/publications.hpp"

#include <gtest/gtest.h>

namespace millrace::integration {
namespace {

TEST(Publications, AnAddedTableIsForgottenByServersThatWereNotMended) {
  for (const auto version : {140000, 140017, 150012, 160008, 170000, 170004}) {
    EXPECT_TRUE(forgets_added_tables(static_cast<std::uint64_t>(version))) << version;
  }
  for (const auto version : {140018, 150013, 150020, 160009, 170005, 180000, 190001}) {
    EXPECT_FALSE(forgets_added_tables(static_cast<std::uint64_t>(version))) << version;
  }
}

}  // namespace
}  // namespace millrace::integration
