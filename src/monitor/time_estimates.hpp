#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
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
/// Each template whose plan and time are known says how many milliseconds one unit of cost takes. At some of their
/// costs the weighted median of what they say is taken, those with a cost e times higher or lower having 1/e of the
/// weight; what costs more takes as long or longer (isotonic regression), and between these costs, and beyond them in
/// proportion, it is interpolated by logarithms. Costs tell times only roughly (a factor of 2 or 3 is usual), which the
/// confidence says.
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
  struct Place {
    double log_cost, log_ms;
  };

  double median_at(double log_cost) const;
  double log_ms_at(double log_cost) const;

  std::vector<Known> known_;  ///< by log_ms_a_unit
  std::vector<Place> curve_;  ///< both ascending; empty: too few are known
};

/// Of a statement's calls. Those that were answered from memory are left out: they are taken for the quickest. Null:
/// there are no others, or more than one in twenty of them failed or was sent rewritten, so that they don't tell how
/// long the statement takes.
std::optional<TimeEstimate> estimate_of(const QueryFigures& calls, const HistogramTotals& durations);

/// By what has been recorded and planned. A statement's own calls take up to a millisecond to sum up; what costs come
/// to takes some 20 with 1000 templates, and is kept for five seconds (`monitor_bench estimates`). Not for an I/O
/// thread. Thread-safe.
class TimeEstimates {
 public:
  /// `plans` may be null: nobody asks for them.
  TimeEstimates(std::shared_ptr<const QueryPerformanceMonitor> monitor, std::shared_ptr<const TemplatePlans> plans)
      : monitor_(std::move(monitor)), plans_(std::move(plans)) {}

  /// `total_cost`: null: it isn't known. The statement's own calls go first: the last day's, or if these are few, all.
  std::optional<TimeEstimate> of(std::uint64_t fingerprint, std::optional<double> total_cost, std::int64_t now) const;
  /// Of a statement that does the same as one that is estimated, with another cost.
  std::optional<TimeEstimate> instead(const TimeEstimate& estimated, double its_cost, double other_cost,
                                      std::int64_t now) const;

 private:
  std::shared_ptr<const CostCalibration> calibration(std::int64_t now) const;

  const std::shared_ptr<const QueryPerformanceMonitor> monitor_;
  const std::shared_ptr<const TemplatePlans> plans_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const CostCalibration> calibration_;
  mutable std::int64_t calibrated_ns_ = 0;
};

}  // namespace millrace
