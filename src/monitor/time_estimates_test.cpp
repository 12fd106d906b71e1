#include "monitor/time_estimates.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/clock.hpp"

namespace millrace {
namespace {

HistogramTotals durations(const std::vector<std::pair<double, std::uint64_t>>& ms_and_counts) {
  HistogramTotals totals;
  for (const auto& [ms, count] : ms_and_counts) {
    totals.add(LogLinear::index(static_cast<std::uint64_t>(ms * 1e6)), count);
  }
  return totals;
}

TEST(TimeEstimate, IsTheMedianOfCalls) {
  const auto estimate = estimate_of({.calls = 100}, durations({{1, 10}, {5, 80}, {100, 10}}));
  ASSERT_TRUE(estimate);
  EXPECT_NEAR(estimate->ms, 5, 5.0 / 64);
  EXPECT_NEAR(estimate->confidence, 0.8, 0.02);
  EXPECT_EQ(estimate->calls, 100U);
}

TEST(TimeEstimate, LeavesOutWhatWasAnsweredFromMemory) {
  const auto estimate = estimate_of({.calls = 1000, .hits = 900}, durations({{0, 900}, {8, 100}}));
  ASSERT_TRUE(estimate);
  EXPECT_NEAR(estimate->ms, 8, 8.0 / 64);
  EXPECT_EQ(estimate->calls, 100U);
  EXPECT_GT(estimate->confidence, 0.95);
  EXPECT_FALSE(estimate_of({.calls = 900, .hits = 900}, durations({{0, 900}})));
  EXPECT_FALSE(estimate_of({}, {}));
}

TEST(TimeEstimate, FewCallsAreNotSure) {
  EXPECT_LT(estimate_of({.calls = 1}, durations({{5, 1}}))->confidence, 0.7);
  EXPECT_GT(estimate_of({.calls = 1000}, durations({{5, 1000}}))->confidence, 0.99);
}

TEST(TimeEstimate, IsNoneWhereCallsFailOrAreRewritten) {
  const auto of = [](const QueryFigures& calls) { return estimate_of(calls, durations({{0, 900}, {8, 100}})); };
  EXPECT_TRUE(of({.calls = 1000, .errors = 5, .hits = 900}));
  EXPECT_FALSE(of({.calls = 1000, .errors = 6, .hits = 900})) << "of a hundred that PostgreSQL was asked";
  EXPECT_TRUE(of({.calls = 1000, .hits = 900, .rewritten = 5}));
  EXPECT_FALSE(of({.calls = 1000, .hits = 900, .rewritten = 6}));
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

void expect_to_ascend(const CostCalibration& calibration) {
  double before = 0;
  for (double cost = 0.5; cost < 1e6; cost *= 1.05) {
    const double ms = calibration.of(cost)->ms;
    EXPECT_GE(ms, before) << cost;
    before = ms;
  }
}

TEST(CostCalibration, WhatCostsLessTakesNoLonger) {
  // Short statements are their constant part: by units the cheap ones would say that 250 takes 9 ms, and 400 two.
  std::vector<CostCalibration::Point> points;
  for (int at = 0; at < 5; ++at) points.insert(points.end(), {{8, 0.3}, {10'000, 50}});
  const CostCalibration calibration(points);
  expect_to_ascend(calibration);
  EXPECT_NEAR(calibration.of(250)->ms, 3.5, 0.5);
  EXPECT_NEAR(calibration.of(100'000)->ms, 500, 1) << "in proportion";
}

TEST(CostCalibration, AscendsThroughWhatIsScattered) {
  std::vector<CostCalibration::Point> points;
  for (int at = 1; at <= 300; ++at) points.push_back({1.0 * at * at, 0.01 * at * at * (1 + at * 7 % 5)});
  const CostCalibration calibration(points);
  expect_to_ascend(calibration);
  EXPECT_NEAR(calibration.of(10'000)->ms, 300, 30) << "the middle one";
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

/// Templates whose statements are called, in a time that is the test's.
class TimesOfTemplates : public testing::Test {
 protected:
  void call(std::uint64_t fingerprint, double ms, int times, QueryRecord more = {.cache = CacheUse::bypass}) {
    more.fingerprint = fingerprint;
    more.started_ns = now_;
    more.duration_ns = static_cast<std::int64_t>(ms * 1e6);
    for (int call = 0; call < times; ++call) {
      if (monitor_->record(0, more)) monitor_->describe(0, {.fingerprint = fingerprint, .text = "x", .database = "d"});
    }
  }
  void plan(std::uint64_t fingerprint, double total_cost) {
    plans_->put(fingerprint, {.outline = {"Seq Scan"}, .total_cost = total_cost});
  }
  /// Five, of which each takes a hundredth of its cost.
  void call_some() {
    for (std::uint64_t fingerprint = 1; fingerprint <= 5; ++fingerprint) {
      const auto ms = static_cast<double>(fingerprint);
      call(fingerprint, ms, 5);
      plan(fingerprint, 100 * ms);
    }
  }
  void pass(std::chrono::seconds time = std::chrono::seconds(2)) {
    now_ += std::chrono::nanoseconds(time).count();
    monitor_->tick(0, now_);
    monitor_->make_history(now_);
  }
  /// By what is known now; `estimates_` may go by what it knew.
  std::optional<TimeEstimate> of(std::uint64_t fingerprint, std::optional<double> total_cost = {}) {
    return TimeEstimates(monitor_, plans_).of(fingerprint, total_cost, now_);
  }

  std::int64_t now_ = now_ns();
  std::shared_ptr<QueryPerformanceMonitor> monitor_ = std::make_shared<QueryPerformanceMonitor>(
      1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}},
      RecordingOptions{.normalized = [](std::string_view text) { return std::string(text); }});
  std::shared_ptr<TemplatePlans> plans_ = std::make_shared<TemplatePlans>();
  TimeEstimates estimates_{monitor_, plans_};
};

TEST_F(TimesOfTemplates, AreOfItsOwnCallsFirst) {
  call_some();
  pass();
  const auto third = of(3, 1e9);
  ASSERT_TRUE(third);
  EXPECT_NEAR(third->ms, 3, 0.1);
  EXPECT_EQ(third->calls, 5U);
  const auto unknown = of(99, 250);
  ASSERT_TRUE(unknown);
  EXPECT_NEAR(unknown->ms, 2.5, 0.1);
  EXPECT_EQ(unknown->templates, 5U);
  EXPECT_FALSE(of(99));
  EXPECT_NEAR(estimates_.instead({.ms = 40, .calls = 7}, 400, 100, now_)->ms, 10, 0.5);
  const TimeEstimates without(monitor_, nullptr);
  EXPECT_FALSE(without.of(99, 250, now_));
  EXPECT_TRUE(without.of(3, std::nullopt, now_));
}

TEST_F(TimesOfTemplates, AreNotOfAnotherEngines) {
  call(1, 5, 5, {.engine = Engine::duckdb});
  pass();
  EXPECT_FALSE(of(1));
}

TEST_F(TimesOfTemplates, GoByTheLastPlanThoughItWasNotPlannedAgain) {
  call_some();
  plans_->put(3, {.why_none = "a lock"});
  pass();
  EXPECT_TRUE(of(99, 250));
}

TEST_F(TimesOfTemplates, DoNotGoByWhatFailsOrIsRewritten) {
  call_some();
  const QueryRecord failed{.sqlstate = {'5', '7', '0', '1', '4', '\0'}}, rewritten{.rewritten = true};
  call(6, 500, 5, failed);
  call(7, 0.01, 5, rewritten);
  plan(6, 100);
  plan(7, 1e6);
  pass();
  EXPECT_EQ(of(99, 250)->templates, 5U);
  for (const std::uint64_t fingerprint : {6, 7}) {
    EXPECT_FALSE(of(fingerprint)) << "its own calls say nothing";
    EXPECT_NEAR(of(fingerprint, 250)->ms, 2.5, 0.1) << "its cost does";
  }
}

TEST_F(TimesOfTemplates, AreOfTheLastDayIfItWasCalledInThat) {
  call(1, 50, 100);
  call(2, 50, 100);
  pass();
  for (int hour = 0; hour < 26; ++hour) pass(std::chrono::hours(1));
  call(1, 2, 10);
  call(2, 2, 2);
  pass();
  EXPECT_NEAR(of(1)->ms, 2, 0.1);
  EXPECT_EQ(of(1)->calls, 10U);
  EXPECT_NEAR(of(2)->ms, 50, 1) << "two calls are too few";
  EXPECT_EQ(of(2)->calls, 102U);
}

TEST_F(TimesOfTemplates, ThatFailLatelyAreNotOfWhatWasBefore) {
  call(1, 50, 1000);
  pass();
  for (int hour = 0; hour < 26; ++hour) pass(std::chrono::hours(1));
  call(1, 2, 10, {.sqlstate = {'4', '2', '5', '0', '1', '\0'}});
  pass();
  EXPECT_FALSE(of(1));
}

TEST_F(TimesOfTemplates, WhatCostsComeToIsKeptForAMoment) {
  call_some();
  pass();
  EXPECT_EQ(estimates_.of(99, 250, now_)->templates, 5U);
  call(6, 6, 5);
  plan(6, 600);
  pass();
  EXPECT_EQ(estimates_.of(99, 250, now_)->templates, 5U);
  EXPECT_EQ(estimates_.of(6, 250, now_)->calls, 5U) << "its own calls are looked at each time";
  pass(std::chrono::seconds(5));
  EXPECT_EQ(estimates_.of(99, 250, now_)->templates, 6U);
}

TEST_F(TimesOfTemplates, AreNotKnownWhereNothingIsRecorded) {
  const auto counts_only =
      std::make_shared<QueryPerformanceMonitor>(1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}});
  const TimeEstimates estimates(counts_only, plans_);
  EXPECT_FALSE(estimates.of(1, 100, now_));
  EXPECT_FALSE(estimates.instead({.ms = 40, .calls = 7}, 400, 100, now_));
}

}  // namespace
}  // namespace millrace
