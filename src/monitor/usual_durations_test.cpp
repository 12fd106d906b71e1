#include "monitor/usual_durations.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace millrace {
namespace {

constexpr SubjectId one = 8, another = 16;

struct Called {
  SubjectId id;
  std::uint64_t calls;
  double ms;  ///< of nineteen of twenty; the rest takes twice as long
  std::uint64_t hits = 0;
  std::uint64_t errors = 0;
};

class Watched {
 public:
  std::vector<IntervalPtr> second(const std::vector<Called>& called) {
    Interval interval{.from_ns = to_ns_, .to_ns = to_ns_ += 1'000'000'000};
    for (const Called& each : called) {
      const auto bucket = [&](double ms) {
        return static_cast<std::uint16_t>(LogLinear::index(static_cast<std::uint64_t>(ms * 1e6)));
      };
      const std::uint64_t twice = each.calls / 20;
      std::vector<BucketCount> counts = {{.bucket = bucket(each.ms), .count = each.calls - twice}};
      if (twice > 0) counts.push_back({.bucket = bucket(2 * each.ms), .count = twice});
      interval.subjects.push_back({.id = each.id,
                                   .figures = {.calls = each.calls, .errors = each.errors, .hits = each.hits},
                                   .durations = CompactHistogram(counts)});
    }
    return {std::make_shared<const Interval>(std::move(interval))};
  }
  void run(int seconds, const std::vector<Called>& called, bool is_unusual = false) {
    for (int i = 0; i < seconds; ++i) usual_.learn(second(called), is_unusual);
  }
  /// Called in one second of each.
  void minutes(int count, const std::vector<Called>& called) {
    for (int minute = 0; minute < count; ++minute) {
      run(1, called);
      run(59, {});
    }
  }
  ComparedDurations compare(const std::vector<Called>& called) { return usual_.compare(second(called)); }
  void keep_only(const TemplateTotals& known) { usual_.keep_only(known); }
  const UsualDurations& usual() const { return usual_; }

 private:
  std::int64_t to_ns_ = 5'000'000'000;
  UsualDurations usual_;
};

TEST(UsualDurations, SaysHowManyTimesAsLongCallsTake) {
  Watched watched;
  // Twice as long is one of forty.
  watched.run(300, {{one, 20, 4}, {another, 20, 400}, {one, 19, 4}, {another, 19, 400}});
  ComparedDurations now = watched.compare({{one, 20, 4}, {another, 20, 400}});
  EXPECT_EQ(now.calls, 40);
  EXPECT_NEAR(now.p95_ratio, 1, 0.03);
  EXPECT_EQ(now.slower, 2) << "twice as long";
  EXPECT_NEAR(now.sum_of_logs, 0, 1);
  now = watched.compare({{one, 1, 4}, {another, 19, 400}});
  EXPECT_NEAR(now.p95_ratio, 1, 0.03) << "whichever are called";
  EXPECT_EQ(now.slower, 0);
  now = watched.compare({{one, 18, 4}, {another, 2, 1200}});
  EXPECT_NEAR(now.p95_ratio, 3, 0.1);
  EXPECT_NEAR(now.usual_p95_ms, 400, 10) << "of what takes so much longer";
  EXPECT_EQ(now.slower, 2);
  EXPECT_NEAR(now.sum_of_logs, 2 * std::log(3.0), 1.5);
}

TEST(UsualDurations, ALittleMoreIsNotSlower) {
  Watched watched;
  watched.run(300, {{one, 10, 1}});
  EXPECT_EQ(watched.compare({{one, 10, 2.9}}).slower, 0);
  EXPECT_EQ(watched.compare({{one, 10, 3.2}}).slower, 10);
}

TEST(UsualDurations, WhatIsNewIsNotKnown) {
  Watched watched;
  watched.run(300, {{one, 10, 4}});
  const ComparedDurations now = watched.compare({{one, 10, 4}, {another, 10, 400}});
  EXPECT_EQ(now.calls, 10);
  EXPECT_NEAR(now.p95_ratio, 1, 0.03);
  EXPECT_EQ(watched.compare({{another, 10, 400}}).calls, 0);
  // Within a minute.
  watched.run(1, {{24, 100, 400}});
  watched.run(300, {});
  EXPECT_EQ(watched.compare({{24, 100, 400}}).calls, 0);
}

TEST(UsualDurations, IsKnownSoon) {
  Watched watched;
  watched.run(110, {{one, 10, 4}});
  EXPECT_EQ(watched.compare({{one, 10, 4}}).calls, 0);
  watched.run(15, {{one, 10, 4}});
  EXPECT_NEAR(watched.compare({{one, 10, 12}}).p95_ratio, 3, 0.1);
}

TEST(UsualDurations, WhatIsRareIsComparedWithTheSlowestOfTwenty) {
  Watched watched;
  watched.minutes(1, {{one, 1, 12}});
  watched.minutes(18, {{one, 1, 4}});
  EXPECT_EQ(watched.compare({{one, 1, 4}}).calls, 0) << "the largest of few is mostly less than the percentile";
  watched.minutes(1, {{one, 1, 4}});
  EXPECT_NEAR(watched.compare({{one, 1, 36}}).p95_ratio, 3, 0.1);
  EXPECT_NEAR(watched.compare({{one, 1, 36}}).sum_of_logs, std::log(9) - std::log(3) / 20, 0.05);
}

TEST(UsualDurations, ForgetsASlowMinuteAtOnceAndAnImprovementSoon) {
  Watched watched;
  // A start.
  watched.run(60, {{one, 10, 12}});
  watched.run(360, {{one, 10, 4}});
  EXPECT_NEAR(watched.compare({{one, 10, 12}}).p95_ratio, 3, 0.1);
  // Slow for two minutes, which nobody noticed, and again.
  for (int times = 0; times < 3; ++times) {
    watched.run(120, {{one, 10, 12}});
    watched.run(240, {{one, 10, 4}});
    EXPECT_NEAR(watched.compare({{one, 10, 12}}).p95_ratio, 3, 0.1);
  }
  watched.run(480, {{one, 10, 1}});
  EXPECT_NEAR(watched.compare({{one, 10, 4}}).p95_ratio, 4, 0.1);
}

TEST(UsualDurations, RemembersTheNightBefore) {
  Watched watched;
  watched.run(300, {{another, 5, 400}});
  watched.run(86400, {});
  const ComparedDurations now = watched.compare({{another, 5, 1200}});
  EXPECT_EQ(now.calls, 5);
  EXPECT_NEAR(now.p95_ratio, 3, 0.1);
}

TEST(UsualDurations, WhatIsUnusualIsNotLearnt) {
  Watched watched;
  watched.run(600, {{one, 10, 4}});
  // It takes some time until it is noticed.
  watched.run(50, {{one, 10, 12}});
  watched.run(600, {{one, 10, 12}, {another, 10, 400}}, true);
  EXPECT_NEAR(watched.compare({{one, 10, 12}}).p95_ratio, 3, 0.1);
  EXPECT_EQ(watched.compare({{another, 10, 400}}).calls, 10) << "nothing was known of it";
  // What goes on becomes usual; what is over is forgotten.
  watched.run(480, {{one, 10, 12}});
  EXPECT_NEAR(watched.compare({{one, 10, 12}}).p95_ratio, 1, 0.03);
  watched.run(1500, {{one, 10, 4}});
  EXPECT_NEAR(watched.compare({{one, 10, 4}}).p95_ratio, 1, 0.03);
}

TEST(UsualDurations, LearnsWhatIsUnusualAllTheTime) {
  Watched watched;
  watched.run(600, {{one, 10, 4}, {another, 10, 4}});
  watched.run(300, {{one, 10, 12}}, true);
  watched.run(120, {{another, 10, 4}});  // no usual minute of the first
  watched.run(240, {{one, 10, 12}}, true);
  EXPECT_NEAR(watched.compare({{one, 10, 12}}).p95_ratio, 3, 0.1);
  watched.run(1500, {{one, 10, 12}}, true);
  EXPECT_NEAR(watched.compare({{one, 10, 12}}).p95_ratio, 1, 0.03);
  // After two usual minutes on end it has as long again.
  watched.run(180, {{one, 10, 12}});
  watched.run(540, {{one, 10, 36}}, true);
  EXPECT_NEAR(watched.compare({{one, 10, 36}}).p95_ratio, 3, 0.1);
}

TEST(UsualDurations, LearnsWhatIsUnusualEveryOtherMinute) {
  Watched watched;
  watched.run(600, {{one, 10, 4}});
  for (int times = 0; times < 20; ++times) {
    watched.run(80, {{one, 10, 12}});
    watched.run(20, {{one, 10, 12}}, true);
    watched.run(20, {{one, 10, 12}});
  }
  EXPECT_NEAR(watched.compare({{one, 10, 12}}).p95_ratio, 1, 0.03);
}

TEST(UsualDurations, LeavesErrorsAndAnswersFromMemoryOut) {
  Watched watched;
  watched.run(300, {{one, 10, 4}});
  watched.run(900, {{one, 10, 0.1, 0, 6}});
  watched.run(900, {{one, 10, 0.1, 10}});
  EXPECT_NEAR(watched.compare({{one, 10, 4}}).p95_ratio, 1, 0.03);
  EXPECT_EQ(watched.compare({{one, 10, 400, 0, 6}}).calls, 0);
  EXPECT_EQ(watched.compare({{one, 10, 400, 8, 1}}).calls, 2) << "half of what is not from memory";
  EXPECT_EQ(watched.compare({{one, 10, 400, 8, 0}}).calls, 2);
  const ComparedDurations no_time = watched.compare({{one, 10, 0}});
  EXPECT_EQ(no_time.calls, 10);
  EXPECT_EQ(no_time.usual_p95_ms, 0);
}

TEST(UsualDurations, KnowsAsManyAsTheHistory) {
  Watched watched;
  std::vector<Called> half;
  std::vector<Called> all = half;
  for (SubjectId number = 1; number <= RecordingOptions().templates; ++number) {
    all.push_back({8 * number, 2, 4});
    if (number % 2 == 0) half.push_back(all.back());
  }
  for (int minute = 0; minute < 35; ++minute) {
    watched.run(5, half);
    watched.run(54, {});
    watched.run(1, all);
  }
  EXPECT_EQ(watched.compare(all).calls, 2 * RecordingOptions().templates);
}

TEST(UsualDurations, ForgetsWhatTheHistoryForgets) {
  Watched watched;
  watched.run(300, {{one, 10, 4}, {another, 10, 4}});
  TemplateTotals known{.all = {}, .templates = {{.id = one}}};
  watched.keep_only(known);
  EXPECT_EQ(watched.usual().size(), 1);
  EXPECT_EQ(watched.compare({{one, 10, 4}, {another, 10, 4}}).calls, 10);
  // A nightly batch isn't displaced by what comes and goes.
  for (SubjectId number = 3; number < 3 * UsualDurations::most_templates; ++number) {
    watched.run(1, {{8 * number, 1, 4}});
    EXPECT_LE(watched.usual().size(), UsualDurations::most_templates);
    if (number % 1000 == 0) watched.keep_only(known);
  }
  EXPECT_EQ(watched.compare({{one, 10, 4}}).calls, 10);
}

TEST(UsualDurations, LeavesCallersAndTheRestOut) {
  Watched watched;
  const SubjectId user = one + static_cast<SubjectId>(SubjectKind::user);
  const SubjectId rest = other_of(SubjectKind::query_template);
  watched.run(300, {{one, 10, 4}, {rest, 10, 4}, {user, 10, 4}});
  EXPECT_EQ(watched.compare({{one, 10, 12}, {rest, 10, 12}, {user, 10, 12}}).calls, 10);
}

}  // namespace
}  // namespace millrace
