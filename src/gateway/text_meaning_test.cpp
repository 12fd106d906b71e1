#include "gateway/text_meaning.hpp"

#include <gtest/gtest.h>

namespace millrace::gateway {
namespace {

MeaningChange change(std::string_view sql) { return change_of(*sql::parse(sql)); }

TEST(TextMeaning, SettingsThatDecideHowConstantsAreReadBelongToIt) {
  const backend::Settings first{{"datestyle", "SET datestyle = 'DMY'"}, {"work_mem", "SET work_mem = '1MB'"}};
  const backend::Settings second{{"datestyle", "SET datestyle = 'MDY'"}};
  EXPECT_NE(meaning_under(&first), meaning_under(&second));
  EXPECT_NE(meaning_under(&first), meaning_under(nullptr));
}

TEST(TextMeaning, OtherSettingsDoNot) {
  const backend::Settings settings{{"work_mem", "SET work_mem = '1MB'"}, {"app.tenant", "SET app.tenant = '7'"}};
  EXPECT_EQ(meaning_under(&settings), meaning_under(nullptr));
}

TEST(TextMeaning, SearchPathAndRoleDecideWhatNamesStandFor) {
  const backend::Settings settings{{"search_path", "SET search_path = a"}, {"role", "SET ROLE r"}};
  EXPECT_EQ(meaning_under(&settings).names, "SET search_path = a;SET ROLE r;");
  EXPECT_EQ(meaning_under(&settings).constants, "");
}

TEST(TextMeaning, StatementsThatMayChangeIt) {
  EXPECT_TRUE(change("SET standard_conforming_strings = off").lexing);
  EXPECT_TRUE(change("SET NAMES 'SJIS'").lexing);
  EXPECT_TRUE(change("SET LOCAL TIME ZONE 'UTC'").constants);
  EXPECT_TRUE(change("SELECT set_config('DateStyle', $1, true)").constants);
  EXPECT_TRUE(change("SELECT set_config($1, $2, true)").lexing) << "whichever it is";
  EXPECT_TRUE(change("SET SCHEMA 'a'").names);
  EXPECT_FALSE(change("SET SCHEMA 'a'").constants);
  EXPECT_TRUE(change("RESET ALL").lexing);
  EXPECT_TRUE(change("NO SQL").lexing);
  EXPECT_FALSE(change("SET LOCAL app.tenant = '7'; SELECT 1; SET TRANSACTION READ ONLY").any());
}

TEST(TextMeaning, TextsWithoutConstantsMeanTheSameEverywhere) {
  for (const auto* text : {"SELECT a FROM t WHERE b = $1 AND c = 7", "", "DELETE FROM t"}) {
    EXPECT_FALSE(holds_constants(text)) << text;
  }
  for (const auto* text : {"SELECT '1'", "SELECT $$1$$", "SELECT $a$1$a$", "SELECT a = Null", "SELECT \xc3\xa9", "$"}) {
    EXPECT_TRUE(holds_constants(text)) << text;
  }
}

TEST(TextMeaning, MomentsAreThoseOfTheParsing) {
  for (const auto* text : {"SELECT 'Now'::timestamp", "SELECT date ' today'", "SELECT now(), 'now'::date"}) {
    EXPECT_TRUE(holds_moments(text)) << text;
  }
  for (const auto* text : {"SELECT now(), 'a'", "SELECT NOW () - '1 day'::interval", "SELECT today FROM t"}) {
    EXPECT_FALSE(holds_moments(text)) << text;
  }
}

}  // namespace
}  // namespace millrace::gateway
