#include "monitor/bench/made_services.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <random>
#include <stdexcept>

namespace millrace::bench {
namespace {

constexpr int learning = 900;  // seconds
constexpr int judged = 300;
constexpr int minute = 60;
constexpr int hour = 3600;
constexpr SubjectId batch_number = 2000;  // of the first of its templates

struct Template {
  double calls_per_second = 0;
  double median_ms = 0;
  double spread = 0.3;  // of logarithms
  double dear = 0;      // the share whose constants make it take so many times as long
  double hits = 0;      // the share that is answered from memory, in no time
};
constexpr double dear_takes = 20;

/// What is other than usual.
struct Change {
  double calls = 1;
  double times = 1;
  double times_of_batch = 1;
  double hits = 1;
  double tail = 0;  // the share of calls that take `tail_takes` times as long
  double tail_takes = 30;
  double locked = 0;  // the share of calls that wait for a lock, for up to a second
};

class ServiceMaker {
 public:
  ServiceMaker(std::string family, std::uint64_t seed) : random_(seed), family_(std::move(family)) {
    const bool is_rare = family_.starts_with("rare");
    const auto templates = std::uniform_int_distribution<std::size_t>(is_rare ? 600 : 4, is_rare ? 1000 : 12)(random_);
    const double in_few = 1 / uniform(2, 6);  // of which a half or more is answered from memory
    for (std::size_t i = 0; i < templates; ++i) {
      templates_.push_back({.calls_per_second = is_rare            ? 1 / uniform(40, 120)
                                                : family_ == "few" ? in_few
                                                                   : std::exp(uniform(std::log(0.5), std::log(20))),
                            .median_ms = std::exp(uniform(std::log(0.3), std::log(30))),
                            .spread = uniform(0.2, 0.8),
                            .dear = uniform(0, 1) < 0.4 ? uniform(0, 0.3) : 0});
    }
    factor_ = uniform(2, 8);
    busier_ = uniform(1.5, 3);  // another series has a vote
    for (Template& each : templates_) each.hits = uniform(0, 1) < 0.5 ? uniform(0.5, 0.99) : 0;
  }

  MadeService make() {
    static const std::vector<std::string> quiet = {
        "steady", "busier",     "another_mix", "batch", "start",       "cold_cache",   "restart",
        "deploy", "daily_peak", "improved",    "few",   "rare_busier", "growing_batch"};
    MadeService made{.is_event = std::ranges::find(quiet, family_) == quiet.end()};
    const auto run = [&](int seconds, Change (ServiceMaker::*change)(std::size_t, int) const, bool has_batch = false) {
      for (int second = 0; second < seconds; ++second) made.seconds.push_back(make(second, change, has_batch));
    };
    if (family_.starts_with("start")) run(judged, &ServiceMaker::start);
    // Of rare templates only now something is known.
    run(family_ == "start_slower" ? 8 * minute : family_ == "rare" ? hour : learning, &ServiceMaker::usual);
    if (family_ == "slow_batch") {
      run(learning, &ServiceMaker::usual, true);
      run(learning, &ServiceMaker::usual);
    }
    made.not_judged_from = made.seconds.size();
    if (family_ == "slower_again") run(2 * minute, &ServiceMaker::slower);
    if (family_ == "back") run(8 * minute, &ServiceMaker::improved);
    if (family_ == "slower_again") run(8 * minute, &ServiceMaker::usual);
    made.judged_from = made.seconds.size();
    // `improved`: so long that nothing of before it is usual any more.
    const bool takes_long = family_ == "improved" || family_.starts_with("rare_") || family_ == "few";
    run(family_ == "daily_peak" ? hour
        : takes_long            ? 2 * learning
                                : judged,
        &ServiceMaker::change, family_.ends_with("batch"));
    return made;
  }

 private:
  double uniform(double least, double most) { return std::uniform_real_distribution<double>(least, most)(random_); }

  Change usual(std::size_t /*which*/, int /*second*/) const { return {}; }
  Change slower(std::size_t /*which*/, int /*second*/) const { return {.calls = busier_, .times = factor_}; }
  Change improved(std::size_t /*which*/, int second) const {
    return {.calls = second > learning ? busier_ : 1, .times = 1 / factor_};
  }
  /// Clients come, and PostgreSQL reads from its disk.
  Change start(std::size_t /*which*/, int second) const {
    return {.calls = std::min(1.0, 0.2 + warm(second)), .times = second < 40 ? 3.0 : 1.0, .hits = warm(second)};
  }
  /// As answers come into memory again.
  static double warm(int second) { return std::min(1.0, second / 120.0); }

