#include "monitor/anomaly_detector.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "monitor/season_finder.hpp"

namespace millrace {
namespace {

constexpr double hour = 3600;
constexpr double day = 86400;
constexpr int rounds_of_hours = 4;
constexpr int rounds_of_days = 8;
constexpr int rounds_of_own = 5;
constexpr int most_slots = 288;
constexpr int slots_of_hour = 60;
// A time of day is told apart from another if the series has as many values in it.
constexpr double least_slots = 6;

constexpr std::size_t local_window = 15;
const double usual_evidence = std::log10(std::exp(1.0));  // the mean of -log10 of what is evenly distributed
constexpr double least_evidence = 0.25;                   // less than so much more than that each time is none
constexpr double most_evidence = 48;
constexpr double most_rank = 256;
constexpr int values_of_drift = 40;

constexpr std::size_t between_looks_for_a_season = 128;
constexpr std::size_t least_for_a_season = 96;

constexpr double least_missing = 12;
constexpr double gap_that_unsettles = 3;
constexpr int values_to_settle = 20;
constexpr double settled_surprise = 2;  // how much more it takes until then
constexpr std::uint64_t values_before_any = 30;

constexpr double part_of_second = 0.3;
constexpr double discount_of_seen = 0.5;
constexpr double season_explains = 0.7;  // a season is one if what it leaves is at most this part of what there was
constexpr double error_share = 1.0 / 256;

constexpr double medium_threshold = 5;
constexpr int calm_values = 16;
constexpr int pause_values = 64;
constexpr double calm_share = 0.6;

}  // namespace

double Surprise::score() const { return std::clamp(neg_log10_p / (2 * medium_threshold), 0.0, 1.0); }

SurpriseMeter::SurpriseMeter() = default;

void SurpriseMeter::Ring::add(double value) {
  values[next] = value;
  next = (next + 1) % remembered;
  filled = std::min(filled + 1, remembered);
}

std::optional<double> SurpriseMeter::Evidence::add(double probability) {
  sum = std::max(sum - std::log10(probability) - usual_evidence - least_evidence, 0.0);
  peak = std::max(peak, sum);
  since = sum > 0 ? since + 1 : 0;
  return sum > 0 || peak <= 0 ? std::nullopt : std::optional(std::exchange(peak, 0.0));
}

double SurpriseMeter::median_of_last(std::size_t count) const {
  std::array<double, local_window> last{};
  for (std::size_t i = 0; i < count; ++i) last[i] = values_.back(i);
  const auto middle = last.begin() + static_cast<std::ptrdiff_t>(count / 2);
  std::nth_element(last.begin(), middle, last.begin() + static_cast<std::ptrdiff_t>(count));
  return *middle;
}

/// The one that says most, if any says something.
const SurpriseMeter::Season* SurpriseMeter::best_season() const {
  const Season* best = nullptr;
  for (const Season& one : seasons_) {
    if (one.memory.knows() && one.error < season_explains * error_without_ &&
        (best == nullptr || one.error < best->error)) {
      best = &one;
    }
  }
  return best;
}

void SurpriseMeter::learn_interval(double passed) {
  if (passed <= 0 || intervals_seen_ == intervals_.size()) return;
  intervals_[intervals_seen_++] = passed;
  auto sorted = intervals_;
  std::sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(intervals_seen_));
  interval_ = sorted[intervals_seen_ / 2];
  if (intervals_seen_ < intervals_.size()) return;
  const auto add = [this](double period, int slots, int rounds) {
    const double there_are = period / interval_;
    if (there_are < least_slots) return;
    seasons_.push_back({.memory = {period, std::min(slots, static_cast<int>(std::lround(there_are))), rounds}});
  };
  add(hour, slots_of_hour, rounds_of_hours);
  add(day, most_slots, rounds_of_days);
}

