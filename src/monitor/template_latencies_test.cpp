#include "monitor/template_latencies.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace millrace {
namespace {

constexpr double start = 1'750'032'000;  // a midnight
constexpr std::int64_t second = 1'000'000'000;

SubjectId template_of(int number) {
  return static_cast<SubjectId>(8 * (number + 1)) + static_cast<SubjectId>(SubjectKind::query_template);
}

/// Seconds of a template's calls.
struct Second {
  double ms = 2;
  int calls = 20;
  int failed = 0;
  int hits = 0;  ///< of all calls, which may all be answered from memory
};

class Calls {
 public:
  std::vector<TemplateChange> run(int seconds, const Second& each, SubjectId id = template_of(1)) {
    std::vector<TemplateChange> found;
    for (int i = 0; i < seconds; ++i) {
      Interval interval{.from_ns = passed_ * second, .to_ns = (passed_ + 1) * second};
      ++passed_;
      if (each.calls > 0) interval.subjects.push_back(figures(each, id));
      for (auto& change : latencies.observe(interval, start + static_cast<double>(passed_))) {
        (change.is_hint ? hints : found).push_back(change);
      }
    }
    return found;
  }
  double now() const { return start + static_cast<double>(passed_); }

  TemplateLatencies latencies;
  std::vector<TemplateChange> hints;

 private:
  SubjectFigures figures(const Second& each, SubjectId id) {
    SubjectFigures made{.id = id, .figures = {}, .durations = {}};
    std::normal_distribution<double> normal;
    for (int call = 0; call < each.calls; ++call) {
      const auto ns = static_cast<std::uint64_t>(1e6 * each.ms * std::exp(0.5 * normal(random_)));
      const BucketCount one{.bucket = static_cast<std::uint16_t>(LogLinear::index(ns)), .count = 1};
      made.durations += CompactHistogram(std::span(&one, 1));
      made.figures.total_ns += ns;
    }
    made.figures.calls = static_cast<std::uint64_t>(each.calls);
    made.figures.errors = static_cast<std::uint64_t>(each.failed);
    made.figures.hits = static_cast<std::uint64_t>(each.hits);
    made.figures.misses = static_cast<std::uint64_t>(each.calls - each.hits);
    return made;
  }

  std::mt19937_64 random_{5};
  std::int64_t passed_ = 0;
};

TEST(TemplateLatencies, FindWhatTakesLonger) {
  Calls calls;
  EXPECT_TRUE(calls.run(300, {.hits = 15}).empty());
  const double changed_at = calls.now();
  const auto found = calls.run(60, {.ms = 6, .hits = 5});
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].id, template_of(1));
  EXPECT_NEAR(found[0].change.at, changed_at, 6);
  EXPECT_NEAR(found[0].change.before, 2, 0.2);
  EXPECT_NEAR(found[0].change.after, 6, 0.6);
  EXPECT_NEAR(found[0].calls_per_second, 20, 1e-3);
  EXPECT_NEAR(found[0].hit_rate_before, 75, 1e-3);
  EXPECT_NEAR(found[0].hit_rate_after, 25, 1e-3);
  EXPECT_NEAR(found[0].lost_seconds_an_hour(), 20 * 3600 * 0.004, 40);
}

TEST(TemplateLatencies, HintSoonThatSomethingTakesLonger) {
  Calls calls;
  calls.run(5, {.ms = 9});  // nothing is warm yet
  calls.run(20, {.hits = 15});
  EXPECT_TRUE(calls.hints.empty());
  const double changed_at = calls.now();
  EXPECT_TRUE(calls.run(10, {.ms = 12, .hits = 5}).empty()) << "a hint is no change";
  ASSERT_EQ(calls.hints.size(), 1);
  const TemplateChange& hint = calls.hints[0];
  EXPECT_EQ(hint.id, template_of(1));
  EXPECT_NEAR(hint.change.at, changed_at, 6);
  EXPECT_NEAR(hint.change.before, 2 * std::pow(4.5, 0.2), 0.4);
  EXPECT_NEAR(hint.change.after, 12, 1);
  EXPECT_NEAR(hint.change.p_value, 6 / 42.0, 1e-9);
  EXPECT_NEAR(hint.calls_per_second, 20, 1e-3);
  EXPECT_NEAR(hint.hit_rate_before, 60, 1e-3);
}

TEST(TemplateLatencies, HintAtNothingThatIsUsual) {
  Calls few;
  few.run(15, {});
  few.run(10, {.ms = 20});
  EXPECT_TRUE(few.hints.empty());
  Calls bursts;
  for (int i = 0; i < 20; ++i) {
    bursts.run(25, {});
    bursts.run(5, {.ms = 20});
  }
  EXPECT_TRUE(bursts.hints.empty());
  Calls slower;
  slower.run(100, {});
  slower.run(100, {.ms = 2.7});
  EXPECT_TRUE(slower.hints.empty()) << "by a third";
}

