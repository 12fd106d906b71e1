#include "monitor/tiers.hpp"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

double weighted(double one, double of_one, double other, double of_other) {
  const double both = of_one + of_other;
  return both > 0 ? (one * of_one + other * of_other) / both : other;
}

}  // namespace

std::size_t Interval::memory_bytes() const {
  std::size_t bytes = sizeof(Interval) + all.durations.heap_bytes() + subjects.capacity() * sizeof(SubjectFigures);
  for (const SubjectFigures& subject : subjects) bytes += subject.durations.heap_bytes();
  return bytes;
}

void append(Interval& interval, const Interval& next, const std::function<SubjectId(SubjectId)>& id_of) {
  const double before = interval.seconds();
  const double more = next.seconds();
  WireLevels& levels = interval.levels;
  const auto average = [&](double WireLevels::* level) {
    levels.*level = weighted(levels.*level, before, next.levels.*level, more);
  };
  average(&WireLevels::clients_connected);
  average(&WireLevels::clients_active);
  average(&WireLevels::clients_waiting);
  if (interval.to_ns == 0) interval.from_ns = next.from_ns;
  interval.to_ns = next.to_ns;
  interval.all += next.all;

  // The figures themselves are large to sort.
  std::vector<std::pair<SubjectId, const SubjectFigures*>> both;
  both.reserve(interval.subjects.size() + next.subjects.size());
  for (const SubjectFigures& subject : interval.subjects) both.emplace_back(id_of(subject.id), &subject);
  for (const SubjectFigures& subject : next.subjects) both.emplace_back(id_of(subject.id), &subject);
  std::ranges::sort(both, {}, [](const auto& each) { return each.first; });
  std::vector<SubjectFigures> sums;
  sums.reserve(both.size());
  for (const auto& [id, figures] : both) {
    if (!sums.empty() && sums.back().id == id) {
      sums.back() += *figures;
    } else {
      sums.push_back(*figures);
      sums.back().id = id;
    }
  }
  interval.subjects = std::move(sums);
}

void Tiers::add(Interval second, const std::function<SubjectId(SubjectId)>& id_of) {
  push(0, std::move(second), id_of);
}

void Tiers::push(std::size_t at, Interval interval, const std::function<SubjectId(SubjectId)>& id_of) {
  Tier& tier = tiers_[at];
  interval.subjects.shrink_to_fit();
  const auto made = std::make_shared<const Interval>(std::move(interval));
  tier.bytes += made->memory_bytes();
  tier.intervals.push_back(made);
  while (tier.intervals.size() > 1 && (tier.intervals.size() > shapes[at].intervals || tier.bytes > shapes[at].bytes)) {
    tier.bytes -= tier.intervals.front()->memory_bytes();
    tier.intervals.pop_front();
  }
  if (at + 1 == shapes.size()) return;
  Interval& pending = tiers_[at + 1].pending;
  append(pending, *made, id_of);
  const std::int64_t width = shapes[at + 1].width.count();
  if (pending.from_ns / width != pending.to_ns / width) push(at + 1, std::exchange(pending, {}), id_of);
}

std::vector<IntervalPtr> Tiers::since(std::int64_t from_ns) const {
  // The finest tier that goes back so far; if none does, the one that goes back the furthest.
  std::size_t coarsest = 0;
  for (std::size_t at = 1; at < tiers_.size(); ++at) {
    const auto begin_of = [&](std::size_t tier) {
      return tiers_[tier].intervals.empty() ? INT64_MAX : tiers_[tier].intervals.front()->from_ns;
    };
    if (begin_of(coarsest) > from_ns && begin_of(at) < begin_of(coarsest)) coarsest = at;
  }
  std::vector<IntervalPtr> found;
  std::int64_t covered = from_ns;
  for (std::size_t at = coarsest + 1; at-- > 0;) {
    for (const IntervalPtr& interval : tiers_[at].intervals) {
      const bool is_next = found.empty() ? interval->to_ns > covered : interval->from_ns >= covered;
      if (!is_next) continue;
      found.push_back(interval);
      covered = interval->to_ns;
    }
  }
  return found;
}

std::vector<IntervalPtr> Tiers::minutes_since(std::int64_t from_ns) const {
  const auto& all = tiers_.back().intervals;
  const auto first = std::ranges::lower_bound(all, from_ns, {}, [](const IntervalPtr& each) { return each->from_ns; });
  return {first, all.end()};
}

std::size_t Tiers::memory_bytes() const {
  std::size_t bytes = 0;
  for (const Tier& tier : tiers_) bytes += tier.bytes + tier.pending.memory_bytes();
  return bytes;
}

}  // namespace millrace
