#include "monitor/subjects.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr std::int64_t second = 1'000'000'000;

QueryFigures calls(std::uint64_t number, std::uint64_t ms_each = 0) {
  return {.calls = number, .total_ns = number * ms_each * 1'000'000};
}

SubjectId take(Subjects& subjects, std::uint64_t key, const QueryFigures& figures) {
  return subjects.take(key, figures, {}, [&]() -> std::optional<SubjectName> {
    return SubjectName{.name = std::to_string(key), .about = {}};
  });
}

std::uint64_t all_calls(const Subjects& subjects) {
  std::uint64_t sum = 0;
  for (const auto& each : subjects.totals()) sum += each.figures.calls;
  return sum;
}

TEST(Subjects, AreNumberedOnceAndCounted) {
  Subjects subjects(SubjectKind::application, 2);
  const SubjectId one = take(subjects, 11, calls(3));
  EXPECT_EQ(take(subjects, 11, calls(4)), one);
  EXPECT_EQ(kind_of(one), SubjectKind::application);
  EXPECT_FALSE(is_other(one));
  EXPECT_EQ(subjects.name_of(one)->name, "11");
  EXPECT_EQ(subjects.totals()[1].figures.calls, 7);
  EXPECT_EQ(subjects.find(12), other_of(SubjectKind::application));
}

TEST(Subjects, WithoutANameIsOther) {
  Subjects subjects(SubjectKind::query_template, 2);
  const auto nobody = [] { return std::optional<SubjectName>(); };
  EXPECT_TRUE(is_other(subjects.take(5, calls(9), {}, nobody)));
  EXPECT_EQ(subjects.totals().front().figures.calls, 9);
}

TEST(Subjects, TheLeastUsedGivesWay) {
  Subjects subjects(SubjectKind::user, 2);
  const SubjectId light = take(subjects, 1, calls(2));
  const SubjectId heavy = take(subjects, 2, calls(1, 500));
  EXPECT_TRUE(is_other(take(subjects, 3, calls(1)))) << "it is used less than those there";
  const SubjectId next = take(subjects, 4, calls(10));
  EXPECT_FALSE(is_other(next));
  EXPECT_FALSE(subjects.is_known(light));
  EXPECT_EQ(subjects.name_of(light), nullptr);
  EXPECT_TRUE(subjects.is_known(heavy));
  EXPECT_EQ(subjects.evicted(), 1);
  EXPECT_EQ(subjects.totals().front().figures.calls, 3) << "what the one counted that is gone, and what had no place";
  EXPECT_NE(take(subjects, 1, calls(100)), light) << "numbers aren't given again";
}

/// A thousand new ones a second, for minutes, none of which comes again.
TEST(Subjects, AFloodDisplacesNoRegular) {
  Subjects subjects(SubjectKind::query_template, 100);
  std::vector<SubjectId> regulars;
  for (std::uint64_t key = 1; key <= 50; ++key) regulars.push_back(take(subjects, key, calls(1, 1)));
  std::uint64_t calls_made = 50;
  std::uint64_t flood = 1000;
  for (int s = 0; s < 300; ++s) {
    subjects.age(second);
    for (std::uint64_t key = 1; key <= 50; ++key) {
      if (static_cast<std::uint64_t>(s) % key != 0) continue;
      EXPECT_EQ(take(subjects, key, calls(1, 1)), regulars[key - 1]);
      ++calls_made;
    }
    for (int i = 0; i < 1000; ++i, ++calls_made) take(subjects, flood++, calls(1, 1));
    ASSERT_EQ(subjects.size(), 100);
  }
  for (const SubjectId id : regulars) EXPECT_TRUE(subjects.is_known(id));
  EXPECT_EQ(all_calls(subjects), calls_made) << "nothing is lost";
}

TEST(Subjects, ARegularThatComesDuringAFloodGetsAPlace) {
  Subjects subjects(SubjectKind::query_template, 10);
  std::uint64_t flood = 1000;
  for (int s = 0; s < 20; ++s) {
    for (int i = 0; i < 1000; ++i) take(subjects, flood++, calls(1, 1));
    take(subjects, 5, calls(1, 1));
    subjects.age(second);
  }
  EXPECT_FALSE(is_other(subjects.find(5)));
}

TEST(Subjects, WhatIsUsedNoMoreGivesWayInTime) {
  Subjects subjects(SubjectKind::user, 1);
  const SubjectId once = take(subjects, 1, calls(1000));
  EXPECT_TRUE(is_other(take(subjects, 2, calls(10))));
  subjects.age(7200 * second);
  EXPECT_FALSE(is_other(take(subjects, 2, calls(10))));
  EXPECT_FALSE(subjects.is_known(once));
}

TEST(Subjects, ParametersOfSamplesAreCountedAsMemory) {
  const auto bytes = [](std::size_t parameter) {
    Subjects subjects(SubjectKind::query_template, 10);
    const auto about = std::make_shared<TemplateText>(TemplateText{.parameters = {std::string(parameter, 'x')}});
    subjects.take(1, calls(1), {}, [&] { return std::optional(SubjectName{.name = "one", .about = about}); });
    return subjects.memory_bytes();
  };
  EXPECT_GE(bytes(2000), bytes(0) + 1900);
}

}  // namespace
}  // namespace millrace