/// Looked for from time to time, and believed when it was found twice.
void SurpriseMeter::learn_season(double at) {
  if (count_ % between_looks_for_a_season != 0 || values_.filled < least_for_a_season || interval_ <= 0) return;
  std::array<double, remembered> last{};
  const std::size_t count = values_.filled;
  for (std::size_t i = 0; i < count; ++i) last[i] = values_.back(count - 1 - i);
  const std::size_t lag = season_of({last.data(), count}).value_or(0);
  const bool is_same = lag + 1 >= candidate_lag_ && lag <= candidate_lag_ + 1;
  candidate_lag_ = lag;
  if (lag == 0 || !is_same || (own_lag_ > 0 && lag + 1 >= own_lag_ && lag <= own_lag_ + 1)) return;
  if (own_lag_ > 0) seasons_.pop_back();
  own_lag_ = lag;
  SeasonalMemory memory(static_cast<double>(lag) * interval_, std::min(static_cast<int>(lag), most_slots),
                        rounds_of_own);
  for (std::size_t i = 0; i < count; ++i) {
    memory.add(at - static_cast<double>(count - 1 - i) * interval_, last[i]);
  }
  seasons_.push_back({.memory = std::move(memory), .error = error_without_});
}

/// What has to do with neighbours in time.
void SurpriseMeter::begin_again() {
  values_.filled = 0;
  settling_ = values_to_settle;
}

/// `samples` more are missing.
std::optional<Surprise> SurpriseMeter::missing(double samples) {
  missing_run_ += samples;
  const double surprising = std::max(least_missing, 3 * longest_missing_);
  if (missing_told_ || missing_run_ < surprising || count_ < values_before_any) return std::nullopt;
  missing_told_ = true;
  return Surprise{.neg_log10_p = 2 * medium_threshold, .kind = AnomalyKind::missing_data, .expected = usual_.median()};
}

/// What isn't as it is at this time, or in general.
double SurpriseMeter::residual(double at, double value) {
  const Season* const best = best_season();
  const double period = best != nullptr ? best->memory.period() : 0;
  if (std::exchange(residuals_of_, period) != period) {
    histories_[side] = histories_[spread] = TailHistogram();
    forget_residuals();
  }
  const double expected = best != nullptr ? best->memory.expected(at) : usual_.median();
  return value - (std::isnan(expected) ? usual_.median() : expected);
}

void SurpriseMeter::forget_residuals() {
  usual_residuals_.clear();
  evidence_ = {};
}

void SurpriseMeter::remember(double at, double value) {
  const auto learn = [&](double& error, double expected) {
    if (!std::isnan(expected)) error += error_share * (std::abs(value - expected) - error);
  };
  learn(error_without_, usual_.median());
  for (Season& one : seasons_) {
    learn(one.error, one.memory.expected(at));
    one.memory.add(at, value);
  }
  usual_.add(value);
  values_.add(value);
  ++count_;
  if (settling_ > 0) --settling_;
  learn_season(at);
}

double SurpriseMeter::surprise(Feature feature, double magnitude, double floor) {
  const double surprise = histories_[feature].surprise(magnitude, floor);
  histories_[feature].add(magnitude);
  return surprise;
}

/// Before it is remembered.
Surprise SurpriseMeter::of_value(double at, double value) {
  Surprise said{.expected = usual_.median()};
  if (values_.filled == 0 || usual_.size() == 0) return said;
  const double scale = usual_.scale();
  const double floor = std::max({scale, 1e-6 * std::abs(usual_.median()), 1e-12});
  double distance = std::numeric_limits<double>::quiet_NaN();
  for (const Season& one : seasons_) {
    if (one.memory.knows()) distance = std::fmin(distance, one.memory.distance(at, value));
  }
  const double outside = std::max({value - usual_.quantile(0.95), usual_.quantile(0.05) - value, 0.0});
  double place = surprise(range, outside, floor);
  if (!std::isnan(distance)) {
    const double by_season = surprise(season, distance, floor);
    said.kind = by_season > place ? AnomalyKind::season_broken : AnomalyKind::spike;
    place = by_season;
  }
  double way = surprise(step, std::abs(value - values_.back(0)), floor);
  if (values_.filled >= local_window) {
    said.expected = median_of_last(local_window);
    way = std::max(way, surprise(local, std::abs(value - said.expected), floor));
  }
  if (distance <= 0) way *= discount_of_seen;
  if (way > place) said.kind = AnomalyKind::spike;
  said.neg_log10_p = (1 - part_of_second) * std::max(place, way) + part_of_second * std::min(place, way);
  return said;
}

