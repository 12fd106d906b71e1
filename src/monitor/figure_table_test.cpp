#include "monitor/figure_table.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

QueryRecord query(std::int64_t duration_ns) { return {.duration_ns = duration_ns, .rows = 2, .bytes_out = 10}; }

void add(FigureTable& table, std::uint64_t key, std::int64_t duration_ns) {
  table.add(table.place_of(key).at, query(duration_ns));
}

TEST(FigureTable, CountsByKey) {
  FigureTable table(10);
  EXPECT_TRUE(table.place_of(7).is_new);
  EXPECT_FALSE(table.place_of(7).is_new);
  add(table, 7, 100);
  add(table, 7, 5'000'000);
  add(table, 0, 30);
  ASSERT_EQ(table.cells().size(), 3);
  const auto& seven = table.cells()[1];
  EXPECT_EQ(seven.key, 7);
  EXPECT_EQ(seven.figures.calls, 2);
  EXPECT_EQ(seven.figures.rows, 4);
  EXPECT_EQ(seven.figures.bytes, 20);
  EXPECT_EQ(seven.figures.total_ns, 5'000'100);
  EXPECT_EQ(seven.figures.max_ns, 5'000'000);
  EXPECT_EQ(table.durations(seven).count(), 2);
  EXPECT_EQ(table.durations(seven).quantile(0), LogLinear::middle(LogLinear::index(100)));
  EXPECT_EQ(table.durations(seven).quantile(1), LogLinear::middle(LogLinear::index(5'000'000)));
  EXPECT_EQ(table.durations(table.cells()[2]).count(), 1);
}

TEST(FigureTable, WhatFindsNoRoomIsOther) {
  FigureTable table(2);
  for (std::uint64_t key = 1; key <= 10; ++key) add(table, key, 100);
  EXPECT_EQ(table.cells().size(), 3);
  EXPECT_EQ(table.place_of(10).at, FigureTable::other);
  EXPECT_EQ(table.cells()[FigureTable::other].figures.calls, 8);
  EXPECT_EQ(table.durations(table.cells()[FigureTable::other]).count(), 8);
}

TEST(FigureTable, IsUsedAgainWithoutGrowing) {
  FigureTable table(FigureTable::most);
  const auto fill = [&table] {
    for (std::uint64_t key = 0; key < 5000; ++key) add(table, key, static_cast<std::int64_t>(key * key));
  };
  fill();
  const std::size_t memory = table.memory_bytes();
  for (int i = 0; i < 3; ++i) {
    table.clear(std::vector<std::uint64_t>{4000, 4001});
    ASSERT_EQ(table.cells().size(), 3);
    EXPECT_FALSE(table.place_of(4001).is_new);
    EXPECT_EQ(table.cells()[1].figures, QueryFigures());
    EXPECT_TRUE(table.durations(table.cells()[1]).empty());
    fill();
    EXPECT_EQ(table.memory_bytes(), memory);
  }
}

TEST(FigureTable, GrowsBySmallSteps) {
  FigureTable table(FigureTable::most);
  std::size_t memory = table.memory_bytes();
  for (std::uint64_t key = 0; key < FigureTable::most; ++key) {
    for (unsigned bit = 8; bit < 40; ++bit) {
      add(table, key, std::int64_t{1} << bit);
      ASSERT_LE(table.memory_bytes(), memory + 64 * 1024);
      memory = table.memory_bytes();
    }
  }
  EXPECT_EQ(table.durations(table.cells().back()).count(), 32);
}

TEST(FigureTable, EveryKeyMayHaveEveryOctave) {
  FigureTable table(FigureTable::most);
  for (std::uint64_t key = 0; key < FigureTable::most; ++key) {
    for (unsigned bit = 0; bit < 64; ++bit) add(table, key, static_cast<std::int64_t>((std::uint64_t{1} << bit) - 1));
  }
  for (const auto& cell : table.cells().subspan(1)) ASSERT_EQ(table.durations(cell).count(), 64);
}

}  // namespace
}  // namespace millrace
