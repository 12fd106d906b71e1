#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "monitor/histogram.hpp"
#include "monitor/query_record.hpp"
#include "monitor/sqlstate_class.hpp"
#include "monitor/wire_counters.hpp"

namespace millrace {

/// Statements whose durations are worth comparing with each other.
enum class StatementGroup : std::uint8_t { read, write, transaction, other };
inline constexpr std::array<std::string_view, 4> statement_group_names = {"read", "write", "transaction", "other"};

/// A kind of statement, as the pipeline numbers them. The name must live as long as the program.
struct StatementKindLabel {
  std::string_view name;
  StatementGroup group;
};

/// Everything counted since the start, summed over the cores.
struct MonitorSnapshot {
  struct Kind {
    std::string_view name;
    std::uint64_t queries = 0;
  };

  double uptime_seconds = 0;
  std::vector<Kind> kinds;  ///< in the order of the table that the monitor was made with
  std::array<std::uint64_t, SqlstateClass::count> errors = {};
  std::uint64_t rows = 0;
  std::array<HistogramTotals, statement_group_names.size()> durations;
  HistogramTotals queue_waits;       ///< of the queries that waited
  HistogramTotals first_bytes;       ///< of the queries that answered something
  HistogramTotals recent_durations;  ///< of about the last minute
  double recent_seconds = 0;         ///< how long that was, exactly
  WireTotals wire = {};

  std::uint64_t queries() const;
  std::uint64_t failed_queries() const;
  HistogramTotals all_durations() const;
};

/// Keeps the figures of every query and of the wire. No locks and no allocations on a query's way: each core writes
/// its own shard; who reads sums them up.
class QueryPerformanceMonitor {
 public:
  static constexpr std::size_t max_kinds = 64;

  /// `kinds` is what `QueryRecord::kind` counts through, at most `max_kinds`; a number that isn't in it counts as the
  /// last.
  QueryPerformanceMonitor(std::size_t cores, std::vector<StatementKindLabel> kinds);
  ~QueryPerformanceMonitor();

  /// On the thread of `core` only.
  void record(std::size_t core, const QueryRecord& query) noexcept;

  /// The wire's counters of a core; they may be changed on its thread only.
  WireCounters& wire(std::size_t core) noexcept;

  /// From any thread. The figures of a query that ends at this moment may be in it in part.
  MonitorSnapshot snapshot() const;

 private:
  struct Shard;
  std::vector<StatementKindLabel> kinds_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::int64_t started_ns_;
};

}  // namespace millrace
