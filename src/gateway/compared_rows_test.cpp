#include "gateway/compared_rows.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pgwire/protocol/reader.hpp"

namespace millrace::gateway {
namespace {

ComparedRows of(const std::vector<std::string>& rows) {
  ComparedRows compared;
  for (const auto& row : rows) compared.add(pgwire::as_bytes(row));
  return compared;
}

TEST(ComparedRows, RowsAreAMultiset) {
  EXPECT_TRUE(of({}).same_rows(of({})));
  EXPECT_TRUE(of({"a", "b", "a"}).same_rows(of({"b", "a", "a"})));
  EXPECT_FALSE(of({"a", "b", "a"}).same_rows(of({"a", "b", "b"})));
  EXPECT_FALSE(of({"a", "a"}).same_rows(of({})));
  EXPECT_FALSE(of({"a"}).same_rows(of({"a", "a"})));
  EXPECT_FALSE(of({"ab", "c"}).same_rows(of({"a", "bc"})));
}

TEST(ComparedRows, WhereTheyHaveAnOrderItIsTheSame) {
  EXPECT_TRUE(of({"a", "b"}).same_order(of({"a", "b"})));
  EXPECT_FALSE(of({"a", "b"}).same_order(of({"b", "a"})));
  EXPECT_FALSE(of({"a"}).same_order(of({"a", "a"})));
}

}  // namespace
}  // namespace millrace::gateway