TEST(TemplateLatencies, HowOftenARareOneIsCalled) {
  Calls calls;
  std::vector<TemplateChange> found;
  for (int minute = 0; minute < 160 && found.empty(); ++minute) {
    calls.run(59, {.calls = 0});
    found = calls.run(1, {.ms = minute < 80 ? 2.0 : 40.0, .calls = 1});
  }
  ASSERT_EQ(found.size(), 1);
  EXPECT_NEAR(found[0].calls_per_second, 1 / 60.0, 2e-3);
}

TEST(TemplateLatencies, SayWhenItIsOver) {
  Calls calls;
  calls.run(300, {});
  ASSERT_EQ(calls.run(60, {.ms = 6}).size(), 1);
  const auto found = calls.run(300, {});
  ASSERT_EQ(found.size(), 1);
  EXPECT_TRUE(found[0].is_over);
  EXPECT_EQ(found[0].id, template_of(1));
}

TEST(TemplateLatencies, WhatCreepsIsComparedWithItsBeginning) {
  Calls calls;
  calls.run(600, {});
  double least_before = 100;
  double most_ratio = 0;
  for (int minute = 1; minute <= 10; ++minute) {
    for (const auto& change : calls.run(60, {.ms = 2 * std::pow(1.1, minute)})) {
      least_before = std::min(least_before, change.change.before);
      most_ratio = std::max(most_ratio, change.change.ratio());
    }
  }
  EXPECT_NEAR(least_before, 2, 0.3);
  EXPECT_GT(most_ratio, 1.5);
}

TEST(TemplateLatencies, NothingIsFoundInABurstOrInFailures) {
  Calls calls;
  calls.run(300, {});
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(calls.run(10, {.ms = 100}).empty()) << "a burst";
    EXPECT_TRUE(calls.run(110, {}).empty());
  }
  EXPECT_TRUE(calls.run(300, {.ms = 50, .failed = 15}).empty());
  EXPECT_TRUE(calls.run(300, {}).empty());
  EXPECT_TRUE(calls.run(300, {.calls = 0}).empty()) << "nobody calls";
  EXPECT_TRUE(calls.run(300, {}).empty());
}

TEST(TemplateLatencies, WhatTakesAsLongAgainAsItDidIsNoNews) {
  Calls calls;
  calls.run(300, {.ms = 6});
  EXPECT_TRUE(calls.run(300, {.ms = 2}).empty()) << "it got better";
  EXPECT_TRUE(calls.run(300, {.ms = 6}).empty());
  EXPECT_EQ(calls.run(300, {.ms = 20}).size(), 1);
  // What was told is told again: somebody has mended it, and it has broken again.
  const auto over = calls.run(300, {.ms = 6});
  ASSERT_EQ(over.size(), 1);
  EXPECT_TRUE(over[0].is_over);
  EXPECT_EQ(calls.run(300, {.ms = 20}).size(), 1);
}

TEST(TemplateLatencies, WhatWasThereADayAgoIsNoNews) {
  Calls calls;
  const auto day = [&](double at_night, double by_day) {
    auto found = calls.run(3600, {.ms = 2, .calls = 3});
    for (const auto& more : {calls.run(1800, {.ms = at_night, .calls = 3}), calls.run(3600, {.ms = 2, .calls = 3}),
                             calls.run(1800, {.ms = by_day, .calls = 3}), calls.run(86400 - 10800, {.calls = 0})}) {
      found.insert(found.end(), more.begin(), more.end());
    }
    std::erase_if(found, [](const TemplateChange& change) { return change.is_over; });
    return found;
  };
  EXPECT_EQ(day(6, 2).size(), 1) << "nobody knows the nightly batch";
  EXPECT_TRUE(day(6, 2).empty());
  const auto third = day(6, 12);
  ASSERT_EQ(third.size(), 1) << "at another time it is news";
  EXPECT_NEAR(third[0].change.after, 12, 2);
}

TEST(TemplateLatencies, AreBounded) {
  Calls calls;
  for (int i = 0; i < 1200; ++i) calls.run(1, {.calls = 1}, template_of(i));
  EXPECT_EQ(calls.latencies.size(), TemplateLatencies::most_templates);
  calls.run(1, {.calls = 1}, other_of(SubjectKind::query_template));
  EXPECT_EQ(calls.latencies.size(), TemplateLatencies::most_templates);
}

}  // namespace
}  // namespace millrace
