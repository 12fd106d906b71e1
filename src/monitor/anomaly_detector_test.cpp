#include "monitor/anomaly_detector.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "monitor/bench/made_series.hpp"
#include "monitor/season_finder.hpp"

namespace millrace {
namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

struct Alarm {
  std::size_t at;
  AnomalyKind kind;
};

std::vector<Alarm> alarms(const std::vector<double>& values, double interval = 1, double start = 1.75e9,
                          DetectorProfile profile = DetectorProfile::low) {
  AnomalyDetector detector(profile);
  std::vector<Alarm> found;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto verdict = detector.observe(start + static_cast<double>(i) * interval, values[i]);
    EXPECT_GE(verdict.surprise.score(), 0);
    EXPECT_LE(verdict.surprise.score(), 1);
    if (verdict.alarm) found.push_back({.at = i, .kind = verdict.surprise.kind});
  }
  return found;
}

std::vector<double> noise(std::size_t count, double level = 50, unsigned seed = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(level, 1);
  std::vector<double> values(count);
  for (double& value : values) value = normal(random);
  return values;
}

TEST(AnomalyDetector, IsQuietWhereNothingHappens) {
  for (unsigned seed = 1; seed < 3; ++seed) EXPECT_TRUE(alarms(noise(3000, 50, seed)).empty()) << seed;
  EXPECT_TRUE(alarms(std::vector<double>(1000, 0.0)).empty());
  EXPECT_TRUE(alarms(std::vector<double>(1000, 7.0)).empty());
}

TEST(AnomalyDetector, FindsASpikeAtOnceFromTheFirstMinutesOn) {
  auto values = noise(400);
  values[300] += 30;
  const auto found = alarms(values, 1, 1.75e9, DetectorProfile::medium);
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].at, 300);
  EXPECT_EQ(found[0].kind, AnomalyKind::spike);
}

TEST(AnomalyDetector, DoesNotDependOnTheUnit) {
  for (const double unit : {1e-9, 1.0, 1e9}) {
    auto values = noise(1000);
    values[800] += 30;
    for (double& value : values) value *= unit;
    const auto found = alarms(values);
    ASSERT_EQ(found.size(), 1) << unit;
    EXPECT_EQ(found[0].at, 800) << unit;
  }
}

TEST(AnomalyDetector, TellsAShiftOnce) {
  auto values = noise(3000);
  for (std::size_t i = 2000; i < values.size(); ++i) values[i] += 3;
  const auto found = alarms(values);
  ASSERT_EQ(found.size(), 1) << "what goes on becomes usual";
  EXPECT_GE(found[0].at, 2000);
  EXPECT_LT(found[0].at, 2030);
}

TEST(AnomalyDetector, FindsADrift) {
  auto values = noise(3000);
  for (std::size_t i = 2000; i < values.size(); ++i) values[i] += 0.01 * static_cast<double>(i - 2000);
  const auto found = alarms(values);
  ASSERT_GE(found.size(), 1);
  EXPECT_GT(found[0].at, 2000);
  EXPECT_LT(found[0].at, 2400);
}

TEST(AnomalyDetector, FindsMoreAndLessRestlessness) {
  for (const double factor : {0.02, 5.0}) {
    auto values = noise(3000);
    for (std::size_t i = 2000; i < values.size(); ++i) values[i] = 50 + factor * (values[i] - 50);
    const auto found = alarms(values);
    ASSERT_GE(found.size(), 1) << factor;
    EXPECT_GE(found[0].at, 2000) << factor;
    EXPECT_LT(found[0].at, 2150) << factor;
  }
}

TEST(AnomalyDetector, FindsMissingDataAndKnowsItNextTime) {
  auto values = noise(3000);
  for (std::size_t i = 1000; i < 1050; ++i) values[i] = missing;
  for (std::size_t i = 2000; i < 2050; ++i) values[i] = missing;
  const auto found = alarms(values);
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].kind, AnomalyKind::missing_data);
  EXPECT_GE(found[0].at, 1000);
  EXPECT_LT(found[0].at, 1050);
}

TEST(AnomalyDetector, FindsAGapInTimestamps) {
  AnomalyDetector detector(DetectorProfile::low);
  const auto values = noise(600);
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double at = 1.75e9 + static_cast<double>(i) + (i >= 400 ? 100 : 0);
    if (detector.observe(at, values[i]).alarm) found.push_back(i);
  }
  EXPECT_EQ(found, std::vector<std::size_t>{400});
}

