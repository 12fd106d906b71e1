#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "monitor/query_performance_monitor.hpp"

namespace millrace::pipeline {

/// A query that ran past Millrace, as somebody tells of it. What isn't known is empty.
struct ReportedQuery {
  std::string text;
  std::int64_t duration_ns = 0;  ///< until now
  Engine engine = Engine::postgresql;
  std::string user = {}, project = {}, application = {};
  std::uint64_t rows = 0;
  bool cache_hit = false;
  std::string sqlstate = {};  ///< five characters; empty: it didn't fail
  std::optional<double> cpu_percent = {}, memory_mb = {};
};

/// Records what is told of queries as if they had come by the wire: by the same templates and thresholds. It has a
/// shard of the monitor's to itself. Thread-safe; parses texts, so not for an I/O thread.
class ReportedQueries {
 public:
  /// `shard`: none of the cores'. `slow_from`: 0: none is slow.
  ReportedQueries(std::shared_ptr<QueryPerformanceMonitor> monitor, std::size_t shard,
                  std::chrono::milliseconds slow_from)
      : monitor_(std::move(monitor)), shard_(shard), slow_from_(slow_from) {}

  struct Recorded {
    std::uint64_t fingerprint = 0;
    bool slow = false;
  };
  Recorded record(ReportedQuery query);

  /// Each second or so: hands over what was recorded.
  void tick();

  void slow_from(std::chrono::milliseconds threshold);

 private:
  const std::shared_ptr<QueryPerformanceMonitor> monitor_;
  const std::size_t shard_;
  std::mutex mutex_;
  std::chrono::nanoseconds slow_from_;
};

}  // namespace millrace::pipeline
