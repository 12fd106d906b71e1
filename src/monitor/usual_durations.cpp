#include "monitor/usual_durations.hpp"

#include <algorithm>
#include <array>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cmath>
#include <utility>

namespace millrace {
namespace {

constexpr std::int64_t minute_ns = 60'000'000'000;
// What is unusual so often is usual: a load that peaks every other minute, or a batch that begins with one each night.
constexpr unsigned most_left_out = 10;
// Its first minute might be of a single burst; with these a median isn't moved by one that was unusual.
constexpr std::size_t least_minutes = 2;
constexpr std::size_t minutes_at_once = 5;
constexpr std::uint64_t least_calls = 20;

constexpr double percentile = 0.95;
constexpr float least_p95_ns = 1e4;
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

bool has_figures_of_its_own(SubjectId id) { return kind_of(id) == SubjectKind::query_template && !is_other(id); }

/// Beyond it is a twentieth of the calls to come, on average, or less: of twenty it is the largest.
float p95_ns(const CompactHistogram& durations, std::uint64_t calls) {
  const auto of = static_cast<double>(calls);
  const auto p95 = static_cast<float>(durations.quantile(std::min(percentile * (of + 1) / of, 1.0)));
  return std::max(p95, least_p95_ns);
}

/// Of two the larger.
template <std::size_t Size>
double median(const std::array<float, Size>& ring, std::size_t count) {
  std::array<float, Size> sorted = ring;
  const auto end = sorted.begin() + std::min(count, Size);
  const auto middle = sorted.begin() + (end - sorted.begin()) / 2;
  std::nth_element(sorted.begin(), middle, end);
  return *middle;
}

}  // namespace

/// Null: there is no room.
UsualDurations::Template* UsualDurations::find_or_add(SubjectId id) {
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
      if (!has_figures_of_its_own(subject.id)) continue;
      const auto found = templates_.find(subject.id);
      if (found == templates_.end() || !found->second.usual) continue;
      known.push_back({.durations = answered(subject), .usual = *found->second.usual});
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
    if (minute_from_ns_ == 0) minute_from_ns_ = interval->from_ns;
    for (const SubjectFigures& subject : interval->subjects) {
      if (!has_figures_of_its_own(subject.id)) continue;
      const CompactHistogram durations = answered(subject);
      if (durations.empty()) continue;
      if (Template* const one = find_or_add(subject.id)) one->collected += durations;
    }
    if (interval->to_ns - minute_from_ns_ < minute_ns) continue;
    minute_from_ns_ = interval->to_ns;
    for (auto& [id, one] : templates_) end_minute(one);
    was_unusual_ = std::exchange(is_unusual_, is_unusual);
  }
}

void UsualDurations::end_minute(Template& one) const {
  if (one.known < minutes_at_once) {
    learn(one, std::exchange(one.collected, {}));
  } else if (is_unusual_ && one.left_out < most_left_out) {
    if (!one.collected.empty()) ++one.left_out;
    one.waiting = one.collected = {};
  } else {
    if (!is_unusual_ && !was_unusual_ && !one.waiting.empty()) one.left_out = 0;
    learn(one, std::exchange(one.waiting, std::exchange(one.collected, {})));
  }
}

void UsualDurations::learn(Template& one, const CompactHistogram& durations) {
  if (durations.empty()) return;
  one.learnt += durations;
  ++one.learnt_in;
  const std::uint64_t calls = one.learnt.count();
  if (calls < least_calls || (one.known == 0 && one.learnt_in < least_minutes)) return;
  const std::size_t at = one.known++ % most_minutes;
  one.p95s[at] = p95_ns(one.learnt, calls);
  one.mean_logs[at] = static_cast<float>(one.learnt.sum_of_logs() / static_cast<double>(calls));
  one.usual = {.p95_ns = median(one.p95s, one.known), .mean_log = median(one.mean_logs, one.known)};
  one.learnt = {};
}

}  // namespace millrace
