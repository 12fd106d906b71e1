#include "monitor/slow_queries.hpp"

#include <algorithm>
#include <utility>

namespace millrace {

void SlowQueries::add(SlowQuery query) {
  query.number = ++count_;
  queries_.push_back(std::move(query));
  if (queries_.size() <= most_) return;
  // Of the older half; the newer one is remembered whatever it took.
  const auto older = queries_.begin() + static_cast<std::ptrdiff_t>((queries_.size() + 1) / 2);
  queries_.erase(std::min_element(queries_.begin(), older, [](const SlowQuery& one, const SlowQuery& other) {
    return one.duration_ns < other.duration_ns;
  }));
}

}  // namespace millrace
