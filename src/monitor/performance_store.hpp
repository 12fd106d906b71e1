#pragma once

#include <atomic>
#include <boost/unordered/unordered_flat_set.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/embedded_store.hpp"
#include "monitor/query_performance_monitor.hpp"

namespace millrace {

/// The same moment by two clocks: that of durations, `now_ns()`, and that of people.
struct Moment {
  std::int64_t ns = 0;
  std::chrono::system_clock::time_point wall = {};

  static Moment now();
  /// Another moment of the first clock, in microseconds since 1970.
  std::int64_t us_of(std::int64_t at_ns) const;
  std::int64_t ns_of(std::int64_t us) const;
};

/// What is in the store of a time, for who has the rest in memory.
struct StoredSpan {
  std::int64_t from_us = 0;    ///< since 1970: what ended before isn't asked for
  std::int64_t own_to_ns = 0;  ///< of this process: what ended by then; all of those before it
};

struct StoredSlowQueries {
  std::vector<SlowQuery> slowest = {};  ///< the slowest first
  std::uint64_t count = 0;              ///< of all that were asked for, beyond the limit too
  double total_ns = 0;                  ///< of these
  std::uint64_t own_written = 0;        ///< of this process: those up to this number are in the store
};

/// What the monitor keeps in the embedded store: what was recorded, of all queries and by subjects, by the minute for
/// an hour or two, by the hour for `figures_for`; and the slow queries. Histograms are merged as they are in memory, so
/// that a percentile of a week is as exact as that of a minute.
///
/// A batch is a transaction; it is made of what is in the monitor's memory. What can't be written stays there and is
/// written later, unless it is forgotten there first (after a day, or earlier where there is much of it): then it is
/// counted as lost.
///
/// Its functions are for the store's thread, but for `counts`.
class PerformanceStore {
 public:
  struct Options {
    std::chrono::days figures_for{30};
    std::chrono::days slow_queries_for{30};
  };
  struct Counts {
    std::uint64_t lost_seconds = 0;       ///< of which there are no figures
    std::uint64_t lost_slow_queries = 0;  ///< more came between two batches than are remembered
  };
  static constexpr int version = 1;
  /// With names; more of them count as `other`.
  static constexpr std::size_t most_templates = 20'000;
  static constexpr std::size_t most_of_others = 5'000;  ///< users, databases, applications and projects, of each kind
  static constexpr std::size_t most_slow_queries = 20'000;

  /// The monitor must have a history.
  PerformanceStore(std::shared_ptr<const QueryPerformanceMonitor> monitor, Options options, const Moment& now);

  /// As EmbeddedStore::Part::prepare.
  Result<std::optional<std::string>> prepare(backend::DuckDb& database);
  Result<> write(backend::DuckDb& database, const Moment& now, bool is_last);

  /// By which moment memory is to go on, where it goes back to `from_ns`: the end of a batch of this process.
  Result<std::int64_t> border_from(backend::DuckDb& database, std::int64_t from_ns) const;
  /// Of the subjects of a kind; `from_ns` is INT64_MAX where there is nothing. By `now`'s clock.
  Result<PeriodReport> report(backend::DuckDb& database, SubjectKind kind, const StoredSpan& span,
                              const Moment& now) const;
  /// Of all queries by time, the oldest first, and of one subject, which gets its `id` in them.
  Result<std::vector<IntervalPtr>> intervals(backend::DuckDb& database, const StoredSpan& span,
                                             const SubjectReport* subject, const Moment& now) const;
  Result<StoredSlowQueries> slow_queries(backend::DuckDb& database, std::int64_t from_us, std::int64_t least_ns,
                                         std::size_t limit) const;

  Counts counts() const { return {.lost_seconds = lost_seconds_, .lost_slow_queries = lost_slow_queries_}; }
  std::int64_t run() const { return run_; }
  std::chrono::days figures_for() const { return options_.figures_for; }

  /// A subject's name for all processes: templates are known by their fingerprints, others by their names.
  static std::uint64_t key_of(const SubjectReport& subject);

 private:
  struct Batch;
  using Keys = std::array<boost::unordered_flat_set<std::uint64_t>, subject_kinds>;  ///< by kind
  Result<> write_batch(backend::DuckDb& database, const Moment& now, Batch batch);
  struct Tables;
  static Result<Tables> tables_of(backend::DuckDb& database);
  Result<> add_intervals(backend::DuckDb& database, const Moment& now, const std::vector<IntervalPtr>& intervals,
                         Keys& new_names) const;
  void add_subjects(Tables& tables, const std::vector<SubjectReport>& subjects, std::int64_t period,
                    Keys& new_names) const;
  Result<> add_slow_queries(backend::DuckDb& database, const std::vector<SlowQuery>& queries) const;
  Result<> tidy(backend::DuckDb& database, const Moment& now);
  Result<> roll_up(backend::DuckDb& database, std::int64_t run, std::int64_t hour);
  Result<> load_names(backend::DuckDb& database);
  Result<> make_tables(backend::DuckDb& database) const;
  Result<std::optional<std::string>> look_after_parameters(backend::DuckDb& database) const;
  std::string_view kind_name(std::uint8_t kind) const;
  std::uint8_t kind_of_name(std::string_view name) const;

  const std::shared_ptr<const QueryPerformanceMonitor> monitor_;
  const Options options_;
  const std::int64_t run_;  ///< when this process began, in microseconds since 1970

  std::int64_t next_period_ = 1;
  std::int64_t written_to_ns_;
  std::uint64_t slow_written_ = 0;
  std::int64_t tidied_hour_ = 0;
  Keys named_;  ///< keys that have a name in the store
  std::atomic<std::uint64_t> lost_seconds_ = 0;
  std::atomic<std::uint64_t> lost_slow_queries_ = 0;
};

}  // namespace millrace
