#include "http/plan_asker.hpp"

#include <gtest/gtest.h>

#include "base/clock.hpp"

namespace millrace::http {
namespace {

using namespace std::chrono_literals;

class Asking : public testing::Test {
 protected:
  std::shared_ptr<PlanAsker> asker(PlanAsker::Budget budget) {
    return std::make_shared<PlanAsker>(
        monitor_, plans_, [this](optimizer::PlanRequest request) { return planned(std::move(request)); }, context_,
        budget);
  }
  void be_slow(std::uint64_t fingerprint, std::string text, sql::StatementKind kind = sql::StatementKind::select) {
    monitor_->add_slow(0, {.fingerprint = fingerprint,
                           .kind = static_cast<std::uint8_t>(kind),
                           .text = std::move(text),
                           .user = "ada",
                           .database = "shop",
                           .duration_ns = 2'000'000'000});
    now_ += 2'000'000'000;
    monitor_->tick(0, now_);
    monitor_->make_history(now_);
  }
  /// Another minute's calls of a statement that takes the most.
  void be_called(std::uint64_t fingerprint, const std::string& text, const std::string& user = "bob") {
    const QueryRecord record{.fingerprint = fingerprint, .kind = 1, .started_ns = now_, .duration_ns = 1'000'000};
    if (monitor_->record(0, record)) {
      monitor_->describe(0, {.fingerprint = fingerprint, .kind = 1, .text = text, .user = user, .database = "shop"});
    }
    now_ += 60'000'000'000;
    monitor_->tick(0, now_);
    monitor_->make_history(now_);
    templates_.observe(monitor_->history()->template_totals(), now_);
  }
  void look(PlanAsker& asker, const std::vector<std::uint64_t>& suspects = {}) {
    asker.look(templates_, suspects, [this](const PlanChange& change) { told_.push_back(change); });
    context_.restart();
    context_.run();
  }

  std::vector<optimizer::PlanRequest> asked_;
  std::string operation_ = "Index Scan", sqlstate_;
  std::shared_ptr<TemplatePlans> plans_ = std::make_shared<TemplatePlans>();
  std::vector<PlanChange> told_;

 private:
  asio::awaitable<Result<optimizer::PlannedQuery>> planned(optimizer::PlanRequest request) {
    asked_.push_back(std::move(request));
    if (operation_.empty()) co_return fail("it can't be reached", sqlstate_);
    co_return optimizer::PlannedQuery{.plan = {.operation = operation_, .relation = "pages", .total_cost = 8}};
  }

  asio::io_context context_;
  TemplateSeries templates_;
  std::int64_t now_ = now_ns();
  std::shared_ptr<QueryPerformanceMonitor> monitor_ = std::make_shared<QueryPerformanceMonitor>(
      1, std::vector<StatementKindLabel>{{"empty", StatementGroup::other}, {"select", StatementGroup::read}},
      RecordingOptions{.normalized = [](std::string_view text) { return std::string(text); }});
};

TEST_F(Asking, AboutASlowQueryAsWhoSentIt) {
  const auto one = asker({.between = 0s, .between_of_one = 0s});
  be_slow(1, "SELECT 1");
  look(*one);
  ASSERT_EQ(asked_.size(), 1U);
  EXPECT_EQ(asked_[0].query, "SELECT 1");
  EXPECT_EQ(asked_[0].user, "ada");
  EXPECT_EQ(asked_[0].database, "shop");
  EXPECT_EQ(plans_->find(1)->outline, (std::vector<std::string>{"Index Scan on pages"}));
  look(*one);
  EXPECT_EQ(asked_.size(), 1U);
}

TEST_F(Asking, AChangeIsToldOnce) {
  const auto one = asker({.between = 0s, .between_of_one = 0s});
  be_slow(1, "SELECT 1");
  look(*one);
  operation_ = "";
  be_slow(1, "SELECT 1");
  look(*one);
  EXPECT_EQ(plans_->find(1)->why_none, "it can't be reached");
  operation_ = "Seq Scan";
  be_slow(1, "SELECT 2");
  look(*one);
  look(*one);
  look(*one);
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(told_[0].before.outline.front(), "Index Scan on pages");
  EXPECT_EQ(told_[0].after.outline.front(), "Seq Scan on pages");
}

TEST_F(Asking, ASlowQuerysOtherPlanIsNoChangeOfItsTemplates) {
  const auto one = asker({.between = 0s, .between_of_one = 0s, .before_first = 0s});
  for (int i = 0; i < 2; ++i) be_called(1, "SELECT 1");
  for (int i = 0; i < 3; ++i) look(*one);
  ASSERT_FALSE(asked_.empty()) << "of its template's sample";
  operation_ = "Seq Scan";
  be_slow(1, "SELECT 2");
  look(*one);
  EXPECT_EQ(asked_.back().query, "SELECT 2");
  EXPECT_TRUE(told_.empty());
}

TEST_F(Asking, WhatIsWrongWithAConstantIsNotShown) {
  const auto one = asker({.between = 0s, .between_of_one = 0s});
  operation_ = "";
  sqlstate_ = "22P02";
  be_slow(1, "SELECT 1");
  look(*one);
  EXPECT_FALSE(plans_->find(1)->why_none.contains("it can't be reached"));
  EXPECT_TRUE(plans_->find(1)->why_none.contains("22P02"));
}

TEST_F(Asking, KeepsToItsBudget) {
  const auto one = asker({.between = 0s, .between_of_one = 1h});
  for (int i = 0; i < 5; ++i) {
    be_slow(1, "SELECT 1");
    look(*one);
  }
  EXPECT_EQ(asked_.size(), 1U);
  be_slow(2, "SELECT 2");
  look(*one);
  EXPECT_EQ(asked_.size(), 2U);
  const auto other = asker({.between = 1h, .between_of_one = 0s});
  for (std::uint64_t i = 10; i < 15; ++i) {
    be_slow(i, "SELECT 1");
    look(*other);
  }
  EXPECT_EQ(asked_.size(), 3U);
}

TEST_F(Asking, WhatTakesLongerIsAskedAboutAtOnceAndOnce) {
  const auto one = asker({.between = 0s, .between_of_one = 1h});
  for (int i = 0; i < 2; ++i) {
    be_called(1, "SELECT 1");
    be_called(2, "SELECT 2");
  }
  look(*one);
  EXPECT_TRUE(asked_.empty()) << "none has taken much for so long";
  for (int i = 0; i < 3; ++i) look(*one, {2});
  ASSERT_EQ(asked_.size(), 1U);
  EXPECT_EQ(asked_[0].query, "SELECT 2");
  look(*one);
  be_called(2, "SELECT 2");
  look(*one, {2});
  EXPECT_EQ(asked_.size(), 2U) << "it has begun again";
}

TEST_F(Asking, TheMostUrgentFirst) {
  const auto one = asker({.between = 0s, .between_of_one = 1h});
  for (std::uint64_t i = 0; i < 8; ++i) be_called(i % 4, fmt::format("SELECT {}", i % 4));
  for (int i = 0; i < 2; ++i) look(*one, {3, 1});
  ASSERT_EQ(asked_.size(), 2U);
  EXPECT_EQ(asked_[0].query, "SELECT 3");
  EXPECT_EQ(asked_[1].query, "SELECT 1");
}

TEST_F(Asking, WhatTakesTheMostIsAskedAboutSoon) {
  const auto one = asker({.between = 0s, .between_of_one = 1h, .before_first = 0s});
  for (int i = 0; i < 2; ++i) be_called(1, "SELECT 1");
  for (int i = 0; i < 3; ++i) look(*one);
  EXPECT_EQ(asked_.size(), 1U) << "and the next time after an hour";
}

TEST_F(Asking, AllOthersWhereThereIsNothingElseToAsk) {
  const auto one = asker({.between = 0s, .between_of_one = 1h, .between_of_others = 0s, .before_first = 1h});
  be_called(99, "SELECT once");
  for (std::uint64_t i = 0; i < 60; ++i) be_called(1 + i % 30, fmt::format("SELECT {}", i % 30));
  for (int i = 0; i < 40; ++i) look(*one);
  EXPECT_EQ(asked_.size(), 10U) << "not the twenty that take the most, nor what was called once or not since";
  EXPECT_TRUE(std::ranges::all_of(asked_, [](const auto& request) {
    return request.user == "bob" && request.database == "shop" && request.only_by_its_log_in;
  }));
  for (std::uint64_t i = 1; i <= 30; ++i) be_called(i, fmt::format("SELECT {}", i));
  for (int i = 0; i < 40; ++i) look(*one);
  EXPECT_EQ(asked_.size(), 20U) << "what was called since";
}

TEST_F(Asking, OthersOnceAnHour) {
  const auto one = asker({.between = 0s, .between_of_one = 1h, .before_first = 1h});
  for (std::uint64_t i = 0; i < 60; ++i) be_called(1 + i % 30, fmt::format("SELECT {}", i % 30));
  for (int i = 0; i < 40; ++i) look(*one);
  for (std::uint64_t i = 1; i <= 30; ++i) be_called(i, fmt::format("SELECT {}", i));
  for (int i = 0; i < 40; ++i) look(*one);
  EXPECT_EQ(asked_.size(), 10U);
}

TEST_F(Asking, OthersThatNobodyCallsAnyMoreAreNotAskedAbout) {
  const auto one = asker({.between = 0s, .between_of_one = 1h, .before_first = 1h, .recently = -1ns});
  for (std::uint64_t i = 0; i < 60; ++i) be_called(1 + i % 30, fmt::format("SELECT {}", i % 30));
  for (int i = 0; i < 40; ++i) look(*one);
  EXPECT_TRUE(asked_.empty());
}

TEST_F(Asking, PlansOfOthersAreNoChanges) {
  const auto one = asker({.between = 0s, .between_of_one = 1h, .between_of_others = 0s, .before_first = 1h});
  for (const auto* operation : {"Index Scan", "Seq Scan"}) {
    operation_ = operation;
    for (std::uint64_t i = 0; i < 60; ++i) be_called(1 + i % 30, fmt::format("SELECT {}", i % 30));
    for (int i = 0; i < 40; ++i) look(*one);
  }
  EXPECT_EQ(asked_.size(), 20U);
  EXPECT_TRUE(told_.empty());
}

TEST_F(Asking, WhatIsUrgentWaitsForNoOther) {
  const auto one = asker({.between = 1h, .between_of_one = 1h, .before_first = 0s});
  for (std::uint64_t i = 0; i < 8; ++i) be_called(i % 4, fmt::format("SELECT {}", i % 4));
  for (int i = 0; i < 3; ++i) look(*one);
  EXPECT_EQ(asked_.size(), 1U) << "the budget";
  for (int i = 0; i < 3; ++i) look(*one, {2});
  ASSERT_EQ(asked_.size(), 2U);
  EXPECT_EQ(asked_[1].query, "SELECT 2");
}

TEST_F(Asking, ARefusedLogInIsNotTriedAgainAtOnce) {
  const auto one = asker({.between = 0s, .between_of_one = 0s, .before_first = 0s});
  std::uint64_t first = 100;
  for (const auto* sqlstate : {"28P01", "53300"}) {
    sqlstate_ = sqlstate;
    operation_ = "";
    first *= 2;
    asked_.clear();
    const std::string user = "with " + sqlstate_;
    for (std::uint64_t i = 0; i < 30; ++i) {
      be_called(first + i % 3, fmt::format("SELECT {}", i), user);
      look(*one);
    }
    ASSERT_EQ(asked_.size(), 1U) << sqlstate_;
    operation_ = "Index Scan";
    be_slow(7, "SELECT 1");
    look(*one);
    EXPECT_EQ(asked_.back().user, "ada") << "others are asked";
  }
}

TEST_F(Asking, WhatWasToldOfWithoutAUserIsAskedAboutWhenItIsSent) {
  const auto one = asker({.between = 0s, .between_of_one = 0s, .before_first = 0s});
  for (int i = 0; i < 3; ++i) be_called(1, "SELECT 1", "");
  look(*one);
  EXPECT_TRUE(asked_.empty());
  for (int i = 0; i < 3; ++i) be_called(1, "SELECT 1", "bob");
  look(*one);
  ASSERT_EQ(asked_.size(), 1U);
  EXPECT_EQ(asked_[0].user, "bob");
}

TEST_F(Asking, AsWhoRunsItNowWhereItsUserIsGone) {
  const auto one = asker({.between = 0s, .between_of_one = 0s, .before_first = 0s});
  for (int i = 0; i < 2; ++i) be_called(1, "SELECT 1", "gone");
  operation_ = "";
  look(*one);
  be_called(1, "SELECT 1", "there");
  look(*one);
  ASSERT_EQ(asked_.size(), 2U);
  EXPECT_EQ(asked_[1].user, "gone") << "it was only that the server couldn't be reached";
  sqlstate_ = "28000";
  be_called(1, "SELECT 1", "there");
  for (int i = 0; i < 2; ++i) look(*one);
  for (int i = 0; i < 3; ++i) be_called(1, "SELECT 1", "there");
  look(*one);
  ASSERT_EQ(asked_.size(), 4U);
  EXPECT_EQ(asked_[3].user, "there");
}

TEST_F(Asking, OnlyWhatCanBePlannedAndIsWhole) {
  const auto one = asker({.between = 0s, .between_of_one = 0s});
  be_slow(1, "DO $$BEGIN END$$", sql::StatementKind::do_block);
  look(*one);
  be_slow(2, std::string(sql::Statement::most_text, 'x'));
  look(*one);
  be_slow(3, "");
  look(*one);
  EXPECT_TRUE(asked_.empty());
}

}  // namespace
}  // namespace millrace::http
