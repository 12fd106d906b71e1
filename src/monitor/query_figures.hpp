#pragma once

#include <algorithm>
#include <cstdint>

#include "monitor/query_record.hpp"

namespace millrace {

/// What is counted of queries that belong together, beside the histogram of their durations.
struct QueryFigures {
  std::uint64_t calls = 0;
  std::uint64_t errors = 0;
  std::uint64_t slow = 0;
  std::uint64_t rows = 0;       ///< returned or changed
  std::uint64_t bytes = 0;      ///< to the clients
  std::uint64_t hits = 0;       ///< answered from memory
  std::uint64_t misses = 0;     ///< might have been
  std::uint64_t bypasses = 0;   ///< may not be
  std::uint64_t rewritten = 0;  ///< sent in another way than they were written
  std::uint64_t queue_ns = 0;   ///< waiting, of all of them together
  std::uint64_t total_ns = 0;   ///< their durations together
  std::uint64_t max_ns = 0;     ///< the longest one's

  void add(const QueryRecord& query) {
    const std::uint64_t duration = not_negative(query.duration_ns);
    ++calls;
    errors += query.failed() ? 1 : 0;
    slow += query.slow ? 1 : 0;
    rows += query.rows;
    bytes += query.bytes_out;
    hits += query.cache == CacheUse::hit ? 1 : 0;
    misses += query.cache == CacheUse::miss ? 1 : 0;
    bypasses += query.cache == CacheUse::bypass ? 1 : 0;
    rewritten += query.rewritten ? 1 : 0;
    queue_ns += not_negative(query.queue_ns);
    total_ns += duration;
    max_ns = std::max(max_ns, duration);
  }

  QueryFigures& operator+=(const QueryFigures& other) {
    calls += other.calls;
    errors += other.errors;
    slow += other.slow;
    rows += other.rows;
    bytes += other.bytes;
    hits += other.hits;
    misses += other.misses;
    bypasses += other.bypasses;
    rewritten += other.rewritten;
    queue_ns += other.queue_ns;
    total_ns += other.total_ns;
    max_ns = std::max(max_ns, other.max_ns);
    return *this;
  }

  bool operator==(const QueryFigures&) const = default;
};

}  // namespace millrace
