#include "integration/freshness.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>

namespace millrace::integration {
namespace {

using cache::Dependency;

XidSnapshot snapshot(std::string_view text) { return XidSnapshot::parse(text).value(); }

std::shared_ptr<const Freshness::Tables> tables(std::initializer_list<Oid> oids) {
  return std::make_shared<const Freshness::Tables>(oids);
}

bool visible(const Freshness& freshness, Dependency dependency) {
  const std::array<Dependency, 1> one = {dependency};
  return freshness.all_visible({.tables = one, .seen = one});
}

/// Of a table that an answer reads, whether what it depends on is visible.
bool visible(const Freshness& freshness, Dependency table, std::initializer_list<Dependency> seen,
             std::size_t columns) {
  const std::array<Dependency, 1> one = {table};
  return freshness.all_visible({.tables = one, .seen = seen, .columns = columns});
}

TEST(XidSnapshot, IsReadAsPostgresqlWritesIt) {
  EXPECT_TRUE(snapshot("10:10:").running.empty());
  EXPECT_EQ(snapshot("10:20:12,15").running, (std::vector<std::uint64_t>{12, 15}));
  for (const auto* wrong : {"", "10", "10:20", "10:20:x", "10:20:1,", ":20:", "10:20:12;15", "-1:2:"}) {
    EXPECT_FALSE(XidSnapshot::parse(wrong)) << wrong;
  }
}

TEST(XidSnapshot, SeesWhatHasEnded) {
  const auto some = snapshot("10:20:12,15");
  EXPECT_TRUE(some.sees(9));
  EXPECT_TRUE(some.sees(11));
  EXPECT_FALSE(some.sees(12));
  EXPECT_FALSE(some.sees(15));
  EXPECT_TRUE(some.sees(19));
  EXPECT_FALSE(some.sees(20));
  EXPECT_FALSE(some.sees(2000));
}

TEST(XidSnapshot, TakesTheEpochFromItsOwn) {
  const std::uint64_t epoch = std::uint64_t{3} << 32;
  const auto some = snapshot(fmt::format("{}:{}:{}", epoch - 5, epoch + 10, epoch - 2));
  EXPECT_TRUE(some.sees(0xffffffffU - 2));   // epoch - 3
  EXPECT_FALSE(some.sees(0xffffffffU - 1));  // epoch - 2 runs
  EXPECT_TRUE(some.sees(5));
  EXPECT_FALSE(some.sees(10));
}

TEST(Freshness, ACommitIsVisibleOnceASnapshotSeesIt) {
  Freshness freshness;
  freshness.follow(tables({1}));
  EXPECT_TRUE(visible(freshness, 7));
  freshness.committed(12, {7, 8});
  freshness.committed(13, {7});
  EXPECT_FALSE(visible(freshness, 7));
  EXPECT_FALSE(visible(freshness, 8));
  EXPECT_TRUE(visible(freshness, 9));
  EXPECT_TRUE(freshness.wanted(1000).snapshot);
  EXPECT_FALSE(freshness.settle(snapshot("12:20:12,13")));
  EXPECT_FALSE(visible(freshness, 8));
  EXPECT_TRUE(freshness.settle(snapshot("13:20:13")));
  EXPECT_TRUE(visible(freshness, 8));
  EXPECT_FALSE(visible(freshness, 7));
  EXPECT_TRUE(freshness.settle(snapshot("20:20:")));
  EXPECT_TRUE(visible(freshness, 7));
  EXPECT_FALSE(freshness.wanted(1000).snapshot);
}

TEST(Freshness, WhatACommitHasChangedOfATableIsGoneByOnceItIsTold) {
  Freshness freshness;
  freshness.follow(tables({1}));
  freshness.committed(12, {7});
  EXPECT_FALSE(visible(freshness, 7, {70}, 1)) << "it may have changed anything";
  const std::array<Dependency, 2> changed = {7, 71};
  freshness.told(12, changed, 3);
  EXPECT_TRUE(visible(freshness, 7, {70}, 3));
  EXPECT_FALSE(visible(freshness, 7, {70, 71}, 3));
  EXPECT_FALSE(visible(freshness, 7, {7}, 0)) << "all of the table";
  EXPECT_FALSE(visible(freshness, 7, {70}, 4)) << "the column wasn't tracked yet";
  freshness.committed(13, {8});
  EXPECT_TRUE(visible(freshness, 9, {90}, 3));
  EXPECT_FALSE(visible(freshness, 7, {70}, 3)) << "of the second no more is known than its table";
  const std::array<Dependency, 2> others = {8, 80};
  freshness.told(13, others, 9);
  EXPECT_TRUE(visible(freshness, 7, {70}, 3));
  EXPECT_FALSE(visible(freshness, 7, {70}, 9)) << "the first knows three columns";
  EXPECT_TRUE(freshness.settle(snapshot("13:20:13")));
  EXPECT_TRUE(visible(freshness, 7, {71}, 9));
  EXPECT_FALSE(visible(freshness, 8, {80}, 9));
  EXPECT_TRUE(freshness.settle(snapshot("20:20:")));
  EXPECT_TRUE(visible(freshness, 8, {80}, 9));
}

TEST(Freshness, OfACommitThatHasChangedVeryMuchTheTablesAreRemembered) {
  Freshness freshness;
  freshness.follow(tables({1}));
  freshness.committed(12, {7});
  freshness.told(12, std::vector<Dependency>(100'000, 71), 3);
  EXPECT_FALSE(visible(freshness, 7, {70}, 1));
  EXPECT_TRUE(freshness.settle(snapshot("20:20:")));
  EXPECT_TRUE(visible(freshness, 7, {70}, 1));
}

TEST(Freshness, NobodyIsAskedWhatIsVisibleWhileNobodyKeepsAnything) {
  Freshness freshness;
  freshness.follow(tables({1}));
  freshness.committed(12, {7});
  EXPECT_FALSE(freshness.wanted(1000).snapshot);
  EXPECT_FALSE(visible(freshness, 7));
  EXPECT_TRUE(freshness.wanted(2000).snapshot);
  EXPECT_TRUE(freshness.wanted(3000).snapshot);
  EXPECT_FALSE(freshness.wanted(3'000'000'000).snapshot);
}

TEST(Freshness, TooManyCommitsThatMayNotBeVisibleCountForEverything) {
  Freshness freshness;
  freshness.follow(tables({1}));
  for (Xid xid = 100; xid < 20'100; ++xid) freshness.committed(xid, {7});
  EXPECT_FALSE(visible(freshness, 8));
  EXPECT_FALSE(freshness.settle(snapshot("100:30000:100")) && visible(freshness, 8)) << "100 runs";
  EXPECT_TRUE(freshness.settle(snapshot("20100:30000:20100")));
  EXPECT_TRUE(visible(freshness, 8));
  EXPECT_TRUE(visible(freshness, 7));
}

TEST(Freshness, WhatIsLeftToTheStreamIsRememberedByWhatItIs) {
  Freshness freshness;
  const std::array<Dependency, 2> two = {3, 5};
  freshness.leave(two, 1000);
  freshness.leave(std::span(two).first(1), 900);  // another core's clock was read before
  EXPECT_EQ(freshness.last_left(), 1000);
  EXPECT_EQ(freshness.left(3), 1000);
  EXPECT_EQ(freshness.left(5), 1000);
  EXPECT_EQ(freshness.left(4), 0);
}

TEST(Freshness, AProofThatNobodyWaitsForIsAskedForAtIntervals) {
  Freshness freshness;
  freshness.want_in_passing({.rows = 100}, 0, 1'000'000'000);
  EXPECT_EQ(freshness.wanted(1'000'000'000).moments.rows, 0) << "nothing is followed";
  freshness.follow(tables({1}));
  freshness.want_in_passing({.rows = 200}, 0, 2'000'000'000);
  freshness.want_in_passing({.rows = 300}, 0, 2'010'000'000);
  EXPECT_EQ(freshness.wanted(2'010'000'000).moments.rows, 200);
  freshness.prove(200, 2'011'000'000);
  EXPECT_EQ(freshness.wanted(2'012'000'000).moments.rows, 0);
  freshness.want_in_passing({.rows = 300}, 0, 2'030'000'000);
  EXPECT_EQ(freshness.wanted(2'030'000'000).moments.rows, 300);
}

TEST(Freshness, AProofThatIsLackedOftenIsAskedForOftener) {
  Freshness freshness;
  freshness.follow(tables({1}));
  freshness.want_in_passing({.rows = 200}, 0, 2'000'000'000);
  freshness.prove(200, 2'000'500'000);
  freshness.want_in_passing({.rows = 300}, 400'000, 2'000'600'000);
  EXPECT_EQ(freshness.wanted(2'000'600'000).moments.rows, 0) << "it hasn't taken the server as much as a proof would";
  freshness.want_in_passing({.rows = 300}, 400'000, 2'000'700'000);
  EXPECT_EQ(freshness.wanted(2'000'700'000).moments.rows, 0) << "the last one was asked for just now";
  freshness.want_in_passing({.rows = 301}, 1, 2'001'000'000);
  EXPECT_EQ(freshness.wanted(2'001'000'000).moments.rows, 301);
  freshness.prove(301, 2'001'500'000);
  freshness.want_in_passing({.rows = 400}, 400'000, 2'005'000'000);
  EXPECT_EQ(freshness.wanted(2'005'000'000).moments.rows, 0) << "what was lacked before it has been made good";
}

TEST(Freshness, WhoNeedsTheCatalogsWaitsForThemToo) {
  Freshness freshness;
  int rows = 0, both = 0;
  freshness.follow(tables({}));
  EXPECT_TRUE(freshness.want({.rows = 100}, [&] { ++rows; }));
  EXPECT_TRUE(freshness.want({.rows = 100, .catalogs = 90}, [&] { ++both; }));
  EXPECT_EQ(freshness.wanted(1000).moments, (Moments{.rows = 100, .catalogs = 90}));
  freshness.prove(110, 120);
  EXPECT_EQ(rows, 1);
  EXPECT_EQ(both, 0);
  EXPECT_EQ(freshness.wanted(1000).moments, (Moments{.rows = 100, .catalogs = 90}));
  freshness.certify(80, 130);
  EXPECT_EQ(both, 0);
  freshness.certify(90, 140);
  EXPECT_EQ(both, 1);
  EXPECT_EQ(freshness.certain_until(), 90);
  EXPECT_EQ(freshness.wanted(1000).moments, Moments());
}

TEST(Freshness, WhoWaitsIsToldOnceThereIsAProofOfTheirMoment) {
  Freshness freshness;
  int early = 0, late = 0;
  EXPECT_FALSE(freshness.want({.rows = 100}, [&] { ++early; }));  // nothing is followed
  freshness.follow(tables({}));
  EXPECT_TRUE(freshness.want({.rows = 100}, [&] { ++early; }));
  EXPECT_TRUE(freshness.want({.rows = 200}, [&] { ++late; }));
  EXPECT_EQ(freshness.wanted(1000).moments.rows, 200);
  freshness.prove(150, 160);
  EXPECT_EQ(early, 1);
  EXPECT_EQ(late, 0);
  freshness.prove(140, 170);  // moments don't go back
  EXPECT_EQ(freshness.proved_until(), 150);
  EXPECT_TRUE(freshness.want({.rows = 150}, [&] { ++early; }));
  EXPECT_EQ(early, 2);
  freshness.fail_to_prove();
  EXPECT_EQ(late, 1);
  EXPECT_TRUE(freshness.want({.rows = 300}, [&] { ++late; }));
  freshness.follow(nullptr);
  EXPECT_EQ(late, 2);
  EXPECT_FALSE(freshness.is_followed());
  EXPECT_EQ(freshness.proved_until(), 150);  // it stays proved
}

}  // namespace
}  // namespace millrace::integration
