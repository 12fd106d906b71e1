#include "gateway/prepared_texts.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace millrace::gateway {
namespace {

TEST(PreparedTexts, EqualTextsAreOne) {
  PreparedTexts texts{"mr_"};
  const auto one = texts.intern("SELECT 1", {}, nullptr);
  EXPECT_EQ(texts.intern("SELECT 1", {}, nullptr), one);
  const auto two = texts.intern("SELECT 2", {}, nullptr);
  EXPECT_NE(one->number, two->number);
  EXPECT_EQ(one->server_name, "mr_1");
  EXPECT_EQ(two->server_name, "mr_2");
}

TEST(PreparedTexts, ANumberIsNeverUsedAgain) {
  PreparedTexts texts{"mr_"};
  const auto first = texts.intern("SELECT 1", {}, nullptr)->number;
  EXPECT_NE(texts.intern("SELECT 1", {}, nullptr)->number, first);
}

TEST(PreparedTexts, WhatItMeansBelongsToAText) {
  PreparedTexts texts{"mr_"};
  const auto one = texts.intern("SELECT '1'", TextMeaning{"a", "b"}, nullptr);
  EXPECT_EQ(texts.intern("SELECT '1'", TextMeaning{"a", "b"}, nullptr), one);
  EXPECT_NE(texts.intern("SELECT '1'", TextMeaning{"ab", ""}, nullptr), one);
  EXPECT_NE(texts.intern("SELECT '1'", TextMeaning{"a", ""}, nullptr), one);
  const auto without_constants = texts.intern("SELECT 1", TextMeaning{"a", ""}, nullptr);
  EXPECT_EQ(texts.intern("SELECT 1", TextMeaning{"b", ""}, nullptr), without_constants);
}

TEST(PreparedTexts, ANewOneMayTakeTheOldOnesPlace) {
  PreparedTexts texts{"mr_"};
  auto old = texts.intern("SELECT 1", {}, nullptr);
  const auto made = texts.make("SELECT 1", {}, nullptr, true);
  EXPECT_NE(made, old);
  EXPECT_EQ(texts.intern("SELECT 1", {}, nullptr), old);
  texts.prefer(made);
  EXPECT_EQ(texts.intern("SELECT 1", {}, nullptr), made);
  old.reset();
  EXPECT_EQ(texts.intern("SELECT 1", {}, nullptr), made);
}

TEST(PreparedTexts, ThreadsMayLetGoWhileOthersAsk) {
  PreparedTexts texts{"mr_"};
  const auto work = [&texts] {
    for (int i = 0; i < 5000; ++i) {
      const std::string text = fmt::format("SELECT {}", i % 3);
      const auto mine = texts.intern(text, {}, nullptr);
      ASSERT_EQ(mine->query_and_types, text);
    }
  };
  std::vector<std::jthread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
}

}  // namespace
}  // namespace millrace::gateway
