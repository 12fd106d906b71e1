#include "executor/waiting_queue.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace millrace::executor {
namespace {

constexpr std::int64_t ms = 1'000'000, second = 1000 * ms;

struct Queue {
  std::shared_ptr<WaitingQuery> add(std::string_view user, Priority priority, std::int64_t now,
                                    std::int64_t predicted = 0, std::string_view project = "") {
    kept.push_back(parties.find(user, project));
    WaitingQuery::Wanted wanted{.party = kept.back(), .priority = priority, .predicted = predicted};
    auto query = std::make_shared<WaitingQuery>(std::move(wanted), std::function<void()>(), now);
    queue.add(query, now);
    return query;
  }

  Parties parties;
  std::vector<std::shared_ptr<Party>> kept;
  WaitingQueue queue;
};

TEST(WaitingQueue, HigherPrioritiesComeFirst) {
  Queue queue;
  const auto low = queue.add("ada", Priority::low, 1);
  const auto emergency = queue.add("ada", Priority::emergency, 2);
  const auto normal = queue.add("ada", Priority::normal, 3);
  const auto high = queue.add("ada", Priority::high, 4);
  const auto critical = queue.add("ada", Priority::critical, 5);
  EXPECT_EQ(queue.queue.position(*normal), 3);
  for (const auto& next : {emergency, critical, high, normal, low}) EXPECT_EQ(queue.queue.take(6), next);
  EXPECT_EQ(queue.queue.take(6), nullptr);
}

TEST(WaitingQueue, OneThatHasWaitedRises) {
  Queue queue;
  const auto low = queue.add("ada", Priority::low, 0);
  for (std::int64_t at = 0; at < 4; ++at) {
    const auto high = queue.add("bob", Priority::high, at * WaitingQueue::ageing);
    const auto next = queue.queue.take(at * WaitingQueue::ageing);
    if (at < 2) {
      EXPECT_EQ(next, high);
    } else {
      EXPECT_EQ(next, at == 2 ? low : nullptr) << "at the same level who has used less, or came first";
      break;
    }
  }
}

TEST(WaitingQueue, ShortOnesOvertakeLongOnesButNotForEver) {
  Queue queue;
  const auto longer = queue.add("ada", Priority::normal, 0, 100 * ms);
  const auto shorter = queue.add("ada", Priority::normal, 10 * ms, 1 * ms);
  EXPECT_EQ(queue.queue.take(10 * ms), shorter);
  const auto late = queue.add("ada", Priority::normal, 2 * second, 1 * ms);
  EXPECT_EQ(queue.queue.take(2 * second), longer);
  EXPECT_EQ(queue.queue.take(2 * second), late);
}

TEST(WaitingQueue, WhoHasFewerRunningComesFirst) {
  Queue queue;
  const auto greedy = queue.parties.find("greedy", "");
  const auto first = queue.add("greedy", Priority::normal, 1);
  const auto modest = queue.add("modest", Priority::normal, 2);
  greedy->add_running();
  EXPECT_EQ(queue.queue.take(3), modest);
  EXPECT_EQ(queue.queue.take(3), first);
}

/// Slots go round: at any time each who waits has as many as the others, but for one.
TEST(WaitingQueue, SlotsAreSharedBetweenUsersWhoeverAsksMore) {
  Queue queue;
  for (int at = 0; at < 100; ++at) queue.add("greedy", Priority::normal, at);
  for (int at = 0; at < 10; ++at) queue.add("ada", Priority::normal, 100 + at);
  for (int at = 0; at < 10; ++at) queue.add("bob", Priority::normal, 200 + at);
  std::map<const Party*, int> turns;
  for (int at = 0; at < 30; ++at) {
    const auto next = queue.queue.take(300);
    ++turns[next->wanted().party.get()];
    next->wanted().party->add_running();
    next->wanted().party->end_running(10 * ms);
  }
  EXPECT_EQ(turns[queue.parties.find("ada", "").get()], 10);
  EXPECT_EQ(turns[queue.parties.find("bob", "").get()], 10);
}

TEST(WaitingQueue, AProjectHasOneShareHoweverManyUsersItHas) {
  Queue queue;
  for (int at = 0; at < 20; ++at) queue.add("u" + std::to_string(at % 4), Priority::normal, at, 0, "big");
  for (int at = 0; at < 20; ++at) queue.add("u5", Priority::normal, at, 0, "small");
  std::map<const Party*, int> turns;
  for (int at = 0; at < 20; ++at) {
    const auto next = queue.queue.take(30);
    ++turns[next->wanted().party.get()];
    next->wanted().party->add_running();
    next->wanted().party->end_running(10 * ms);
  }
  EXPECT_EQ(turns[queue.parties.find("u5", "small").get()], 10);
  for (const auto* user : {"u0", "u1", "u2", "u3"}) {
    const int its = turns[queue.parties.find(user, "big").get()];
    EXPECT_TRUE(its == 2 || its == 3) << user << " " << its;
  }
}

TEST(WaitingQueue, WhoComesAnewIsOwedNothing) {
  Queue queue;
  const auto old = queue.parties.find("old", "");
  old->add_running();
  old->end_running(100 * second);
  for (int at = 0; at < 10; ++at) queue.add("old", Priority::normal, at);
  for (int at = 0; at < 10; ++at) queue.add("new", Priority::normal, at);
  int turns_of_old = 0;
  for (int at = 0; at < 10; ++at) {
    const auto next = queue.queue.take(20);
    turns_of_old += next->wanted().party == old ? 1 : 0;
    next->wanted().party->add_running();
    next->wanted().party->end_running(10 * ms);
  }
  EXPECT_EQ(turns_of_old, 5);
}

TEST(WaitingQueue, TheLowestAreGivenUpFirst) {
  Queue queue;
  const auto high = queue.add("ada", Priority::high, 1);
  const auto first = queue.add("ada", Priority::low, 2);
  const auto last = queue.add("bob", Priority::low, 3);
  EXPECT_EQ(queue.queue.take_lower_than(Priority::low), nullptr);
  EXPECT_EQ(queue.queue.take_lower_than(Priority::normal), last);
  EXPECT_EQ(queue.queue.take_lowest(), first);
  EXPECT_EQ(queue.queue.take_lowest(), high);
  EXPECT_TRUE(queue.queue.empty());
}

}  // namespace
}  // namespace millrace::executor
