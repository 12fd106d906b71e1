#include "cache/key_pattern.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>

namespace millrace::cache {
namespace {

using namespace std::string_literals;

bool matches(std::string_view pattern, std::string_view key) { return KeyPattern(pattern).matches(key); }

/// What a pattern means, slowly.
bool means(std::string_view pattern, std::string_view key) {
  if (pattern.empty()) return key.empty();
  if (pattern.front() == '*') {
    return means(pattern.substr(1), key) || (!key.empty() && means(pattern, key.substr(1)));
  }
  return !key.empty() && (pattern.front() == '?' || pattern.front() == key.front()) &&
         means(pattern.substr(1), key.substr(1));
}

TEST(KeyPattern, StarsAndQuestionMarks) {
  EXPECT_TRUE(matches("user:123:*", "user:123:profile"));
  EXPECT_TRUE(matches("user:123:*", "user:123:"));
  EXPECT_FALSE(matches("user:123:*", "user:1234:profile"));
  EXPECT_FALSE(matches("user:123:*", "a user:123:profile"));
  EXPECT_TRUE(matches("*:profile", "user:123:profile"));
  EXPECT_FALSE(matches("*:profile", "user:123:profiles"));
  EXPECT_TRUE(matches("user:?:*:x", "user:1::x"));
  EXPECT_FALSE(matches("user:?:x", "user:12:x"));
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("***", "anything"));
  EXPECT_FALSE(matches("?", ""));
  EXPECT_TRUE(matches("plain", "plain"));
  EXPECT_FALSE(matches("plain", "plain."));
  EXPECT_FALSE(matches("", "x"));
  // Nothing else is special.
  EXPECT_FALSE(matches("[ab]", "a"));
  EXPECT_TRUE(matches("a.c\\*", "a.c\\d"));
  EXPECT_FALSE(matches("a.c*", "abc"));
}

TEST(KeyPattern, AQuestionMarkIsACharacterNotAByte) {
  EXPECT_TRUE(matches("caf?", "caf\u00e9"));
  EXPECT_TRUE(matches("caf?:1", "caf\U0001F600:1"));
  EXPECT_FALSE(matches("caf??", "caf\u00e9"));
  EXPECT_TRUE(matches("??", "\u00e9\u00e8"));
  EXPECT_TRUE(matches("*?x", "\u00e9x"));
}

TEST(KeyPattern, MeansWhatItMeansForAnyTexts) {
  std::mt19937_64 random(7);
  int matched = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string pattern, key;
    for (auto size = random() % 8; size > 0; --size) pattern += "ab*?"[random() % 4];
    for (auto size = random() % 10; size > 0; --size) key += "ab"[random() % 2];
    const bool right = means(pattern, key);
    matched += right ? 1 : 0;
    ASSERT_EQ(matches(pattern, key), right) << pattern << " " << key;
  }
  EXPECT_GT(matched, 1000);
  EXPECT_LT(matched, 19'000);
}

TEST(KeyPattern, PlacesAtTheEdgesOfWords) {
  for (const std::size_t size : {62, 63, 64, 65, 127, 128, 129, 200}) {
    const std::string key(size, 'a');
    EXPECT_TRUE(matches("?" + std::string(size - 1, 'a'), key)) << size;
    EXPECT_TRUE(matches("*" + key, "b" + key)) << size;
    EXPECT_FALSE(matches("*" + key, "b" + key + "b")) << size;
    EXPECT_TRUE(matches("*" + key + "*", "b" + key + "b")) << size;
    EXPECT_FALSE(matches(std::string(size + 1, '?'), key)) << size;
    EXPECT_TRUE(matches(std::string(size, '?'), key)) << size;
  }
}

TEST(KeyPattern, HostileOnesTakeNoLonger) {
  const auto started = std::chrono::steady_clock::now();
  constexpr std::size_t size = 100'000;
  const std::string key(size, 'a');
  std::string stars;
  for (std::size_t i = 0; i < 1000; ++i) stars += "*a";
  EXPECT_FALSE(matches(stars + "b", key));  // backtracking: for ever
  EXPECT_TRUE(matches(stars, key));
  EXPECT_FALSE(matches("*" + std::string(1000, 'a') + "b", key));  // with one star only: a thousand times as long
  EXPECT_FALSE(matches(std::string(size, '*') + "b", key));
  EXPECT_TRUE(matches("*" + std::string(size / 10, '?'), key));
  EXPECT_FALSE(matches(std::string(size + 1, '?') + "*", key));
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(30));
}

}  // namespace
}  // namespace millrace::cache
