#include "pipeline/reported_queries.hpp"

#include <algorithm>

#include "base/clock.hpp"
#include "pipeline/kept_text.hpp"
#include "sql/statement.hpp"

namespace millrace::pipeline {

ReportedQueries::Recorded ReportedQueries::record(ReportedQuery query) {
  const auto statement = sql::parse(query.text);
  query.text.resize(std::min(query.text.size(), sql::Statement::most_text));
  const std::scoped_lock lock(mutex_);
  const std::int64_t now = now_ns();
  QueryRecord record{.fingerprint = statement->fingerprint,
                     .kind = static_cast<std::uint8_t>(statement->kind),
                     .engine = query.engine,
                     .user = query.user,
                     .application = query.application,
                     .project = query.project,
                     .started_ns = now - query.duration_ns,
                     .duration_ns = query.duration_ns,
                     .rows = query.rows,
                     .cache = query.cache_hit ? CacheUse::hit : CacheUse::none,
                     .slow = slow_from_.count() > 0 && query.duration_ns >= slow_from_.count()};
  std::ranges::copy_n(query.sqlstate.begin(),
                      static_cast<std::ptrdiff_t>(std::min(query.sqlstate.size(), record.sqlstate.size() - 1)),
                      record.sqlstate.begin());
  const Recorded recorded{.fingerprint = record.fingerprint, .slow = record.slow};
  const bool is_new = monitor_->record(shard_, record);
  if (!monitor_->records() || (!is_new && !record.slow)) return recorded;
  const std::string kept = constants_may_be_kept(statement->kind, query.text)
                               ? query.text
                               : without_constants(statement->kind, query.text, record.failed());
  if (is_new) {
    monitor_->describe(shard_,
                       {.fingerprint = record.fingerprint, .engine = record.engine, .kind = record.kind, .text = kept});
  }
  if (!record.slow) return recorded;
  const auto took =
      std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::nanoseconds(record.duration_ns));
  monitor_->add_slow(shard_, {.fingerprint = record.fingerprint,
                              .kind = record.kind,
                              .engine = record.engine,
                              .text = kept,
                              .user = std::move(query.user),
                              .application = std::move(query.application),
                              .project = std::move(query.project),
                              .started = std::chrono::system_clock::now() - took,
                              .duration_ns = record.duration_ns,
                              .rows = record.rows,
                              .cache = record.cache,
                              .sqlstate = record.sqlstate,
                              .cpu_percent = query.cpu_percent,
                              .memory_mb = query.memory_mb});
  return recorded;
}

void ReportedQueries::tick() {
  const std::scoped_lock lock(mutex_);
  monitor_->tick(shard_, now_ns());
}

void ReportedQueries::slow_from(std::chrono::milliseconds threshold) {
  const std::scoped_lock lock(mutex_);
  slow_from_ = threshold;
}

}  // namespace millrace::pipeline
