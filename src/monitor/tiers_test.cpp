#include "monitor/tiers.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr std::int64_t second = 1'000'000'000;
const auto same = [](SubjectId id) { return id; };

Interval interval(std::int64_t at, SubjectId id = 8, std::uint64_t calls = 1) {
  SubjectFigures figures{.id = id, .figures = {.calls = calls}, .durations = {}};
  return {.from_ns = at * second,
          .to_ns = (at + 1) * second,
          .all = {.figures = {.calls = calls}, .durations = {}},
          .levels = {.clients_connected = static_cast<double>(at)},
          .subjects = {figures}};
}

std::uint64_t calls_of(const std::vector<IntervalPtr>& intervals) {
  std::uint64_t sum = 0;
  for (const auto& each : intervals) sum += each->all.figures.calls;
  return sum;
}

void expect_to_join(const std::vector<IntervalPtr>& intervals) {
  for (std::size_t i = 1; i < intervals.size(); ++i) EXPECT_EQ(intervals[i]->from_ns, intervals[i - 1]->to_ns);
}

TEST(Tiers, CoverEveryTimeOnce) {
  Tiers tiers;
  constexpr std::int64_t seconds = 3 * 3600 + 17;
  for (std::int64_t at = 0; at < seconds; ++at) tiers.add(interval(at), same);
  for (const std::int64_t back : {1, 5, 100, 119, 400, 1700, 3600, 10'000}) {
    const auto found = tiers.since((seconds - back) * second);
    ASSERT_FALSE(found.empty());
    expect_to_join(found);
    EXPECT_EQ(found.back()->to_ns, seconds * second);
    EXPECT_LE(found.front()->from_ns, (seconds - back) * second);
    const std::int64_t covered = (found.back()->to_ns - found.front()->from_ns) / second;
    EXPECT_EQ(calls_of(found), static_cast<std::uint64_t>(covered));
    EXPECT_LT(covered, back + 60);
    if (back < 120) EXPECT_EQ(covered, back);
  }
}

TEST(Tiers, WhatIsOlderThanTheMemoryIsCut) {
  Tiers tiers;
  for (std::int64_t at = 1000; at < 1100; ++at) tiers.add(interval(at), same);
  const auto found = tiers.since(0);
  expect_to_join(found);
  EXPECT_EQ(found.front()->from_ns, 1000 * second);
  EXPECT_EQ(calls_of(found), 100);
  EXPECT_TRUE(Tiers().since(0).empty());
}

TEST(Tiers, LateIntervalsAreLonger) {
  Tiers tiers;
  std::int64_t at = 0;
  for (const std::int64_t length : {1, 1, 25, 1, 90, 1, 1, 3, 1}) {
    Interval next = interval(at);
    next.to_ns = (at += length) * second;
    tiers.add(std::move(next), same);
  }
  const auto found = tiers.since(0);
  expect_to_join(found);
  EXPECT_EQ(calls_of(found), 9);
}

TEST(Tiers, SubjectsThatAreGoneBecomeOther) {
  Tiers tiers;
  for (std::int64_t at = 0; at < 200; ++at) {
    tiers.add(interval(at, 8 + 8 * static_cast<SubjectId>(at)), [](SubjectId id) { return id > 1000 ? id : 0; });
  }
  std::uint64_t others = 0;
  for (const auto& each : tiers.since(0)) {
    for (const auto& subject : each->subjects) others += subject.id == 0 ? subject.figures.calls : 0;
    EXPECT_LE(each->subjects.size(), 10);
  }
  EXPECT_GT(others, 0);
}

TEST(Tiers, AreBoundedInBytes) {
  Tiers tiers;
  constexpr std::size_t mb = std::size_t{1} << 20, most = Tiers::shapes[0].bytes;
  std::size_t added = 0;
  std::int64_t at = 0;
  for (; added < 2 * most; ++at) {
    Interval large = interval(at);
    for (SubjectId id = 2; large.subjects.size() * sizeof(SubjectFigures) < mb; ++id)
      large.subjects.push_back({.id = id * 8, .figures = {.calls = 1}, .durations = {}});
    added += large.memory_bytes();
    tiers.add(std::move(large), same);
  }
  EXPECT_GT(tiers.memory_bytes(), most);
  EXPECT_LT(tiers.memory_bytes(), most + most / 2) << "those of ten seconds are a tenth of it";
  const auto left = tiers.since((at - 5) * second);
  EXPECT_EQ(left.size(), 5U);
  expect_to_join(left);
}

TEST(Tiers, LevelsAreAverages) {
  Interval sum;
  append(sum, interval(0), same);
  append(sum, interval(1), same);
  append(sum, interval(2), same);
  EXPECT_DOUBLE_EQ(sum.levels.clients_connected, 1);
  EXPECT_EQ(sum.from_ns, 0);
  EXPECT_EQ(sum.to_ns, 3 * second);
  EXPECT_EQ(sum.subjects.size(), 1);
  EXPECT_EQ(sum.subjects.front().figures.calls, 3);
}

}  // namespace
}  // namespace millrace
