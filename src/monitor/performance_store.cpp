#include "monitor/performance_store.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "monitor/stored_rows.hpp"

namespace millrace {
namespace {

using backend::Blob;
using backend::DuckDb;
using backend::DuckDbRows;

constexpr std::int64_t ns_in_us = 1000;
constexpr std::int64_t us_in_hour = 3'600'000'000;
constexpr double ns_in_second = 1e9;
/// After a time in which nothing could be written there is more than a minute.
constexpr std::size_t most_periods_a_batch = 60;

std::int64_t to_us(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

constexpr std::string_view slow_types =
    "run BIGINT, number UBIGINT, started_us BIGINT, duration_ns BIGINT, queue_ns BIGINT, row_count UBIGINT, "
    "byte_count UBIGINT, fingerprint UBIGINT, kind VARCHAR, engine UTINYINT, cache UTINYINT, rewritten BOOLEAN, "
    "sqlstate VARCHAR, cpu_percent DOUBLE, memory_mb DOUBLE, query BLOB, parameters BLOB, user_name BLOB, "
    "database_name BLOB, application BLOB, project BLOB, route BLOB, traceparent BLOB";

}  // namespace

Moment Moment::now() { return {.ns = now_ns(), .wall = std::chrono::system_clock::now()}; }

std::int64_t Moment::us_of(std::int64_t at_ns) const { return to_us(wall) + (at_ns - ns) / ns_in_us; }

std::int64_t Moment::ns_of(std::int64_t us) const { return ns + (us - to_us(wall)) * ns_in_us; }

struct PerformanceStore::Batch {
  std::vector<IntervalPtr> intervals = {};
  std::vector<SlowQuery> slow = {};
};

PerformanceStore::PerformanceStore(std::shared_ptr<const QueryPerformanceMonitor> monitor, Options options,
                                   const Moment& now)
    : monitor_(std::move(monitor)),
      options_(options),
      run_(to_us(now.wall)),
      written_to_ns_(monitor_->history()->started_ns()) {}

std::uint64_t PerformanceStore::key_of(const SubjectReport& subject) {
  if (subject.is_other) return 0;
  if (subject.about != nullptr) return subject.about->key;
  return XXH3_64bits_withSeed(subject.name.data(), subject.name.size(), static_cast<XXH64_hash_t>(subject.kind));
}

std::string_view PerformanceStore::kind_name(std::uint8_t kind) const {
  return monitor_->kinds()[std::min<std::size_t>(kind, monitor_->kinds().size() - 1)].name;
}

Result<std::optional<std::string>> PerformanceStore::prepare(DuckDb& database) {
  if (auto done = make_tables(database); !done) return std::unexpected(std::move(done).error());
  auto then = look_after_parameters(database);
  if (!then) return then;
  const auto take = [this](const DuckDbRows& row) -> Result<> {
    next_period_ = row.signed_number(0);
    return {};
  };
  auto done = database.each("SELECT coalesce(max(id), 0) + 1 FROM monitor_periods", take);
  if (done) done = load_names(database);
  if (!done) return std::unexpected(std::move(done).error());
  return then;
}

Result<> PerformanceStore::make_tables(DuckDb& database) const {
  for (const std::string& table :
       {fmt::format(
            "monitor_periods(id BIGINT, run BIGINT, from_us BIGINT, to_us BIGINT, from_ns BIGINT, to_ns BIGINT, "
            "connected DOUBLE, active DOUBLE, waiting DOUBLE, {})",
            stored::figure_types),
        fmt::format("monitor_figures(period BIGINT, kind UTINYINT, is_other BOOLEAN, subject UBIGINT, {})",
                    stored::figure_types),
        std::string("monitor_subjects(subject UBIGINT, kind UTINYINT, name BLOB, fingerprint UBIGINT, engine UTINYINT, "
                    "statement_kind VARCHAR, sample BLOB, parameters BLOB, database_name BLOB)"),
        fmt::format("monitor_slow_queries({})", slow_types),
        std::string("monitor_parameters(since BIGINT)")}) {  // a row: parameters are in the file
    if (auto done = database.run("CREATE TABLE IF NOT EXISTS " + table); !done) return done;
  }
  return {};
}

/// With ENABLE_QUERY_PARAMETER_CAPTURE off, those that were written while it was on are forgotten.
Result<std::optional<std::string>> PerformanceStore::look_after_parameters(DuckDb& database) const {
  bool are_in_it = false;
  const auto take = [&](const DuckDbRows&) -> Result<> {
    are_in_it = true;
    return {};
  };
  const bool may_be = monitor_->history()->keeps_parameters();
  auto done = database.each("SELECT since FROM monitor_parameters", take);
  if (done && may_be && !are_in_it) done = database.run_with("INSERT INTO monitor_parameters VALUES (?)", run_);
  if (done && !may_be && are_in_it) {
    done = database.run(
        "DELETE FROM monitor_slow_queries WHERE parameters IS NOT NULL; "
        "UPDATE monitor_subjects SET sample = name, parameters = NULL WHERE parameters IS NOT NULL");
  }
  if (!done) return std::unexpected(std::move(done).error());
  if (may_be || !are_in_it) return std::nullopt;
  return "DELETE FROM monitor_parameters";
}

Result<> PerformanceStore::load_names(DuckDb& database) {
  named_ = {};
  return database.each("SELECT subject, kind FROM monitor_subjects", [this](const DuckDbRows& row) -> Result<> {
    if (const auto kind = row.number(1); kind < subject_kinds) named_.at(kind).insert(row.number(0));
    return {};
  });
}

Result<> PerformanceStore::write(DuckDb& database, const Moment& now, bool is_last) {
  const PerformanceHistory& history = *monitor_->history();
  auto intervals = history.minutes_since(written_to_ns_);
  if (is_last) {
    const std::int64_t minutes_to = intervals.empty() ? written_to_ns_ : intervals.back()->to_ns;
    Interval rest;
    for (const IntervalPtr& interval : history.since(minutes_to)) {
      if (interval->from_ns >= minutes_to) append(rest, *interval, [](SubjectId id) { return id; });
    }
    if (rest.to_ns != 0) intervals.push_back(std::make_shared<const Interval>(std::move(rest)));
  }
  Batch batch{.slow = history.slow_queries([this](const SlowQuery& query) { return query.number > slow_written_; })};
  for (const IntervalPtr& interval : intervals) {
    batch.intervals.push_back(interval);
    if (batch.intervals.size() < most_periods_a_batch) continue;
    if (auto done = write_batch(database, now, std::exchange(batch, {})); !done) return done;
  }
  if (!batch.intervals.empty() || !batch.slow.empty()) {
    if (auto done = write_batch(database, now, std::move(batch)); !done) return done;
  }
  const std::int64_t hour = to_us(now.wall) / us_in_hour;
  if (hour == tidied_hour_ || is_last) return {};
  if (auto done = tidy(database, now); !done) return done;
  tidied_hour_ = hour;
  return {};
}

/// To add to; all in one transaction.
struct PerformanceStore::Tables {
  backend::DuckDbAppender periods, figures, subjects;

