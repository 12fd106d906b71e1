#pragma once

#include <memory>
#include <string_view>

#include "monitor/query_performance_monitor.hpp"
#include "pipeline/effects.hpp"
#include "pipeline/exchange.hpp"
#include "pipeline/judgements.hpp"
#include "pipeline/read_cache.hpp"
#include "pipeline/rewrites.hpp"
#include "sql/statement_memo.hpp"

namespace millrace::pipeline {

/// By its text alone: whether it is worth asking if it may be answered from memory.
bool may_only_read(const sql::Statement& statement);

/// The last moment that something is of which the answer shows.
std::int64_t shown_until(const cache::Entry& entry);

/// The way of a query, one a core:
///
///     Statement ──► decide (cache; optimizer, executor: not there yet) ──► backend ──► QueryRecord
///
/// A front door asks `understand` for the Statement, begins an Exchange with it, does as `decide` says, and tells how
/// it `ended`. Not thread-safe: it belongs to its core's thread.
class Pipeline {
 public:
  /// `cache`: null: nothing is answered from memory. `rewrites`: null: nothing is rewritten; there is none without a
  /// cache, by which the catalogs are known.
  Pipeline(std::size_t core, QueryPerformanceMonitor& monitor, sql::ParseLimits limits, ReadCache* cache = nullptr,
           Rewrites* rewrites = nullptr);

  /// Null: the text is too long to be parsed on this thread; parse it elsewhere and `remember` it.
  std::shared_ptr<const sql::Statement> understand(std::string_view text);
  void remember(std::string_view text, std::shared_ptr<const sql::Statement> statement);

  /// What becomes of a statement that a Query of this text wants to have executed.
  Verdict decide(const Exchange& exchange, std::string_view text, const SessionView& session);

  // Answers from memory.
  ReadCache* cache() const { return cache_; }
  /// Null: nothing is rewritten at present.
  Rewrites* rewrites() const { return rewrites_ != nullptr && rewrites_->is_on() ? rewrites_ : nullptr; }
  struct Found {
    cache::EntryPtr entry;  ///< null: there is none, or it isn't fresh, or isn't known to be
    Unproved unproved = {};
  };
  Found look_up(const Scope& scope, const Question& question, std::int64_t now, const Needed& needed);
  /// Of a read's template at this level; null: nothing is known of it yet.
  Payoff* payoff_of(const Scope& scope, const sql::Statement& statement, Consistency::Level level) const {
    return cache_->payoffs().find(statement.fingerprint, scope.everything, level);
  }
  /// The flight (of `Flights`) by which somebody else asks the server this, for everything; 0: nobody does.
  std::uint64_t flight_of(const Scope& scope, const Question& question);
  /// Of a read, as far as the catalogs are known.
  MeantByNames meant_by_names(const StatementPtr& statement, const Scope& scope);
  /// Before the statement is sent: null: its answer isn't to be kept, which is counted by its reason.
  /// `waited_in_vain`: for somebody else's answer, or for a proof, in ns. `meant`: by its names when the server read
  /// it (`MeantByNames::number`); null: it reads it now.
  std::shared_ptr<Fill> begin_fill(const Scope& scope, const Question& question, const StatementPtr& statement,
                                   const Consistency& consistency, std::int64_t now, std::int64_t waited_in_vain = 0,
                                   std::optional<std::uint64_t> meant = {});
  /// It is sent now: who asks the same may wait for it, if it is a read.
  void lead_flight(Fill& fill) {
    if (fill.may_lead) fill.flight = cache_->flights().lead(fill.hash);
  }
  /// Its answer isn't to be kept, for a reason of the session's, unless it shows one itself: by the reason's code.
  void count_refusal(const sql::Statement& statement, std::string_view code_of_session);
  /// All of it has come, without an error.
  void complete(Fill& fill, std::int64_t now);
  /// Whether a transaction that begins without options sees what is committed before each of its statements.
  bool reads_committed(const Scope& scope);
  /// Before it is sent. `statement`: null: not known.
  Effects effects_of(const Scope& scope, const StatementPtr& statement);
  /// Adds what it may change, before it is sent. `names_are_clear`: they mean what they do in a session of this scope.
  void add_changes(Changes& changes, const Scope& scope, const Effects& effects, bool names_are_clear);

  /// They are committed, or nobody knows: from now on nothing is answered that they may have made stale. What the
  /// change stream will tell of, which knows more exactly, isn't made stale if it `is_certain` that they are committed:
  /// who reads it needs a proof of this moment.
  void apply(const Changes& changes, const Scope& scope, std::int64_t now, bool is_certain);

  /// Whether what is asked is kept in records, beside being counted.
  bool records() const { return monitor_.records(); }
  /// Of a text that is prepared, which `understand` answers this for. "": not known.
  SentText sent(std::string_view text, const sql::Statement& statement) const;

  /// It has ended at `now`, one way or another: records it, and logs it when it was slow.
  void ended(const Exchange& exchange, const Caller& caller, std::int64_t now);

  /// Zero: no query is slow.
  void set_slow_threshold(std::chrono::nanoseconds threshold) { slow_ns_ = threshold.count(); }
  const sql::ParseLimits& limits() const { return limits_; }
  WireCounters& counters() { return monitor_.wire(core_); }
  /// Copies the memo's figures into the counters; now and then.
  void publish_counts();

 private:
  std::string_view make_key(const Scope& scope, const Question& question);
  void count_miss(const Fill& fill, const Scope& scope, std::int64_t now, std::int64_t waited_in_vain);
  void record(const Exchange& exchange, QueryRecord& record);

  std::size_t core_;
  QueryPerformanceMonitor& monitor_;
  sql::ParseLimits limits_;
  sql::StatementMemo memo_;
  std::int64_t slow_ns_ = 1'000'000'000;

  ReadCache* cache_;
  Rewrites* rewrites_;
  Judgements judgements_;
  /// Of what was looked up last.
  struct Looked {
    std::uint64_t hash = 0;
    cache::Found found = {};
    bool unproved = false;   ///< it was there, and isn't known to be fresh enough
    std::int64_t since = 0;  ///< 0: it isn't measured
  };
  Looked looked_;
  std::uint32_t lookups_ = 0, fills_ = 0;  ///< one in many is measured
  std::string key_;                        ///< of the question at hand
  std::string plain_;                      ///< a text without its comments
  std::string application_, project_;      ///< of a comment, decoded
};

/// What `QueryRecord::kind` counts through: the kinds of statements, with the group that each is compared in.
std::vector<StatementKindLabel> statement_kind_labels();

}  // namespace millrace::pipeline