  /// What is judged.
  Change change(std::size_t which, int second) const {
    if (family_ == "slower" || family_ == "slower_again" || family_ == "start_slower") return slower(which, second);
    if (family_ == "tail") return {.calls = busier_, .tail = 0.1};
    if (family_ == "ramp") return {.calls = busier_, .times = std::pow(factor_, std::min(1.0, second / 180.0))};
    if (family_ == "one_template") return {.calls = busier_, .times = which == 0 ? 3 * factor_ : 1};
    if (family_ == "lock_tail") return {.locked = 0.02 * factor_};
    if (family_ == "slow_disk") return {.tail = 0.5, .tail_takes = 2 * factor_};
    if (family_ == "rare") return {.times = factor_};
    if (family_ == "busier" || family_ == "back") return {.calls = busier_};
    if (family_ == "another_mix") return {.calls = templates_[which].median_ms > 3 ? 2 * busier_ : 0.5};
    if (family_ == "daily_peak") {
      // What PostgreSQL is used grows with it, and durations with that, as in a queue.
      const double calls = 1 + busier_ * std::sin(std::numbers::pi * second / hour);
      const double use = 0.5 / (1 + busier_);
      return {.calls = calls, .times = (1 - use) / (1 - use * calls)};
    }
    if (family_ == "improved") return improved(which, second);
    // Others vote every few minutes.
    const bool is_busy = second / (2 * minute) % 2 == 1;
    if (family_ == "few" || family_ == "rare_busier")
      return {.calls = is_busy ? busier_ : 1, .hits = is_busy ? 0.6 : 1};
    if (family_ == "growing_batch") return {.times_of_batch = 1 + 1.0 * second / judged};
    if (family_ == "slow_batch") return {.times_of_batch = factor_};
    if (family_ == "cold_cache") return {.hits = warm(second)};
    if (family_ == "restart") {
      return {.calls = second < 8 ? 0.0 : 1.0, .times = second < 14 ? 3.0 : 1.0, .hits = warm(second)};
    }
    if (family_ == "deploy") {
      return {.calls = second < 5 ? 0.3 : 1.0, .times = second < 5 ? 5.0 : 1.0, .hits = warm(second)};
    }
    return {};
  }

  MadeSecond make(int second, Change (ServiceMaker::*change)(std::size_t, int) const, bool has_batch) {
    const std::int64_t from_ns = std::exchange(to_ns_, to_ns_ + 1'000'000'000);
    Interval interval{.from_ns = from_ns, .to_ns = to_ns_};
    MadeSecond made{.figures = {.at = std::chrono::system_clock::time_point(std::chrono::seconds(1'750'000'000) +
                                                                            std::chrono::nanoseconds(to_ns_)),
                                .seconds = 1,
                                .most_errors = {},
                                .durations = {},
                                .reads = {},
                                .system = {.cpu_percent = 50, .memory_percent = 40, .process_mb = 100}},
                    .by_template = {}};
    wander_ = 0.95 * wander_ + 0.05 * normal_(random_);
    for (std::size_t i = 0; i < templates_.size(); ++i) {
      call(templates_[i], (this->*change)(i, second), i + 1, interval, made.figures);
    }
    if (has_batch) {
      const Change slower{.times = (this->*change)(0, second).times_of_batch};
      call({.calls_per_second = 10, .median_ms = 300}, slower, batch_number, interval, made.figures);
      call({.calls_per_second = 5, .median_ms = 900}, slower, batch_number + 1, interval, made.figures);
    }
    made.figures.queries = made.figures.durations.count();
    made.by_template = std::make_shared<const Interval>(std::move(interval));
    return made;
  }

  double duration_ns(const Template& of, const Change& change) {
    double ns = 1e6 * of.median_ms * change.times * std::exp(of.spread * normal_(random_) + wander_);
    if (uniform(0, 1) < of.dear) ns *= dear_takes;
    if (uniform(0, 1) < 0.005) ns *= std::pow(uniform(1e-3, 1), -1 / 1.3) * 5;  // Pareto
    if (uniform(0, 1) < change.tail) ns *= change.tail_takes;
    if (uniform(0, 1) < change.locked) ns += uniform(0, 1e9);
    return ns;
  }

  void call(const Template& of, const Change& change, SubjectId number, Interval& interval, IntervalFigures& figures) {
    const auto calls = std::poisson_distribution<std::uint64_t>(of.calls_per_second * change.calls)(random_);
    QueryFigures counted{.calls = calls};
    std::map<std::uint16_t, std::uint64_t> counts;
    for (std::uint64_t left = calls; left > 0; --left) {
      const bool is_hit = uniform(0, 1) < of.hits * change.hits;
      const double ns = is_hit ? 0 : duration_ns(of, change);
      if (of.hits > 0) ++(is_hit ? counted.hits : counted.misses);
      const auto bucket = static_cast<std::uint16_t>(LogLinear::index(static_cast<std::uint64_t>(ns)));
      figures.durations.add(bucket, 1);
      ++counts[bucket];
    }
    if (counts.empty()) return;
    figures.cache_hits += counted.hits;
    figures.cache_misses += counted.misses;
    std::vector<BucketCount> buckets;
    for (const auto& [bucket, count] : counts) buckets.push_back({.bucket = bucket, .count = count});
    interval.subjects.push_back({.id = 8 * number, .figures = counted, .durations = CompactHistogram(buckets)});
  }

  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  std::string family_;
  std::vector<Template> templates_;
  double factor_ = 1, busier_ = 1, wander_ = 0;
  std::int64_t to_ns_ = 1'000'000'000;
};

}  // namespace

const std::vector<std::string>& service_families() {
  static const std::vector<std::string> all = {
      "slower",    "tail",        "ramp",          "one_template", "slow_batch",  "lock_tail",
      "slow_disk", "rare",        "steady",        "busier",       "another_mix", "batch",
      "start",     "cold_cache",  "restart",       "deploy",       "daily_peak",  "improved",
      "few",       "rare_busier", "growing_batch", "slower_again", "back",        "start_slower"};
  return all;
}

MadeService made_service(const std::string& family, std::uint64_t seed) {
  if (std::ranges::find(service_families(), family) == service_families().end())
    throw std::invalid_argument("no family " + family);
  return ServiceMaker(family, seed).make();
}

}  // namespace millrace::bench