  Result<> finish() {
    for (backend::DuckDbAppender* table : {&periods, &figures, &subjects}) {
      if (auto done = table->finish(); !done) return done;
    }
    return {};
  }
};

Result<PerformanceStore::Tables> PerformanceStore::tables_of(DuckDb& database) {
  auto periods = database.append_to("monitor_periods");
  if (!periods) return std::unexpected(std::move(periods).error());
  auto figures = database.append_to("monitor_figures");
  if (!figures) return std::unexpected(std::move(figures).error());
  auto subjects = database.append_to("monitor_subjects");
  if (!subjects) return std::unexpected(std::move(subjects).error());
  return Tables{.periods = *std::move(periods), .figures = *std::move(figures), .subjects = *std::move(subjects)};
}

Result<> PerformanceStore::write_batch(DuckDb& database, const Moment& now, Batch batch) {
  Keys new_names;
  auto done = database.in_transaction([&]() -> Result<> {
    if (auto added = add_intervals(database, now, batch.intervals, new_names); !added) return added;
    return batch.slow.empty() ? Result<>() : add_slow_queries(database, batch.slow);
  });
  if (!done) return done;
  next_period_ += static_cast<std::int64_t>(batch.intervals.size());
  for (std::size_t kind = 0; kind < subject_kinds; ++kind) named_[kind].merge(new_names[kind]);
  for (const IntervalPtr& interval : batch.intervals) {
    const double gap = static_cast<double>(interval->from_ns - written_to_ns_) / ns_in_second;
    lost_seconds_ += static_cast<std::uint64_t>(gap);
    written_to_ns_ = interval->to_ns;
  }
  if (!batch.slow.empty()) {
    lost_slow_queries_ += batch.slow.back().number - slow_written_ - batch.slow.size();
    slow_written_ = batch.slow.back().number;
  }
  return {};
}

Result<> PerformanceStore::add_intervals(DuckDb& database, const Moment& now, const std::vector<IntervalPtr>& intervals,
                                         Keys& new_names) const {
  auto tables = tables_of(database);
  if (!tables) return std::unexpected(std::move(tables).error());
  std::int64_t id = next_period_;
  for (const IntervalPtr& interval : intervals) {
    const WireLevels& levels = interval->levels;
    stored::add_row(tables->periods, interval->all, id, run_, now.us_of(interval->from_ns), now.us_of(interval->to_ns),
                    interval->from_ns, interval->to_ns, levels.clients_connected, levels.clients_active,
                    levels.clients_waiting);
    add_subjects(*tables, monitor_->history()->described(*interval), id++, new_names);
  }
  return tables->finish();
}

void PerformanceStore::add_subjects(Tables& tables, const std::vector<SubjectReport>& subjects, std::int64_t period,
                                    Keys& new_names) const {
  std::array<SubjectFigures, subject_kinds> others;
  for (const SubjectReport& subject : subjects) {
    const auto kind = static_cast<std::uint8_t>(subject.kind);
    const std::uint64_t key = key_of(subject);
    const auto& named = named_.at(kind);
    auto& news = new_names.at(kind);
    const bool has_name = named.contains(key) || news.contains(key);
    const std::size_t most = subject.kind == SubjectKind::query_template ? most_templates : most_of_others;
    const bool is_other = subject.is_other || (!has_name && named.size() + news.size() >= most);
    SubjectFigures sums{.figures = subject.figures, .durations = subject.durations};
    if (is_other) {
      others[kind] += sums;
      continue;
    }
    stored::add_row(tables.figures, sums, period, kind, false, key);
    if (has_name) continue;
    news.insert(key);
    if (const auto& about = subject.about) {
      const std::string parameters = stored::packed(about->parameters);
      // Null where nothing of a statement is in it that isn't in its template.
      const auto kept = monitor_->history()->keeps_parameters() ? std::optional(Blob{parameters}) : std::nullopt;
      tables.subjects.add(key, kind, Blob{subject.name}, about->fingerprint, static_cast<std::uint8_t>(about->engine),
                          kind_name(about->kind), Blob{about->text}, kept, Blob{about->database});
    } else {
      const std::optional<unsigned> none;
      const std::optional<Blob> no_bytes;
      tables.subjects.add(key, kind, Blob{subject.name}, none, none, std::optional<std::string_view>(), no_bytes,
                          no_bytes, no_bytes);
    }
  }
  for (std::size_t kind = 0; kind < others.size(); ++kind) {
    if (others[kind].figures.calls > 0) {
      stored::add_row(tables.figures, others[kind], period, static_cast<std::uint8_t>(kind), true, std::uint64_t{0});
    }
  }
}

Result<> PerformanceStore::add_slow_queries(DuckDb& database, const std::vector<SlowQuery>& queries) const {
  auto rows = database.append_to("monitor_slow_queries");
  if (!rows) return std::unexpected(std::move(rows).error());
  for (const SlowQuery& query : queries) {
    const std::string parameters = stored::packed(query.parameters);
    const auto kept = monitor_->history()->keeps_parameters() ? std::optional(Blob{parameters}) : std::nullopt;
    rows->add(run_, query.number, to_us(query.started), query.duration_ns, query.queue_ns, query.rows, query.bytes,
              query.fingerprint, kind_name(query.kind), static_cast<std::uint8_t>(query.engine),
              static_cast<std::uint8_t>(query.cache), query.rewritten, std::string_view(query.sqlstate.data()),
              query.cpu_percent, query.memory_mb, Blob{query.text}, kept, Blob{query.asker()}, Blob{query.database},
              Blob{query.application}, Blob{query.project}, Blob{query.route}, Blob{query.traceparent});
  }
  return rows->finish();
}

/// Each hour: what is older than retention allows goes, and hours that are over become a row a subject.
Result<> PerformanceStore::tidy(DuckDb& database, const Moment& now) {
  const auto before = [&](std::chrono::days kept) { return to_us(now.wall - kept); };
  auto done = database.in_transaction([&]() -> Result<> {
    if (auto gone = database.run_with("DELETE FROM monitor_periods WHERE to_us < ?", before(options_.figures_for));
        !gone)
      return gone;
    if (auto gone = database.run("DELETE FROM monitor_figures WHERE period NOT IN (SELECT id FROM monitor_periods)");
        !gone)
      return gone;
    if (auto gone = database.run("DELETE FROM monitor_subjects WHERE subject NOT IN "
                                 "(SELECT subject FROM monitor_figures)");
        !gone)
      return gone;
    return database.run_with(
        fmt::format("DELETE FROM monitor_slow_queries WHERE started_us < ? OR (rowid NOT IN "
                    "(SELECT rowid FROM monitor_slow_queries ORDER BY started_us DESC LIMIT {0}) AND rowid NOT IN "
                    "(SELECT rowid FROM monitor_slow_queries ORDER BY duration_ns DESC LIMIT {0}))",
                    most_slow_queries / 2),
        before(options_.slow_queries_for));
  });
  if (!done) return done;
  if (done = load_names(database); !done) return done;

  // The last whole hour stays as it is, so that after a restart it is there by the minute.
  std::vector<std::pair<std::int64_t, std::int64_t>> hours;
  done = database.each(
      fmt::format("SELECT run, from_us // {} FROM monitor_periods WHERE to_us < ? GROUP BY ALL HAVING count(*) > 1",
                  us_in_hour),
      [&](const DuckDbRows& row) -> Result<> {
        hours.emplace_back(row.signed_number(0), row.signed_number(1));
        return {};
      },
      (to_us(now.wall) / us_in_hour - 1) * us_in_hour);
  for (const auto& [run, hour] : hours) {
    if (done) done = roll_up(database, run, hour);
  }
  return done;
}

Result<> PerformanceStore::roll_up(DuckDb& database, std::int64_t run, std::int64_t hour) {
  const std::int64_t from = hour * us_in_hour;
  const std::int64_t to = from + us_in_hour;
  constexpr std::string_view those = "(SELECT id FROM monitor_periods WHERE run = ? AND from_us >= ? AND from_us < ?)";
  Interval sum;
  std::int64_t from_us = 0;
  std::int64_t to_us = 0;
  std::map<std::tuple<std::uint8_t, bool, std::uint64_t>, SubjectFigures> subjects;
  auto done = database.each(
      fmt::format("SELECT from_us, to_us, from_ns, to_ns, connected, active, waiting, {} FROM monitor_periods "
                  "WHERE run = ? AND from_us >= ? AND from_us < ? ORDER BY from_us",
                  stored::figure_columns),
      [&](const DuckDbRows& row) -> Result<> {
        Interval next{.from_ns = row.signed_number(2), .to_ns = row.signed_number(3)};
        next.levels = {.clients_connected = row.real(4), .clients_active = row.real(5), .clients_waiting = row.real(6)};
        if (auto added = stored::add_figures(row, 7, next.all); !added) return added;
        if (sum.to_ns == 0) from_us = row.signed_number(0);
        to_us = row.signed_number(1);
        append(sum, next, [](SubjectId id) { return id; });
        return {};
      },
      run, from, to);
  if (!done) return done;
  done = database.each(
      fmt::format("SELECT kind, is_other, subject, {} FROM monitor_figures WHERE period IN {}", stored::figure_columns,
                  those),
      [&](const DuckDbRows& row) -> Result<> {
        const auto kind = static_cast<std::uint8_t>(row.number(0));
        return stored::add_figures(row, 3, subjects[{kind, row.boolean(1), row.number(2)}]);
      },
      run, from, to);
  if (!done) return done;
  done = database.in_transaction([&]() -> Result<> {
    if (auto gone =
            database.run_with(fmt::format("DELETE FROM monitor_figures WHERE period IN {}", those), run, from, to);
        !gone)
      return gone;
    if (auto gone = database.run_with("DELETE FROM monitor_periods WHERE run = ? AND from_us >= ? AND from_us < ?", run,
                                      from, to);
        !gone)
      return gone;
    auto periods = database.append_to("monitor_periods");
    if (!periods) return std::unexpected(std::move(periods).error());
    stored::add_row(*periods, sum.all, next_period_, run, from_us, to_us, sum.from_ns, sum.to_ns,
                    sum.levels.clients_connected, sum.levels.clients_active, sum.levels.clients_waiting);
    if (auto added = periods->finish(); !added) return added;
    auto figures = database.append_to("monitor_figures");
    if (!figures) return std::unexpected(std::move(figures).error());
    for (const auto& [who, sums] : subjects) {
      const auto& [kind, is_other, key] = who;
      stored::add_row(*figures, sums, next_period_, kind, is_other, key);
    }
    return figures->finish();
  });
  if (done) ++next_period_;
  return done;
}

}  // namespace millrace
