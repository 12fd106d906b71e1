#include "monitor/season_finder.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace millrace {
namespace {

constexpr std::size_t least_lag = 4;
// Of the variance that the same time of the last round must explain.
constexpr double enough = 0.5;
// Of two peaks the shorter lag is the season unless the longer is better by this: a multiple of a season is one too.
constexpr double better = 0.1;

/// Within the values' 2nd and 98th percentile, with a mean of 0.
std::vector<double> cut(std::span<const double> values) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double least = sorted[sorted.size() / 50];
  const double most = sorted[sorted.size() - 1 - sorted.size() / 50];
  std::vector<double> cut(values.begin(), values.end());
  double sum = 0;
  for (double& value : cut) sum += value = std::clamp(value, least, most);
  for (double& value : cut) value -= sum / static_cast<double>(cut.size());
  return cut;
}

}  // namespace

std::optional<std::size_t> season_of(std::span<const double> values) {
  const std::size_t most_lag = values.size() / 3;
  if (most_lag <= least_lag) return std::nullopt;
  const std::vector<double> x = cut(values);
  const auto correlation = [&](std::size_t lag) {
    double product = 0;
    double before = 0;
    double after = 0;
    for (std::size_t i = lag; i < x.size(); ++i) {
      product += x[i] * x[i - lag];
      before += x[i - lag] * x[i - lag];
      after += x[i] * x[i];
    }
    return before > 0 && after > 0 ? product / std::sqrt(before * after) : 0.0;
  };
  std::vector<double> by_lag(most_lag + 1);
  for (std::size_t lag = 1; lag <= most_lag; ++lag) by_lag[lag] = correlation(lag);
  std::optional<std::size_t> best;
  bool has_fallen = false;  // before that, neighbours resemble each other, which is no season
  for (std::size_t lag = 1; lag < most_lag; ++lag) {
    has_fallen |= by_lag[lag] < enough / 2;
    if (!has_fallen || lag < least_lag || by_lag[lag] < enough) continue;
    if (by_lag[lag] < by_lag[lag - 1] || by_lag[lag] < by_lag[lag + 1]) continue;
    if (!best || by_lag[lag] > by_lag[*best] + better) best = lag;
  }
  return best;
}

}  // namespace millrace
