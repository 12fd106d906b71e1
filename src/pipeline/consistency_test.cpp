#include "pipeline/consistency.hpp"

#include <gtest/gtest.h>

namespace millrace::pipeline {
namespace {

using std::chrono::milliseconds;
using Level = Consistency::Level;

std::optional<Consistency> parse(std::string_view text) { return Consistency::parse(text, milliseconds(700)); }

TEST(Consistency, IsReadByItsName) {
  EXPECT_EQ(parse("eventual")->level, Level::eventual);
  EXPECT_EQ(parse("Session")->level, Level::session);
  EXPECT_EQ(parse("READ_AFTER_WRITE")->level, Level::read_after_write);
  EXPECT_EQ(parse("strong")->level, Level::strong);
  EXPECT_EQ(parse("bounded"), (Consistency{.level = Level::bounded, .bound = milliseconds(700)}));
  EXPECT_EQ(parse("bounded(25)"), (Consistency{.level = Level::bounded, .bound = milliseconds(25)}));
  for (const auto* none : {"", "off", "none", "bounded(", "bounded()", "bounded(0)", "bounded(-1)", "bounded(1.5)",
                           "bounded(99999999999)", "bounded(5) ", "strongly", "sessio"}) {
    EXPECT_FALSE(parse(none)) << none;
  }
  EXPECT_EQ(parse("Bounded(25)")->text(), "bounded(25)");
  EXPECT_EQ(parse("strong")->text(), "strong");
}

TEST(Consistency, SaysFromWhichMomentOnAllMustBeSeen) {
  const SessionTime time{.seen = 100, .wrote = 150};
  constexpr std::int64_t now = 5'000'000'000;
  EXPECT_EQ(needed({.level = Level::eventual}, time, now).all.rows, 0);
  EXPECT_EQ(needed({.level = Level::bounded, .bound = milliseconds(1)}, time, now).all.rows, now - 1'000'000);
  EXPECT_EQ(needed({.level = Level::session}, time, now).all.rows, 100);
  EXPECT_EQ(needed({.level = Level::read_after_write}, time, now).all.rows, 150);
  EXPECT_EQ(needed({.level = Level::read_after_write}, {.seen = 170, .wrote = 150}, now).all.rows, 170);
  EXPECT_EQ(needed({.level = Level::strong}, time, now).all.rows, now);
  EXPECT_EQ(needed({.level = Level::strong}, time, now).all.catalogs, now);
  for (const auto level : {Level::session, Level::read_after_write}) {
    EXPECT_EQ(needed({.level = level}, {.seen = now, .wrote = 1}, now).all.catalogs, now - 2'000'000'000);
  }
}

TEST(Consistency, SaysWhichWritesThroughMillraceMustBeSeen) {
  const SessionTime time{.seen = 100, .wrote = 150, .own = 130};
  constexpr std::int64_t now = 5'000'000'000;
  EXPECT_EQ(needed({.level = Level::eventual}, time, now).written, 130);
  EXPECT_EQ(needed({.level = Level::bounded, .bound = milliseconds(1)}, time, now).written, now - 1'000'000);
  EXPECT_EQ(needed({.level = Level::bounded, .bound = milliseconds(5000)}, time, now).written, 130);
  EXPECT_EQ(needed({.level = Level::eventual, .after = 200}, time, now).written, 200);
  for (const auto level : {Level::session, Level::read_after_write, Level::strong}) {
    EXPECT_EQ(needed({.level = level}, time, now).written, now) << "all of them";
  }
}

TEST(Consistency, AMomentThatTheClientNamesCountsAtEachLevel) {
  const SessionTime time{.seen = 100, .wrote = 150};
  constexpr std::int64_t now = 5'000'000'000;
  for (const auto level : {Level::eventual, Level::session, Level::read_after_write}) {
    EXPECT_EQ(needed({.level = level, .after = 200}, time, now).all.rows, 200);
    EXPECT_EQ(needed({.level = level, .after = 200}, time, now).all.catalogs, 200);
    EXPECT_TRUE((Consistency{.level = level, .after = 200}).needs_stream());
  }
  EXPECT_EQ(needed({.level = Level::session, .after = 50}, time, now).all.rows, 100);
  EXPECT_EQ(needed({.level = Level::strong, .after = 200}, time, now).all.rows, now);
  EXPECT_FALSE(Consistency{.level = Level::eventual}.needs_stream());
}

}  // namespace
}  // namespace millrace::pipeline
