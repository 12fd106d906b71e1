#include "executor/kept_rows.hpp"

#include <gtest/gtest.h>

namespace millrace::executor {
namespace {

using Row = std::vector<KeptRows::Value>;
constexpr std::size_t plenty = std::size_t{1} << 30;

std::vector<std::string> firsts_from(const KeptRows& kept, std::uint64_t from) {
  std::vector<std::string> firsts;
  KeptRows::Reader reader(kept, from);
  for (Row row; reader.next(row);) firsts.emplace_back(row.at(0).value_or("NULL"));
  return firsts;
}

TEST(KeptRows, ValuesAreReadAsTheyWereAdded) {
  const auto budget = std::make_shared<ByteBudget>(plenty);
  KeptRows kept(budget, plenty);
  const std::string zeros("a\0b", 3);
  ASSERT_TRUE(kept.add(Row{"one", std::nullopt, ""}));
  ASSERT_TRUE(kept.add(Row{std::nullopt, zeros, "x"}));
  KeptRows::Reader reader(kept, 0);
  Row row;
  ASSERT_TRUE(reader.next(row));
  EXPECT_EQ(row, (Row{"one", std::nullopt, ""}));
  ASSERT_TRUE(reader.next(row));
  EXPECT_EQ(row, (Row{std::nullopt, zeros, "x"}));
  EXPECT_FALSE(reader.next(row));
  EXPECT_FALSE(reader.next(row));
}

TEST(KeptRows, AnyRowCanBeTheFirst) {
  const auto budget = std::make_shared<ByteBudget>(plenty);
  KeptRows kept(budget, plenty);
  const std::string padding(1000, 'x');  // some rows a block
  constexpr std::uint64_t count = 1000;
  for (std::uint64_t at = 0; at < count; ++at) ASSERT_TRUE(kept.add(Row{std::to_string(at), padding}));
  for (std::uint64_t from = 0; from < count; from += 37) {
    const auto firsts = firsts_from(kept, from);
    ASSERT_EQ(firsts.size(), count - from);
    EXPECT_EQ(firsts.front(), std::to_string(from));
    EXPECT_EQ(firsts.back(), "999");
  }
  EXPECT_TRUE(firsts_from(kept, count).empty());
  EXPECT_TRUE(firsts_from(kept, ~std::uint64_t{0}).empty());
  EXPECT_TRUE(firsts_from(KeptRows(budget, plenty), 0).empty());
}

TEST(KeptRows, RowsWithoutValuesCount) {
  const auto budget = std::make_shared<ByteBudget>(plenty);
  KeptRows kept(budget, plenty);
  for (int at = 0; at < 3; ++at) ASSERT_TRUE(kept.add(Row{}));
  KeptRows::Reader reader(kept, 1);
  Row row{"left over"};
  EXPECT_TRUE(reader.next(row));
  EXPECT_TRUE(row.empty());
  EXPECT_TRUE(reader.next(row));
  EXPECT_FALSE(reader.next(row));
}

TEST(KeptRows, LimitsHoldAndBytesAreGivenBack) {
  const auto budget = std::make_shared<ByteBudget>(1000);
  const std::string value(300, 'x');
  {
    KeptRows one(budget, 500);
    EXPECT_TRUE(one.add(Row{value}));
    EXPECT_FALSE(one.add(Row{value}));
    EXPECT_TRUE(one.is_at_its_limit(Row{value}));
    KeptRows other(budget, plenty);
    EXPECT_TRUE(other.add(Row{value}));
    EXPECT_TRUE(other.add(Row{value}));
    EXPECT_FALSE(other.add(Row{value})) << "all together";
    EXPECT_FALSE(other.is_at_its_limit(Row{value}));
    EXPECT_EQ(one.rows() + other.rows(), 3);
    EXPECT_EQ(budget->held(), one.bytes() + other.bytes());
  }
  EXPECT_EQ(budget->held(), 0);
}

}  // namespace
}  // namespace millrace::executor
