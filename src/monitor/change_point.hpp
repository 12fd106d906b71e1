#pragma once

#include <cstddef>
#include <deque>
#include <optional>

namespace millrace {

/// From one time on latencies are others than before.
struct ChangePoint {
  double at = 0;  ///< of the first value after it, as it was given
  double before = 0;
  double after = 0;    ///< geometric means
  double p_value = 1;  ///< that there is none, over all places where it might be (Bonferroni)
  std::size_t values_before = 0;
  std::size_t values_after = 0;

  double ratio() const { return after / before; }
};

/// Looks for a change of the mean of log-latencies: Welch's t-test at every place that leaves enough values on both
/// sides, as the splitting step of E-divisive with t-tests does (Matteson and James 2014; Apache Otava), over the last
/// `window` values only, so that each is looked at as it comes. The most extreme two percent are cut off, so that one
/// slow execution isn't a change. Not thread-safe; some kB.
class ChangePointDetector {
 public:
  static constexpr std::size_t window = 128;
  static constexpr std::size_t least_before = 30;
  static constexpr std::size_t least_after = 8;
  static constexpr double least_ratio = 1.3;  ///< or its inverse
  static constexpr double largest_p_value = 1e-4;

  /// A latency in any unit; what isn't over 0 and finite is left out. After a change only what follows it is
  /// remembered, so that it is told once.
  std::optional<ChangePoint> add(double at, double latency);

  std::size_t size() const { return values_.size(); }
  double time_of(std::size_t value) const { return values_[value].at; }

 private:
  struct Value {
    double at;
    double log;
  };
  std::deque<Value> values_;
};

}  // namespace millrace
