#include "monitor/new_history.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr std::int64_t second = 1'000'000'000;

TEST(NewHistory, HandsOverEachIntervalOnce) {
  std::int64_t now = 100 * second;
  PerformanceHistory history({}, now);
  const auto pass = [&](std::int64_t ns) { history.take({}, now += ns, {}); };
  pass(second);
  NewHistory fresh(now - second / 2);
  const auto take = [&] {
    std::vector<std::pair<std::int64_t, std::int64_t>> times;
    for (const IntervalPtr& each : fresh.take(&history, {}, now)) times.emplace_back(each->from_ns, each->to_ns);
    return times;
  };
  using Times = std::vector<std::pair<std::int64_t, std::int64_t>>;
  EXPECT_EQ(take(), Times()) << "it began before";
  pass(second);
  const std::int64_t third = now;
  pass(2 * second);
  EXPECT_EQ(take(), (Times{{third - second, third}, {third, now}}));
  EXPECT_EQ(take(), Times());
  const std::int64_t before = now;
  pass(second / 2);
  EXPECT_EQ(take(), (Times{{before, now}}));
  // So long that what is history by now are tens of seconds and minutes: none of them twice.
  std::int64_t to = now;
  for (int i = 0; i < 400; ++i) pass(second);
  for (const auto& [from, until] : take()) {
    EXPECT_GE(from, to);
    to = until;
  }
  EXPECT_EQ(to, now);
}

TEST(NewHistory, IsOfAllQueriesTogetherWhereThereIsNoHistory) {
  IntervalFigures figures;
  figures.queries = 10;
  figures.failed = 2;
  figures.cache_hits = 7;
  figures.durations.add(LogLinear::index(0), 7);
  figures.durations.add(LogLinear::index(5'000'000), 3);
  NewHistory fresh(5 * second);
  fresh.take(nullptr, figures, 6 * second);
  const auto intervals = fresh.take(nullptr, figures, 7 * second);
  ASSERT_EQ(intervals.size(), 1);
  EXPECT_EQ(intervals[0]->from_ns, 6 * second);
  EXPECT_EQ(intervals[0]->to_ns, 7 * second);
  ASSERT_EQ(intervals[0]->subjects.size(), 1);
  const SubjectFigures& all = intervals[0]->subjects[0];
  EXPECT_EQ(all.id, NewHistory::all_queries);
  EXPECT_FALSE(is_other(all.id));
  EXPECT_EQ(kind_of(all.id), SubjectKind::query_template);
  EXPECT_EQ(all.figures, (QueryFigures{.calls = 10, .errors = 2, .hits = 7}));
  EXPECT_EQ(all.durations, CompactHistogram(figures.durations));
}

}  // namespace
}  // namespace millrace
