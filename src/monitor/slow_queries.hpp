#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "monitor/slow_query.hpp"

namespace millrace {

/// The slow queries that are remembered: the newest, and of those before them the slowest. Not thread-safe.
class SlowQueries {
 public:
  explicit SlowQueries(std::size_t most) : most_(most) {}

  /// Numbers it.
  void add(SlowQuery query);

  /// In the order that they ended in.
  const std::deque<SlowQuery>& all() const { return queries_; }
  /// All that there were, also those that aren't remembered.
  std::uint64_t count() const { return count_; }

 private:
  std::size_t most_;
  std::deque<SlowQuery> queries_;
  std::uint64_t count_ = 0;
};

}  // namespace millrace
