#include "gateway/settings_replay.hpp"

#include <gtest/gtest.h>

namespace millrace::gateway {
namespace {

using Steps = std::vector<ReplayStep>;

std::vector<ReplayStep> replayed(backend::Settings there, const backend::Settings& wanted,
                                 const backend::PlaceholderNames& known = {},
                                 const backend::PlaceholderNames& known_there = {}) {
  backend::ServerState server;
  if (!there.empty()) server.settings = std::make_shared<backend::Settings>(std::move(there));
  server.placeholders = known_there;
  return replay(server, wanted.empty() ? nullptr : &wanted, known);
}

TEST(SettingsReplay, WhatIsTheSameStays) {
  EXPECT_EQ(replayed({{"work_mem", "SET work_mem = 1"}}, {{"work_mem", "SET work_mem = 1"}}), Steps{});
  EXPECT_EQ(replayed({{"work_mem", "SET work_mem = 1"}, {"datestyle", "SET datestyle = DMY"}},
                     {{"work_mem", "SET work_mem = 2"}, {"datestyle", "SET datestyle = DMY"}}),
            Steps{{.sql = "RESET \"work_mem\"; SET work_mem = 2"}});
}

TEST(SettingsReplay, TheFormerHoldersRoleGoesFirst) {
  EXPECT_EQ(replayed({{"work_mem", "SET work_mem = 1"}, {"role", "SET ROLE a"}}, {{"role", "SET ROLE a"}}),
            Steps{{.sql = "RESET ROLE; RESET \"work_mem\"; SET ROLE a"}});
}

TEST(SettingsReplay, TextsAreReadAsTheyWereWhenTheClientWroteThem) {
  const backend::Settings written = {{"app.name", R"(SET app.name = '\''; DROP TABLE t; --')"}};
  EXPECT_EQ(replayed({{"standard_conforming_strings", "SET standard_conforming_strings = off"}}, written),
            (Steps{{.sql = "RESET \"standard_conforming_strings\""}, {.sql = written.front().text}}));
}

TEST(SettingsReplay, ATextWrittenBeforeTheEncodingChangedIsReadBefore) {
  const backend::Settings wanted = {{"app.name", "SET app.name = '\xc3\xa9'"},
                                    {"client_encoding", "SET client_encoding = LATIN1"}};
  EXPECT_EQ(replayed({wanted.back()}, wanted),
            (Steps{{.sql = "RESET \"client_encoding\""}, {.sql = wanted.front().text}, {.sql = wanted.back().text}}));
}

TEST(SettingsReplay, NoTimeoutEndsIt) {
  const backend::SettingChange briefly = {"statement_timeout", "SET statement_timeout = '2ms'"};
  const backend::SettingChange memory = {"work_mem", "SET work_mem = 1"};
  const ReplayStep lifted = {.sql = "SET statement_timeout = 0"};
  EXPECT_EQ(replayed({briefly}, {memory}), (Steps{lifted, {.sql = "SET work_mem = 1; RESET \"statement_timeout\""}}));
  EXPECT_EQ(replayed({briefly, memory}, {briefly}),
            (Steps{lifted, {.sql = "RESET \"work_mem\"; RESET \"statement_timeout\"; " + briefly.text}}));
  EXPECT_EQ(replayed({}, {briefly, memory}), (Steps{{.sql = "SET work_mem = 1; " + briefly.text}}));
  EXPECT_EQ(replayed({briefly}, {}), (Steps{{.sql = "RESET \"statement_timeout\""}}));
  EXPECT_EQ(replayed({briefly, memory}, {memory, briefly}), Steps{});
  EXPECT_EQ(replayed({briefly}, {{"standard_conforming_strings", "SET standard_conforming_strings = off"}}),
            (Steps{lifted, {.sql = "RESET \"statement_timeout\""}, {.sql = "SET standard_conforming_strings = off"}}));
}

TEST(SettingsReplay, NamesThatTheClientKnowsAreMadeKnown) {
  auto known = backend::with_placeholder(backend::with_placeholder({}, "app.a"), "app.user");
  EXPECT_EQ(replayed({}, {{"app.a", "SET app.a = 1"}}, known),
            (Steps{{.sql = "SET app.a = 1"}, {.sql = "RESET \"app\".\"user\"", .may_fail = true}}));
  EXPECT_EQ(replayed({}, {}, known, known), Steps{});
}

}  // namespace
}  // namespace millrace::gateway
