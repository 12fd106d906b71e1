#pragma once

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

/// What each template's calls usually take: in the last ten to twenty minutes in which it was called. It is known once
/// it was called eight times, in two slices of 20 s. It looks back only, and learns each minute after the next one, so
/// that what begins to be unusual isn't learnt before that is noticed; until a template is known, at once. What has no
/// figures of its own counts as one template.
///
/// Of `most_templates` at most, some kB each: what comes when there are as many isn't learnt. Not thread-safe.
class UsualDurations {
 public:
  /// More than the history has, so that there is room for those that come before others are forgotten.
  static constexpr std::size_t most_templates = 1200;

  /// By what was learnt so far.
  ComparedDurations compare(std::span<const IntervalPtr> intervals) const;

  /// What came after the last ones, in order. `is_unusual`: something is; then neither this minute nor the one before
  /// it becomes usual, unless ten minutes on end were so in which a template was called. A template of which nothing is
  /// known learns all the same.
  void learn(std::span<const IntervalPtr> intervals, bool is_unusual);

  /// Forgets all other templates: nobody knows them any more, and their numbers aren't given again.
  void keep_only(const TemplateTotals& known);

  std::size_t size() const { return templates_.size(); }

 private:
  struct Usual {
    double p95_ns = 0;
    double mean_log = 0;  ///< of nanoseconds
  };
  struct Template {
    CompactHistogram collected = {};  ///< in this minute; until it is known: in this slice
    CompactHistogram waiting = {};    ///< in the minute before it
    CompactHistogram recent = {};     ///< in the `minutes` before these in which it was called
    CompactHistogram older = {};      ///< and in ten before those
    unsigned minutes = 0;             ///< up to ten, then they are the older ones; the first ones are slices
    unsigned left_out = 0;            ///< of the last minutes in which it was called: how many on end were unusual
    std::optional<Usual> usual = {};  ///< of both
  };

  struct Known {
    CompactHistogram durations;
    Usual usual;
  };

  std::vector<Known> known(std::span<const IntervalPtr> intervals) const;
  const Template* find(SubjectId id) const;
  Template* find_or_add(SubjectId id);
  void end_slice(Template& one, bool ends_minute) const;
  static void learn(Template& one, const CompactHistogram& durations);

  boost::unordered_flat_map<SubjectId, Template> templates_;
  Template other_;  ///< what has no figures of its own
  std::int64_t slice_from_ns_ = 0;
  unsigned slices_ = 0;
  bool is_unusual_ = false;  ///< something was in this minute
};

}  // namespace millrace
