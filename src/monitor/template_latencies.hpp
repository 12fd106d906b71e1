#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "monitor/change_point.hpp"
#include "monitor/seasonal_memory.hpp"
#include "monitor/tiers.hpp"

namespace millrace {

/// From one time on the calls of a template take longer than before; or they don't any more.
struct TemplateChange {
  SubjectId id = 0;
  bool is_over = false;             ///< they take hardly longer than before; the rest isn't said then
  bool is_hint = false;             ///< it is too early to say; two values are beyond all that were before
  std::uint64_t fingerprint = 0;    ///< it and the name are for who knows them: TemplateLatencies doesn't
  std::string name = {};            ///< its text without constants
  ChangePoint change = {};          ///< in seconds since 1970, and milliseconds
  double calls_per_second = 0;      ///< since then
  double hit_rate_before = no_one;  ///< of the reads that may be answered from memory, percent; NaN: there were none
  double hit_rate_after = no_one;

  static constexpr double no_one = std::numeric_limits<double>::quiet_NaN();

  /// What its calls take longer than they would have, in seconds an hour.
  double lost_seconds_an_hour() const { return calls_per_second * 3600 * (change.after - change.before) / 1000; }
};

/// Looks for change points of the log-latencies of each template: of the geometric mean of its calls in five seconds,
/// or until it is called again. So one slow call among many is none, nor is a burst of less than 40 s: a change takes
/// eight values (`ChangePointDetector`). One that grows step by step within an hour counts from the first step. When
/// four values are nearer to what was before it is over. Before that is known there may be hints: the last two values
/// are half as much again as all others, or as all but a tenth and one, which are four at least.
///
/// What isn't told, beside changes for the better: what was there at the same time of one of the last two days (give or
/// take an hour): a daily peak, a nightly batch; and what takes as long again as it did within the last hour, before it
/// took less. Five seconds in which most calls fail say nothing.
///
/// It looks back only. About 8 kB a template, of `most_templates` at most; some ten microseconds a value. Not
/// thread-safe.
class TemplateLatencies {
 public:
  static constexpr std::size_t most_templates = 1000;
  static constexpr double slice_seconds = 5;

  /// What came after the last one, in order. `at`: of its end, in seconds since 1970.
  std::vector<TemplateChange> observe(const Interval& interval, double at);

  std::size_t size() const { return known_.size(); }

 private:
  /// Some seconds' calls.
  struct Slice {
    float log_ms = 0;  ///< of the geometric mean of their durations
    float seconds = 0;
    std::uint32_t calls = 0, hits = 0, asked = 0;
  };
  struct Pending {
    std::int64_t from_ns = 0;
    QueryFigures figures = {};
    double sum_of_logs = 0;
  };
  struct Known {
    Pending pending = {};
    ChangePointDetector detector = {};
    std::deque<Slice> slices = {};  ///< of the detector's values
    SeasonalMemory days{86400, 24, 3};
    std::int64_t last_ns = 0;
    bool is_told = false;                 ///< that it takes as long as it does
    std::optional<double> usual_ms = {};  ///< what it took before it took less
    double took_less_at = 0;
    std::optional<ChangePoint> first_step = {};  ///< of a change that may grow
    std::optional<double> over_below = {};       ///< the logarithm of what its calls take when what was told is over
  };

  Known& known(SubjectId id);
  static double mean_of_last(const std::deque<Slice>& slices, std::size_t count);
  static std::optional<TemplateChange> end_slice(Known& known, std::int64_t to_ns, double at);
  static TemplateChange about(const Known& known, const ChangePoint& change, double at);
  static std::optional<TemplateChange> hint(const Known& known, double at);
  static bool is_usual(const Known& known, double ms, double at);
  static bool is_news(Known& known, const ChangePoint& change, double at);
  static void join_steps(Known& known, ChangePoint& change);

  boost::unordered_flat_map<SubjectId, Known> known_;
};

}  // namespace millrace
