#include "backend/server_state.hpp"

#include <gtest/gtest.h>

namespace millrace::backend {
namespace {

TEST(WithParameter, AddsAndChanges) {
  const auto one = with_parameter(nullptr, "a", "1");
  EXPECT_EQ(*one, (ParameterList{{"a", "1"}}));
  const auto two = with_parameter(one, "b", "2");
  EXPECT_EQ(*two, (ParameterList{{"a", "1"}, {"b", "2"}}));
  EXPECT_EQ(*with_parameter(two, "a", "3"), (ParameterList{{"a", "3"}, {"b", "2"}}));
}

TEST(WithParameter, LeavesTheListAloneForOthers) {
  const auto one = with_parameter(nullptr, "a", "1");
  const auto two = with_parameter(one, "a", "2");
  EXPECT_NE(one, two);
  EXPECT_EQ(one->front().second, "1");
}

TEST(WithParameter, WithoutAChangeItIsTheSameList) {
  const auto one = with_parameter(nullptr, "a", "1");
  EXPECT_EQ(with_parameter(one, "a", "1"), one);
}

}  // namespace
}  // namespace millrace::backend
