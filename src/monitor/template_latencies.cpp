#include "monitor/template_latencies.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

namespace millrace {
namespace {

constexpr double ns_a_ms = 1e6;
// Intervals are a little longer or shorter than they are meant to be.
constexpr double least_slice_ns = 0.9 * TemplateLatencies::slice_seconds * 1e9;
constexpr double remembers_usual_for = 3600;  // seconds
constexpr double grows_for = 3600;            // seconds
constexpr double grown = 1.5;                 // what is so much more is no step of something larger
constexpr std::size_t over_after = 4;         // values
constexpr std::size_t hint_before = 4, hint_after = 2;
constexpr double hint_ratio = 1.5;

}  // namespace

TemplateLatencies::Known& TemplateLatencies::known(SubjectId id) {
  if (known_.size() >= most_templates && !known_.contains(id)) {
    known_.erase(std::ranges::min_element(known_, {}, [](const auto& each) { return each.second.last_ns; }));
  }
  return known_[id];
}

std::vector<TemplateChange> TemplateLatencies::observe(const Interval& interval, double at) {
  std::vector<TemplateChange> found;
  for (const SubjectFigures& subject : interval.subjects) {
    if (kind_of(subject.id) != SubjectKind::query_template || is_other(subject.id)) continue;
    if (subject.figures.calls == 0) continue;
    Known& of_one = known(subject.id);
    Pending& pending = of_one.pending;
    if (pending.figures.calls == 0) pending.from_ns = interval.from_ns;
    pending.figures += subject.figures;
    pending.sum_of_logs += subject.durations.sum_of_logs();
    of_one.last_ns = interval.to_ns;
    if (static_cast<double>(interval.to_ns - pending.from_ns) < least_slice_ns) continue;
    auto change = end_slice(of_one, interval.to_ns, at);
    if (!change) continue;
    change->id = subject.id;
    found.push_back(*std::move(change));
  }
  return found;
}

double TemplateLatencies::mean_of_last(const std::deque<Slice>& slices, std::size_t count) {
  count = std::min(slices.size(), count);
  double sum = 0;
  for (std::size_t back = 1; back <= count; ++back) sum += static_cast<double>(slices[slices.size() - back].log_ms);
  return sum / static_cast<double>(count);
}

std::optional<TemplateChange> TemplateLatencies::end_slice(Known& known, std::int64_t to_ns, double at) {
  const auto [from_ns, figures, sum_of_logs] = std::exchange(known.pending, {});
  if (2 * figures.errors > figures.calls) return std::nullopt;
  const double log_ms = sum_of_logs / static_cast<double>(figures.calls) - std::log(ns_a_ms);
  known.slices.push_back({.log_ms = static_cast<float>(log_ms),
                          .seconds = static_cast<float>(to_ns - from_ns) / 1e9F,
                          .calls = static_cast<std::uint32_t>(figures.calls),
                          .hits = static_cast<std::uint32_t>(figures.hits),
                          .asked = static_cast<std::uint32_t>(figures.hits + figures.misses)});
  known.days.add(at, mean_of_last(known.slices, ChangePointDetector::least_after));
  const auto change = known.detector.add(at, std::exp(log_ms));
  const std::size_t compared = change ? change->values_before + change->values_after : known.detector.size();
  while (known.slices.size() > compared) known.slices.pop_front();
  if (!change) {
    if (!known.over_below || mean_of_last(known.slices, over_after) >= *known.over_below) return hint(known, at);
    known.over_below.reset();
    return TemplateChange{.is_over = true};
  }

  TemplateChange told = about(known, *change, at);
  known.slices.erase(known.slices.begin(), known.slices.begin() + static_cast<std::ptrdiff_t>(change->values_before));
  if (!is_news(known, *change, at)) return std::nullopt;
  join_steps(known, told.change);
  known.over_below = std::log(told.change.before * told.change.after) / 2;
  return told;
}

TemplateChange TemplateLatencies::about(const Known& known, const ChangePoint& change, double at) {
  TemplateChange told{.change = change};
  const auto border = known.slices.begin() + static_cast<std::ptrdiff_t>(change.values_before);
  const auto sum = [](auto from, auto until) {
    Slice all;
    for (; from != until; ++from) {
      all.seconds += from->seconds;
      all.calls += from->calls;
      all.hits += from->hits;
      all.asked += from->asked;
    }
    return all;
  };
  const auto hit_rate = [](const Slice& of) {
    return of.asked == 0 ? TemplateChange::no_one : 100.0 * of.hits / of.asked;
  };
  const Slice after = sum(border, known.slices.end());
  // Between slices there may be times without calls.
  const double since = at - change.at + static_cast<double>(border->seconds);
  told.calls_per_second = after.calls / std::max(since, static_cast<double>(after.seconds));
  told.hit_rate_before = hit_rate(sum(known.slices.begin(), border));
  told.hit_rate_after = hit_rate(after);
  return told;
}

std::optional<TemplateChange> TemplateLatencies::hint(const Known& known, double at) {
  const std::size_t count = known.slices.size();
  if (count < hint_before + hint_after) return std::nullopt;
  const std::size_t before = count - hint_after;
  std::vector<double> others;
  double sum = 0;
  for (std::size_t i = 0; i < before; ++i) {
    others.push_back(static_cast<double>(known.slices[i].log_ms));
    sum += others.back();
  }
  const std::size_t left_out = 1 + before / 10;
  const auto largest = others.end() - static_cast<std::ptrdiff_t>(left_out) - 1;
  std::nth_element(others.begin(), largest, others.end());
  for (std::size_t i = before; i < count; ++i) {
    if (static_cast<double>(known.slices[i].log_ms) < *largest + std::log(hint_ratio)) return std::nullopt;
  }
  const ChangePoint change{
      .at = known.detector.time_of(before),
      .before = std::exp(sum / static_cast<double>(before)),
      .after = std::exp(mean_of_last(known.slices, hint_after)),
      // That the last two are among so many of the largest.
      .p_value = static_cast<double>((left_out + 2) * (left_out + 1)) / static_cast<double>(count * (count - 1)),
      .values_before = before,
      .values_after = hint_after};
  if (is_usual(known, change.after, at)) return std::nullopt;
  TemplateChange told = about(known, change, at);
  told.is_hint = true;
  return told;
}

/// So that what creeps is seen: each of its steps is small.
void TemplateLatencies::join_steps(Known& known, ChangePoint& change) {
  const auto& first = known.first_step;
  if (first && first->before < change.before && std::abs(change.at - first->at) <= grows_for) {
    change.at = first->at;
    change.before = first->before;
  }
  known.first_step = change.ratio() < grown ? std::optional(change) : std::nullopt;
}

bool TemplateLatencies::is_news(Known& known, const ChangePoint& change, double at) {
  if (change.ratio() < 1) {
    known.first_step.reset();
    if (!std::exchange(known.is_told, false)) {
      known.usual_ms = change.before;
      known.took_less_at = at;
    }
    return false;
  }
  if (is_usual(known, change.after, at)) return false;
  known.is_told = true;
  return true;
}

bool TemplateLatencies::is_usual(const Known& known, double ms, double at) {
  const double nearly = std::log(ChangePointDetector::least_ratio);
  const bool is_back = known.usual_ms && std::abs(at - known.took_less_at) <= remembers_usual_for &&
                       std::log(ms / *known.usual_ms) <= nearly;
  // NaN: it isn't known how long it took at that time.
  return is_back || known.days.distance(at, std::log(ms)) <= nearly;
}

}  // namespace millrace
