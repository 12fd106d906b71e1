#include "pipeline/rewrites.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "catalog/snapshot.hpp"

namespace millrace::pipeline {
namespace {

using State = RewriteState;

constexpr std::int64_t slow = 50'000'000;

class RewritesTest : public testing::Test {
 protected:
  RewritesTest() { rewrites.turn(true); }

  /// As often as it takes to be a candidate.
  void cost_much() {
    for (int i = 0; i < 3; ++i) rewrites.spent(*scope, question, fingerprint, slow);
  }
  void give_samples() {
    for (int i = 0; i < 3; ++i)
      rewrites.add_sample(question, {.scope = scope, .startup = {}, .settings = {}, .time_zone = {}});
  }
  void become_active(std::uint64_t catalog = 7) {
    cost_much();
    give_samples();
    prove(catalog);
  }
  void prove(std::uint64_t catalog, std::string guard = "g") {
    const auto task = rewrites.next();
    ASSERT_TRUE(task);
    auto proved = std::make_shared<ProvedRewrite>();
    proved->key = task->key;
    proved->catalog_version = catalog;
    proved->guard = std::move(guard);
    RewriteOutcome outcome;
    outcome.state = State::active;
    outcome.proved = proved;
    outcome.before_ms = 50;
    outcome.after_ms = 5;
    outcome.runs_compared = 3;
    rewrites.done(task->key, outcome);
  }
  State state() const { return rewrites.report().at(0).state; }

