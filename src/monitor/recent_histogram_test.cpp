#include "monitor/recent_histogram.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr std::int64_t second = 1'000'000'000;

std::uint64_t recent(const RecentHistogram& histogram, std::int64_t now) {
  HistogramTotals totals;
  histogram.add_to(totals, now);
  return totals.count();
}

TEST(RecentHistogram, ForgetsAfterAMinute) {
  RecentHistogram histogram;
  histogram.record(5, 1000 * second);
  histogram.record(5, 1015 * second);
  EXPECT_EQ(recent(histogram, 1016 * second), 2);
  EXPECT_EQ(recent(histogram, 1059 * second), 2);
  EXPECT_EQ(recent(histogram, 1061 * second), 1);
  EXPECT_EQ(recent(histogram, 1071 * second), 0);
}

TEST(RecentHistogram, UsesASliceAgain) {
  RecentHistogram histogram;
  for (std::int64_t at = 0; at < 600; ++at) histogram.record(7, at * second);
  EXPECT_EQ(recent(histogram, 600 * second - 1), 60);
  EXPECT_EQ(RecentHistogram::covered_from(600 * second - 1), 540 * second);
}

TEST(RecentHistogram, CountsALateEndAsNow) {
  RecentHistogram histogram;
  histogram.record(7, 1000 * second);
  histogram.record(7, 900 * second);
  EXPECT_EQ(recent(histogram, 1000 * second), 2);
}

}  // namespace
}  // namespace millrace
