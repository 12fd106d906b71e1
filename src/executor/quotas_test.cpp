#include "executor/quotas.hpp"

#include <gtest/gtest.h>

#include "executor/adaptive_query_executor.hpp"
#include "executor/quota_text.hpp"

namespace millrace::executor {
namespace {

constexpr std::int64_t second = 1'000'000'000, hour = 3600 * second;

TEST(Account, CountsByTheHourAndByTheDay) {
  Account account({.hourly_query_limit = 2, .daily_query_limit = 3}, true);
  EXPECT_FALSE(account.charge(1 * second));
  EXPECT_FALSE(account.charge(2 * second));
  const auto exceeded = account.charge(3 * second);
  ASSERT_TRUE(exceeded);
  EXPECT_EQ(exceeded->window, Window::hour);
  EXPECT_EQ(exceeded->limit, 2);
  EXPECT_EQ(exceeded->resets_in, hour - 2 * second);
  EXPECT_FALSE(account.charge(1 * second + hour));
  const auto by_day = account.charge(2 * second + hour);
  ASSERT_TRUE(by_day);
  EXPECT_EQ(by_day->window, Window::day);
  EXPECT_EQ(account.used(Window::day, 2 * second + hour).queries, 3);
  account.take_back();
  EXPECT_FALSE(account.charge(3 * second + hour));
}

TEST(Account, AQuotaOfNothingLetsNothingIn) {
  Account account({.hourly_query_limit = 0}, true);
  EXPECT_TRUE(account.charge(1));
}

TEST(Account, CountsWithOthers) {
  Account account({.hourly_query_limit = 5}, true);
  EXPECT_FALSE(account.charge(1 * second));
  EXPECT_FALSE(account.charge(2 * second));
  const auto told = account.untold(Window::hour, 2 * second);
  EXPECT_EQ(told.known, 0);
  EXPECT_EQ(told.counted, 2);
  EXPECT_EQ(told.left, hour - second);
  EXPECT_FALSE(account.charge(3 * second)) << "while Redis hasn't answered yet";
  account.learn(Window::hour, told, 4, hour - 20 * second, 3 * second);
  const auto used = account.used(Window::hour, 3 * second);
  EXPECT_EQ(used.queries, 5) << "four, and one that wasn't told";
  EXPECT_EQ(used.resets_in, hour - 20 * second) << "the others' window began before";
  const auto exceeded = account.charge(4 * second);
  ASSERT_TRUE(exceeded);
  EXPECT_EQ(exceeded->resets_in, hour - 21 * second);
  const auto next = account.untold(Window::hour, 4 * second);
  EXPECT_EQ(next.known, 4);
  EXPECT_EQ(next.counted, 1);
  account.take_back();
  account.take_back();
  EXPECT_EQ(account.untold(Window::hour, 4 * second).counted, -1) << "of what was told";
  EXPECT_FALSE(account.charge(hour - 17 * second)) << "a new window";
  EXPECT_EQ(account.used(Window::hour, hour - 17 * second).queries, 1);
}

TEST(Account, AnAnswerThatIsLostIsToldAgain) {
  Account account({}, true);
  EXPECT_FALSE(account.charge(1 * second));
  EXPECT_EQ(account.untold(Window::day, 2 * second).counted, 1);
  EXPECT_EQ(account.untold(Window::day, 3 * second).counted, 1);
}

TEST(Account, AnAnswerOfAWindowThatIsOverCountsNothing) {
  Account account({.hourly_query_limit = 3}, true);
  EXPECT_FALSE(account.charge(1 * second));
  const auto told = account.untold(Window::hour, 1 * second);
  EXPECT_FALSE(account.charge(1 * second + hour));
  account.learn(Window::hour, told, 3, second, 1 * second + hour);
  EXPECT_EQ(account.used(Window::hour, 1 * second + hour).queries, 1);
  EXPECT_FALSE(account.charge(2 * second + hour));
}

TEST(Account, LearnsOfAWindowInWhichItHasCountedNothing) {
  Account account({.hourly_query_limit = 3}, true);
  account.learn(Window::hour, account.untold(Window::hour, second), 3, hour / 2, second);
  EXPECT_TRUE(account.charge(2 * second));
  account.learn(Window::day, account.untold(Window::day, second), 0, 0, second);
  EXPECT_EQ(account.used(Window::day, second).queries, 0);
}

TEST(Quotas, OthersHearOfWhoWasCounted) {
  Quotas quotas;
  quotas.set_defaults(true, {.hourly_query_limit = 10});
  const auto news = quotas.count_with_others();
  const auto ada = quotas.account(Quotas::Of::user, "ada", 1), bob = quotas.account(Quotas::Of::user, "bob", 1);
  EXPECT_EQ(news->take(10).size(), 2) << "who is asked for wants to hear of others";
  ada->is_told();
  bob->is_told();
  EXPECT_FALSE(ada->charge(1));
  EXPECT_FALSE(ada->charge(1));
  const auto told = news->take(10);
  ASSERT_EQ(told.size(), 1) << "once";
  EXPECT_EQ(told[0]->key(), "uada");
  EXPECT_TRUE(ada->follows_others(1));
  EXPECT_FALSE(ada->follows_others(1 + 24 * hour));
  EXPECT_FALSE(bob->follows_others(1)) << "it hasn't used anything";
}

TEST(QuotaText, IsReadAsItWasWritten) {
  const std::vector<Quota> quotas = {{},
                                     {.hourly_query_limit = 0, .priority_boost = -4},
                                     {.max_concurrent_queries = 1,
                                      .hourly_query_limit = UINT64_MAX,
                                      .daily_query_limit = 3,
                                      .max_execution_time_seconds = 604800,
                                      .max_memory_mb = UINT32_MAX,
                                      .priority_boost = 4}};
  for (const Quota& quota : quotas) {
    const auto read = parse_quota(quota_text(quota));
    ASSERT_TRUE(read) << quota_text(quota);
    EXPECT_EQ(*read, quota) << quota_text(quota);
  }
  EXPECT_EQ(parse_quota("of_a_later_version=x hourly_query_limit=7")->hourly_query_limit, 7);
}

TEST(QuotaText, WhatMayNotBeSetIsRefused) {
  for (const std::string_view text :
       {"", "x", "hourly_query_limit=", "hourly_query_limit=-1", "hourly_query_limit=18446744073709551616",
        "hourly_query_limit=1x", "max_concurrent_queries=0", "max_memory_mb=0", "max_execution_time_seconds=604801",
        "priority_boost=5", "priority_boost=1 ", "hourly_query_limit=1\n"}) {
    EXPECT_FALSE(parse_quota(text)) << text;
  }
}

TEST(QuotaText, OfWhatIsSetSaysSinceWhen) {
  const SetQuota set{.quota = Quota{.hourly_query_limit = 7}, .changed = 1'764'538'000'123};
  EXPECT_EQ(*parse_set_quota("changed=1764538000123 " + set_quota_text(set)), set);
  const SetQuota removed{.quota = {}, .changed = 5};
  EXPECT_EQ(*parse_set_quota("changed=5 " + set_quota_text(removed)), removed);
  EXPECT_EQ(parse_set_quota("hourly_query_limit=7")->changed, 0) << "nobody has said";
  EXPECT_FALSE(parse_set_quota("removed")->quota);
  for (const std::string_view text : {"", "changed=5", "changed=5 ", "changed= removed", "changed=-1 removed",
                                      "changed=9007199254740992 removed", "changed=5 removed ", "changed=5 x"}) {
    EXPECT_FALSE(parse_set_quota(text)) << text;
  }
}

TEST(Quotas, DefaultsHoldWhereNothingIsSet) {
  Quotas quotas;
  quotas.set_defaults(true, {.hourly_query_limit = 1});
  const auto ada = quotas.account(Quotas::Of::user, "ada", 1);
  const auto project = quotas.account(Quotas::Of::project, "ada", 1);
  EXPECT_EQ(ada->quota().hourly_query_limit, 1);
  EXPECT_EQ(project->quota(), Quota());
  quotas.set(Quotas::Of::user, "ada", Quota{.hourly_query_limit = 5}, 1);
  quotas.set_defaults(true, {.hourly_query_limit = 2});
  EXPECT_EQ(ada->quota().hourly_query_limit, 5);
  quotas.set(Quotas::Of::user, "ada", std::nullopt, 1);
  EXPECT_EQ(ada->quota().hourly_query_limit, 2);
}

TEST(AdaptiveQueryExecutor, QueriesOverAQuotaWaitAndLetOthersPass) {
  AdaptiveQueryExecutor executor({.most = 10, .finds_best = false, .wait = {}});
  executor.quotas().set_defaults(true, {.max_concurrent_queries = 1});
  const auto ada = executor.party("ada", ""), bob = executor.party("bob", "");
  auto first = executor.try_take(*ada, nullptr, 1);
  EXPECT_FALSE(executor.try_take(*ada, nullptr, 2));
  const auto waits = executor.wait({.party = ada}, {}, 2);
  EXPECT_EQ(waits->state(), WaitingQuery::State::waits);
  const auto other = executor.wait({.party = bob}, {}, 3);
  EXPECT_EQ(other->state(), WaitingQuery::State::let_in);
  EXPECT_EQ(executor.figures(3).running, 2);
  first.give_back(4);
  EXPECT_EQ(waits->state(), WaitingQuery::State::let_in);
  executor.stop_waiting(*waits, 5);
  executor.stop_waiting(*other, 5);
  EXPECT_EQ(executor.figures(5).running, 0);
}

TEST(AdaptiveQueryExecutor, AQuotaOfAUserHoldsInAllProjects) {
  AdaptiveQueryExecutor executor({.most = 10, .finds_best = false, .wait = {}});
  executor.quotas().set_defaults(true, {.max_concurrent_queries = 1});
  const auto one = executor.party("ada", "p"), other = executor.party("ada", "q");
  auto running = executor.try_take(*one, nullptr, 1);
  std::vector<std::shared_ptr<WaitingQuery>> waiting;
  for (int at = 0; at < 3; ++at) waiting.push_back(executor.wait({.party = other}, {}, 2));
  for (std::int64_t at = 0; at < 3; ++at) {
    EXPECT_EQ(waiting[static_cast<std::size_t>(at)]->state(), WaitingQuery::State::waits);
    running.give_back(3 + at);
    EXPECT_EQ(waiting[static_cast<std::size_t>(at)]->state(), WaitingQuery::State::let_in);
    running = executor.take(*waiting[static_cast<std::size_t>(at)], 3 + at);
  }
}

TEST(AdaptiveQueryExecutor, AUsersQuotaHoldsNobodyElseOfAProjectBack) {
  AdaptiveQueryExecutor executor({.most = 10, .finds_best = false, .wait = {}});
  executor.quotas().set_defaults(true, {.max_concurrent_queries = 1});
  const auto ada = executor.party("ada", "p"), bob = executor.party("bob", "p");
  const auto running = executor.try_take(*ada, nullptr, 1);
  const auto waits = executor.wait({.party = ada}, {}, 2);
  EXPECT_EQ(waits->state(), WaitingQuery::State::waits);
  const auto other = executor.wait({.party = bob}, {}, 3);
  EXPECT_EQ(other->state(), WaitingQuery::State::let_in);
  executor.stop_waiting(*other, 4);
  executor.stop_waiting(*waits, 4);
}

TEST(AdaptiveQueryExecutor, AProjectsQuotaHoldsItsUsersBack) {
  AdaptiveQueryExecutor executor({.most = 10, .finds_best = false, .wait = {}});
  executor.quotas().set_defaults(true, {});
  executor.quotas().set(Quotas::Of::project, "p", Quota{.max_concurrent_queries = 1}, 1);
  const auto ada = executor.party("ada", "p");
  auto running = executor.try_take(*ada, nullptr, 1);
  const auto waits = executor.wait({.party = executor.party("bob", "p")}, {}, 2);
  EXPECT_EQ(waits->state(), WaitingQuery::State::waits);
  const auto other = executor.wait({.party = executor.party("bob", "")}, {}, 3);
  EXPECT_EQ(other->state(), WaitingQuery::State::let_in);
  executor.stop_waiting(*other, 3);
  executor.quotas().set(Quotas::Of::project, "p", Quota{.max_concurrent_queries = 2}, 1);
  executor.follow_quotas(4);
  EXPECT_EQ(waits->state(), WaitingQuery::State::let_in);
  executor.stop_waiting(*waits, 5);
}

TEST(AdaptiveQueryExecutor, AProjectsQuotaCountsForItsUsersTogether) {
  AdaptiveQueryExecutor executor({});
  executor.quotas().set_defaults(true, {.hourly_query_limit = 10});
  executor.quotas().set(Quotas::Of::project, "p", Quota{.hourly_query_limit = 2}, 1);
  const auto ada = executor.party("ada", "p"), bob = executor.party("bob", "p");
  EXPECT_FALSE(executor.charge(*ada, 1));
  EXPECT_FALSE(executor.charge(*bob, 1));
  const auto exceeded = executor.charge(*ada, 1);
  ASSERT_TRUE(exceeded);
  EXPECT_TRUE(exceeded->is_of_project);
  EXPECT_EQ(ada->user_account()->used(Window::hour, 1).queries, 1);
  EXPECT_FALSE(executor.charge(*executor.party(std::string(1, '\0') + "postgres", ""), 1));
}

}  // namespace
}  // namespace millrace::executor
