#include "monitor/usual_durations.hpp"

#include <algorithm>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cmath>
#include <utility>

namespace millrace {
namespace {

// So that what begins slowly is known soon; and minutes, of which what is usual is made.
constexpr std::int64_t slice_ns = 20'000'000'000;
constexpr unsigned slices_a_minute = 3;
constexpr unsigned most_minutes = 10;
// What is unusual so often is usual: a load that peaks every other minute, or a batch that begins with one each night.
constexpr unsigned most_left_out = 10;
// One slice might be of a single burst.
constexpr unsigned least_slices = 2;
constexpr std::uint64_t least_calls = 8;
// Of fewer the largest stands for the percentile: it is larger for the most part, which errs to quiet.
constexpr std::uint64_t calls_for_percentile = 30;

constexpr double percentile = 0.95;
constexpr double least_p95_ns = 1e4;
constexpr double slower = 1.5;
constexpr double slower_by_ns = 2e6;

constexpr double as_usual = 1e6;  // what a ratio of 1 is in a histogram

/// Of the calls that PostgreSQL answered: an answer from memory takes no time, and says nothing of how long it takes.
/// An error may come sooner or later than an answer: where most are errors, nothing.
CompactHistogram answered(const SubjectFigures& subject) {
  const QueryFigures& figures = subject.figures;
  if (2 * figures.errors > figures.calls - std::min(figures.hits, figures.calls)) return {};
  return subject.durations.without_lowest(figures.hits);
}

}  // namespace

const UsualDurations::Template* UsualDurations::find(SubjectId id) const {
  if (is_other(id)) return &other_;
  const auto found = templates_.find(id);
  return found == templates_.end() ? nullptr : &found->second;
}

/// Null: there is no room.
UsualDurations::Template* UsualDurations::find_or_add(SubjectId id) {
  if (is_other(id)) return &other_;
  if (templates_.size() >= most_templates && !templates_.contains(id)) return nullptr;
  return &templates_[id];
}

void UsualDurations::keep_only(const TemplateTotals& known) {
  boost::unordered_flat_set<SubjectId> ids;
  for (const TemplateTotals::One& one : known.templates) ids.insert(one.id);
  boost::unordered::erase_if(templates_, [&](const auto& each) { return !ids.contains(each.first); });
}

std::vector<UsualDurations::Known> UsualDurations::known(std::span<const IntervalPtr> intervals) const {
  std::vector<Known> known;
  for (const IntervalPtr& interval : intervals) {
    for (const SubjectFigures& subject : interval->subjects) {
      if (kind_of(subject.id) != SubjectKind::query_template) continue;
      const Template* const found = find(subject.id);
      if (found == nullptr || !found->usual) continue;
      known.push_back({.durations = answered(subject), .usual = *found->usual});
    }
  }
  return known;
}

ComparedDurations UsualDurations::compare(std::span<const IntervalPtr> intervals) const {
  ComparedDurations compared;
  HistogramTotals ratios;
  const std::vector<Known> all = known(intervals);
  for (const auto& [durations, usual] : all) {
    durations.add_scaled_to(ratios, as_usual / usual.p95_ns);
    const std::uint64_t calls = durations.count();
    compared.calls += calls;
    compared.slower += durations.count_beyond(std::max(slower * usual.p95_ns, usual.p95_ns + slower_by_ns));
    compared.sum_of_logs += durations.sum_of_logs() - static_cast<double>(calls) * usual.mean_log;
  }
  if (compared.calls == 0) return compared;
  compared.p95_ratio = static_cast<double>(ratios.quantile(percentile)) / as_usual;
  double logs = 0;
  double count = 0;
  for (const auto& [durations, usual] : all) {
    constexpr double lower = 0.95;  // than the middle of a bucket
    const auto beyond = static_cast<double>(durations.count_beyond(lower * compared.p95_ratio * usual.p95_ns));
    logs += beyond * std::log(usual.p95_ns / 1e6);
    count += beyond;
  }
  if (count > 0) compared.usual_p95_ms = std::exp(logs / count);
  return compared;
}

void UsualDurations::learn(std::span<const IntervalPtr> intervals, bool is_unusual) {
  is_unusual_ = is_unusual_ || is_unusual;
  for (const IntervalPtr& interval : intervals) {
    if (slice_from_ns_ == 0) slice_from_ns_ = interval->from_ns;
    for (const SubjectFigures& subject : interval->subjects) {
      if (kind_of(subject.id) != SubjectKind::query_template) continue;
      const CompactHistogram durations = answered(subject);
      if (durations.empty()) continue;
      if (Template* const one = find_or_add(subject.id)) one->collected += durations;
    }
    if (interval->to_ns - slice_from_ns_ < slice_ns) continue;
    slice_from_ns_ = interval->to_ns;
    const bool ends_minute = ++slices_ % slices_a_minute == 0;
    end_slice(other_, ends_minute);
    for (auto& [id, one] : templates_) end_slice(one, ends_minute);
    if (ends_minute) is_unusual_ = is_unusual;
  }
}

void UsualDurations::end_slice(Template& one, bool ends_minute) const {
  if (!one.usual) {
    learn(one, std::exchange(one.collected, {}));
  } else if (ends_minute && is_unusual_ && one.left_out < most_left_out) {
    if (!one.collected.empty()) ++one.left_out;
    one.waiting = one.collected = {};
  } else if (ends_minute) {
    if (!is_unusual_ && !one.collected.empty()) one.left_out = 0;
    learn(one, std::exchange(one.waiting, std::exchange(one.collected, {})));
  }
}

void UsualDurations::learn(Template& one, const CompactHistogram& durations) {
  if (durations.empty()) return;
  if (one.minutes == most_minutes) {
    one.older = std::exchange(one.recent, {});
    one.minutes = 0;
  }
  one.recent += durations;
  ++one.minutes;
  CompactHistogram both = one.older;
  both += one.recent;
  const std::uint64_t calls = both.count();
  if (calls < least_calls || (one.older.empty() && one.minutes < least_slices)) return;
  const double q = calls < calls_for_percentile ? 1 : percentile;
  one.usual = {.p95_ns = std::max(static_cast<double>(both.quantile(q)), least_p95_ns),
               .mean_log = both.sum_of_logs() / static_cast<double>(calls)};
}

}  // namespace millrace
