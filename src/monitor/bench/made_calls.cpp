#include "monitor/bench/made_calls.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <random>
#include <stdexcept>

namespace millrace::bench {
namespace {

constexpr double day = 86400;
constexpr double interval_seconds = 5;
constexpr double learning = 1800;

class CallMaker {
 public:
  CallMaker(std::string family, std::uint64_t seed) : random_(seed), family_(std::move(family)) {
    has_days_ = family_ == "daily" || family_ == "nightly_batch";
    seconds_ = has_days_ ? 3 * day : 3 * 3600;
    made_.judged_from = has_days_ ? day : learning;
    made_.start = 1.75e9 + uniform(0, 7 * day);
    rate_ = std::exp(uniform(std::log(0.2), std::log(has_days_ ? 5 : 50)));
    median_ms_ = std::exp(uniform(std::log(0.5), std::log(200)));
    spread_ = uniform(0.2, 0.9);
    share_of_tail_ = family_ == "heavy_tail" ? uniform(0.05, 0.2) : uniform(0, 0.02);
    changed_at_ = uniform(learning + 600, seconds_ - 3600);
    factor_ = uniform(1.8, 8);
    share_ = family_ == "mixed_step" ? uniform(0.4, 0.8) : 1;
    drifts_for_ = uniform(300, 1800);
    batch_at_ = uniform(0, day);
    batch_lasts_ = uniform(600, 3600);
    phase_ = uniform(0, 1);
    plan_disturbances();
  }

  MadeCalls make() {
    if (family_ == "step" || family_ == "mixed_step" || family_ == "drift") made_.changes.push_back(changed_at_);
    if (family_ == "mixed_step") factor_ = uniform(8, 30);
    for (double at = 0; at < seconds_; at += interval_seconds) made_.intervals.push_back(interval(at));
    return std::move(made_);
  }

 private:
  double uniform(double least, double most) { return std::uniform_real_distribution<double>(least, most)(random_); }

  /// When all of it is slow for a short time, or gone and slow then.
  void plan_disturbances() {
    if (family_ != "burst" && family_ != "restart") return;
    const bool is_restart = family_ == "restart";
    for (double at = learning; at < seconds_; at += uniform(900, 2400)) {
      disturbed_from_.push_back(at);
      gone_for_.push_back(is_restart ? uniform(5, 30) : 0);
      slow_for_.push_back(is_restart ? uniform(20, 90) : uniform(1, 30));
    }
  }

  /// How many times as long as usual calls take, and whether there are any.
  std::pair<double, bool> disturbance(double at) {
    for (std::size_t i = 0; i < disturbed_from_.size(); ++i) {
      const double since = at - disturbed_from_[i];
      if (since < 0 || since >= gone_for_[i] + slow_for_[i]) continue;
      const double fades = 1 - (since - gone_for_[i]) / slow_for_[i];
      return {family_ == "burst" ? 10 : 1 + 4 * fades, since >= gone_for_[i]};
    }
    return {1, true};
  }

  double level(double at) {
    double level = 1;
    if (family_ == "step" && at >= changed_at_) level = factor_;
    if (family_ == "drift") level = std::pow(factor_, std::clamp((at - changed_at_) / drifts_for_, 0.0, 1.0));
    const double turn = (made_.start + at) / day + phase_;
    if (has_days_) level *= std::pow(factor_, 0.5 + 0.5 * std::sin(2 * std::numbers::pi * turn));
    const double since = std::fmod(made_.start + at + day - batch_at_, day);
    if (family_ == "nightly_batch" && since < batch_lasts_) level *= factor_;
    if (family_ == "wandering") {  // each five seconds resemble those before, for a minute or so
      wander_ = 0.92 * wander_ + 0.06 * normal_(random_);
      level *= std::exp(wander_);
    }
    return level;
  }

  Interval interval(double at) {
    Interval made{.from_ns = static_cast<std::int64_t>(at * 1e9),
                  .to_ns = static_cast<std::int64_t>((at + interval_seconds) * 1e9)};
    const auto [times, is_there] = disturbance(at);
    const double usual = level(at) * times * median_ms_ * 1e6;
    const int calls = is_there ? std::poisson_distribution<int>(rate_ * interval_seconds)(random_) : 0;
    if (calls == 0) return made;
    std::map<std::uint16_t, std::uint64_t> counts;
    for (int i = 0; i < calls; ++i) {
      double ns = usual * std::exp(spread_ * normal_(random_));
      if (uniform(0, 1) < share_of_tail_) ns *= std::pow(uniform(1e-3, 1), -1 / 1.3) * 5;  // Pareto
      if (family_ == "mixed_step" && at >= changed_at_ && uniform(0, 1) < share_) ns *= factor_;
      ++counts[static_cast<std::uint16_t>(LogLinear::index(static_cast<std::uint64_t>(ns)))];
    }
    std::vector<BucketCount> buckets;
    for (const auto& [bucket, count] : counts) buckets.push_back({.bucket = bucket, .count = count});
    made.subjects.push_back({.id = SubjectId{8} + static_cast<SubjectId>(SubjectKind::query_template),
                             .figures = {.calls = static_cast<std::uint64_t>(calls)},
                             .durations = CompactHistogram(buckets)});
    return made;
  }

  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  std::string family_;
  MadeCalls made_;
  bool has_days_ = false;
  double seconds_ = 0, rate_ = 0, median_ms_ = 0, spread_ = 0, share_of_tail_ = 0;
  double changed_at_ = 0, factor_ = 0, share_ = 0, drifts_for_ = 0;
  double batch_at_ = 0, batch_lasts_ = 0, phase_ = 0, wander_ = 0;
  std::vector<double> disturbed_from_, gone_for_, slow_for_;
};

}  // namespace

const std::vector<std::string>& call_families() {
  static const std::vector<std::string> all = {"step",      "mixed_step", "drift",   "steady", "heavy_tail",
                                               "wandering", "burst",      "restart", "daily",  "nightly_batch"};
  return all;
}

MadeCalls made_calls(const std::string& family, std::uint64_t seed) {
  if (std::ranges::find(call_families(), family) == call_families().end())
    throw std::invalid_argument("no family " + family);
  return CallMaker(family, seed).make();
}

}  // namespace millrace::bench
