#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "monitor/anomaly_detector.hpp"
#include "monitor/change_point.hpp"
#include "monitor/interval_figures.hpp"
#include "monitor/performance_types.hpp"
#include "monitor/template_suspects.hpp"
#include "monitor/usual_durations.hpp"

namespace millrace {

/// Looks at the series of all queries together: load, latency, errors, queue, cache hits. A series that is unusual has
/// a vote for a while, and leaves a mark. An anomaly takes two votes of different series, and harm: statements that
/// take longer, fail or wait, or aren't asked any more, for ten seconds or so. More load alone is no harm, nor is a
/// moment. Latency is by what each template usually takes (`UsualDurations`), so that slow statements aren't slowness
/// while they take what they do, nor is it slowness that fewer answers come from memory. A template whose calls take
/// longer has a vote, too, of which an anomaly comes that names it. Thread-safe; `observe`, `observe_templates`,
/// `keep_only` and `suspects` are for one thread.
class AnomalyWatch {
 public:
  static constexpr std::size_t kept_anomalies = 200;
  static constexpr std::size_t kept_marks = 500;

  explicit AnomalyWatch(DetectorProfile profile);

  /// What happened since the last call, about a second. `by_template`: what has become history since then, which may be
  /// nothing: then what came before it still counts. What is answered is new.
  std::optional<PerformanceAnomaly> observe(const IntervalFigures& figures, std::span<const IntervalPtr> by_template);

  /// After it: of which templates calls take longer, as was found since the last call. An anomaly takes another vote:
  /// the template's plan has changed, or the load, errors, the queue or cache hits of all are unusual, or it was just
  /// told that all is slower. `plans`: null: nobody asks for any.
  std::optional<PerformanceAnomaly> observe_templates(const IntervalFigures& figures,
                                                      std::vector<TemplateChange> changes, const TemplatePlans* plans);
  /// Forgets what other templates usually take.
  void keep_only(const TemplateTotals& known) { usual_durations_.keep_only(known); }

  /// The fingerprints of templates that have one vote so far.
  std::vector<std::uint64_t> suspects() const { return suspects_.fingerprints(); }

  /// The newest first.
  std::vector<PerformanceAnomaly> anomalies() const;
  std::vector<AnomalyMark> marks() const;
  std::uint64_t found() const;  ///< anomalies, also those that are forgotten by now

 private:
  using Time = std::chrono::system_clock::time_point;

  enum Series : std::size_t { load, latency, latency_change, errors, queue, cache_hits, all_series };

  struct Vote {
    double at = 0;  ///< seconds since 1970
    double score = 0;
    double usual = 0;
    AnomalyKind kind = AnomalyKind::spike;
  };
  struct Harm;
  struct Votes;

  void watch(Series series, AnomalyDetector& detector, const IntervalFigures& figures, double value,
             std::optional<double> least = std::nullopt);
  void compare(std::span<const IntervalPtr> by_template);
  void watch_for_change(const IntervalFigures& figures);
  void vote(Series series, Time at, const Vote& vote, double value);
  void mark(AnomalyMark mark);
  bool votes(Series series, double at) const;
  std::size_t votes_at(double at) const;
  void learn_usual(const IntervalFigures& figures);
  std::optional<Harm> harm(const IntervalFigures& figures) const;
  int harm_of_this_second(const std::optional<Harm>& found) const;
  bool voted_since(double since) const;
  PerformanceAnomaly describe(const Harm& harm, const IntervalFigures& figures) const;
  PerformanceAnomaly describe(const TemplateSuspects::Agreed& agreed, const IntervalFigures& figures) const;
  void add_context(PerformanceAnomaly& anomaly, const IntervalFigures& figures, Votes votes) const;
  std::string likely_cause(const Harm& harm, const IntervalFigures& figures) const;
  std::string likely_cause(const TemplateSuspects::Agreed& agreed, const IntervalFigures& figures) const;
  PerformanceAnomaly raise(PerformanceAnomaly anomaly);

  AnomalyDetector load_;
  AnomalyDetector latency_;
  AnomalyDetector errors_;
  AnomalyDetector queue_;
  AnomalyDetector cache_hits_;
  ChangePointDetector change_;
  ComparedDurations for_change_;
  double change_seconds_ = 0;
  UsualDurations usual_durations_;
  std::vector<IntervalPtr> gathered_;  ///< until they have enough calls
  std::uint64_t gathered_calls_ = 0;
  ComparedDurations compared_;  ///< what was judged last
  int judged_seconds_ = 0;      ///< in this second; 0: nothing was
  TemplateSuspects suspects_;

  std::array<std::optional<Vote>, all_series> votes_;
  // What is usual, by the series' own unit: slow means that stand still while something votes.
  std::array<double, all_series> usual_ = {};
  std::array<bool, all_series> usual_known_ = {};
  int harmed_seconds_ = 0;
  double stopped_at_ = 0;  ///< when hardly anything was asked last
  double last_anomaly_at_ = 0;
  AlertSeverity last_severity_ = AlertSeverity::low;
  std::uint64_t numbered_ = 0;

  mutable std::mutex mutex_;
  std::deque<PerformanceAnomaly> anomalies_;
  std::deque<AnomalyMark> marks_;
};

}  // namespace millrace
