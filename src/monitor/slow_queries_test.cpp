#include "monitor/slow_queries.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace millrace {
namespace {

SlowQuery took(std::int64_t ns) {
  SlowQuery query;
  query.duration_ns = ns;
  return query;
}

TEST(SlowQueries, TheNewestAndTheSlowestStay) {
  SlowQueries queries(10);
  queries.add(took(1'000'000));
  for (std::int64_t i = 1; i <= 100; ++i) queries.add(took(i == 50 ? 900'000 : i));
  EXPECT_EQ(queries.count(), 101);
  ASSERT_EQ(queries.all().size(), 10);
  const auto has = [&](std::int64_t ns) {
    return std::ranges::any_of(queries.all(), [ns](const SlowQuery& each) { return each.duration_ns == ns; });
  };
  EXPECT_TRUE(has(1'000'000));
  EXPECT_TRUE(has(900'000));
  for (std::int64_t newest = 96; newest <= 100; ++newest) EXPECT_TRUE(has(newest));
  EXPECT_TRUE(std::ranges::is_sorted(queries.all(), {}, &SlowQuery::number));
  EXPECT_EQ(queries.all().back().number, 101);
}

}  // namespace
}  // namespace millrace
