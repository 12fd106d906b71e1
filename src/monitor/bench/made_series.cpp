#include "monitor/bench/made_series.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <stdexcept>

namespace millrace::bench {
namespace {

constexpr std::size_t length = 3000;
constexpr double day = 86400;
constexpr double missing = std::numeric_limits<double>::quiet_NaN();

/// One of several kinds of noise, with a deviation of about 1 around 0.
class Noise {
 public:
  explicit Noise(std::mt19937_64& random) : random_(random), kind_(random() % 5) {}

  double operator()() {
    switch (kind_) {
      case 0:
        return normal_(random_);
      case 1:  // skewed
        return (std::exp(0.6 * normal_(random_)) - 1.2) / 0.8;
      case 2:  // each resembles the one before
        return last_ = 0.85 * last_ + 0.53 * normal_(random_);
      case 3:  // heavy tails: Student's t with 4 degrees of freedom
        return std::student_t_distribution<double>(4)(random_) / std::numbers::sqrt2;
      default:  // counts
        return (static_cast<double>(std::poisson_distribution<int>(9)(random_)) - 9) / 3;
    }
  }

 private:
  std::mt19937_64& random_;
  std::uint64_t kind_;
  std::normal_distribution<double> normal_;
  double last_ = 0;
};

class Maker {
 public:
  Maker(std::string family, std::uint64_t seed) : random_(seed) {
    series_.family = std::move(family);
    constexpr std::array<double, 4> intervals = {10, 60, 300, 3600};
    series_.interval = intervals[random_() % intervals.size()];
    series_.start = 1.7e9 + uniform(0, 7 * day);
    Noise noise(random_);
    // Some have a daily shape, or none but a season of their own.
    const bool is_seasonal = series_.family == "season_broken" || series_.family == "seasonal" || random_() % 2 == 0;
    const double in_a_day = day / series_.interval;
    season_ = in_a_day < length / 4.0 ? in_a_day : uniform(30, 200);
    height_ = is_seasonal ? uniform(3, 10) : 0;
    const double phase = uniform(0, 1);
    for (std::size_t i = 0; i < length; ++i) {
      series_.at.push_back(series_.start + static_cast<double>(i) * series_.interval);
      const double turn = static_cast<double>(i) / season_ + phase;
      const double shape = std::pow(0.5 + 0.5 * std::sin(2 * std::numbers::pi * turn), 2);
      series_.values.push_back(height_ * shape + noise());
    }
  }

  MadeSeries make() {
    const std::string& family = series_.family;
    if (family == "spike")
      spikes();
    else if (family == "level_shift")
      level_shift();
    else if (family == "drift")
      drift();
    else if (family == "variance_change")
      variance_change();
    else if (family == "season_broken")
      season_broken();
    else if (family == "missing_data")
      missing_data();
    else if (family == "restart")
      restarts();
    else if (family == "batch")
      batches();
    else if (family != "plain" && family != "seasonal")
      throw std::invalid_argument("no family " + family);
    // Some level and unit; what can't be below 0 isn't.
    const double unit = std::exp(uniform(-6, 12));
    const double level = uniform(3, 40);
    for (double& value : series_.values)
      value = std::max((level + value) * unit, 0.0) + (std::isnan(value) ? missing : 0);
    return std::move(series_);
  }

 private:
  double uniform(double least, double most) { return std::uniform_real_distribution<double>(least, most)(random_); }
  std::size_t whole(std::size_t least, std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(least, most)(random_);
  }
  /// Late enough for the season to be known.
  std::size_t some_time() {
    return whole(std::max<std::size_t>(600, static_cast<std::size_t>(2.5 * season_)), length - 500);
  }
  double sign() { return random_() % 4 == 0 ? -1.0 : 1.0; }

