#include "monitor/serial_outline.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

using Outline = std::vector<std::string>;

TEST(SerialOutline, ScansAndJoins) {
  EXPECT_EQ(serial_outline({"Gather", "  Parallel Seq Scan on t"}), (Outline{"Seq Scan on t"}));
  EXPECT_EQ(
      serial_outline({"Limit", "  Gather Merge", "    Sort", "      Parallel Hash Join",
                      "        Parallel Seq Scan on t", "        Parallel Hash", "          Parallel Seq Scan on u"}),
      (Outline{"Limit", "  Sort", "    Hash Join", "      Seq Scan on t", "      Hash", "        Seq Scan on u"}));
  const Outline serial = {"Nested Loop", "  Seq Scan on t", "  Index Scan on u by u_pkey"};
  EXPECT_EQ(serial_outline(serial), serial);
}

TEST(SerialOutline, WhatIsBesideTheGatherStaysInItsPlace) {
  EXPECT_EQ(serial_outline({"Hash Join", "  Gather", "    Parallel Seq Scan on t", "  Hash", "    Seq Scan on u"}),
            (Outline{"Hash Join", "  Seq Scan on t", "  Hash", "    Seq Scan on u"}));
}

TEST(SerialOutline, AggregatesInParts) {
  EXPECT_EQ(serial_outline({"Aggregate", "  Gather", "    Aggregate", "      Parallel Seq Scan on t"}),
            (Outline{"Aggregate", "  Seq Scan on t"}));
  EXPECT_EQ(serial_outline({"Sort", "  GroupAggregate", "    Gather Merge", "      Sort", "        HashAggregate",
                            "          Parallel Seq Scan on t"}),
            (Outline{"Sort", "  HashAggregate", "    Seq Scan on t"}));
}

TEST(SerialOutline, AnAggregateOfAllRowsIsWhole) {
  EXPECT_EQ(serial_outline({"HashAggregate", "  Gather", "    Parallel Seq Scan on t"}),
            (Outline{"HashAggregate", "  Seq Scan on t"}));
  EXPECT_EQ(serial_outline({"Aggregate", "  Append", "    Aggregate", "      Seq Scan on a", "    Aggregate",
                            "      Seq Scan on b"}),
            (Outline{"Aggregate", "  Append", "    Aggregate", "      Seq Scan on a", "    Aggregate",
                     "      Seq Scan on b"}));
}

TEST(SerialOutline, OfNothingIsNothing) { EXPECT_TRUE(serial_outline({}).empty()); }

}  // namespace
}  // namespace millrace
