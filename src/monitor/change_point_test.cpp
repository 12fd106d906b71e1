#include "monitor/change_point.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace millrace {
namespace {

class Latencies {
 public:
  explicit Latencies(unsigned seed) : random_(seed) {}
  double operator()(double median) { return median * std::exp(0.4 * normal_(random_)); }

 private:
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
};

TEST(ChangePoint, IsFoundOnceAndWhereItIs) {
  ChangePointDetector detector;
  Latencies latency(3);
  std::vector<ChangePoint> found;
  std::vector<int> told_at;
  for (int i = 0; i < 500; ++i) {
    if (const auto change = detector.add(i, latency(i < 300 ? 2.0 : 6.0))) {
      found.push_back(*change);
      told_at.push_back(i);
    }
  }
  ASSERT_EQ(found.size(), 1);
  EXPECT_NEAR(found[0].at, 300, 2);
  EXPECT_NEAR(found[0].before, 2, 0.4);
  EXPECT_NEAR(found[0].ratio(), 3, 0.8);
  EXPECT_LE(found[0].p_value, ChangePointDetector::largest_p_value);
  EXPECT_GE(told_at[0], 300 + 7);
  EXPECT_LT(told_at[0], 330);
}

TEST(ChangePoint, FindsAnImprovementToo) {
  ChangePointDetector detector;
  Latencies latency(4);
  std::optional<ChangePoint> found;
  for (int i = 0; i < 200 && !found; ++i) found = detector.add(i, latency(i < 100 ? 10.0 : 3.0));
  ASSERT_TRUE(found);
  EXPECT_LT(found->ratio(), 0.5);
}

TEST(ChangePoint, IsNotFoundInNoiseOrInASingleSlowOne) {
  for (unsigned seed = 1; seed <= 3; ++seed) {
    ChangePointDetector detector;
    Latencies latency(seed);
    for (int i = 0; i < 1000; ++i) {
      EXPECT_FALSE(detector.add(i, latency(2.0) * (i % 100 == 99 ? 1000 : 1))) << seed << " " << i;
    }
  }
}

TEST(ChangePoint, TakesNoNotice) {
  ChangePointDetector detector;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const double odd : {0.0, -1.0, std::nan(""), infinity}) EXPECT_FALSE(detector.add(1, odd));
  EXPECT_EQ(detector.size(), 0);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(detector.add(i, 5.0)) << "all the same";
  EXPECT_EQ(detector.size(), ChangePointDetector::window);
}

}  // namespace
}  // namespace millrace
