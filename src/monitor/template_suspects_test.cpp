#include "monitor/template_suspects.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr double start = 1'750'000'000;
const auto nobody = [](double) { return false; };
const auto somebody = [](double) { return true; };

TemplateChange change_of(std::uint64_t fingerprint, double before, double after, double calls_per_second = 10) {
  return {.id = fingerprint * 8,
          .fingerprint = fingerprint,
          .change = {.at = start - 40, .before = before, .after = after},
          .calls_per_second = calls_per_second};
}

TemplatePlan plan_of(std::string step, double at) {
  const std::chrono::system_clock::time_point when{std::chrono::seconds(static_cast<std::int64_t>(at))};
  return {.outline = {std::move(step)}, .at = when, .at_ns = static_cast<std::int64_t>(at * 1e9)};
}

TEST(TemplateSuspects, OnlyWhatCostsSomethingIsSuspected) {
  TemplateSuspects suspects;
  EXPECT_FALSE(suspects.add(change_of(1, 100, 140), start)) << "not half as long again";
  EXPECT_FALSE(suspects.add(change_of(1, 0.1, 0.9, 1000), start)) << "not a millisecond";
  EXPECT_FALSE(suspects.add(change_of(1, 10, 40, 0.01), start)) << "hardly ever called";
  EXPECT_TRUE(suspects.add(change_of(1, 10, 40), start));
  EXPECT_EQ(suspects.fingerprints(), std::vector<std::uint64_t>{1});
  EXPECT_FALSE(suspects.look(start + 10, nullptr, nobody)) << "one vote";
  EXPECT_FALSE(suspects.look(start + 301, nullptr, somebody)) << "too late";
  EXPECT_TRUE(suspects.fingerprints().empty());
}

TEST(TemplateSuspects, APlanThatChangedIsAVoteOnItsTemplateOnly) {
  TemplateSuspects suspects;
  TemplatePlans plans;
  for (const std::uint64_t fingerprint : {1, 2, 3}) {
    plans.put(fingerprint, plan_of("Index Scan on shelves", start - 60));
    suspects.add(change_of(fingerprint, 10, 40), start);
  }
  plans.put(2, plan_of("Seq Scan on shelves", start + 2));
  const auto agreed = suspects.look(start + 3, &plans, nobody);
  ASSERT_TRUE(agreed && agreed->plan);
  EXPECT_EQ(difference(*agreed->plan), "Seq Scan on shelves where there was Index Scan on shelves");
  ASSERT_EQ(agreed->changes.size(), 1);
  EXPECT_EQ(agreed->changes[0].fingerprint, 2);
  EXPECT_FALSE(suspects.look(start + 4, &plans, nobody)) << "it is told once";
  EXPECT_EQ(suspects.fingerprints(), (std::vector<std::uint64_t>{1, 3}));
}

TEST(TemplateSuspects, APlanThatChangedLongAgoIsNoVote) {
  TemplateSuspects suspects;
  TemplatePlans plans;
  plans.put(1, plan_of("Index Scan", start - 3000));
  plans.put(1, plan_of("Seq Scan", start - 2000));
  suspects.add(change_of(1, 10, 40), start);
  EXPECT_FALSE(suspects.look(start + 1, &plans, nobody));
}

TemplateChange hint_of(std::uint64_t fingerprint, double before, double after) {
  TemplateChange hint = change_of(fingerprint, before, after);
  hint.is_hint = true;
  return hint;
}

TEST(TemplateSuspects, OnlyAPlanConfirmsAHint) {
  TemplateSuspects suspects;
  TemplatePlans plans;
  for (const std::uint64_t fingerprint : {1, 2}) plans.put(fingerprint, plan_of("Index Scan on shelves", start - 60));
  EXPECT_FALSE(suspects.add(hint_of(1, 10, 40), start)) << "a hint is no vote";
  suspects.add(hint_of(2, 10, 80), start);
  EXPECT_EQ(suspects.fingerprints(), (std::vector<std::uint64_t>{2, 1})) << "what costs the most is asked about first";
  EXPECT_FALSE(suspects.look(start + 2, &plans, somebody));
  plans.put(1, plan_of("Seq Scan on shelves", start + 2));
  const auto agreed = suspects.look(start + 3, &plans, nobody);
  ASSERT_TRUE(agreed && agreed->plan);
  EXPECT_EQ(agreed->changes[0].fingerprint, 1);
  plans.put(2, plan_of("Seq Scan on shelves", start + 31));
  EXPECT_FALSE(suspects.look(start + 31, &plans, nobody)) << "a hint is soon forgotten";
}

