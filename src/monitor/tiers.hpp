#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "monitor/subjects.hpp"

namespace millrace {

/// What was there at a moment, or on average in an interval.
struct WireLevels {
  double clients_connected = 0;
  double clients_active = 0;   ///< hold a server connection
  double clients_waiting = 0;  ///< wait for one
};

/// What was recorded between two moments of `now_ns()`.
struct Interval {
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
  SubjectFigures all = {};  ///< of all queries; without an id
  WireLevels levels = {};
  std::vector<SubjectFigures> subjects = {};  ///< by ascending ids; those that had queries

  double seconds() const { return static_cast<double>(to_ns - from_ns) / 1e9; }
  std::size_t memory_bytes() const;
};
using IntervalPtr = std::shared_ptr<const Interval>;

/// Adds an interval that follows it. `id_of`: what a subject counts as.
void append(Interval& interval, const Interval& next, const std::function<SubjectId(SubjectId)>& id_of);

/// The past in intervals, the coarser the longer ago: of a second, of ten, of a minute. Each tier is bounded in number
/// and in bytes; the oldest go. Intervals are immutable, so a reader may keep them. Not thread-safe.
class Tiers {
 public:
  struct Shape {
    std::chrono::nanoseconds width;
    std::size_t intervals;
    std::size_t bytes;
  };
  static constexpr std::array<Shape, 3> shapes = {{{std::chrono::seconds(1), 120, std::size_t{16} << 20},
                                                   {std::chrono::seconds(10), 180, std::size_t{24} << 20},
                                                   {std::chrono::minutes(1), 1440, std::size_t{64} << 20}}};

  /// An interval of about a second, which begins where the last one ended. `id_of` is asked when it is joined with
  /// others: subjects that are no longer known become their kind's `other` then.
  void add(Interval second, const std::function<SubjectId(SubjectId)>& id_of);

  /// What covers the time from `from_ns` on, the oldest first, each part of it once; from the finest tier that goes
  /// back so far, and from finer ones what is newer than that. Where the first one begins tells what was had.
  std::vector<IntervalPtr> since(std::int64_t from_ns) const;

  /// Those of the coarsest tier that begin at `from_ns` or later, the oldest first.
  std::vector<IntervalPtr> minutes_since(std::int64_t from_ns) const;

  std::size_t memory_bytes() const;

 private:
  struct Tier {
    std::deque<IntervalPtr> intervals;
    std::size_t bytes = 0;
    Interval pending;  ///< what the next interval of this tier will be; to_ns 0: nothing yet
  };

  void push(std::size_t tier, Interval interval, const std::function<SubjectId(SubjectId)>& id_of);

  std::array<Tier, shapes.size()> tiers_;
};

}  // namespace millrace
