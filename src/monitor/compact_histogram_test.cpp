#include "monitor/compact_histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

namespace millrace {
namespace {

CompactHistogram of(const std::vector<std::uint64_t>& values) {
  std::map<std::uint16_t, std::uint64_t> counts;
  for (const auto value : values) ++counts[static_cast<std::uint16_t>(LogLinear::index(value))];
  std::vector<BucketCount> list;
  for (const auto& [bucket, count] : counts) list.push_back({.bucket = bucket, .count = count});
  return CompactHistogram(list);
}

TEST(CompactHistogram, EmptyHasNothing) {
  EXPECT_TRUE(CompactHistogram().empty());
  EXPECT_EQ(CompactHistogram().count(), 0);
  EXPECT_EQ(CompactHistogram().quantile(0.5), 0);
  EXPECT_EQ(CompactHistogram().heap_bytes(), 0);
}

TEST(CompactHistogram, SaysWhatADenseOneSays) {
  std::mt19937_64 random(11);
  std::lognormal_distribution<double> latency(std::log(180'000.0), 2);
  std::vector<std::uint64_t> values(20'000);
  Histogram dense;
  for (auto& value : values) dense.record(value = static_cast<std::uint64_t>(latency(random)));
  const CompactHistogram compact = of(values);
  HistogramTotals totals, from_compact;
  dense.add_to(totals);
  compact.add_to(from_compact);
  EXPECT_EQ(compact.count(), values.size());
  EXPECT_EQ(from_compact.count(), values.size());
  for (const double q : {0.0, 0.01, 0.5, 0.99, 0.999, 1.0}) {
    EXPECT_EQ(compact.quantile(q), totals.quantile(q)) << q;
    EXPECT_EQ(from_compact.quantile(q), totals.quantile(q)) << q;
  }
}

TEST(CompactHistogram, ScalesAndCountsWhatIsLarger) {
  const CompactHistogram compact = of({1'000, 1'000, 50'000, 3'000'000});
  HistogramTotals totals;
  compact.add_scaled_to(totals, 0.5);
  EXPECT_EQ(totals.count(), 4);
  EXPECT_NEAR(static_cast<double>(totals.quantile(0.5)), 500, 16);
  EXPECT_NEAR(static_cast<double>(totals.quantile(1)), 1.5e6, 5e4);
  compact.add_scaled_to(totals, 1e12);
  EXPECT_GT(totals.quantile(0.51), LogLinear::lower(LogLinear::buckets - 1)) << "what is too large is the largest";
  EXPECT_EQ(compact.count_beyond(0), 4);
  EXPECT_EQ(compact.count_beyond(2'000), 2);
  EXPECT_EQ(compact.count_beyond(4e6), 0);
}

TEST(CompactHistogram, LeavesTheSmallestOut) {
  const CompactHistogram compact = of({0, 0, 0, 3, 50'000, 50'000});
  EXPECT_EQ(compact.without_lowest(0), compact);
  EXPECT_EQ(compact.without_lowest(2), of({0, 3, 50'000, 50'000}));
  EXPECT_EQ(compact.without_lowest(5), of({50'000}));
  EXPECT_TRUE(compact.without_lowest(6).empty());
  EXPECT_TRUE(compact.without_lowest(7).empty());
  CompactHistogram more = compact.without_lowest(4);
  more += of({60'000});
  EXPECT_EQ(more, of({50'000, 50'000, 60'000})) << "it grows as any other";
}

TEST(CompactHistogram, IsOfADenseOne) {
  HistogramTotals totals;
  for (const std::uint64_t value : {0, 3, 3, 700'000}) totals.add(LogLinear::index(value), 1);
  EXPECT_EQ(CompactHistogram(totals), of({0, 3, 3, 700'000}));
  EXPECT_TRUE(CompactHistogram(HistogramTotals()).empty());
}

TEST(CompactHistogram, Merges) {
  std::mt19937_64 random(12);
  std::vector<std::uint64_t> all;
  CompactHistogram sum;
  for (int part = 0; part < 50; ++part) {
    std::vector<std::uint64_t> values(random() % 30);
    for (auto& value : values) value = random() >> (random() % 64);
    all.insert(all.end(), values.begin(), values.end());
    sum += of(values);
    ASSERT_EQ(sum, of(all));
  }
  EXPECT_EQ(sum.count(), all.size());
}

TEST(CompactHistogram, CountsAreAsLargeAsTheyAre) {
  CompactHistogram one(
      std::vector<BucketCount>{{.bucket = 0, .count = std::uint64_t{1} << 40}, {.bucket = 1279, .count = 1}});
  one += one;
  EXPECT_EQ(one.count(), (std::uint64_t{1} << 41) + 2);
  EXPECT_EQ(one.quantile(0.5), 0);
  EXPECT_EQ(one.quantile(1), LogLinear::middle(1279));
}

TEST(CompactHistogram, SumsUpLogarithms) {
  EXPECT_EQ(CompactHistogram().sum_of_logs(), 0);
  const std::vector<BucketCount> counts = {{0, 3}, {1, 5}, {40, 2}, {LogLinear::index(3'000'000), 7}};
  EXPECT_NEAR(CompactHistogram(counts).sum_of_logs(), 2 * std::log(40) + 7 * std::log(3e6), 7 / 64.0);
}

TEST(CompactHistogram, IsMadeOfItsBytesAgainAndOfNoOthers) {
  const std::vector<BucketCount> counts = {{0, 3}, {7, 1}, {200, 1'000'000'007}, {LogLinear::buckets - 1, 2}};
  const CompactHistogram histogram(counts);
  const std::string bytes(histogram.bytes());
  EXPECT_EQ(CompactHistogram::of_bytes(bytes), histogram);
  EXPECT_EQ(CompactHistogram::of_bytes(""), CompactHistogram());
  CompactHistogram sum = *CompactHistogram::of_bytes(bytes);
  sum += histogram;
  EXPECT_EQ(sum.count(), 2 * histogram.count());

  using std::string_literals::operator""s;
  for (const std::string& none : {"\x01"s, "\x80"s, "\x01\x80"s, "\x01\x00"s, bytes + "\x00\x01"s, bytes + "\x01\x01"s,
                                  std::string(20, '\xff'), "\xff\xff\xff\x7f\x01"s}) {
    EXPECT_FALSE(CompactHistogram::of_bytes(none)) << none.size();
  }
}

}  // namespace
}  // namespace millrace
