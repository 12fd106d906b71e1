#include "base/published.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace millrace {
namespace {

TEST(Published, IsNothingAtFirst) {
  Published<int> number;
  EXPECT_EQ(number.load(), nullptr);
  EXPECT_EQ(number.exchange(std::make_shared<const int>(1)), nullptr);
  EXPECT_EQ(*number.load(), 1);
  EXPECT_EQ(*number.exchange(nullptr), 1);
  EXPECT_EQ(number.load(), nullptr);
}

TEST(Published, LivesAsLongAsSomebodyLooksAtIt) {
  Published<int> number(std::make_shared<const int>(1));
  const std::weak_ptr<const int> first = number.load();
  auto seen = first.lock();
  number.store(std::make_shared<const int>(2));
  EXPECT_EQ(*seen, 1);
  seen = nullptr;
  EXPECT_TRUE(first.expired());
}

TEST(Published, EveryThreadSeesWholeOnesInTheirOrder) {
  struct Pair {
    int one, other;
  };
  constexpr int rounds = 3'000;
  Published<Pair> pair(std::make_shared<const Pair>(0, 0));
  std::vector<std::jthread> readers;
  std::atomic<bool> torn = false, backwards = false;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      for (int last = 0; last < rounds;) {
        const auto seen = pair.load();
        if (seen->one != seen->other) torn = true;
        if (seen->one < last) backwards = true;
        last = seen->one;
      }
    });
  }
  for (int i = 1; i <= rounds; ++i) pair.store(std::make_shared<const Pair>(i, i));
  readers.clear();
  EXPECT_FALSE(torn);
  EXPECT_FALSE(backwards);
}

}  // namespace
}  // namespace millrace
