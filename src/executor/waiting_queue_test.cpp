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

  std::shared_ptr<WaitingQuery> take(std::int64_t now) {
    auto* const next = queue.next(now).query;
    return next == nullptr ? nullptr : queue.take(*next, now);
  }

  Quotas quotas;
  Parties parties{quotas};
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
  for (const auto& next : {emergency, critical, high, normal, low}) EXPECT_EQ(queue.take(6), next);
  EXPECT_EQ(queue.take(6), nullptr);
}

TEST(WaitingQueue, WhereOneStands) {
  Queue queue;
  const auto low = queue.add("ada", Priority::low, 1);
  const auto normal = queue.add("ada", Priority::normal, 2);
  const auto later = queue.add("bob", Priority::normal, 3);
  const auto high = queue.add("ada", Priority::high, 4);
  EXPECT_EQ(queue.queue.position(*high), 1);
  EXPECT_EQ(queue.queue.position(*normal), 2);
  EXPECT_EQ(queue.queue.position(*later), 3);
  EXPECT_EQ(queue.queue.position(*low), 4);
  EXPECT_EQ(queue.take(5), high);
  EXPECT_EQ(queue.queue.position(*low), 3);
}

TEST(WaitingQueue, OneThatHasWaitedRises) {
  Queue queue;
  const auto low = queue.add("ada", Priority::low, 0);
  for (std::int64_t at = 0; at < 4; ++at) {
    const auto high = queue.add("bob", Priority::high, at * WaitingQueue::ageing);
    const auto next = queue.take(at * WaitingQueue::ageing);
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
  EXPECT_EQ(queue.take(10 * ms), shorter);
  const auto late = queue.add("ada", Priority::normal, 2 * second, 1 * ms);
  EXPECT_EQ(queue.take(2 * second), longer);
  EXPECT_EQ(queue.take(2 * second), late);
}

TEST(WaitingQueue, WhoHasFewerRunningComesFirst) {
  Queue queue;
  const auto greedy = queue.parties.find("greedy", "");
  const auto first = queue.add("greedy", Priority::normal, 1);
  const auto modest = queue.add("modest", Priority::normal, 2);
  greedy->add_running();
  EXPECT_EQ(queue.take(3), modest);
  EXPECT_EQ(queue.take(3), first);
}

/// Slots go round: at any time each who waits has as many as the others, but for one.
TEST(WaitingQueue, SlotsAreSharedBetweenUsersWhoeverAsksMore) {
  Queue queue;
  for (int at = 0; at < 100; ++at) queue.add("greedy", Priority::normal, at);
  for (int at = 0; at < 10; ++at) queue.add("ada", Priority::normal, 100 + at);
  for (int at = 0; at < 10; ++at) queue.add("bob", Priority::normal, 200 + at);
  std::map<const Party*, int> turns;
  for (int at = 0; at < 30; ++at) {
    const auto next = queue.take(300);
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
    const auto next = queue.take(30);
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
    const auto next = queue.take(20);
    turns_of_old += next->wanted().party == old ? 1 : 0;
    next->wanted().party->add_running();
    next->wanted().party->end_running(10 * ms);
  }
  EXPECT_EQ(turns_of_old, 5);
}

/// Of two who take turns, each with one query at a time, whichever came first.
TEST(WaitingQueue, WhoHadAllForHimselfHardlyPaysForIt) {
  for (const bool old_is_first : {true, false}) {
    Queue queue;
    const auto old = queue.parties.find("old", ""), late = queue.parties.find("late", "");
    queue.kept = {old, late};
    old->add_running();
    old->end_running(100 * second);
    queue.add(old_is_first ? "old" : "late", Priority::normal, 0);
    queue.add(old_is_first ? "late" : "old", Priority::normal, 0);
    int turns_of_old = 0;
    constexpr int turns = 100;
    for (int at = 0; at < turns; ++at) {
      const auto next = queue.take(at);
      turns_of_old += next->wanted().party == old ? 1 : 0;
      next->wanted().party->add_running();
      next->wanted().party->end_running(100 * ms);
      queue.add(next->wanted().party == old ? "old" : "late", Priority::normal, at);
    }
    constexpr int in_debt = static_cast<int>(WaitingQueue::most_debt / (100 * ms));
    EXPECT_GE(turns_of_old, (turns - in_debt) / 2 - 1);
    EXPECT_LE(turns_of_old, turns / 2 + 1);
  }
}

TEST(WaitingQueue, WhoTakesLongHasFewerTurns) {
  Queue queue;
  queue.add("short", Priority::normal, 0);
  queue.add("long", Priority::normal, 0);
  std::map<const Party*, int> turns;
  for (int at = 0; at < 110; ++at) {
    const auto next = queue.take(at);
    const bool is_long = next->wanted().party == queue.parties.find("long", "");
    ++turns[next->wanted().party.get()];
    next->wanted().party->add_running();
    next->wanted().party->end_running(is_long ? 100 * ms : 10 * ms);
    queue.add(is_long ? "long" : "short", Priority::normal, at);
  }
  EXPECT_NEAR(turns[queue.parties.find("long", "").get()], 10, 1);
}

/// Each step looks at a few of those who wait, not at all: or else this would take hours.
TEST(WaitingQueue, HoldsVeryMany) {
  constexpr int many = 60'000;
  Queue queue;
  std::vector<std::shared_ptr<WaitingQuery>> all;
  for (int at = 0; at < many; ++at)
    all.push_back(queue.add("user" + std::to_string(at), static_cast<Priority>(1 + at % 5), at));
  for (int at = 0; at < many; at += 2) EXPECT_TRUE(queue.queue.remove(*all[static_cast<std::size_t>(at)]));
  for (int left = many / 2; left > 0; --left) {
    EXPECT_EQ(queue.queue.size(), left);
    EXPECT_LE(queue.queue.oldest(many), many);
    EXPECT_NE(queue.take(2 * WaitingQueue::ageing), nullptr);
  }
  EXPECT_TRUE(queue.queue.empty());
}

/// Many who have waited rise over the turns of others, and none is forgotten.
TEST(WaitingQueue, ManyRise) {
  Queue queue;
  for (int at = 0; at < 1000; ++at) queue.add("ada", Priority::low, 0);
  for (int at = 0; at < 900; ++at) queue.take(WaitingQueue::ageing * (1 + at / 200));
  EXPECT_EQ(queue.queue.sizes()[index_of(Priority::low)], 0);
  EXPECT_EQ(queue.queue.size(), 100);
}

/// By waiting long for his own share.
TEST(WaitingQueue, WhoAsksForMuchDoesNotRise) {
  Queue queue;
  for (int at = 0; at < 200; ++at) queue.add("greedy", Priority::normal, 0);
  constexpr std::int64_t every = WaitingQueue::ageing / 10;
  for (std::int64_t now = every; now < 4 * WaitingQueue::ageing; now += every) queue.take(now);
  EXPECT_EQ(queue.queue.sizes()[index_of(Priority::high)], 0);
  const auto modest = queue.add("ada", Priority::high, 4 * WaitingQueue::ageing);
  EXPECT_EQ(queue.take(4 * WaitingQueue::ageing), modest);
}

TEST(WaitingQueue, TheLowestAreGivenUpFirst) {
  Queue queue;
  const auto high = queue.add("ada", Priority::high, 1);
  const auto first = queue.add("ada", Priority::low, 2);
  const auto last = queue.add("bob", Priority::low, 3);
  EXPECT_EQ(queue.queue.take_lower_than(Priority::low), nullptr);
  EXPECT_EQ(queue.queue.take_lower_than(Priority::normal), last);
  EXPECT_EQ(queue.queue.take_lower_than(Priority::normal), first);
  EXPECT_EQ(queue.queue.take_lower_than(Priority::high), nullptr);
  EXPECT_EQ(queue.take(4), high);
  EXPECT_TRUE(queue.queue.empty());
}

}  // namespace
}  // namespace millrace::executor
