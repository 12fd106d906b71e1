#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "monitor/query_performance_monitor.hpp"
#include "monitor/system_usage.hpp"

namespace millrace {

/// What happened between two looks at the monitor. Percentages are 0 to 100; NaN: there was nothing to take it of.
struct IntervalFigures {
  std::chrono::system_clock::time_point at;  ///< its end
  double seconds = 1;

  std::uint64_t queries = 0;
  std::uint64_t failed = 0;
  std::uint64_t slow = 0;        ///< took longer than SLOW_QUERY_THRESHOLD_MS
  std::string_view most_errors;  ///< the SQLSTATE class of most errors; empty if there was none
  HistogramTotals durations;
  HistogramTotals reads;

  std::uint64_t waiting = 0;    ///< clients that wait for a server connection, now
  std::uint64_t active = 0;     ///< clients that hold one, now
  std::uint64_t connected = 0;  ///< clients, now
  double queue_p95_ms = 0;      ///< of the queries that waited; 0 if none did
  std::uint64_t cache_hits = 0;
  std::uint64_t cache_misses = 0;

  SystemUsage system;

  double queries_per_second() const { return static_cast<double>(queries) / seconds; }
  double quantile_ms(double q) const;
  double error_rate() const;
  double slow_percentage() const;
  double cache_hit_rate() const;
};

IntervalFigures figures_between(const MonitorSnapshot& before, const MonitorSnapshot& after,
                                std::chrono::milliseconds slow_from, const SystemUsage& system,
                                std::chrono::system_clock::time_point at);

}  // namespace millrace