TEST(TemplateSuspects, WhatWasToldWithItsPlanIsToldAgainIfItGetsWorse) {
  TemplateSuspects suspects;
  TemplatePlans plans;
  plans.put(1, plan_of("Index Scan on shelves", start - 60));
  plans.put(1, plan_of("Seq Scan on shelves", start));
  suspects.add(hint_of(1, 10, 40), start);
  ASSERT_TRUE(suspects.look(start + 1, &plans, nobody));
  EXPECT_FALSE(suspects.add(hint_of(1, 10, 80), start + 5));
  EXPECT_FALSE(suspects.look(start + 6, &plans, somebody));
  EXPECT_TRUE(suspects.add(change_of(1, 10, 80), start + 30)) << "it is a vote all the same";
  EXPECT_FALSE(suspects.look(start + 100, &plans, somebody));
  suspects.add(change_of(1, 10, 130), start + 100);
  EXPECT_TRUE(suspects.look(start + 101, &plans, nobody));
  // It was mended, and has broken again.
  for (int i = 0; i < 3; ++i) plans.put(1, plan_of("Index Scan on shelves", start + 200 + i));
  plans.put(1, plan_of("Seq Scan on shelves", start + 300));
  TemplateChange again = hint_of(1, 10, 130);
  again.change.at = start + 300;
  suspects.add(again, start + 300);
  EXPECT_TRUE(suspects.look(start + 301, &plans, nobody));
}

TEST(TemplateSuspects, APlanThatComesBackWithinTheHourIsAVoteToo) {
  TemplateSuspects suspects;
  TemplatePlans plans;
  plans.put(1, plan_of("Seq Scan on shelves", start - 1800));
  for (int i = 20; i > 0; --i) plans.put(1, plan_of("Index Scan on shelves", start - 60 * i));
  EXPECT_FALSE(plans.put(1, plan_of("Seq Scan on shelves", start)));
  suspects.add(change_of(1, 10, 40), start);
  EXPECT_TRUE(suspects.look(start + 1, &plans, nobody));
}

TEST(TemplateSuspects, WhatIsRunNowOneWayNowTheOtherHasNotTurned) {
  TemplateSuspects suspects;
  TemplatePlans plans;
  for (int i = 20; i > 0; --i) {
    plans.put(1, plan_of(i % 2 == 0 ? "Seq Scan on shelves" : "Index Scan on shelves", start - 60 * i));
  }
  plans.put(1, plan_of("Seq Scan on shelves", start));
  suspects.add(change_of(1, 10, 40), start);
  EXPECT_FALSE(suspects.look(start + 1, &plans, nobody));
}

TEST(TemplateSuspects, APlanWithWhichCallsWereAsUsualIsNoVote) {
  TemplateSuspects suspects;
  TemplatePlans plans;
  plans.put(1, plan_of("Seq Scan on shelves", start - 300));
  plans.put(1, plan_of("Index Scan on shelves", start - 40 - 90));
  suspects.add(change_of(1, 10, 40), start);
  EXPECT_FALSE(suspects.look(start + 1, &plans, nobody)) << "it was called a thousand times since";
  suspects.add(change_of(1, 10, 40, 1.0 / 50), start);
  EXPECT_FALSE(suspects.look(start + 2, &plans, nobody)) << "it costs little";
  suspects.add(change_of(1, 10, 1000, 1.0 / 50), start);
  EXPECT_TRUE(suspects.look(start + 3, &plans, nobody)) << "it was called once or twice";
}

TEST(TemplateSuspects, WhatAnotherSeriesSaysIsToldOfAllTogether) {
  TemplateSuspects suspects;
  suspects.add(change_of(1, 10, 40), start);
  suspects.add(change_of(2, 10, 400), start);
  EXPECT_FALSE(suspects.look(start + 59, nullptr, somebody)) << "it may be over soon";
  double since = 0;
  const auto agreed = suspects.look(start + 61, nullptr, [&](double from) {
    since = from;
    return true;
  });
  EXPECT_EQ(since, start - 40) << "who voted before it began says nothing of it";
  ASSERT_TRUE(agreed);
  EXPECT_FALSE(agreed->plan);
  ASSERT_EQ(agreed->changes.size(), 2);
  EXPECT_EQ(agreed->changes[0].fingerprint, 2) << "what costs the most comes first";
  suspects.add(change_of(3, 10, 40), start + 60);
  EXPECT_FALSE(suspects.look(start + 200, nullptr, somebody)) << "a pause";
  suspects.add(change_of(4, 10, 40), start + 200);
  EXPECT_TRUE(suspects.look(start + 362, nullptr, somebody));
}

TEST(TemplateSuspects, WhatIsOverIsForgotten) {
  TemplateSuspects suspects;
  suspects.add(change_of(1, 10, 40), start);
  suspects.add(change_of(2, 10, 40), start);
  EXPECT_FALSE(suspects.add({.id = 8, .is_over = true}, start + 30));
  EXPECT_EQ(suspects.fingerprints(), std::vector<std::uint64_t>{2});
}

TEST(TemplateSuspects, AreBounded) {
  TemplateSuspects suspects;
  for (std::uint64_t i = 1; i < 300; ++i) suspects.add(change_of(i, 10, 40), start);
  EXPECT_EQ(suspects.fingerprints().size(), TemplateSuspects::most);
}

}  // namespace
}  // namespace millrace
