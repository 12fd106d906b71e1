#include "monitor/change_point.hpp"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <vector>

namespace millrace {
namespace {

/// Sums of what comes before each place.
struct Sums {
  std::vector<double> values{0};
  std::vector<double> squares{0};

  double mean(std::size_t from, std::size_t until) const {
    return (values[until] - values[from]) / static_cast<double>(until - from);
  }
  /// Of the mean.
  double squared_error(std::size_t from, std::size_t until) const {
    // As precise as latencies are measured: no series is so steady that a hundredth is a change.
    constexpr double least_variance = 1e-4;
    const auto count = static_cast<double>(until - from);
    const double about = mean(from, until);
    const double variance = ((squares[until] - squares[from]) - count * about * about) / (count - 1);
    return std::max(variance, least_variance) / count;
  }
};

double two_sided(double t, double degrees) {
  return 2 * boost::math::cdf(boost::math::complement(boost::math::students_t(degrees), std::abs(t)));
}

}  // namespace

std::optional<ChangePoint> ChangePointDetector::add(double at, double latency) {
  if (!std::isfinite(latency) || latency <= 0) return std::nullopt;
  values_.push_back({.at = at, .log = std::log(latency)});
  if (values_.size() > window) values_.pop_front();
  const std::size_t count = values_.size();
  if (count < least_before + least_after) return std::nullopt;

  std::vector<double> sorted;
  sorted.reserve(count);
  for (const Value& value : values_) sorted.push_back(value.log);
  std::sort(sorted.begin(), sorted.end());
  const std::size_t cut = count / 50 + 1;
  Sums sums;
  for (const Value& value : values_) {
    const double one = std::clamp(value.log, sorted[cut], sorted[count - 1 - cut]);
    sums.values.push_back(sums.values.back() + one);
    sums.squares.push_back(sums.squares.back() + one * one);
  }

  std::size_t best = 0;
  double best_t = 0;
  for (std::size_t split = least_before; split + least_after <= count; ++split) {
    const double difference = sums.mean(split, count) - sums.mean(0, split);
    const double error = sums.squared_error(0, split) + sums.squared_error(split, count);
    const double t = difference / std::sqrt(error);
    if (std::abs(t) <= std::abs(best_t)) continue;
    best_t = t;
    best = split;
  }
  const double ratio = std::exp(sums.mean(best, count) - sums.mean(0, best));
  if (best == 0 || (ratio < least_ratio && ratio > 1 / least_ratio)) return std::nullopt;
  const double before = sums.squared_error(0, best);
  const double after = sums.squared_error(best, count);
  // Welch and Satterthwaite.
  const double degrees =
      (before + after) * (before + after) /
      (before * before / static_cast<double>(best - 1) + after * after / static_cast<double>(count - best - 1));
  const auto places = static_cast<double>(count - least_before - least_after + 1);
  const double p_value = std::min(1.0, two_sided(best_t, degrees) * places);
  if (p_value > largest_p_value) return std::nullopt;

  const ChangePoint found{.at = values_[best].at,
                          .before = std::exp(sums.mean(0, best)),
                          .after = std::exp(sums.mean(best, count)),
                          .p_value = p_value,
                          .values_before = best,
                          .values_after = count - best};
  values_.erase(values_.begin(), values_.begin() + static_cast<std::ptrdiff_t>(best));
  return found;
}

}  // namespace millrace
