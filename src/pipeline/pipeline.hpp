#pragma once

#include <memory>
#include <string_view>

#include "monitor/query_performance_monitor.hpp"
#include "pipeline/exchange.hpp"
#include "sql/statement_memo.hpp"

namespace millrace::pipeline {

/// The way of a query, one a core:
///
///     Statement ──► decide (optimizer, cache, executor: not there yet) ──► backend ──► QueryRecord
///
/// A front door asks `understand` for the Statement, begins an Exchange with it, does as `decide` says, and tells how
/// it `ended`. Not thread-safe: it belongs to its core's thread.
class Pipeline {
 public:
  Pipeline(std::size_t core, QueryPerformanceMonitor& monitor, sql::ParseLimits limits);

  /// Null: the text is too long to be parsed on this thread; parse it elsewhere and `remember` it.
  std::shared_ptr<const sql::Statement> understand(std::string_view text);
  void remember(std::string_view text, std::shared_ptr<const sql::Statement> statement);

  /// What becomes of a statement that a Query wants to have executed. (An Execute is sent.)
  Verdict decide(const Exchange& exchange, const SessionView& session) const;

  /// It has ended at `now`, one way or another: records it, and logs it when it was slow.
  void ended(const Exchange& exchange, const Caller& caller, std::int64_t now);

  /// Zero: no query is slow.
  void set_slow_threshold(std::chrono::nanoseconds threshold) { slow_ns_ = threshold.count(); }
  const sql::ParseLimits& limits() const { return limits_; }
  WireCounters& counters() { return monitor_.wire(core_); }
  /// Copies the memo's figures into the counters; now and then.
  void publish_counts();

 private:
  std::size_t core_;
  QueryPerformanceMonitor& monitor_;
  sql::ParseLimits limits_;
  sql::StatementMemo memo_;
  std::int64_t slow_ns_ = 1'000'000'000;
};

/// What `QueryRecord::kind` counts through: the kinds of statements, with the group that each is compared in.
std::vector<StatementKindLabel> statement_kind_labels();

}  // namespace millrace::pipeline
