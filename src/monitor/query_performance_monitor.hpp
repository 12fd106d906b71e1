#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "monitor/histogram.hpp"
#include "monitor/performance_history.hpp"
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
///
/// What is recorded by templates and callers stays with its core for a second. Then the core hands it to a thread that
/// isn't a core's (`start`), which makes the history of it, and gives back the emptied memory for the second after the
/// next. So nothing of it is read while it is written. If that thread is late a core goes on with what it has: nothing
/// is lost but the moment.
class QueryPerformanceMonitor {
 public:
  static constexpr std::size_t max_kinds = 64;

  /// `kinds` is what `QueryRecord::kind` counts through, at most `max_kinds`; a number that isn't in it counts as the
  /// last.
  /// `recording`: null: queries are counted only, not recorded by templates and callers.
  QueryPerformanceMonitor(std::size_t cores, std::vector<StatementKindLabel> kinds,
                          std::optional<RecordingOptions> recording = {});
  ~QueryPerformanceMonitor();

  /// Begins to make history, on a thread of its own, until this object's end.
  void start();

  /// When the first `cores` cores don't run any more: takes what they haven't handed over, and ends the thread.
  void finish(std::size_t cores);

  // On the thread of `core` only.
  /// Answers whether nobody knows the query's template: then call `describe`, if its text is known.
  bool record(std::size_t core, const QueryRecord& query) noexcept;
  void describe(std::size_t core, TemplateText text);
  void add_slow(std::size_t core, SlowQuery query);
  /// Now and then, also where there are no queries: hands over what is due.
  void tick(std::size_t core, std::int64_t now) noexcept;

  bool records() const { return history_ != nullptr; }
  static std::uint64_t template_key(std::uint64_t fingerprint, Engine engine);

  /// The wire's counters of a core; they may be changed on its thread only.
  WireCounters& wire(std::size_t core) noexcept;

  /// From any thread. The figures of a query that ends at this moment may be in it in part.
  MonitorSnapshot snapshot() const;

  /// Null: nothing is recorded.
  const PerformanceHistory* history() const { return history_.get(); }
  PerformanceHistory* history() { return history_.get(); }
  const std::vector<StatementKindLabel>& kinds() const { return kinds_; }

  /// What `start` does each second: takes what the cores have handed over, and ends an interval. One thread at a time.
  void make_history(std::int64_t now);

 private:
  struct Shard;
  void count(Shard& shard, const QueryRecord& query) noexcept;
  WireLevels levels() const;
  std::vector<StatementKindLabel> kinds_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::int64_t started_ns_;
  std::unique_ptr<PerformanceHistory> history_;
  std::jthread historian_;  ///< the last member: it ends first
};

}  // namespace millrace
