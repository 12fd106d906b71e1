#include "monitor/time_estimates.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <span>

namespace millrace {
namespace {

/// Fewer calls say less than what others' costs do.
constexpr std::uint64_t least_calls = 3;
constexpr std::size_t most_places = 64;  ///< of the curve
/// So many of the calls may have failed, or been sent rewritten.
constexpr std::uint64_t one_in = 20;
constexpr std::int64_t hour_ns = 3'600'000'000'000, day_ns = 24 * hour_ns, kept_ns = 5'000'000'000;
const double near = std::log(2.0);

/// Of `part` in `all`, as far as so few can say: Laplace's rule of succession.
double share(double part, double all) { return (part + 1) / (all + 2); }

/// Of what costs so many times as much, by its logarithm.
double weight_of(double log_ratio) { return std::exp(-std::abs(log_ratio)); }

/// Isotonic regression: neighbours that descend get their mean.
std::vector<double> ascending(std::span<const double> values) {
  struct Block {
    double sum = 0;
    std::size_t values = 1;
    double mean() const { return sum / static_cast<double>(values); }
  };
  std::vector<Block> blocks;
  for (const double value : values) {
    blocks.push_back({.sum = value});
    while (blocks.size() > 1 && blocks[blocks.size() - 2].mean() > blocks.back().mean()) {
      const Block last = blocks.back();
      blocks.pop_back();
      blocks.back().sum += last.sum;
      blocks.back().values += last.values;
    }
  }
  std::vector<double> all;
  all.reserve(values.size());
  for (const Block& block : blocks) all.insert(all.end(), block.values, block.mean());
  return all;
}

/// Those that weren't answered from memory.
std::uint64_t asked_of(const QueryFigures& calls) { return calls.calls - std::min(calls.calls, calls.hits); }

std::optional<SubjectFigures> total_of(const PerformanceHistory& history, std::uint64_t fingerprint) {
  return history.template_total(QueryPerformanceMonitor::template_key(fingerprint, Engine::postgresql));
}

/// By a template's calls in these intervals; where they are few, by all of them since the start.
std::optional<TimeEstimate> estimate_of_calls(const std::vector<IntervalPtr>& intervals, const SubjectFigures& total) {
  QueryFigures calls;
  HistogramTotals durations;
  for (const IntervalPtr& interval : intervals) {
    const auto found = std::ranges::lower_bound(interval->subjects, total.id, {}, &SubjectFigures::id);
    if (found == interval->subjects.end() || found->id != total.id) continue;
    calls += found->figures;
    found->durations.add_to(durations);
  }
  if (asked_of(calls) < least_calls) {
    calls = total.figures;
    durations = {};
    total.durations.add_to(durations);
  }
  return asked_of(calls) < least_calls ? std::nullopt : estimate_of(calls, durations);
}

}  // namespace

CostCalibration::CostCalibration(const std::vector<Point>& points) {
  std::vector<double> costs;
  for (const auto& point : points) {
    if (!(point.total_cost > 0) || !(point.ms > 0) || !std::isfinite(point.total_cost)) continue;
    costs.push_back(std::log(point.total_cost));
    known_.push_back({.log_cost = costs.back(), .log_ms_a_unit = std::log(point.ms) - costs.back()});
  }
  if (known_.size() < least_points) return;
  std::ranges::sort(known_, {}, &Known::log_ms_a_unit);
  std::ranges::sort(costs);
  const std::size_t places = std::min(costs.size(), most_places);
  std::vector<double> medians;
  for (std::size_t i = 0; i < places; ++i) {
    const double cost = costs[i * (costs.size() - 1) / (places - 1)];
    if (!curve_.empty() && cost <= curve_.back().log_cost) continue;
    curve_.push_back({.log_cost = cost, .log_ms = 0});
    medians.push_back(median_at(cost));
  }
  medians = ascending(medians);
  for (std::size_t i = 0; i < curve_.size(); ++i) curve_[i].log_ms = medians[i];
}

double CostCalibration::median_at(double log_cost) const {
  double all = 0;
  for (const auto& one : known_) all += weight_of(one.log_cost - log_cost);
  double below = 0;
  for (const auto& one : known_) {
    below += weight_of(one.log_cost - log_cost);
    if (2 * below >= all) return log_cost + one.log_ms_a_unit;
  }
  return log_cost + known_.back().log_ms_a_unit;
}

double CostCalibration::log_ms_at(double log_cost) const {
  const auto after = std::ranges::upper_bound(curve_, log_cost, {}, &Place::log_cost);
  if (after == curve_.begin()) return curve_.front().log_ms + log_cost - curve_.front().log_cost;
  const Place& before = *std::prev(after);
  if (after == curve_.end()) return before.log_ms + log_cost - before.log_cost;
  return std::lerp(before.log_ms, after->log_ms, (log_cost - before.log_cost) / (after->log_cost - before.log_cost));
}

std::optional<TimeEstimate> CostCalibration::of(double total_cost) const {
  if (curve_.empty() || !(total_cost > 0) || !std::isfinite(total_cost)) return std::nullopt;
  const double cost = std::log(total_cost), ms = log_ms_at(cost);
  // The nearest one's weight is 1, however far it is; it is itself no evidence.
  double nearest = std::numeric_limits<double>::infinity();
  for (const auto& one : known_) nearest = std::min(nearest, std::abs(one.log_cost - cost));
  double all = -1, close = -1;
  for (const auto& one : known_) {
    const double weight = weight_of(std::abs(one.log_cost - cost) - nearest);
    all += weight;
    if (std::abs(one.log_ms_a_unit + cost - ms) <= near) close += weight;
  }
  return TimeEstimate{.ms = std::exp(ms),
                      .confidence = share(std::max(close, 0.0), std::max(all, 0.0)),
                      .calls = 0,
                      .templates = known_.size()};
}

std::optional<TimeEstimate> estimate_of(const QueryFigures& calls, const HistogramTotals& durations) {
  const std::uint64_t asked = asked_of(calls), all = durations.count();
  if (asked == 0 || all <= calls.hits || (calls.errors + calls.rewritten) * one_in > asked) return std::nullopt;
  const auto part = static_cast<double>(asked);
  const auto middle = durations.quantile((static_cast<double>(calls.hits) + part / 2) / static_cast<double>(all));
  const auto quick = std::max(durations.count_up_to(middle / 2), calls.hits);
  const auto slow = all - durations.count_up_to(2 * middle);
  const double close = static_cast<double>(all - std::min(all, quick + slow));
  return TimeEstimate{.ms = std::max(static_cast<double>(middle), 1.0) / 1e6,
                      .confidence = share(close, part),
                      .calls = asked,
                      .templates = 0};
}

std::optional<TimeEstimate> TimeEstimates::of(std::uint64_t fingerprint, std::optional<double> total_cost,
                                              std::int64_t now) const {
  const auto* history = monitor_->history();
  if (history == nullptr) return std::nullopt;
  if (const auto total = total_of(*history, fingerprint)) {
    if (auto known = estimate_of_calls(history->since(now - day_ns), *total)) return known;
  }
  return total_cost ? calibration(now)->of(*total_cost) : std::nullopt;
}

std::optional<TimeEstimate> TimeEstimates::instead(const TimeEstimate& estimated, double its_cost, double other_cost,
                                                   std::int64_t now) const {
  const auto known = calibration(now);
  auto other = known->of(other_cost);
  const auto its = known->of(its_cost);
  if (!other || !its || estimated.calls == 0) return other;
  other->ms *= estimated.ms / its->ms;
  return other;
}

/// The last hour's calls go with plans that were asked for within about as long.
std::shared_ptr<const CostCalibration> TimeEstimates::calibration(std::int64_t now) const {
  const std::scoped_lock lock(mutex_);
  if (calibration_ && now - calibrated_ns_ < kept_ns) return calibration_;
  std::vector<CostCalibration::Point> points;
  const auto* history = monitor_->history();
  if (history != nullptr && plans_ != nullptr) {
    const auto intervals = history->since(now - hour_ns);
    for (const auto& one : history->template_totals().templates) {
      const auto cost = plans_->total_cost(one.fingerprint);
      if (!cost) continue;
      const auto total = total_of(*history, one.fingerprint);
      if (!total || total->id != one.id) continue;  // it is another engine's
      const auto estimate = estimate_of_calls(intervals, *total);
      if (estimate) points.push_back({.total_cost = *cost, .ms = estimate->ms});
    }
  }
  calibration_ = std::make_shared<const CostCalibration>(points);
  calibrated_ns_ = now;
  return calibration_;
}

}  // namespace millrace
