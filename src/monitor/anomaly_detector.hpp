#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "monitor/seasonal_memory.hpp"
#include "monitor/tail_histogram.hpp"
#include "monitor/usual_range.hpp"

namespace millrace {

enum class AnomalyKind : std::uint8_t {
  spike,            ///< one value, or a few, far from the others
  level_shift,      ///< another mean since a short while
  drift,            ///< slowly away from where it was
  variance_change,  ///< more or less restless than before
  season_broken,    ///< unlike the same time of earlier rounds
  missing_data      ///< no values, for longer than ever
};
inline constexpr std::array<std::string_view, 6> anomaly_kind_names = {
    "spike", "level_shift", "drift", "variance_change", "season_broken", "missing_data"};

/// What the next value of a series looks like beside all before it.
struct Surprise {
  double neg_log10_p = 0;  ///< -log10 of the probability, roughly
  AnomalyKind kind = AnomalyKind::spike;
  double expected = 0;    ///< the value that would have been usual
  bool settling = false;  ///< the series has just begun, or begun again after a gap: a surprise counts for less

  /// From 0 to 1; 0.5 is where the profile `medium` raises an alarm.
  double score() const;
};

/// Says how surprising the next value of a regularly sampled series is, by what came before it only, and nothing that
/// has to be set. Two things are asked of a value: how far it is from where the series usually is, at this time of an
/// earlier round if that is known (an hour, a day, and the season that the series shows); and how far from its
/// neighbours in time. And of the last ones, less what is usual at that time, whether they lie to one side, or further
/// out, or further in, than they did: their ranks are summed up as Page's CUSUM does, and the sum is compared with the
/// peaks that it had. Each of these has its own history (`TailHistogram`). Of the first two both count, of the others
/// the largest.
///
/// NaN is a value that is missing. Timestamps may have gaps and step back. About 130 kB and a few microseconds a value;
/// never allocates once the season is known. Not thread-safe.
class SurpriseMeter {
 public:
  SurpriseMeter();

  /// `at` in seconds since 1970, for the time of day.
  Surprise observe(double at, double value);

 private:
  // What is compared, each with its own history.
  enum Feature : std::size_t { range, step, local, season, side, spread, features };

  static constexpr std::size_t remembered = 1024;

  /// The last values, the newest is 0 back.
  struct Ring {
    std::array<double, remembered> values = {};
    std::size_t next = 0;
    std::size_t filled = 0;

    void add(double value);
    double back(std::size_t steps) const { return values[(next + remembered - 1 - steps) % remembered]; }
  };

  /// Page's cumulative sum of -log10 of probabilities, which is 0 most of the time if these are as they should be.
  struct Evidence {
    double sum = 0;
    double peak = 0;  // since it was 0
    int since = 0;    // how many values ago that was

    /// The peak that is over with this value, if one is.
    std::optional<double> add(double probability);
  };

  /// A season, and how well it says the next value.
  struct Season {
    SeasonalMemory memory;
    double error = 0;
  };

  std::optional<Surprise> missing(double samples);
  void begin_again();
  void learn_interval(double passed);
  void learn_season(double at);
  double median_of_last(std::size_t count) const;
  const Season* best_season() const;
  Surprise of_value(double at, double value);
  Surprise of_last(double residual);
  double residual(double at, double value);
  void forget_residuals();
  void remember(double at, double value);
  double surprise(Feature feature, double magnitude, double floor);

  std::array<TailHistogram, features> histories_;
  UsualRange usual_;
  std::vector<Season> seasons_;  // an hour, a day, its own
  double error_without_ = 0;     // of the median of all
  std::size_t own_lag_ = 0;
  std::size_t candidate_lag_ = 0;

  Ring values_;
  std::uint64_t count_ = 0;

  std::optional<double> last_at_;
  double interval_ = 0;
  std::array<double, 9> intervals_ = {};
  std::size_t intervals_seen_ = 0;
  double missing_run_ = 0;
  double longest_missing_ = 0;
  bool missing_told_ = false;
  int settling_ = 0;

  double residuals_of_ = 0;  // the season's period that they are less, 0 for none
  UsualRange usual_residuals_;
  std::array<Evidence, 4> evidence_;  // above, below, further out, further in
};

enum class DetectorProfile : std::uint8_t {
  low,     ///< few alarms, hardly any false one
  medium,  ///< the standard
  high     ///< more, sooner
};

/// Which surprises are alarms: an alarm is the beginning of an episode, which lasts until the series has been calm for
/// a while, and after which there is a pause. What goes on being different becomes usual.
class AlarmGate {
 public:
  explicit AlarmGate(DetectorProfile profile);
  explicit AlarmGate(double threshold) : threshold_(threshold) {}

  /// Whether an alarm begins with this value.
  bool step(const Surprise& surprise);

  bool in_episode() const { return in_episode_; }

 private:
  double threshold_;
  bool in_episode_ = false;
  int calm_ = 0;
  int since_alarm_ = 0;
  bool has_alarmed_ = false;
};

double threshold_of(DetectorProfile profile);

/// Both for one series.
class AnomalyDetector {
 public:
  explicit AnomalyDetector(DetectorProfile profile) : gate_(profile) {}

  struct Verdict {
    Surprise surprise;
    bool alarm = false;       ///< an episode begins
    bool in_episode = false;  ///< it goes on
  };

  Verdict observe(double at, double value) {
    const Surprise surprise = meter_.observe(at, value);
    const bool alarm = gate_.step(surprise);
    return {.surprise = surprise, .alarm = alarm, .in_episode = gate_.in_episode()};
  }

 private:
  SurpriseMeter meter_;
  AlarmGate gate_;
};

}  // namespace millrace
