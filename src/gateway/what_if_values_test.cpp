#include "gateway/what_if_values.hpp"

#include <gtest/gtest.h>

namespace millrace::gateway {
namespace {

using Text = std::optional<std::string>;

TEST(WhatIfValues, TextIsQuoted) {
  EXPECT_EQ(literal_of("it's", 25), "'it''s'");
  EXPECT_EQ(literal_of("7", 23), "'7'");
  EXPECT_EQ(literal_of(std::nullopt, 23), "NULL");
  EXPECT_EQ(literal_of("\\xff00", 17), "'\\xff00'");
  EXPECT_EQ(literal_of(Text(std::string("a\0b", 3)), 25), std::nullopt);
}

TEST(WhatIfValues, BinaryIsReadByItsType) {
  EXPECT_EQ(literal_of("\\x00000014", 23), "'20'");
  EXPECT_EQ(literal_of("\\xfffffffffffffffe", 20), "'-2'");
  EXPECT_EQ(literal_of("\\xff9c", 21), "'-100'");
  EXPECT_EQ(literal_of("\\x01", 16), "'t'");
  EXPECT_EQ(literal_of("\\x3ff8000000000000", 701), "'1.5'");
  EXPECT_EQ(literal_of("\\x6f27", 25), "'o'''");
  EXPECT_EQ(literal_of("\\x00112233445566778899aabbccddeeff", 2950), "'00112233445566778899aabbccddeeff'");
  EXPECT_EQ(literal_of("\\x00000001", 1082), "pg_catalog.date '2000-01-01' + (1)");
  EXPECT_EQ(literal_of("\\x00000000000f4240", 1184),
            "pg_catalog.timestamptz '2000-01-01 00:00:00+00' + pg_catalog.interval '1000000 microseconds'");
}

TEST(WhatIfValues, WhatIsNotOfTheTypeIsNotRead) {
  for (const char* kept : {"\\x", "\\x0", "\\x001", "\\xzz", "\\x0000001400"})
    EXPECT_EQ(literal_of(kept, 23), std::nullopt) << kept;
  EXPECT_EQ(literal_of("\\x00", 25), std::nullopt);      // a NUL
  EXPECT_EQ(literal_of("\\x0001", 1700), std::nullopt);  // numeric
}

}  // namespace
}  // namespace millrace::gateway
