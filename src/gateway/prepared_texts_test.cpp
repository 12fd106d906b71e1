#include "gateway/prepared_texts.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace millrace::gateway {
namespace {

TEST(PreparedTexts, EqualTextsAreOne) {
  PreparedTexts texts{"mr_"};
  const auto one = texts.intern("SELECT 1", nullptr);
  EXPECT_EQ(texts.intern("SELECT 1", nullptr), one);
  const auto two = texts.intern("SELECT 2", nullptr);
  EXPECT_NE(one->number, two->number);
  EXPECT_EQ(one->server_name, "mr_1");
  EXPECT_EQ(two->server_name, "mr_2");
}

TEST(PreparedTexts, ANumberIsNeverUsedAgain) {
  PreparedTexts texts{"mr_"};
  const auto first = texts.intern("SELECT 1", nullptr)->number;
  EXPECT_NE(texts.intern("SELECT 1", nullptr)->number, first);
}

TEST(PreparedTexts, ThreadsMayLetGoWhileOthersAsk) {
  PreparedTexts texts{"mr_"};
  const auto work = [&texts] {
    for (int i = 0; i < 5000; ++i) {
      const std::string text = fmt::format("SELECT {}", i % 3);
      const auto mine = texts.intern(text, nullptr);
      ASSERT_EQ(mine->query_and_types, text);
    }
  };
  std::vector<std::jthread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
}

}  // namespace
}  // namespace millrace::gateway
