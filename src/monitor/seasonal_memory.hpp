#pragma once

#include <cstdint>
#include <vector>

namespace millrace {

/// Between which values a series was at the same time of earlier days (hours, ...): a period is cut into slots, and the
/// least and largest value of each is kept for some rounds. So what comes every night is known after the first one, and
/// what comes once a week after a week. Not thread-safe.
class SeasonalMemory {
 public:
  /// Seconds.
  SeasonalMemory(double period, int slots, int rounds);

  double period() const { return period_; }

  /// `at` in seconds; may step back.
  void add(double at, double value);

  /// Whether it has seen a whole round.
  bool knows() const { return rounds_seen_ >= 1; }

  /// How far a value is from all that there was at that time, give or take a slot; 0: there was such a value. NaN: it
  /// isn't known.
  double distance(double at, double value) const;

  /// The mean of that slot over the rounds; NaN: it isn't known.
  double expected(double at) const;

 private:
  struct Range {
    float least;
    float most;
    float mean;
    std::uint32_t count;
    std::int64_t round;
  };

  std::int64_t round_of(double at) const;
  int slot_of(double at) const;
  Range& range(std::int64_t round, int slot);
  const Range& range(std::int64_t round, int slot) const;

  double period_;
  int slots_;
  int rounds_;
  std::vector<Range> ranges_;  // by round modulo rounds_, then slot
  double began_ = 0;
  std::int64_t rounds_seen_ = 0;
  bool began_is_set_ = false;
};

}  // namespace millrace
