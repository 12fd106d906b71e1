#include "monitor/template_series.hpp"

#include <gtest/gtest.h>

#include <set>

namespace millrace {
namespace {

constexpr std::int64_t minute = 60'000'000'000;

/// Templates by number, whose calls take a millisecond each.
class Load {
 public:
  void call(SubjectId id, std::uint64_t times) {
    auto found = std::ranges::find(totals_.templates, id, &TemplateTotals::One::id);
    if (found == totals_.templates.end()) {
      totals_.templates.push_back({.id = id, .fingerprint = id, .figures = {}});
      found = std::prev(totals_.templates.end());
    }
    const QueryFigures more{.calls = times, .total_ns = times * 1'000'000};
    found->figures += more;
    totals_.all += more;
  }
  void forget(SubjectId id) {
    std::erase_if(totals_.templates, [id](const auto& one) { return one.id == id; });
  }
  void pass(std::int64_t ns) {
    now_ += ns;
    series.observe(totals_, now_);
  }

  std::uint64_t of(std::optional<std::uint64_t> fingerprint) const {
    for (const auto& one : series.series()) {
      if (one.fingerprint == fingerprint) return one.figures.calls;
    }
    return 0;
  }
  bool has(std::uint64_t fingerprint) const {
    return std::ranges::any_of(series.series(), [&](const auto& one) { return one.fingerprint == fingerprint; });
  }
  std::uint64_t sum() const {
    std::uint64_t calls = 0;
    for (const auto& one : series.series()) calls += one.figures.calls;
    return calls;
  }

  TemplateSeries series;

 private:
  TemplateTotals totals_;
  std::int64_t now_ = minute;
};

TEST(TemplateSeries, CountsOnAndLosesNothing) {
  Load load;
  load.call(1, 10);
  load.pass(minute);
  EXPECT_TRUE(load.has(1));
  EXPECT_EQ(load.of(1), 0U);
  EXPECT_EQ(load.of(std::nullopt), 10U);  // it was before it had a place
  load.call(1, 5);
  load.pass(minute);
  EXPECT_EQ(load.of(1), 5U);
  EXPECT_EQ(load.of(std::nullopt), 10U);
}

TEST(TemplateSeries, FewHavePlacesWhateverComes) {
  Load load;
  std::set<std::uint64_t> names;
  std::uint64_t before = 0;
  std::uint64_t called = 0;
  for (std::uint64_t round = 0; round < 30; ++round) {
    // Another hundred each minute.
    for (std::uint64_t i = 0; i < 100; ++i) load.call(1000 + 100 * round + i, 3);
    called += 300;
    load.pass(minute);
    for (const auto& one : load.series.series()) {
      if (one.fingerprint) names.insert(*one.fingerprint);
    }
    EXPECT_LE(load.series.series().size(), TemplateSeries::places + 1);
    EXPECT_GE(load.of(std::nullopt), before);
    before = load.of(std::nullopt);
  }
  EXPECT_LE(names.size(), TemplateSeries::places * 4);
  EXPECT_GE(load.sum(), called - TemplateSeries::places * 4 * 3);
}

TEST(TemplateSeries, APlaceIsKeptUntilAnotherTakesTwiceAsMuch) {
  Load load;
  for (std::uint64_t i = 1; i <= TemplateSeries::places; ++i) load.call(i, 100 + i);
  load.pass(minute);
  load.call(99, 10'000);
  load.pass(minute);
  EXPECT_FALSE(load.has(99));  // all have theirs for less than ten minutes
  for (int i = 0; i < 10; ++i) load.pass(minute);
  EXPECT_TRUE(load.has(99));
  EXPECT_FALSE(load.has(1));
  load.call(98, 60);  // less than twice the least
  for (int i = 0; i < 12; ++i) load.pass(minute);
  EXPECT_FALSE(load.has(98));
}

TEST(TemplateSeries, OneThatIsForgottenLeaves) {
  Load load;
  load.call(1, 10);
  load.pass(minute);
  load.forget(1);
  load.pass(minute);
  EXPECT_FALSE(load.has(1));
  EXPECT_EQ(load.of(std::nullopt), 10U);
}

}  // namespace
}  // namespace millrace
