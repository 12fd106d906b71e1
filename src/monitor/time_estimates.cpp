#include "monitor/time_estimates.hpp"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

/// Fewer calls say less than what others' costs do.
constexpr std::uint64_t least_calls = 3;
const double near = std::log(2.0);

/// Of `part` in `all`, as far as so few can say: Laplace's rule of succession.
double share(double part, double all) { return (part + 1) / (all + 2); }

}  // namespace

CostCalibration::CostCalibration(const std::vector<Point>& points) {
  for (const auto& point : points) {
    if (!(point.total_cost > 0) || !(point.ms > 0) || !std::isfinite(point.total_cost)) continue;
    const double cost = std::log(point.total_cost);
    known_.push_back({.log_cost = cost, .log_ms_a_unit = std::log(point.ms) - cost});
  }
  std::ranges::sort(known_, {}, &Known::log_ms_a_unit);
}

std::optional<TimeEstimate> CostCalibration::of(double total_cost) const {
  if (known_.size() < least_points || !(total_cost > 0) || !std::isfinite(total_cost)) return std::nullopt;
  const double cost = std::log(total_cost);
  const auto weight = [&](const Known& one) { return std::exp(-std::abs(one.log_cost - cost)); };
  // The nearest one's is 1, however far it is.
  double nearest = std::abs(known_.front().log_cost - cost);
  for (const auto& one : known_) nearest = std::min(nearest, std::abs(one.log_cost - cost));
  const double unit = std::exp(nearest);
  double all = 0;
  for (const auto& one : known_) all += unit * weight(one);
  double below = 0;
  auto middle = known_.begin();
  for (; middle + 1 != known_.end(); ++middle) {
    below += unit * weight(*middle);
    if (2 * below >= all) break;
  }
  double close = 0;
  for (const auto& one : known_) {
    if (std::abs(one.log_ms_a_unit - middle->log_ms_a_unit) <= near) close += unit * weight(one);
  }
  return TimeEstimate{.ms = std::exp(cost + middle->log_ms_a_unit),
                      // The one in the middle is itself no evidence.
                      .confidence = share(std::max(close - unit * weight(*middle), 0.0), all - unit * weight(*middle)),
                      .calls = 0,
                      .templates = known_.size()};
}

std::optional<TimeEstimate> estimate_of(const CompactHistogram& durations, std::uint64_t hits) {
  const std::uint64_t all = durations.count();
  if (all <= hits) return std::nullopt;
  const auto asked = static_cast<double>(all - hits);
  const auto middle = durations.quantile((static_cast<double>(hits) + asked / 2) / static_cast<double>(all));
  HistogramTotals totals;
  durations.add_to(totals);
  const auto quick = std::max(totals.count_up_to(middle / 2), hits);
  const auto slow = all - totals.count_up_to(2 * middle);
  const double close = static_cast<double>(all - std::min(all, quick + slow));
  return TimeEstimate{.ms = std::max(static_cast<double>(middle), 1.0) / 1e6,
                      .confidence = share(close, asked),
                      .calls = all - hits,
                      .templates = 0};
}

TimeEstimates::TimeEstimates(const QueryPerformanceMonitor& monitor, const TemplatePlans* plans, std::int64_t now) {
  if (monitor.history() == nullptr) return;
  std::vector<CostCalibration::Point> points;
  for (const auto& one : monitor.history()->report(SubjectKind::query_template, std::nullopt, now).subjects) {
    if (one.is_other || !one.about || one.about->engine != Engine::postgresql) continue;
    const auto estimate = estimate_of(one.durations, one.figures.hits);
    if (!estimate || estimate->calls < least_calls) continue;
    const auto fingerprint = one.about->fingerprint;
    of_template_.emplace(fingerprint, *estimate);
    const auto plan = plans == nullptr ? std::nullopt : plans->find(fingerprint);
    if (plan && plan->why_none.empty()) points.push_back({.total_cost = plan->total_cost, .ms = estimate->ms});
  }
  calibration_.emplace(points);
}

std::optional<TimeEstimate> TimeEstimates::of(std::uint64_t fingerprint, std::optional<double> total_cost) const {
  if (const auto known = of_template_.find(fingerprint); known != of_template_.end()) return known->second;
  if (!calibration_ || !total_cost) return std::nullopt;
  return calibration_->of(*total_cost);
}

std::optional<TimeEstimate> TimeEstimates::instead(const TimeEstimate& estimated, double its_cost,
                                                   double other_cost) const {
  if (!calibration_) return std::nullopt;
  auto other = calibration_->of(other_cost);
  const auto its = calibration_->of(its_cost);
  if (!other || !its || estimated.calls == 0) return other;
  other->ms *= estimated.ms / its->ms;
  return other;
}

}  // namespace millrace
