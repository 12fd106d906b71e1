#include "monitor/template_plans.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr std::int64_t minute = 60'000'000'000;

TemplatePlan plan(std::string step, std::int64_t at_ns) { return {.outline = {std::move(step)}, .at_ns = at_ns}; }

TEST(TemplatePlans, AnotherWayIsAChange) {
  TemplatePlans plans;
  EXPECT_FALSE(plans.find(1));
  EXPECT_FALSE(plans.put(1, plan("index", minute)));
  EXPECT_FALSE(plans.put(1, plan("index", 2 * minute)));
  EXPECT_FALSE(plans.put(2, plan("table", 2 * minute)));
  const auto change = plans.put(1, plan("table", 3 * minute));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->before.outline.front(), "index");
  EXPECT_EQ(change->before.at_ns, 2 * minute);
  EXPECT_EQ(change->after.outline.front(), "table");
  EXPECT_EQ(plans.changes().size(), 1U);
  EXPECT_EQ(plans.find(1)->outline.front(), "table");
}

TEST(TemplatePlans, TheDifferenceIsInHowATableIsRead) {
  const auto said = [](std::vector<std::string> before, std::vector<std::string> after) {
    return difference({.before = {.outline = std::move(before)}, .after = {.outline = std::move(after)}});
  };
  EXPECT_EQ(said({"Sort", "  Index Scan on a by a_i"}, {"Gather Merge", "  Sort", "    Parallel Seq Scan on a"}),
            "Seq Scan on a where there was Index Scan on a by a_i");
  EXPECT_EQ(said({"Nested Loop", "  Seq Scan on b", "  Index Scan on a by a_i"},
                 {"Hash Join", "  Seq Scan on a", "  Hash", "    Seq Scan on b"}),
            "Seq Scan on a where there was Index Scan on a by a_i");
  EXPECT_EQ(said({"Bitmap Heap Scan on a", "  Bitmap Index Scan by a_i"}, {"Index Scan on a by a_j"}),
            "Index Scan on a by a_j where there was Bitmap Heap Scan on a");
  EXPECT_EQ(
      said({"Nested Loop", "  Seq Scan on a", "  Seq Scan on b"}, {"Hash Join", "  Seq Scan on b", "  Seq Scan on a"}),
      "Hash Join where there was Nested Loop");
  EXPECT_EQ(said({"Sort", "  Seq Scan on a"}, {"Sort"}), "nothing where there was Seq Scan on a");
}

TEST(TemplatePlans, GoingToAndFroIsNone) {
  TemplatePlans plans;
  plans.put(1, plan("index", minute));
  EXPECT_TRUE(plans.put(1, plan("table", 2 * minute)));
  for (int i = 3; i < 30; ++i) EXPECT_FALSE(plans.put(1, plan(i % 2 == 0 ? "index" : "table", i * minute)));
  for (int i = 30; i < 100; ++i) EXPECT_FALSE(plans.put(1, plan("table", i * minute)));
  EXPECT_TRUE(plans.put(1, plan("index", 100 * minute)));  // so long ago
}

TEST(TemplatePlans, WhereThereIsNoneNothingChanges) {
  TemplatePlans plans;
  plans.put(1, plan("index", minute));
  EXPECT_FALSE(plans.put(1, {.at_ns = 2 * minute, .why_none = "it can't be reached"}));
  EXPECT_EQ(plans.find(1)->why_none, "it can't be reached");
  EXPECT_FALSE(plans.put(1, plan("index", 3 * minute)));
  EXPECT_TRUE(plans.put(1, plan("table", 4 * minute)));
}

TEST(TemplatePlans, MoreProcessesAreNoOtherWay) {
  TemplatePlans plans;
  plans.put(1, plan("Seq Scan on t", minute));
  TemplatePlan parallel{.outline = {"Gather", "  Parallel Seq Scan on t"}, .at_ns = 2 * minute};
  EXPECT_FALSE(plans.put(1, parallel));
  EXPECT_FALSE(plans.last_turn(1));
  EXPECT_EQ(plans.find(1)->outline, parallel.outline) << "shown as it is";
  EXPECT_TRUE(plans.put(1, plan("Index Scan on t by t_pkey", 3 * minute)));
}

TEST(TemplatePlans, WhatIsNotedNowAndThenIsNoChange) {
  TemplatePlans plans;
  for (int i = 0; i < 3; ++i) plans.put(1, plan("index", (10 * i + 1) * minute));
  plans.note(1, {.outline = {"table"}, .total_cost = 7, .at_ns = 60 * minute});
  EXPECT_EQ(plans.find(1)->outline.front(), "index");
  EXPECT_EQ(plans.total_cost(1), 7) << "the newest";
  EXPECT_FALSE(plans.put(1, plan("index", 62 * minute)));
  EXPECT_FALSE(plans.last_turn(1));
  EXPECT_TRUE(plans.changes().empty());
  plans.note(1, {.at_ns = 70 * minute, .why_none = "it can't be reached"});
  EXPECT_EQ(plans.find(1)->outline.front(), "index");
  EXPECT_EQ(plans.total_cost(1), 0) << "the last plan's";
  EXPECT_FALSE(plans.total_cost(2));
}

TEST(TemplatePlans, ASlowQuerysIsNotComparedWithItsTemplates) {
  TemplatePlans plans;
  plans.put(1, plan("index", minute));
  EXPECT_FALSE(plans.put(1, plan("table", 2 * minute), PlanOf::slow_query));
  EXPECT_FALSE(plans.put(1, plan("index", 3 * minute)));
  EXPECT_FALSE(plans.last_turn(1));
  EXPECT_EQ(plans.find(1)->at_ns, 3 * minute);
  EXPECT_TRUE(plans.put(1, plan("index", 4 * minute), PlanOf::slow_query)) << "slow ones are";
  EXPECT_EQ(plans.last_turn(1)->after.at_ns, 4 * minute);
}

TEST(TemplatePlans, WhatIsNotedDisplacesNothingThatIsWatched) {
  TemplatePlans plans;
  plans.put(1, plan("index", minute));
  for (std::uint64_t i = 2; i < 2 * TemplatePlans::most_noted; ++i)
    plans.note(i, plan("table", 2 * minute + static_cast<std::int64_t>(i)));
  EXPECT_TRUE(plans.find(1));
  EXPECT_FALSE(plans.find(2));
  EXPECT_TRUE(plans.find(2 * TemplatePlans::most_noted - 1));
}

TEST(TemplatePlans, AreFew) {
  TemplatePlans plans;
  for (std::uint64_t i = 0; i < 2 * TemplatePlans::most_watched; ++i) {
    plans.put(i, plan("index", static_cast<std::int64_t>(2 * i)));
    plans.put(i, plan("table", static_cast<std::int64_t>(2 * i + 1)));
  }
  EXPECT_FALSE(plans.find(0));
  EXPECT_TRUE(plans.find(2 * TemplatePlans::most_watched - 1));
  EXPECT_EQ(plans.changes().size(), TemplatePlans::most_changes);
  EXPECT_EQ(plans.changes().front().fingerprint, 2 * TemplatePlans::most_watched - 1);
  EXPECT_EQ(plans.changes_found(), 2 * TemplatePlans::most_watched);
}

}  // namespace
}  // namespace millrace
