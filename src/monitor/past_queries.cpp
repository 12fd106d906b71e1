#include "monitor/past_queries.hpp"

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <chrono>
#include <utility>

#include "base/log.hpp"

namespace millrace {
namespace {

using backend::DuckDb;

/// Of subjects that memory doesn't have: no other subject has such a number.
constexpr SubjectId first_stored_id = SubjectId{1} << 62U;
constexpr SubjectId ids_between = 8;

/// Adds what is stored of subjects to what is in memory of them.
void merge(PeriodReport& report, PeriodReport stored) {
  if (stored.from_ns < report.from_ns) report.from_ns = stored.from_ns;
  report.all += stored.all;
  boost::unordered_flat_map<std::uint64_t, std::size_t> places;
  std::optional<std::size_t> other;
  for (std::size_t at = 0; at < report.subjects.size(); ++at) {
    if (report.subjects[at].is_other) {
      other = at;
    } else {
      places.emplace(PerformanceStore::key_of(report.subjects[at]), at);
    }
  }
  SubjectId next = first_stored_id;
  for (SubjectReport& subject : stored.subjects) {
    std::optional<std::size_t> at = other;
    if (!subject.is_other) {
      const auto found = places.find(PerformanceStore::key_of(subject));
      at = found == places.end() ? std::nullopt : std::optional(found->second);
      subject.id = next + static_cast<SubjectId>(subject.kind);
      next += ids_between;
    }
    if (at) {
      report.subjects[*at].figures += subject.figures;
      report.subjects[*at].durations += subject.durations;
    } else {
      report.subjects.push_back(std::move(subject));
    }
  }
}

bool is_slower(const SlowQuery& one, const SlowQuery& other) {
  return std::tuple(one.duration_ns, one.started, one.number) >
         std::tuple(other.duration_ns, other.started, other.number);
}

}  // namespace

PastQueries::PastQueries(std::shared_ptr<const QueryPerformanceMonitor> monitor,
                         std::shared_ptr<backend::EmbeddedStore> store, std::shared_ptr<const PerformanceStore> kept)
    : monitor_(std::move(monitor)), store_(std::move(store)), kept_(std::move(kept)) {}

/// What `read(kept, database)` answers; nothing: there is no store, or it can't be asked, which its status says.
template <typename F>
auto PastQueries::ask(F read) const {
  using Answer = std::invoke_result_t<F&, const PerformanceStore&, DuckDb&>;
  if (!store_ || !kept_) return Answer(fail("there is no store"));
  auto answer = store_->ask([kept = kept_, read](DuckDb& database) { return read(*kept, database); }, patience);
  if (!answer && store_->status().state == backend::EmbeddedStore::State::open) {
    log::warn("the store was asked in vain", {{"reason", answer.error().message}, {"detail", answer.error().detail}});
  }
  return answer;
}

PeriodReport PastQueries::report(SubjectKind kind, std::optional<std::chrono::nanoseconds> window,
                                 const Moment& now) const {
  const PerformanceHistory& history = *monitor_->history();
  if (!window) return history.report(kind, window, now.ns);
  const std::int64_t from_ns = now.ns - window->count();
  const auto remembered = history.since(from_ns);
  const std::int64_t memory_from = remembered.empty() ? now.ns : remembered.front()->from_ns;
  if (memory_from <= from_ns) return history.report(kind, window, now.ns);
  const auto stored = ask([=](const PerformanceStore& kept, DuckDb& database) -> Result<PeriodReport> {
    const auto border = kept.border_from(database, memory_from);
    if (!border) return std::unexpected(border.error());
    return kept.report(database, kind, {.from_us = now.us_of(from_ns), .own_to_ns = *border}, now);
  });
  if (!stored) return history.report(kind, window, now.ns);
  PeriodReport report = history.report(kind, std::chrono::nanoseconds(now.ns - stored->to_ns), now.ns);
  merge(report, *stored);
  return report;
}

std::vector<IntervalPtr> PastQueries::since(std::int64_t from_ns, const SubjectReport* subject,
                                            const Moment& now) const {
  const PerformanceHistory& history = *monitor_->history();
  auto remembered = history.since(from_ns);
  const std::int64_t memory_from = remembered.empty() ? now.ns : remembered.front()->from_ns;
  if (memory_from <= from_ns) return remembered;
  struct Stored {
    std::vector<IntervalPtr> intervals;
    std::int64_t to_ns;
  };
  const auto wanted = subject == nullptr ? std::nullopt : std::optional(*subject);
  auto stored = ask([=](const PerformanceStore& kept, DuckDb& database) -> Result<Stored> {
    const auto border = kept.border_from(database, memory_from);
    if (!border) return std::unexpected(border.error());
    auto found = kept.intervals(database, {.from_us = now.us_of(from_ns), .own_to_ns = *border},
                                wanted ? &*wanted : nullptr, now);
    if (!found) return std::unexpected(std::move(found).error());
    return Stored{.intervals = *std::move(found), .to_ns = *border};
  });
  if (!stored) return remembered;
  for (const IntervalPtr& interval : remembered) {
    if (interval->from_ns >= stored->to_ns) stored->intervals.push_back(interval);
  }
  return std::move(stored->intervals);
}

SlowQueryReport PastQueries::slow_queries(std::optional<std::chrono::nanoseconds> window,
                                          std::chrono::nanoseconds least, std::size_t limit, const Moment& now) const {
  const std::int64_t from_us = window ? now.us_of(now.ns - window->count()) : 0;
  const std::int64_t least_ns = least.count();
  const auto stored = ask([=](const PerformanceStore& kept, DuckDb& database) {
    return kept.slow_queries(database, from_us, least_ns, limit);
  });
  const std::uint64_t written = stored ? stored->own_written : 0;
  const auto from = std::chrono::system_clock::time_point(std::chrono::microseconds(from_us));
  SlowQueryReport report{.slowest = monitor_->history()->slow_queries([&](const SlowQuery& query) {
    return query.number > written && query.duration_ns >= least_ns && query.started >= from;
  })};
  report.count = report.slowest.size();
  for (const SlowQuery& query : report.slowest) report.total_ns += static_cast<double>(query.duration_ns);
  if (stored) {
    report.count += stored->count;
    report.total_ns += stored->total_ns;
    report.slowest.insert(report.slowest.end(), stored->slowest.begin(), stored->slowest.end());
  }
  std::ranges::sort(report.slowest, is_slower);
  if (report.slowest.size() > limit) report.slowest.resize(limit);
  return report;
}

}  // namespace millrace
