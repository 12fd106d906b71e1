#include "integration/told_xids.hpp"

#include <gtest/gtest.h>

namespace millrace::integration {
namespace {

XidSnapshot snapshot(std::string_view text) { return XidSnapshot::parse(text).value(); }

TEST(ToldXids, NothingIsKnownBeforeTheFirstIsAccepted) {
  ToldXids xids;
  EXPECT_FALSE(xids.are_all_of(snapshot("10:10:")));
  xids.accept(snapshot("10:10:"));
  EXPECT_TRUE(xids.are_all_of(snapshot("10:10:")));
}

TEST(ToldXids, WhatIsOverMustHaveBeenTold) {
  ToldXids xids;
  xids.accept(snapshot("10:14:10,12"));
  EXPECT_TRUE(xids.are_all_of(snapshot("10:15:10,12,14"))) << "they still run";
  EXPECT_FALSE(xids.are_all_of(snapshot("12:14:12"))) << "10 is over";
  xids.add(10);
  EXPECT_TRUE(xids.are_all_of(snapshot("12:14:12")));
  EXPECT_FALSE(xids.are_all_of(snapshot("12:16:12,15"))) << "14 came and went";
  xids.add(14);
  EXPECT_TRUE(xids.are_all_of(snapshot("12:16:12,15")));
  xids.accept(snapshot("12:16:12,15"));
  EXPECT_TRUE(xids.are_all_of(snapshot("12:16:12,15")));
  EXPECT_FALSE(xids.are_all_of(snapshot("16:16:")));
  xids.accept(snapshot("16:16:"));  // otherwise known
  EXPECT_TRUE(xids.are_all_of(snapshot("16:16:")));
}

TEST(ToldXids, SaysWhichWereNotTold) {
  using Xids = std::vector<std::uint64_t>;
  ToldXids xids;
  EXPECT_EQ(xids.not_told_of(snapshot("10:10:"), 10), Xids());
  xids.accept(snapshot("10:14:10,12"));
  xids.add(14);
  EXPECT_EQ(xids.not_told_of(snapshot("12:18:12,16"), 10), (Xids{10, 15, 17}));
  EXPECT_EQ(xids.not_told_of(snapshot("12:18:12,16"), 3), (Xids{10, 15, 17}));
  EXPECT_EQ(xids.not_told_of(snapshot("12:18:12,16"), 2), Xids()) << "too many";
  EXPECT_EQ(xids.not_told_of(snapshot("1000000:1000000:"), 10), Xids()) << "too many to be looked at";
}

TEST(ToldXids, WhatWasToldBeforeItWasSeenStaysKnown) {
  ToldXids xids;
  xids.accept(snapshot("10:10:"));
  xids.add(10);
  xids.accept(snapshot("10:12:10"));  // told, and not visible yet; 11 otherwise known
  EXPECT_TRUE(xids.are_all_of(snapshot("12:12:")));
}

TEST(ToldXids, EpochsAndGapsTooLargeToLookAt) {
  ToldXids xids;
  const std::uint64_t epoch = std::uint64_t{1} << 32;
  xids.accept({.xmin = epoch - 1, .xmax = epoch - 1, .running = {}});
  xids.add(0xffffffffU);
  xids.add(3);
  EXPECT_FALSE(xids.are_all_of({.xmin = epoch + 4, .xmax = epoch + 4, .running = {}})) << "0 to 2 aren't known";
  xids.accept({.xmin = epoch + 3, .xmax = epoch + 3, .running = {}});
  EXPECT_TRUE(xids.are_all_of({.xmin = epoch + 4, .xmax = epoch + 4, .running = {}}));
  EXPECT_FALSE(xids.are_all_of({.xmin = 2 * epoch, .xmax = 2 * epoch, .running = {}}));
  EXPECT_FALSE(xids.are_all_of({.xmin = 5, .xmax = 5, .running = {}})) << "it isn't later";
}

TEST(ToldXids, WhereNobodyAsksForLongNothingIsKnown) {
  ToldXids xids;
  xids.accept(snapshot("10:10:"));
  xids.add(10);
  EXPECT_TRUE(xids.are_all_of(snapshot("11:11:")));
  for (Xid xid = 11; xid < 1'000'011; ++xid) xids.add(xid);
  EXPECT_FALSE(xids.are_all_of(snapshot("11:11:"))) << "so many aren't remembered";
  xids.accept(snapshot("1000011:1000011:"));
  xids.add(1'000'011);
  EXPECT_TRUE(xids.are_all_of(snapshot("1000012:1000012:")));
}

}  // namespace
}  // namespace millrace::integration