TEST(AnomalyDetector, IsQuietOnARestart) {
  auto values = noise(3000);
  for (std::size_t i = 2000; i < 2008; ++i) values[i] = missing;
  for (std::size_t i = 2008; i < 2014; ++i) values[i] += 5;
  EXPECT_TRUE(alarms(values).empty());
}

TEST(AnomalyDetector, LearnsANightlyBatch) {
  constexpr double interval = 300;
  constexpr std::size_t day = 288;
  auto values = noise(10 * day);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double phase = static_cast<double>(i % day) / day;
    values[i] += 10 * std::pow(std::sin(3.14159 * phase), 2);
    if (i % day >= 30 && i % day < 36) values[i] += 40;
  }
  for (const Alarm& alarm : alarms(values, interval, 1.75e9 - std::fmod(1.75e9, 86400))) {
    EXPECT_LT(alarm.at, 2 * day) << "from the second day on it is known";
  }
}

TEST(AnomalyDetector, MissesWhatUsuallyComes) {
  constexpr double interval = 300;
  constexpr std::size_t day = 288;
  auto values = noise(8 * day, 5);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool is_down = i >= 6 * day + 100 && i < 6 * day + 200;
    if (!is_down) values[i] += 30 * std::pow(std::sin(3.14159 * static_cast<double>(i % day) / day), 2);
  }
  const auto found = alarms(values, interval, 1.75e9 - std::fmod(1.75e9, 86400));
  ASSERT_FALSE(found.empty());
  bool is_found = false;
  for (const Alarm& alarm : found) is_found |= alarm.at >= 6 * day + 100 && alarm.at < 6 * day + 120;
  EXPECT_TRUE(is_found) << "the values are usual, but not at this time";
}

TEST(AnomalyDetector, BearsWhateverComes) {
  AnomalyDetector detector(DetectorProfile::high);
  std::mt19937_64 random(7);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> odd = {0,        -1,        1e308, -1e308,  1e-308,   missing,
                                   infinity, -infinity, 1e12,  -1e-300, 4.9e-324, 42};
  double at = 1.75e9;
  for (int i = 0; i < 5000; ++i) {
    const auto step = static_cast<double>(random() % 7) - 1;  // stands still, and steps back too
    at += random() % 500 == 0 ? 1e7 * (step - 2) : step;
    const auto verdict = detector.observe(at, odd[random() % odd.size()]);
    ASSERT_TRUE(std::isfinite(verdict.surprise.neg_log10_p));
  }
}

TEST(AnomalyDetector, LooksBackOnly) {
  // The same beginning gives the same answers, whatever comes later.
  const auto series = bench::made_series("level_shift", 3);
  SurpriseMeter whole;
  SurpriseMeter part;
  std::vector<double> first;
  for (std::size_t i = 0; i < series.values.size(); ++i) {
    const double one = whole.observe(series.at[i], series.values[i]).neg_log10_p;
    if (i < 1500) first.push_back(one);
  }
  for (std::size_t i = 0; i < 1500; ++i) ASSERT_EQ(part.observe(series.at[i], series.values[i]).neg_log10_p, first[i]);
}

TEST(AnomalyDetector, FindsHalfOfWhatWasPutInAndLittleElse) {
  int events = 0;
  int found = 0;
  int wrong = 0;
  for (const std::string& family : {"spike", "level_shift", "missing_data", "plain"}) {
    for (unsigned seed = 1; seed <= 3; ++seed) {
      const auto series = bench::made_series(family, seed);
      AnomalyDetector detector(DetectorProfile::medium);
      bool is_found = false;
      for (std::size_t i = 0; i < series.values.size(); ++i) {
        if (!detector.observe(series.at[i], series.values[i]).alarm || i < 300) continue;
        const bool belongs = !series.events.empty() && i >= series.events[0].from && i < series.events[0].until + 30;
        is_found |= belongs;
        wrong += belongs ? 0 : 1;
      }
      events += series.events.empty() ? 0 : 1;
      found += is_found ? 1 : 0;
    }
  }
  EXPECT_GE(found, events / 2);
  EXPECT_LE(wrong, 6) << "of 12 series with 3000 values each";
}

TEST(SeasonFinder, FindsASeasonAndNoneInNoise) {
  std::vector<double> values = noise(1000);
  EXPECT_EQ(season_of(values), std::nullopt);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] += 5 * std::sin(2 * 3.14159265 * static_cast<double>(i) / 37);
  values[500] = 1e6;
  const auto season = season_of(values);
  ASSERT_TRUE(season);
  EXPECT_NEAR(static_cast<double>(*season), 37, 1);
}

}  // namespace
}  // namespace millrace
