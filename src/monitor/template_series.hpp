#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "monitor/performance_history.hpp"

namespace millrace {

/// Counters of the few templates that take the most, and of all others together: for a system that keeps a time series
/// for each name it ever saw, so the names may not change with each look.
///
/// A template that gets a place has it for ten minutes at least, and until one without takes twice as much (by the time
/// that it took lately, half of it after ten minutes). What it had counted before it got one stays with the others', so
/// that no counter ever goes back but that of one that comes a second time, which begins anew.
///
/// Thread-safe; `observe` is for one thread.
class TemplateSeries {
 public:
  static constexpr std::size_t places = 20;

  struct Series {
    std::optional<std::uint64_t> fingerprint = {};  ///< nothing: the others
    QueryFigures figures = {};                      ///< `max_ns` isn't filled
  };

  /// Now and then, each second say.
  void observe(const TemplateTotals& totals, std::int64_t now);

  /// The others are the last.
  std::vector<Series> series() const;

 private:
  struct Known {
    std::uint64_t fingerprint = 0;
    QueryFigures figures = {};
    double use = 0;
    bool seen = true;
    std::optional<std::int64_t> since = {};  ///< when it got its place
    QueryFigures counted = {};               ///< since then
  };

  void give_places(std::int64_t now);

  boost::unordered_flat_map<SubjectId, Known> known_;
  QueryFigures all_;
  std::int64_t last_ns_ = 0;

  mutable std::mutex mutex_;
  std::vector<Series> series_;
  QueryFigures others_;
};

}  // namespace millrace
