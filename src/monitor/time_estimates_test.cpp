#include "monitor/time_estimates.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/clock.hpp"

namespace millrace {
namespace {

CompactHistogram histogram(const std::vector<std::pair<double, std::uint64_t>>& ms_and_counts) {
  std::vector<BucketCount> counts;
  for (const auto& [ms, count] : ms_and_counts) {
    counts.push_back({static_cast<std::uint16_t>(LogLinear::index(static_cast<std::uint64_t>(ms * 1e6))), count});
  }
  return CompactHistogram(counts);
}

TEST(TimeEstimate, IsTheMedianOfCalls) {
  const auto estimate = estimate_of(histogram({{1, 10}, {5, 80}, {100, 10}}), 0);
  ASSERT_TRUE(estimate);
  EXPECT_NEAR(estimate->ms, 5, 5.0 / 64);
  EXPECT_NEAR(estimate->confidence, 0.8, 0.02);
  EXPECT_EQ(estimate->calls, 100U);
}

TEST(TimeEstimate, LeavesOutWhatWasAnsweredFromMemory) {
  const auto estimate = estimate_of(histogram({{0, 900}, {8, 100}}), 900);
  ASSERT_TRUE(estimate);
  EXPECT_NEAR(estimate->ms, 8, 8.0 / 64);
  EXPECT_EQ(estimate->calls, 100U);
  EXPECT_GT(estimate->confidence, 0.95);
  EXPECT_FALSE(estimate_of(histogram({{0, 900}}), 900));
  EXPECT_FALSE(estimate_of(CompactHistogram(), 0));
}

TEST(TimeEstimate, FewCallsAreNotSure) {
  EXPECT_LT(estimate_of(histogram({{5, 1}}), 0)->confidence, 0.7);
  EXPECT_GT(estimate_of(histogram({{5, 1000}}), 0)->confidence, 0.99);
}

TEST(CostCalibration, GoesByThoseWithACostLikeIt) {
  // What is cheap takes a millisecond for ten units, what is expensive one for a thousand; and one lies far off.
  CostCalibration calibration(
      {{10, 1}, {12, 1.2}, {9, 0.9}, {10, 1.1}, {1e6, 1e3}, {1.1e6, 1.1e3}, {9e5, 9e2}, {11, 900}});
  ASSERT_TRUE(calibration.of(11) && calibration.of(1e6));
  EXPECT_NEAR(calibration.of(11)->ms, 1.1, 0.2);
  EXPECT_NEAR(calibration.of(1e6)->ms, 1e3, 100);
  EXPECT_EQ(calibration.of(11)->templates, 8U);
  EXPECT_GT(calibration.of(1e6)->confidence, 0.6);
}

TEST(CostCalibration, SaysHowFarApartThingsAre) {
  std::vector<CostCalibration::Point> alike, apart;
  for (int at = 0; at < 50; ++at) {
    alike.push_back({100, 10});
    apart.push_back({100, std::pow(10, at % 5)});
  }
  EXPECT_GT(CostCalibration(alike).of(100)->confidence, 0.95);
  EXPECT_LT(CostCalibration(apart).of(100)->confidence, 0.3);
}

TEST(CostCalibration, KnowsNothingFromTooLittle) {
  std::vector<CostCalibration::Point> points(CostCalibration::least_points - 1, {10, 1});
  points.push_back({0, 1});
  points.push_back({10, 0});
  points.push_back({std::numeric_limits<double>::infinity(), 1});
  points.push_back({std::numeric_limits<double>::quiet_NaN(), 1});
  EXPECT_FALSE(CostCalibration(points).of(10));
  points.push_back({10, 1});
  const CostCalibration enough(points);
  EXPECT_FALSE(enough.of(0));
  EXPECT_FALSE(enough.of(std::numeric_limits<double>::quiet_NaN()));
  for (const double cost : {1e-300, 1e300}) EXPECT_TRUE(std::isfinite(enough.of(cost)->ms)) << cost;
}

TEST(TimeEstimates, AreOfTheTemplateFirst) {
  QueryPerformanceMonitor monitor(
      1, {{"select", StatementGroup::read}},
      RecordingOptions{.normalized = [](std::string_view text) { return std::string(text); }});
  TemplatePlans plans;
  std::int64_t now = now_ns();
  for (std::uint64_t fingerprint = 1; fingerprint <= 6; ++fingerprint) {
    const auto ms = static_cast<std::int64_t>(fingerprint);
    for (int call = 0; call < 5; ++call) {
      const QueryRecord record{
          .fingerprint = fingerprint, .started_ns = now, .duration_ns = ms * 1'000'000, .cache = CacheUse::bypass};
      if (monitor.record(0, record)) monitor.describe(0, {.fingerprint = fingerprint, .text = "x", .database = "d"});
    }
    plans.put(fingerprint, {.outline = {"Seq Scan"}, .total_cost = 100.0 * static_cast<double>(ms)});
  }
  plans.put(6, {.why_none = "it can't be planned"});
  now += 2'000'000'000;
  monitor.tick(0, now);
  monitor.make_history(now);
  const TimeEstimates estimates(monitor, &plans, now);
  const auto third = estimates.of(3, 1e9);
  ASSERT_TRUE(third);
  EXPECT_NEAR(third->ms, 3, 0.1);
  EXPECT_EQ(third->calls, 5U);
  const auto unknown = estimates.of(99, 250);
  ASSERT_TRUE(unknown);
  EXPECT_NEAR(unknown->ms, 2.5, 0.1);
  EXPECT_EQ(unknown->templates, 5U);
  EXPECT_FALSE(estimates.of(99, std::nullopt));
  EXPECT_NEAR(estimates.instead({.ms = 40, .calls = 7}, 400, 100)->ms, 10, 0.5);
  EXPECT_FALSE(TimeEstimates(monitor, nullptr, now).of(99, 250));
  EXPECT_TRUE(TimeEstimates(monitor, nullptr, now).of(3, std::nullopt));
}

}  // namespace
}  // namespace millrace
