#pragma once

#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "monitor/performance_history.hpp"

namespace millrace {

/// How long calls took by what the calls of their templates usually take. Not counted are answers from memory, calls
/// of templates of which it isn't known what they usually take, and those of which most failed in an interval.
struct ComparedDurations {
  std::uint64_t calls = 0;
  /// Each call's duration divided by its template's usual 95th percentile: of these the 95th percentile. So it is
  /// about 1 while each template takes what it usually does, whichever are called.
  double p95_ratio = 1;
  double usual_p95_ms = 0;   ///< the usual 95th percentile of those at `p95_ratio` and beyond: the geometric mean
  std::uint64_t slower = 0;  ///< calls that took half as long again as that percentile, and 2 ms more
  double sum_of_logs = 0;    ///< of each duration divided by the usual geometric mean of its template
};

/// What each template's calls usually take: the medians of the 95th percentiles and of the means of the last ten
/// minutes in which it was called, so that one that was unusual doesn't matter. A minute has twenty calls, however long
/// these take; of the first ones some are of another minute. It looks back only, and learns each minute after the next
/// one, so that what begins to be unusual isn't learnt before that is noticed; in a template's first minutes, at once.
///
/// Of `most_templates` at most, some kB each: what comes when there are as many isn't learnt, nor what has no figures
/// of its own. Not thread-safe.
class UsualDurations {
 public:
  /// More than the history has, so that there is room for those that come before others are forgotten.
  static constexpr std::size_t most_templates = 1200;

  /// By what was learnt so far.
  ComparedDurations compare(std::span<const IntervalPtr> intervals) const;

  /// What came after the last ones, in order. `is_unusual`: something is; then neither this minute nor the one before
  /// it becomes usual, unless so it was in ten minutes in which a template was called, without two on end that were
  /// not. A template of which little is known learns all the same.
  void learn(std::span<const IntervalPtr> intervals, bool is_unusual);

  /// Forgets all other templates: nobody knows them any more, and their numbers aren't given again.
  void keep_only(const TemplateTotals& known);

  std::size_t size() const { return templates_.size(); }

 private:
  static constexpr std::size_t most_minutes = 10;

  struct Usual {
    double p95_ns = 0;
    double mean_log = 0;  ///< of nanoseconds
  };
  struct Template {
    CompactHistogram collected = {};            ///< in this minute
    CompactHistogram waiting = {};              ///< in the minute before it
    CompactHistogram learnt = {};               ///< in those before these: not as many as make one
    std::size_t learnt_in = 0;                  ///< minutes
    unsigned left_out = 0;                      ///< minutes since the last two usual ones on end
    std::size_t known = 0;                      ///< minutes since the start
    std::array<float, most_minutes> p95s = {};  ///< the last ones
    std::array<float, most_minutes> mean_logs = {};
    std::optional<Usual> usual = {};  ///< their medians
  };

  struct Known {
    CompactHistogram durations;
    Usual usual;
  };

  std::vector<Known> known(std::span<const IntervalPtr> intervals) const;
  Template* find_or_add(SubjectId id);
  void end_minute(Template& one) const;
  static void learn(Template& one, const CompactHistogram& durations);

  boost::unordered_flat_map<SubjectId, Template> templates_;
  std::int64_t minute_from_ns_ = 0;
  bool is_unusual_ = false;   ///< something was in this minute
  bool was_unusual_ = false;  ///< and in the one before it
};

}  // namespace millrace
