#include "pipeline/tracked_columns.hpp"

#include <gtest/gtest.h>

namespace millrace::pipeline {
namespace {

using Names = std::vector<std::string>;

TEST(TrackedColumns, AreOfATableOfADatabase) {
  TrackedColumns columns;
  EXPECT_EQ(columns.of("app", 1), Names{});
  EXPECT_EQ(columns.add("app", 1, "name"), 1);
  EXPECT_EQ(columns.add("app", 1, "id"), 2);
  EXPECT_EQ(columns.add("app", 1, "id"), 2);
  EXPECT_EQ(columns.of("app", 1), (Names{"id", "name"}));
  EXPECT_EQ(columns.of("app", 2), Names{});
  EXPECT_EQ(columns.of("other", 1), Names{});
}

TEST(TrackedColumns, AreBounded) {
  TrackedColumns columns(2);
  EXPECT_TRUE(columns.add("app", 1, "a"));
  EXPECT_TRUE(columns.add("app", 2, "a"));
  EXPECT_FALSE(columns.add("app", 1, "b"));
  EXPECT_TRUE(columns.add("app", 1, "a"));
  EXPECT_EQ(columns.of("app", 1), Names{"a"});
}

}  // namespace
}  // namespace millrace::pipeline
