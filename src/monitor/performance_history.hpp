#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "monitor/core_recording.hpp"
#include "monitor/slow_queries.hpp"
#include "monitor/subjects.hpp"
#include "monitor/tiers.hpp"

namespace millrace {

/// How queries are recorded one by one, beside being counted.
struct RecordingOptions {
  /// A statement's text without its constants: what a template is called.
  std::function<std::string(std::string_view)> normalized = {};
  /// Whether statements are kept with their constants and parameters, as they were sent; if not, neither is.
  bool keep_parameters = true;
  std::size_t templates = 1000;      ///< at most; the others count together
  std::size_t other_subjects = 256;  ///< users, databases, applications, projects: of each at most
  std::size_t slow_queries = 1000;
};

/// What was recorded of a subject in a time, with what it is called.
struct SubjectReport {
  SubjectId id = 0;
  SubjectKind kind = SubjectKind::query_template;
  bool is_other = false;                           ///< all that have no place of their own, together
  std::string name = {};                           ///< of a template its text without constants
  std::shared_ptr<const TemplateText> about = {};  ///< of templates; null: of `other`
  QueryFigures figures = {};
  CompactHistogram durations = {};
};

/// A time, and what was recorded in it.
struct PeriodReport {
  std::int64_t from_ns = 0;  ///< of `now_ns()`
  std::int64_t to_ns = 0;
  SubjectFigures all = {};
  std::vector<SubjectReport> subjects = {};

  double seconds() const { return static_cast<double>(to_ns - from_ns) / 1e9; }
};

/// Counted since the start.
struct TemplateTotals {
  struct One {
    SubjectId id = 0;
    std::uint64_t fingerprint = 0;
    Engine engine = Engine::postgresql;
    QueryFigures figures = {};
  };
  QueryFigures all = {};
  std::vector<One> templates = {};  ///< those that have a place of their own
};

struct RecordingCounts {
  std::size_t templates = 0;
  std::uint64_t evicted_templates = 0;
  std::uint64_t slow_queries = 0;       ///< since the start
  std::uint64_t slow_queries_lost = 0;  ///< of these, those of which only the number is known: too many at once
  std::size_t memory_bytes = 0;         ///< of templates and tiers, about
};

/// What was recorded of templates, users, databases, applications and projects: since the start, and by time. The
/// cores' recordings come in on one thread, each second; reports are for any thread. Thread-safe.
class PerformanceHistory {
 public:
  PerformanceHistory(RecordingOptions options, std::int64_t now);

  /// Takes what is in them, which is the past from now on, and empties them: they may be handed back to their cores.
  /// Who asks for a report meanwhile gets all of it or nothing.
  void take(std::span<CoreRecording* const> recordings, std::int64_t now, const WireLevels& levels);

  /// Of the subjects of this kind, since the start or for about so long; `other` among them if there is any. A time
  /// that is longer than what is remembered is cut: `from_ns` says where it begins.
  PeriodReport report(SubjectKind kind, std::optional<std::chrono::nanoseconds> window, std::int64_t now) const;

  /// Of all queries, by time: the oldest first.
  std::vector<IntervalPtr> since(std::int64_t from_ns) const;

  /// Of all queries and of subjects of all kinds, minute by minute: those that began at `from_ns` or later.
  std::vector<IntervalPtr> minutes_since(std::int64_t from_ns) const;
  /// What an interval's subjects are called now; those that nobody knows any more count as their kind's `other`.
  std::vector<SubjectReport> described(const Interval& interval) const;
  std::int64_t started_ns() const { return started_ns_; }
  bool keeps_parameters() const { return options_.keep_parameters; }

  /// Those for which `wanted` is true, the newest last.
  std::vector<SlowQuery> slow_queries(const std::function<bool(const SlowQuery&)>& wanted) const;

  TemplateTotals template_totals() const;
  /// Of the template with this key, since the start. Nothing: it has no place of its own.
  std::optional<SubjectFigures> template_total(std::uint64_t key) const;
  /// One of its statements, as it was sent. Null: it has no place of its own.
  std::shared_ptr<const TemplateText> about_template(std::uint64_t key) const;
  /// Whoever runs the template next is whom `about_template` is about: its user or database is gone, say.
  void describe_anew(std::uint64_t key);

  RecordingCounts counts() const;

 private:
  void take_slow_queries(CoreRecording& recording);
  void end_interval(std::int64_t now, const WireLevels& levels);
  void take_templates(CoreRecording& recording);
  void take_callers(CoreRecording& recording);
  void take_caller(SubjectKind kind, std::string_view name, const QueryFigures& figures,
                   const CompactHistogram& durations);
  void add_to_second(SubjectId id, const QueryFigures& figures, const CompactHistogram& durations);
  Subjects& of(SubjectKind kind) { return subjects_[static_cast<std::size_t>(kind)]; }
  const Subjects& of(SubjectKind kind) const { return subjects_[static_cast<std::size_t>(kind)]; }
  SubjectReport described(SubjectFigures figures) const;

  const RecordingOptions options_;
  const std::int64_t started_ns_;

  mutable std::mutex mutex_;
  std::vector<Subjects> subjects_;  ///< by kind
  SubjectFigures all_;
  Interval second_;
  boost::unordered_flat_map<SubjectId, std::size_t> in_second_;  ///< in `second_.subjects`
  Tiers tiers_;
  SlowQueries slow_;
  std::uint64_t slow_lost_ = 0;
};

}  // namespace millrace
