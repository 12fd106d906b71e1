#include "monitor/interval_figures.hpp"

#include <algorithm>
#include <limits>

namespace millrace {
namespace {

constexpr double ns_in_ms = 1e6;
constexpr double nothing = std::numeric_limits<double>::quiet_NaN();

double percentage(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? nothing : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

/// Of numbers that only grow, but are summed over cores that are read one after the other.
std::uint64_t grown(std::uint64_t before, std::uint64_t after) { return after > before ? after - before : 0; }

/// Summed likewise, of one that goes up and down.
std::uint64_t level(std::uint64_t sum) { return static_cast<std::int64_t>(sum) > 0 ? sum : 0; }

HistogramTotals difference(HistogramTotals after, const HistogramTotals& before) {
  after -= before;
  return after;
}

}  // namespace

double IntervalFigures::quantile_ms(double q) const {
  return queries == 0 ? nothing : static_cast<double>(durations.quantile(q)) / ns_in_ms;
}
double IntervalFigures::error_rate() const { return percentage(std::min(failed, queries), queries); }
double IntervalFigures::slow_percentage() const { return percentage(std::min(slow, queries), queries); }
double IntervalFigures::cache_hit_rate() const { return percentage(cache_hits, cache_hits + cache_misses); }

IntervalFigures figures_between(const MonitorSnapshot& before, const MonitorSnapshot& after,
                                std::chrono::milliseconds slow_from, const SystemUsage& system,
                                std::chrono::system_clock::time_point at) {
  constexpr double shortest = 1e-3;
  IntervalFigures figures{.at = at,
                          .seconds = std::max(after.uptime_seconds - before.uptime_seconds, shortest),
                          .most_errors = {},
                          .durations = difference(after.all_durations(), before.all_durations()),
                          .reads = {},
                          .system = system};
  const auto read = static_cast<std::size_t>(StatementGroup::read);
  figures.reads = difference(after.durations[read], before.durations[read]);
  // Of the histogram, so that counts and quantiles are of the same queries.
  figures.queries = figures.durations.count();
  figures.failed = grown(before.failed_queries(), after.failed_queries());
  if (slow_from.count() > 0) {
    const auto limit = static_cast<std::uint64_t>(std::chrono::nanoseconds(slow_from).count());
    figures.slow = figures.queries - figures.durations.count_up_to(limit);
  }
  std::uint64_t most = 0;
  for (std::size_t i = 0; i < after.errors.size(); ++i) {
    const std::uint64_t errors = grown(before.errors[i], after.errors[i]);
    if (errors <= most) continue;
    most = errors;
    figures.most_errors = SqlstateClass::names[i];
  }
  figures.waiting = level(after.wire.clients_waiting);
  figures.active = level(after.wire.clients_active);
  figures.connected = level(after.wire.clients_connected);
  const HistogramTotals waits = difference(after.queue_waits, before.queue_waits);
  if (waits.count() > 0) figures.queue_p95_ms = static_cast<double>(waits.quantile(0.95)) / ns_in_ms;
  figures.cache_hits = grown(before.wire.cache_hits, after.wire.cache_hits);
  figures.cache_misses = grown(before.wire.cache_misses, after.wire.cache_misses);
  return figures;
}

}  // namespace millrace
