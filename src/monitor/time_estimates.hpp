#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "monitor/query_performance_monitor.hpp"
#include "monitor/template_plans.hpp"

namespace millrace {

/// How long PostgreSQL will take for a statement, as its client sees it.
struct TimeEstimate {
  double ms = 0;
  /// Measured: which part of what it goes by was within a factor of two of it. 0 to 1.
  double confidence = 0;
  /// What it goes by: calls of its own template, or, if there are none, templates whose plans and times are known.
  std::uint64_t calls = 0, templates = 0;
};

/// What plans' costs come to in milliseconds on this machine.
///
/// Each template whose plan and time are known says how many milliseconds one unit of cost takes; the estimate is the
/// weighted median of what they say, those with a cost e times higher or lower having 1/e of the weight. Costs tell
/// times only roughly (a factor of 2 or 3 is usual), which the confidence says.
class CostCalibration {
 public:
  struct Point {
    double total_cost = 0, ms = 0;
  };
  static constexpr std::size_t least_points = 5;

  /// Those of which either isn't positive are left out.
  explicit CostCalibration(const std::vector<Point>& points);

  /// Null: too few are known.
  std::optional<TimeEstimate> of(double total_cost) const;

 private:
  struct Known {
    double log_cost, log_ms_a_unit;
  };
  std::vector<Known> known_;  ///< by log_ms_a_unit
};

/// Of calls, some of which were `hits`, answered from memory, which are taken for the quickest. Null: all were.
std::optional<TimeEstimate> estimate_of(const CompactHistogram& durations, std::uint64_t hits);

/// From what has been recorded and planned so far. Takes about a millisecond; not for an I/O thread. Thread-safe.
class TimeEstimates {
 public:
  /// `monitor` must record; `plans` may be null: nobody asks for them.
  TimeEstimates(const QueryPerformanceMonitor& monitor, const TemplatePlans* plans, std::int64_t now);

  /// `total_cost`: null: it isn't known. The template's own history goes first.
  std::optional<TimeEstimate> of(std::uint64_t fingerprint, std::optional<double> total_cost) const;
  /// Of a statement that does the same as one that is estimated, with another cost.
  std::optional<TimeEstimate> instead(const TimeEstimate& estimated, double its_cost, double other_cost) const;

 private:
  std::unordered_map<std::uint64_t, TimeEstimate> of_template_;
  std::optional<CostCalibration> calibration_;
};

}  // namespace millrace