Surprise SurpriseMeter::of_last(double residual) {
  Surprise said;
  if (usual_residuals_.size() >= values_before_any) {
    auto& [above, below, outward, inward] = evidence_;
    const double rank = usual_residuals_.rank(residual);
    const double outside = std::min(2 * std::min(rank, 1 - rank), 1 - 1.0 / most_rank);  // of all values as far out
    // An exponential tail of the sum is Pareto's of its power.
    const auto power = [](double sum) { return std::exp2(std::min(sum, most_evidence)); };
    const auto add = [&](Evidence& evidence, Feature feature, double probability) {
      if (const auto peak = evidence.add(probability)) histories_[feature].add(power(*peak));
    };
    add(above, side, 1 - rank);
    add(below, side, rank);
    add(outward, spread, outside);
    add(inward, spread, 1 - outside);
    const auto compare = [&](Feature feature, AnomalyKind kind, double sum) {
      const double one = histories_[feature].surprise(power(sum), 1);
      if (one > said.neg_log10_p) said = {.neg_log10_p = one, .kind = kind, .expected = usual_.median()};
    };
    const Evidence& further = above.sum > below.sum ? above : below;
    compare(side, further.since > values_of_drift ? AnomalyKind::drift : AnomalyKind::level_shift, further.sum);
    compare(spread, AnomalyKind::variance_change, std::max(outward.sum, inward.sum));
    if (std::max({further.sum, outward.sum, inward.sum}) > most_evidence) {
      // It is certain: what was usual isn't any more.
      forget_residuals();
    }
  }
  usual_residuals_.add(residual);
  return said;
}

Surprise SurpriseMeter::observe(double at, double value) {
  std::optional<Surprise> gap;
  if (last_at_) {
    const double passed = at - *last_at_;
    learn_interval(passed);
    // A clock that stepped back says nothing of what is missing.
    if (interval_ > 0 && passed > 1.5 * interval_) gap = missing(std::round(passed / interval_) - 1);
  }
  last_at_ = at;
  if (!std::isfinite(value)) {
    const auto told = missing(1);
    return told ? *told : gap.value_or(Surprise{.expected = usual_.median(), .settling = true});
  }
  if (missing_run_ >= gap_that_unsettles) begin_again();
  longest_missing_ = std::max(longest_missing_, missing_run_);
  missing_run_ = 0;
  missing_told_ = false;

  Surprise said = of_value(at, value);
  // Until it has settled it may well lie to one side.
  if (settling_ > 0) evidence_ = {};
  const double left = residual(at, value);
  const Surprise lasting = settling_ > 0 ? Surprise{} : of_last(left);
  remember(at, value);
  if (lasting.neg_log10_p > said.neg_log10_p) said = lasting;
  said.settling = settling_ > 0;
  if (said.settling) said.neg_log10_p = std::max(said.neg_log10_p - settled_surprise, 0.0);
  if (count_ < values_before_any) said.neg_log10_p = 0;
  return gap.value_or(said);
}

double threshold_of(DetectorProfile profile) {
  constexpr std::array<double, 3> thresholds = {6, medium_threshold, 4};
  return thresholds[static_cast<std::size_t>(profile)];
}

AlarmGate::AlarmGate(DetectorProfile profile) : threshold_(threshold_of(profile)) {}

bool AlarmGate::step(const Surprise& surprise) {
  ++since_alarm_;
  calm_ = surprise.neg_log10_p < calm_share * threshold_ ? calm_ + 1 : 0;
  if (calm_ >= calm_values) in_episode_ = false;
  const bool pause_is_over = !has_alarmed_ || since_alarm_ >= pause_values;
  if (surprise.neg_log10_p < threshold_ || in_episode_ || !pause_is_over) return false;
  in_episode_ = has_alarmed_ = true;
  since_alarm_ = 0;
  return true;
}

}  // namespace millrace
