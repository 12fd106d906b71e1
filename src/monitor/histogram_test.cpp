#include "monitor/histogram.hpp"

#include <gtest/gtest.h>

#include <random>

namespace millrace {
namespace {

TEST(LogLinear, EveryValueLiesInItsBucket) {
  for (std::size_t bucket = 0; bucket + 1 < LogLinear::buckets; ++bucket) {
    const std::uint64_t first = LogLinear::lower(bucket);
    const std::uint64_t last = LogLinear::lower(bucket + 1) - 1;
    ASSERT_LE(first, last);
    ASSERT_EQ(LogLinear::index(first), bucket);
    ASSERT_EQ(LogLinear::index(last), bucket);
  }
  EXPECT_EQ(LogLinear::index(LogLinear::max_value), LogLinear::buckets - 1);
  EXPECT_EQ(LogLinear::index(~std::uint64_t{0}), LogLinear::buckets - 1);
  EXPECT_EQ(LogLinear::lower(LogLinear::buckets), LogLinear::max_value + 1);
}

HistogramTotals totals_of(const Histogram& histogram) {
  HistogramTotals totals;
  histogram.add_to(totals);
  return totals;
}

TEST(Histogram, QuantilesAreWithinOneSixtyFourth) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> latency(std::log(180'000.0), 1.2);
  std::vector<std::uint64_t> values(100'000);
  Histogram histogram;
  for (auto& value : values) {
    value = static_cast<std::uint64_t>(latency(random));
    histogram.record(value);
  }
  std::sort(values.begin(), values.end());
  const HistogramTotals totals = totals_of(histogram);
  ASSERT_EQ(totals.count(), values.size());
  for (const double q : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size()))) - 1;
    const auto exact = static_cast<double>(values[rank]);
    EXPECT_NEAR(static_cast<double>(totals.quantile(q)), exact, exact / 64 + 1) << q;
  }
}

TEST(Histogram, EmptyHasNoQuantile) {
  EXPECT_EQ(HistogramTotals().quantile(0.5), 0);
  EXPECT_EQ(HistogramTotals().count(), 0);
}

TEST(Histogram, CountsUpToALimit) {
  Histogram histogram;
  for (const std::uint64_t value : {1, 10, 63, 1'000, 1'000'000}) histogram.record(value);
  const HistogramTotals totals = totals_of(histogram);
  EXPECT_EQ(totals.count_up_to(0), 0);
  EXPECT_EQ(totals.count_up_to(10), 2);
  EXPECT_EQ(totals.count_up_to(63), 3);
  EXPECT_EQ(totals.count_up_to(2'000), 4);
  EXPECT_EQ(totals.count_up_to(LogLinear::max_value), 5);
  EXPECT_EQ(totals.sum(), 1'001'074);
}

TEST(Histogram, SubtractingAnEarlierStateLeavesWhatCameSince) {
  Histogram histogram;
  histogram.record(100);
  const HistogramTotals before = totals_of(histogram);
  histogram.record(5'000);
  HistogramTotals since = totals_of(histogram);
  since -= before;
  EXPECT_EQ(since.count(), 1);
  EXPECT_EQ(since.sum(), 5'000);
  EXPECT_NEAR(static_cast<double>(since.quantile(0.5)), 5'000, 5'000.0 / 64);
}

}  // namespace
}  // namespace millrace
