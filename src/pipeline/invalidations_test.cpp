#include "pipeline/invalidations.hpp"

#include <gtest/gtest.h>

namespace millrace::pipeline {
namespace {

using Reason = InvalidationReason;

std::uint64_t of(const Invalidations& all, Reason reason) {
  for (const auto& [known, count] : all.by_reason()) {
    if (known == reason) return count;
  }
  return 0;
}

TEST(Invalidations, AreCountedByTableAndReason) {
  Invalidations all;
  EXPECT_TRUE(all.counts(10).empty());
  for (int i = 0; i < 3; ++i) all.add("shop", 7, Reason::change_stream);
  for (int i = 0; i < 2; ++i) all.add("shop", 7, Reason::write);
  all.add("other", 7, Reason::change_stream);
  all.add("shop", 0, Reason::gap);
  const auto counts = all.counts(10);
  ASSERT_EQ(counts.size(), 4u);
  EXPECT_EQ(counts[0].database, "shop");
  EXPECT_EQ(counts[0].table, 7u);
  EXPECT_EQ(counts[0].reason, Reason::change_stream);
  EXPECT_EQ(counts[0].count, 3u);
  EXPECT_EQ(counts[1].reason, Reason::write);
  EXPECT_EQ(all.counts(1).size(), 1u);
  EXPECT_EQ(of(all, Reason::change_stream), 4u);
  EXPECT_EQ(of(all, Reason::by_hand), 0u);
}

TEST(Invalidations, AreBoundedAndLoseNone) {
  Invalidations all;
  constexpr std::uint64_t many = 20'000;
  for (std::uint32_t table = 1; table <= many; ++table) all.add("shop", table, Reason::write);
  for (std::uint32_t table = 1; table <= many; ++table) all.add("later", table, Reason::write);
  EXPECT_LE(all.counts(100'000).size(), 10'002u);
  EXPECT_EQ(of(all, Reason::write), 2 * many);
}

}  // namespace
}  // namespace millrace::pipeline
