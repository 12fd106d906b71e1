#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "base/log.hpp"
#include "monitor/performance_store.hpp"
#include "monitor/stored_rows.hpp"

namespace millrace {
namespace {

using backend::DuckDb;
using backend::DuckDbRows;

constexpr std::int64_t us_in_second = 1'000'000;
/// Of a span; its parameters follow.
constexpr std::string_view in_span = "p.to_us > ? AND (p.run <> ? OR p.to_ns <= ?)";

std::string text_of(const DuckDbRows& row, std::size_t column) { return std::string(row.text(column)); }

Engine engine_of(std::uint64_t number) {
  return static_cast<Engine>(std::min<std::uint64_t>(number, engine_names.size() - 1));
}

CacheUse cache_of(std::uint64_t number) {
  return static_cast<CacheUse>(std::min<std::uint64_t>(number, static_cast<std::uint64_t>(CacheUse::bypass)));
}

}  // namespace

/// A version that had other kinds may have written it: what isn't known is the last.
std::uint8_t PerformanceStore::kind_of_name(std::string_view name) const {
  const auto& kinds = monitor_->kinds();
  const auto found = std::ranges::find(kinds, name, &StatementKindLabel::name);
  return static_cast<std::uint8_t>(std::min<std::ptrdiff_t>(found - kinds.begin(), std::ssize(kinds) - 1));
}

Result<std::int64_t> PerformanceStore::border_from(DuckDb& database, std::int64_t from_ns) const {
  if (from_ns <= monitor_->history()->started_ns()) return from_ns;
  std::int64_t border = from_ns;
  const auto take = [&](const DuckDbRows& row) -> Result<> {
    if (!row.is_null(0)) border = row.signed_number(0);
    return {};
  };
  const auto done =
      database.each("SELECT min(to_ns) FROM monitor_periods WHERE run = ? AND to_ns >= ?", take, run_, from_ns);
  if (!done) return std::unexpected(done.error());
  return border;
}

Result<PeriodReport> PerformanceStore::report(DuckDb& database, SubjectKind kind, const StoredSpan& span,
                                              const Moment& now) const {
  PeriodReport report{.from_ns = std::numeric_limits<std::int64_t>::max(), .to_ns = span.own_to_ns};
  auto done = database.each(
      fmt::format("SELECT from_us, {} FROM monitor_periods p WHERE {}", stored::figure_columns, in_span),
      [&](const DuckDbRows& row) -> Result<> {
        report.from_ns = std::min(report.from_ns, now.ns_of(row.signed_number(0)));
        return stored::add_figures(row, 1, report.all);
      },
      span.from_us, run_, span.own_to_ns);
  if (!done) return std::unexpected(std::move(done).error());

  std::map<std::pair<bool, std::uint64_t>, SubjectFigures> found;
  done = database.each(
      fmt::format("SELECT is_other, subject, {} FROM monitor_figures WHERE kind = ? AND period IN "
                  "(SELECT id FROM monitor_periods p WHERE {})",
                  stored::figure_columns, in_span),
      [&](const DuckDbRows& row) -> Result<> {
        return stored::add_figures(row, 2, found[{row.boolean(0), row.number(1)}]);
      },
      static_cast<std::uint8_t>(kind), span.from_us, run_, span.own_to_ns);
  if (!done) return std::unexpected(std::move(done).error());

  const auto add = [&](const SubjectFigures& sums, SubjectReport about) {
    about.kind = kind;
    about.figures = sums.figures;
    about.durations = sums.durations;
    report.subjects.push_back(std::move(about));
  };
  done = database.each(
      "SELECT subject, name, fingerprint, engine, statement_kind, sample, parameters, database_name "
      "FROM monitor_subjects WHERE kind = ?",
      [&](const DuckDbRows& row) -> Result<> {
        const auto sums = found.find({false, row.number(0)});
        if (sums == found.end()) return {};
        SubjectReport subject{.name = text_of(row, 1)};
        if (!row.is_null(2)) {
          subject.about = std::make_shared<const TemplateText>(
              TemplateText{.key = row.number(0),
                           .fingerprint = row.number(2),
                           .engine = engine_of(row.number(3)),
                           .kind = kind_of_name(row.text(4)),
                           .text = text_of(row, 5),
                           .parameters = row.is_null(6) ? ParameterTexts() : stored::unpacked(row.text(6)),
                           .database = text_of(row, 7)});
        }
        add(sums->second, std::move(subject));
        found.erase(sums);
        return {};
      },
      static_cast<std::uint8_t>(kind));
  if (!done) return std::unexpected(std::move(done).error());
  // What has no name, too, is `other`.
  SubjectFigures rest;
  for (const auto& [who, sums] : found) rest += sums;
  if (rest.figures.calls > 0) add(rest, {.id = other_of(kind), .is_other = true});
  return report;
}

Result<std::vector<IntervalPtr>> PerformanceStore::intervals(DuckDb& database, const StoredSpan& span,
                                                             const SubjectReport* subject, const Moment& now) const {
  std::vector<IntervalPtr> found;
  std::map<std::int64_t, SubjectFigures> of_subject;  // by period
  if (subject != nullptr) {
    auto done = database.each(
        fmt::format("SELECT period, {} FROM monitor_figures WHERE kind = ? AND is_other = ? AND subject = ? AND period "
                    "IN (SELECT id FROM monitor_periods p WHERE {})",
                    stored::figure_columns, in_span),
        [&](const DuckDbRows& row) -> Result<> {
          return stored::add_figures(row, 1, of_subject[row.signed_number(0)]);
        },
        static_cast<std::uint8_t>(subject->kind), subject->is_other, key_of(*subject), span.from_us, run_,
        span.own_to_ns);
    if (!done) return std::unexpected(std::move(done).error());
  }
  auto done = database.each(
      fmt::format("SELECT id, from_us, to_us, connected, active, waiting, {} FROM monitor_periods p WHERE {} "
                  "ORDER BY from_us, to_us",
                  stored::figure_columns, in_span),
      [&](const DuckDbRows& row) -> Result<> {
        Interval interval{.from_ns = now.ns_of(row.signed_number(1)), .to_ns = now.ns_of(row.signed_number(2))};
        interval.levels = {
            .clients_connected = row.real(3), .clients_active = row.real(4), .clients_waiting = row.real(5)};
        if (auto added = stored::add_figures(row, 6, interval.all); !added) return added;
        if (const auto sums = of_subject.find(row.signed_number(0)); sums != of_subject.end()) {
          sums->second.id = subject->id;
          interval.subjects.push_back(std::move(sums->second));
        }
        found.push_back(std::make_shared<const Interval>(std::move(interval)));
        return {};
      },
      span.from_us, run_, span.own_to_ns);
  if (!done) return std::unexpected(std::move(done).error());
  return found;
}

Result<StoredSlowQueries> PerformanceStore::slow_queries(DuckDb& database, std::int64_t from_us, std::int64_t least_ns,
                                                         std::size_t limit) const {
  StoredSlowQueries answer{.own_written = slow_written_};
  auto done = database.each(
      "SELECT count(*), coalesce(sum(duration_ns), 0)::DOUBLE FROM monitor_slow_queries WHERE started_us >= ? AND "
      "duration_ns >= ?",
      [&](const DuckDbRows& row) -> Result<> {
        answer.count = row.number(0);
        answer.total_ns = row.real(1);
        return {};
      },
      from_us, least_ns);
  if (!done) return std::unexpected(std::move(done).error());
  done = database.each(
      "SELECT run, number, started_us, duration_ns, queue_ns, row_count, byte_count, fingerprint, kind, engine, cache, "
      "rewritten, sqlstate, cpu_percent, memory_mb, query, parameters, user_name, database_name, application, project, "
      "route, traceparent FROM monitor_slow_queries WHERE started_us >= ? AND duration_ns >= ? "
      "ORDER BY duration_ns DESC, started_us DESC LIMIT ?",
      [&](const DuckDbRows& row) -> Result<> {
        SlowQuery query{
            .number = row.number(1),
            .run = row.signed_number(0) == run_ ? 0 : row.signed_number(0) / us_in_second,
            .fingerprint = row.number(7),
            .kind = kind_of_name(row.text(8)),
            .engine = engine_of(row.number(9)),
            .text = text_of(row, 15),
            .parameters = row.is_null(16) ? ParameterTexts() : stored::unpacked(row.text(16)),
            .user = text_of(row, 17),
            .database = text_of(row, 18),
            .application = text_of(row, 19),
            .project = text_of(row, 20),
            .route = text_of(row, 21),
            .traceparent = text_of(row, 22),
            .started = std::chrono::system_clock::time_point(std::chrono::microseconds(row.signed_number(2))),
            .duration_ns = row.signed_number(3),
            .queue_ns = row.signed_number(4),
            .rows = row.number(5),
            .bytes = row.number(6),
            .cache = cache_of(row.number(10)),
            .rewritten = row.boolean(11)};
        const std::string_view sqlstate = row.text(12);
        std::ranges::copy(sqlstate.substr(0, query.sqlstate.size() - 1), query.sqlstate.begin());
        if (!row.is_null(13)) query.cpu_percent = row.real(13);
        if (!row.is_null(14)) query.memory_mb = row.real(14);
        answer.slowest.push_back(std::move(query));
        return {};
      },
      from_us, least_ns, limit);
  if (!done) return std::unexpected(std::move(done).error());
  return answer;
}

}  // namespace millrace