  static constexpr std::uint64_t fingerprint = 0x1234567890;
  Rewrites rewrites{{.pause_ns = 0, .try_again_by_catalogs_ns = 0}};
  std::shared_ptr<Scope> scope = std::make_shared<Scope>(Scope{.database = "crawl", .user = "ada"});
  std::string text = std::string("SELECT a FROM t WHERE b = $1").append(no_types);
  std::string parameters = std::string("\0\0\0\1\0\0\0\1x\0\0", 11);
  Question question{.kind = Question::Kind::execute, .text = text, .parameters = parameters};
};

TEST_F(RewritesTest, WhatCostsLittleIsNoCandidate) {
  for (int i = 0; i < 50; ++i) rewrites.spent(*scope, question, fingerprint, 1'500'000);
  EXPECT_FALSE(rewrites.concerns(fingerprint));
  EXPECT_TRUE(rewrites.report().empty());
  cost_much();
  EXPECT_TRUE(rewrites.concerns(fingerprint));
  EXPECT_TRUE(rewrites.find(*scope, question, 7).wants_sample);
  EXPECT_EQ(state(), State::candidate);
}

TEST_F(RewritesTest, ItHasItsTurnWhenItHasItsParameters) {
  int woken = 0;
  rewrites.on_work([&woken] { ++woken; });
  cost_much();
  EXPECT_FALSE(rewrites.next());
  give_samples();
  EXPECT_EQ(woken, 1);
  EXPECT_FALSE(rewrites.concerns(fingerprint));  // nothing is wanted of it until that is done
  const auto task = rewrites.next();
  ASSERT_TRUE(task);
  EXPECT_EQ(task->query, "SELECT a FROM t WHERE b = $1");
  EXPECT_EQ(task->types, no_types);
  EXPECT_EQ(task->samples.size(), 3);
  EXPECT_EQ(state(), State::proving);
  EXPECT_FALSE(rewrites.next());
}

TEST_F(RewritesTest, AQueryIsTheSameAsItsPreparedText) {
  const Question simple{.kind = Question::Kind::query, .text = "/* page 3 */ SELECT 1 FROM t ", .parameters = {}};
  const std::string prepared = std::string("SELECT 1 FROM t").append(no_types);
  for (int i = 0; i < 3; ++i) rewrites.spent(*scope, simple, fingerprint, slow);
  const Question extended{.kind = Question::Kind::execute, .text = prepared, .parameters = {}};
  EXPECT_TRUE(rewrites.find(*scope, extended, 7).wants_sample);
  rewrites.add_sample(simple, {.scope = scope, .startup = {}, .settings = {}, .time_zone = {}});
  const auto task = rewrites.next();  // it has no parameters: one is enough
  ASSERT_TRUE(task);
  EXPECT_EQ(task->samples.at(0), no_parameters);
}

TEST_F(RewritesTest, OneUsersRewriteIsNobodyElses) {
  become_active();
  EXPECT_TRUE(rewrites.find(*scope, question, 7).rewrite);
  EXPECT_FALSE(rewrites.find(Scope{.database = "crawl", .user = "bob"}, question, 7).rewrite);
  EXPECT_FALSE(rewrites.find(Scope{.database = "other", .user = "ada"}, question, 7).rewrite);
  EXPECT_FALSE(rewrites.find(Scope{.database = "crawl", .user = "ada", .settings = "timezone"}, question, 7).rewrite);
}

TEST_F(RewritesTest, OtherCatalogsTurnItOffUntilItIsProvedAgain) {
  become_active(7);
  ASSERT_TRUE(rewrites.find(*scope, question, 7).rewrite);
  EXPECT_FALSE(rewrites.find(*scope, question, 8).rewrite);
  EXPECT_EQ(state(), State::candidate);
  EXPECT_FALSE(rewrites.find(*scope, question, 7).rewrite);
  prove(8);
  EXPECT_TRUE(rewrites.find(*scope, question, 8).rewrite);
}

TEST_F(RewritesTest, WhatTheGuardRefusesIsProvedAgainButNotForEver) {
  become_active(7);
  for (int i = 0; i < 3; ++i) {
    const auto use = rewrites.find(*scope, question, 7);
    ASSERT_TRUE(use.rewrite);
    rewrites.is_out_of_date(*use.rewrite);
    EXPECT_FALSE(rewrites.find(*scope, question, 7).rewrite);
    prove(7);
  }
  EXPECT_EQ(state(), State::demoted);
  EXPECT_EQ(rewrites.counts().guards_failed, 3);
}

TEST_F(RewritesTest, WhatIsSlowerInTrafficIsDemoted) {
  become_active();
  const auto use = rewrites.find(*scope, question, 7);
  ASSERT_TRUE(use.rewrite);
  for (int i = 0; i < 30; ++i) rewrites.used(*use.rewrite, slow / 2);
  EXPECT_EQ(state(), State::active);
  for (int i = 0; i < 60; ++i) rewrites.used(*use.rewrite, 2 * slow);
  EXPECT_EQ(state(), State::demoted);
  EXPECT_FALSE(rewrites.concerns(fingerprint));
  EXPECT_FALSE(rewrites.find(*scope, question, 7).rewrite);
  EXPECT_EQ(rewrites.counts().demotions, 1);
}

TEST_F(RewritesTest, WhatTheServerRefusesIsDemoted) {
  become_active();
  rewrites.failed(*rewrites.find(*scope, question, 7).rewrite, "42703");
  EXPECT_EQ(state(), State::demoted);
}

TEST_F(RewritesTest, WhatIsNoValueIsTheParametersFaultAtFirst) {
  become_active();
  const auto use = rewrites.find(*scope, question, 7);
  ASSERT_TRUE(use.rewrite);
  for (int i = 0; i < 2; ++i) rewrites.failed(*use.rewrite, "22P02");
  rewrites.used(*use.rewrite, slow / 2);
  for (int i = 0; i < 2; ++i) rewrites.failed(*use.rewrite, "22P02");
  EXPECT_EQ(state(), State::active);
  rewrites.failed(*use.rewrite, "22P02");
  EXPECT_EQ(state(), State::demoted);
}

TEST_F(RewritesTest, WhatGaveOtherRowsIsNeverTriedAgain) {
  become_active(7);
  EXPECT_FALSE(rewrites.find(*scope, question, 8).rewrite);
  const auto task = rewrites.next();
  ASSERT_TRUE(task);
  RewriteOutcome outcome;
  outcome.state = State::rejected;
  outcome.mismatches = 1;
  outcome.runs_compared = 1;
  rewrites.done(task->key, outcome);
  cost_much();
  EXPECT_FALSE(rewrites.concerns(fingerprint));
  EXPECT_EQ(rewrites.counts().mismatches, 1);
  EXPECT_EQ(rewrites.report().at(0).mismatches, 1);
}

TEST_F(RewritesTest, WhatSomethingIsInTheWayOfIsTriedAgainButNotForEver) {
  cost_much();
  give_samples();
  int tries = 0;
  for (; tries < 100; ++tries) {
    const auto task = rewrites.next();
    if (!task) break;
    RewriteOutcome outcome;
    outcome.state = State::candidate;
    outcome.reason = "no room";
    EXPECT_EQ(task->tries, tries);
    rewrites.done(task->key, outcome);
  }
  EXPECT_EQ(tries, 10);
  EXPECT_EQ(state(), State::rejected);
  EXPECT_EQ(rewrites.report().at(0).reason, "after 10 tries: no room");
}

TEST_F(RewritesTest, WhatIsTriedAgainPausesBefore) {
  Rewrites pausing({.pause_ns = 3'600'000'000'000});
  pausing.turn(true);
  for (int i = 0; i < 3; ++i) pausing.spent(*scope, question, fingerprint, slow);
  for (int i = 0; i < 3; ++i)
    pausing.add_sample(question, {.scope = scope, .startup = {}, .settings = {}, .time_zone = {}});
  const auto task = pausing.next();
  ASSERT_TRUE(task);
  RewriteOutcome outcome;
  outcome.state = State::candidate;
  pausing.done(task->key, outcome);
  EXPECT_EQ(pausing.report().at(0).state, State::candidate);
  EXPECT_FALSE(pausing.next());
}

TEST_F(RewritesTest, WhatNothingCouldBeDoneAboutIsTriedAgainByNewCatalogs) {
  auto snapshot = std::make_shared<catalog::Snapshot>();
  snapshot->version = 7;
  scope->source = std::make_shared<const CatalogSource>(
      CatalogSource{.current = [snapshot] { return snapshot; }, .hold = [] { return nullptr; }});
  cost_much();
  give_samples();
  const auto task = rewrites.next();
  ASSERT_TRUE(task);
  RewriteOutcome outcome;
  outcome.state = State::rejected;
  outcome.catalog = 7;
  rewrites.done(task->key, outcome);
  cost_much();
  EXPECT_FALSE(rewrites.concerns(fingerprint));
  snapshot->version = 8;
  rewrites.spent(*scope, question, fingerprint, slow);
  EXPECT_TRUE(rewrites.concerns(fingerprint));
  EXPECT_EQ(state(), State::candidate);
}

TEST_F(RewritesTest, ACommentKeepsItFromBeingLookedAt) {
  const std::string off = std::string("/* millrace: rewrite=off */ SELECT a FROM t").append(no_types);
  const Question asked{.kind = Question::Kind::execute, .text = off, .parameters = {}};
  for (int i = 0; i < 9; ++i) rewrites.spent(*scope, asked, fingerprint, slow);
  EXPECT_FALSE(rewrites.concerns(fingerprint));
}

TEST_F(RewritesTest, AfterARestartItIsACandidate) {
  become_active();
  const auto kept = rewrites.report();
  EXPECT_TRUE(rewrites.take_changed());
  Rewrites again;
  again.turn(true);
  again.restore(kept);
  ASSERT_EQ(again.report().size(), 1);
  EXPECT_EQ(again.report()[0].state, State::candidate);
  EXPECT_EQ(again.report()[0].runs_compared, 3);
  EXPECT_TRUE(again.concerns(fingerprint));
  EXPECT_FALSE(again.find(*scope, question, 7).rewrite);
  EXPECT_TRUE(again.find(*scope, question, 7).wants_sample);
}

TEST_F(RewritesTest, WhatGaveOtherRowsIsNotTriedAfterARestartEither) {
  cost_much();
  give_samples();
  const auto task = rewrites.next();
  ASSERT_TRUE(task);
  RewriteOutcome outcome;
  outcome.mismatches = 1;
  rewrites.done(task->key, outcome);
  Rewrites again({.try_again_ns = 0});
  again.turn(true);
  again.restore(rewrites.report());
  for (int i = 0; i < 3; ++i) again.spent(*scope, question, fingerprint, slow);
  EXPECT_EQ(again.report().at(0).state, State::rejected);
}

TEST_F(RewritesTest, ItsMemoryIsBounded) {
  for (int i = 0; i < 5000; ++i) {
    const std::string one = fmt::format("SELECT {}", i) + std::string(no_types);
    rewrites.spent(*scope, {.kind = Question::Kind::execute, .text = one, .parameters = {}}, i, 200'000'000);
    for (int j = 0; j < 2; ++j)
      rewrites.spent(*scope, {.kind = Question::Kind::execute, .text = one, .parameters = {}}, i, 2'000'000);
  }
  EXPECT_LE(rewrites.report().size(), 1000);
  EXPECT_GE(rewrites.report().size(), 500);
}

TEST_F(RewritesTest, ThreadsMayUseItWhileItIsProved) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([this] {
      for (int round = 0; round < 500; ++round) {
        rewrites.spent(*scope, question, fingerprint, slow);
        if (!rewrites.concerns(fingerprint)) continue;
        const auto use = rewrites.find(*scope, question, 7 + round / 100);
        if (use.rewrite) rewrites.used(*use.rewrite, slow);
        if (use.wants_sample)
          rewrites.add_sample(question, {.scope = scope, .startup = {}, .settings = {}, .time_zone = {}});
      }
    });
  }
  for (int round = 0; round < 2000; ++round) {
    if (const auto task = rewrites.next()) rewrites.done(task->key, RewriteOutcome());
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(rewrites.report().size(), 1);
}

}  // namespace
}  // namespace millrace::pipeline
