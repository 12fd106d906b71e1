#include "monitor/query_performance_monitor.hpp"

#include <algorithm>
#include <boost/describe/members.hpp>
#include <boost/mp11/algorithm.hpp>
#include <cassert>
#include <numeric>

#include "base/clock.hpp"
#include "monitor/recent_histogram.hpp"

namespace millrace {
namespace {

constexpr std::size_t cache_line = 64;

std::uint64_t not_negative(std::int64_t nanoseconds) {
  return nanoseconds > 0 ? static_cast<std::uint64_t>(nanoseconds) : 0;
}

void add(WireTotals& totals, const WireCounters& counters) {
  using Members = boost::describe::describe_members<WireCounters, boost::describe::mod_public>;
  using Sums = boost::describe::describe_members<WireTotals, boost::describe::mod_public>;
  boost::mp11::mp_for_each<boost::mp11::mp_iota_c<boost::mp11::mp_size<Members>::value>>([&](auto i) {
    constexpr auto from = boost::mp11::mp_at_c<Members, i>::pointer;
    constexpr auto to = boost::mp11::mp_at_c<Sums, i>::pointer;
    totals.*to += (counters.*from).get();
  });
}

}  // namespace

struct alignas(cache_line) QueryPerformanceMonitor::Shard {
  std::array<Counter, max_kinds> queries;
  std::array<Counter, SqlstateClass::count> errors;
  Counter rows;
  std::array<Histogram, statement_group_names.size()> durations;
  RecentHistogram recent_durations;
  Histogram queue_waits;
  Histogram first_bytes;
  alignas(cache_line) WireCounters wire;
};

QueryPerformanceMonitor::QueryPerformanceMonitor(std::size_t cores, std::vector<StatementKindLabel> kinds)
    : kinds_(std::move(kinds)), started_ns_(now_ns()) {
  assert(cores > 0 && !kinds_.empty() && kinds_.size() <= max_kinds);
  for (std::size_t i = 0; i < cores; ++i) shards_.push_back(std::make_unique<Shard>());
}

QueryPerformanceMonitor::~QueryPerformanceMonitor() = default;

void QueryPerformanceMonitor::record(std::size_t core, const QueryRecord& query) noexcept {
  Shard& shard = *shards_[core];
  const std::size_t kind = std::min<std::size_t>(query.kind, kinds_.size() - 1);
  shard.queries[kind].add();
  shard.rows.add(query.rows);
  const std::uint64_t duration = not_negative(query.duration_ns);
  shard.durations[static_cast<std::size_t>(kinds_[kind].group)].record(duration);
  shard.recent_durations.record(duration, query.started_ns + query.duration_ns);
  if (query.queue_ns > 0) shard.queue_waits.record(not_negative(query.queue_ns));
  if (query.first_byte_ns > 0) shard.first_bytes.record(not_negative(query.first_byte_ns));
  if (query.failed()) shard.errors[SqlstateClass::index(query.error_code())].add();
}

WireCounters& QueryPerformanceMonitor::wire(std::size_t core) noexcept { return shards_[core]->wire; }

MonitorSnapshot QueryPerformanceMonitor::snapshot() const {
  const std::int64_t now = now_ns();
  MonitorSnapshot sum;
  sum.uptime_seconds = static_cast<double>(now - started_ns_) / 1e9;
  sum.recent_seconds = static_cast<double>(now - std::max(started_ns_, RecentHistogram::covered_from(now))) / 1e9;
  for (const StatementKindLabel& kind : kinds_) sum.kinds.push_back({.name = kind.name});
  for (const auto& shard : shards_) {
    for (std::size_t i = 0; i < kinds_.size(); ++i) sum.kinds[i].queries += shard->queries[i].get();
    for (std::size_t i = 0; i < sum.errors.size(); ++i) sum.errors[i] += shard->errors[i].get();
    sum.rows += shard->rows.get();
    for (std::size_t i = 0; i < sum.durations.size(); ++i) shard->durations[i].add_to(sum.durations[i]);
    shard->recent_durations.add_to(sum.recent_durations, now);
    shard->queue_waits.add_to(sum.queue_waits);
    shard->first_bytes.add_to(sum.first_bytes);
    add(sum.wire, shard->wire);
  }
  return sum;
}

std::uint64_t MonitorSnapshot::queries() const {
  return std::accumulate(kinds.begin(), kinds.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Kind& kind) { return sum + kind.queries; });
}

std::uint64_t MonitorSnapshot::failed_queries() const { return std::reduce(errors.begin(), errors.end()); }

HistogramTotals MonitorSnapshot::all_durations() const {
  HistogramTotals sum;
  for (const HistogramTotals& group : durations) sum += group;
  return sum;
}

}  // namespace millrace
