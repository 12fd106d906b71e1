#pragma once

#include <optional>

#include "monitor/alert_threshold.hpp"
#include "monitor/interval_figures.hpp"

namespace millrace {

/// Ten seconds' figures, put together from shorter ones.
class FiguresOfSlice {
 public:
  void add(const IntervalFigures& figures);

  /// Nothing: there was nothing to take it of, or less than `min_samples`. Of execution_time the slowest query's.
  std::optional<double> value(PerformanceMetricType metric, int min_samples) const;

  double seconds() const { return sum_.seconds; }
  std::uint64_t queries() const { return sum_.queries; }

  /// How many queries took longer (`comparison` > or >=) or less long (< or <=) than this.
  std::uint64_t queries_beyond(double ms, std::string_view comparison) const;

 private:
  struct Mean {
    double sum = 0;
    double seconds = 0;
    void add(double value, double for_seconds);
    std::optional<double> value() const;
  };

  IntervalFigures sum_ = {.at = {}, .seconds = 0, .most_errors = {}, .durations = {}, .reads = {}, .system = {}};
  Mean cpu_;
  Mean memory_;
  Mean process_;
  Mean waiting_;
  Mean active_;
};

}  // namespace millrace