  void spikes() {
    const std::size_t from = some_time();
    const std::size_t width = whole(1, 4);
    const double size = sign() * uniform(8, 20) + (height_ > 0 ? height_ : 0);
    for (std::size_t i = 0; i < width; ++i) series_.values[from + i] += size;
    series_.events.push_back({.from = from, .until = from + width});
  }
  void level_shift() {
    const std::size_t from = some_time();
    const double size = sign() * uniform(3, 8) + height_ / 2;
    for (std::size_t i = from; i < length; ++i) series_.values[i] += size;
    series_.events.push_back({.from = from, .until = length});
  }
  void drift() {
    const std::size_t from = some_time();
    const std::size_t lasts = whole(200, 450);
    const double size = uniform(5, 10) + height_;
    for (std::size_t i = from; i < length; ++i) {
      series_.values[i] += size * std::min(1.0, static_cast<double>(i - from) / static_cast<double>(lasts));
    }
    series_.events.push_back({.from = from, .until = length});
  }
  void variance_change() {
    const std::size_t from = some_time();
    const double factor = random_() % 3 == 0 ? uniform(0.05, 0.2) : uniform(3, 6);
    std::normal_distribution<double> normal;
    for (std::size_t i = from; i < length; ++i) {
      if (factor > 1)
        series_.values[i] += factor * normal(random_);
      else
        series_.values[i] *= factor;
    }
    series_.events.push_back({.from = from, .until = length});
  }
  /// A peak doesn't come.
  void season_broken() {
    const std::size_t from = some_time();
    const auto lasts = static_cast<std::size_t>(season_);
    const double flat = *std::min_element(series_.values.begin(), series_.values.end());
    const double share = uniform(0, 0.15);
    for (std::size_t i = from; i < std::min(from + lasts, length); ++i) {
      series_.values[i] = flat + share * (series_.values[i] - flat);
    }
    series_.events.push_back({.from = from, .until = std::min(from + lasts, length)});
  }
  void missing_data() {
    const std::size_t from = some_time();
    const std::size_t count = whole(20, 120);
    if (random_() % 2 == 0) {
      for (std::size_t i = 0; i < count; ++i) series_.values[from + i] = missing;
      series_.events.push_back({.from = from, .until = from + count});
      return;
    }
    const auto cut = [&](auto& list) {
      list.erase(list.begin() + static_cast<std::ptrdiff_t>(from),
                 list.begin() + static_cast<std::ptrdiff_t>(from + count));
    };
    cut(series_.at);
    cut(series_.values);
    series_.events.push_back({.from = from, .until = from + 1});
  }
  /// A few values are missing, then some are small, then it goes on.
  void restarts() {
    for (std::size_t times = whole(1, 4); times > 0; --times) {
      const std::size_t from = some_time();
      const std::size_t gone = whole(3, 8);
      const std::size_t warming = whole(3, 10);
      for (std::size_t i = 0; i < gone; ++i) series_.values[from + i] = missing;
      for (std::size_t i = 0; i < warming; ++i) series_.values[from + gone + i] += uniform(2, 5);
    }
  }
  /// The same every season, also before anything would be found.
  void batches() {
    const auto every = static_cast<std::size_t>(season_);
    const std::size_t lasts = std::max<std::size_t>(3, every / 20);
    const double size = uniform(6, 15);
    for (std::size_t from = whole(0, every - 1); from < length; from += every) {
      for (std::size_t i = 0; i < lasts && from + i < length; ++i) series_.values[from + i] += size;
    }
  }

  std::mt19937_64 random_;
  MadeSeries series_;
  double season_ = 0;
  double height_ = 0;
};

}  // namespace

const std::vector<std::string>& families() {
  static const std::vector<std::string> all = {"spike",         "level_shift",  "drift", "variance_change",
                                               "season_broken", "missing_data", "plain", "seasonal",
                                               "restart",       "batch"};
  return all;
}

MadeSeries made_series(const std::string& family, std::uint64_t seed) { return Maker(family, seed).make(); }

}  // namespace millrace::bench
