#include "monitor/anomaly_watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

constexpr std::array<std::string_view, 6> series_names = {"load",   "latency", "latency_change",
                                                          "errors", "queue",   "cache_hits"};

constexpr std::string_view template_series = "template_latency";
constexpr std::size_t most_affected = 10;  // that an anomaly names

// A vote counts so long.
constexpr double vote_seconds = 45;
constexpr std::size_t votes_to_raise = 2;
constexpr int harmed_to_raise = 8;     // seconds, each undone by one without harm
constexpr double pause_seconds = 300;  // between anomalies, unless it gets worse
constexpr double change_every_seconds = 5;

// Of fewer queries than these a percentile or a share says little.
constexpr std::uint64_t least_queries = 5;
constexpr std::size_t most_gathered = 30;  // seconds, until there are as many
constexpr double least_ratio = 1e-3;       // of durations to the usual ones, that makes a difference
// Of the usual durations: what takes less may well have taken even less lately. Below what any harm takes.
constexpr double least_slower = 1.2;

// What is harm.
constexpr double slower_share = 0.05;
constexpr double starting_seconds = 20;  // after hardly any load, while clients and caches come back
constexpr double stopped_load = 0.1;
constexpr int most_harm_at_once = 3;  // seconds, of those that are judged together
constexpr double errors_percent = 1;
constexpr std::uint64_t least_errors = 2;
constexpr std::uint64_t least_waiting = 3;
constexpr double waits_ms = 10;
constexpr double load_left = 0.5;
constexpr double least_load = 5;
constexpr double fewer_hits = 10;  // percent

constexpr double busy_cpu = 85;
constexpr double full_memory = 90;
constexpr double usual_share = 1.0 / 120;

double seconds(std::chrono::system_clock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

std::string ms(double value) {
  if (value >= 1000) return fmt::format("{:.1f} s", value / 1000);
  return value >= 10 ? fmt::format("{:.0f} ms", value) : fmt::format("{:.2g} ms", value);
}

std::string times(double factor) {
  return factor >= 10 ? fmt::format("{:.0f}", factor) : fmt::format("{:.1f}", factor);
}

std::string template_id(std::uint64_t fingerprint) { return fmt::format("{:016x}", fingerprint); }

/// A template's text for a sentence: its beginning, in one line.
std::string in_short(std::string_view text) {
  constexpr std::size_t longest = 100;
  std::string line;
  for (const char c : text) {
    const bool is_space = static_cast<unsigned char>(c) <= ' ';
    const bool is_inside = (static_cast<unsigned char>(c) & 0xC0U) == 0x80;  // of a character of UTF-8
    if (line.size() >= longest && !is_inside) return line + "...";
    if (!is_space) line += c;
    if (is_space && !line.empty() && line.back() != ' ') line += ' ';
  }
  return line;
}

std::string_view errors_in_words(std::string_view sqlstate_class) {
  if (sqlstate_class == "08") return "lost connections";
  if (sqlstate_class == "23") return "broken constraints";
  if (sqlstate_class == "25") return "transactions in a wrong state";
  if (sqlstate_class == "28") return "refused log-ins";
  if (sqlstate_class == "40") return "deadlocks and serialization failures";
  if (sqlstate_class == "42") return "wrong statements, or names that aren't there";
  if (sqlstate_class == "53") return "a lack of connections or memory";
  if (sqlstate_class == "55") return "locks that can't be had";
  if (sqlstate_class == "57") return "cancelled statements, or a server that shuts down";
  return "errors";
}

}  // namespace

struct AnomalyWatch::Harm {
  AnomalyType type;
  Series series;
  AlertSeverity severity;
  double usual;
  double actual;
};

/// Beside those of series.
struct AnomalyWatch::Votes {
  double scores = 0;
  std::size_t count = 0;
  std::string names = {};
};

AnomalyWatch::AnomalyWatch(DetectorProfile profile)
    : load_(profile), latency_(profile), errors_(profile), queue_(profile), cache_hits_(profile) {}

void AnomalyWatch::vote(Series series, Time at, const Vote& given, double value) {
  votes_[series] = given;
  mark({.at = at,
        .series = std::string(series_names[series]),
        .kind = std::string(anomaly_kind_names[static_cast<std::size_t>(given.kind)]),
        .score = given.score,
        .value = value,
        .usual = given.usual});
}

void AnomalyWatch::mark(AnomalyMark mark) {
  const std::lock_guard lock(mutex_);
  marks_.push_front(std::move(mark));
  if (marks_.size() > kept_marks) marks_.pop_back();
}

bool AnomalyWatch::votes(Series series, double at) const {
  return votes_[series] && std::abs(at - votes_[series]->at) <= vote_seconds;
}

std::size_t AnomalyWatch::votes_at(double at) const {
  std::size_t count = 0;
  for (std::size_t series = 0; series < all_series; ++series) count += votes(static_cast<Series>(series), at) ? 1 : 0;
  return count;
}

/// What is less than `least` doesn't vote; an episode that becomes more votes from then on.
void AnomalyWatch::watch(Series series, AnomalyDetector& detector, const IntervalFigures& figures, double value,
                         std::optional<double> least) {
  const double at = seconds(figures.at);
  const auto verdict = detector.observe(at, value);
  // An episode goes on voting while it is unusual: others may notice later.
  const bool goes_on = verdict.in_episode && verdict.surprise.score() >= 0.4;
  if (!std::isfinite(value) || verdict.surprise.kind == AnomalyKind::missing_data) return;
  if (least && value < *least) return;
  if (verdict.alarm || (least && goes_on && !votes(series, at))) {
    vote(series, figures.at,
         {.at = at,
          .score = verdict.surprise.score(),
          .usual = verdict.surprise.expected,
          .kind = verdict.surprise.kind},
         value);
  } else if (goes_on && votes_[series]) {
    votes_[series]->at = at;
  }
}

/// Each call is judged once: where there are few, together with those of the last seconds that weren't yet.
void AnomalyWatch::compare(std::span<const IntervalPtr> by_template) {
  judged_seconds_ = 0;
  if (by_template.empty()) return;
  const ComparedDurations now = usual_durations_.compare(by_template);
  for_change_.calls += now.calls;
  for_change_.sum_of_logs += now.sum_of_logs;
  gathered_.insert(gathered_.end(), by_template.begin(), by_template.end());
  gathered_calls_ += now.calls;
  if (gathered_calls_ < least_queries && gathered_.size() < most_gathered) return;
  judged_seconds_ = static_cast<int>(gathered_.size());
  compared_ = gathered_.size() == by_template.size() ? now : usual_durations_.compare(gathered_);
  gathered_.clear();
  gathered_calls_ = 0;
}

/// Of the geometric mean of all that is answered in five seconds, if there was enough.
void AnomalyWatch::watch_for_change(const IntervalFigures& figures) {
  change_seconds_ += figures.seconds;
  if (change_seconds_ < change_every_seconds) return;
  change_seconds_ = 0;
  if (for_change_.calls < 2 * least_queries) return;  // they gather
  const ComparedDurations taken = std::exchange(for_change_, {});
  const double at = seconds(figures.at);
  const auto change = change_.add(at, std::exp(taken.sum_of_logs / static_cast<double>(taken.calls)));
  if (!change || change->ratio() < 1 || change->after < least_slower) return;
  vote(latency_change, figures.at,
       {.at = at, .score = 1 - change->p_value, .usual = change->before, .kind = AnomalyKind::level_shift},
       change->after);
}

/// What was usual before anything voted.
void AnomalyWatch::learn_usual(const IntervalFigures& figures) {
  const auto learn = [this](Series series, double value) {
    if (!std::isfinite(value)) return;
    if (!usual_known_[series]) usual_[series] = value;
    usual_known_[series] = true;
    usual_[series] += usual_share * (value - usual_[series]);
  };
  learn(load, figures.queries_per_second());
  if (figures.queries >= least_queries) learn(errors, figures.error_rate());
  learn(queue, figures.queue_p95_ms);
  if (figures.cache_hits + figures.cache_misses >= least_queries) learn(cache_hits, figures.cache_hit_rate());
}

std::optional<AnomalyWatch::Harm> AnomalyWatch::harm(const IntervalFigures& figures) const {
  const double at = seconds(figures.at);
  const double failed = figures.queries >= least_queries ? figures.error_rate() : 0;
  const bool starts = std::abs(at - stopped_at_) <= starting_seconds;
  const bool slow = !starts && judged_seconds_ > 0 && compared_.calls >= least_queries &&
                    static_cast<double>(compared_.slower) > slower_share * static_cast<double>(compared_.calls);
  const bool waits = figures.waiting >= least_waiting ||
                     (figures.queue_p95_ms >= waits_ms && figures.queue_p95_ms >= 2 * usual_[queue]);

  if (votes(errors, at) && failed >= std::max(errors_percent, 2 * usual_[errors]) && figures.failed >= least_errors) {
    const AnomalyType type = figures.most_errors == "40" ? AnomalyType::deadlock : AnomalyType::error_spike;
    const AlertSeverity severity = failed >= 25  ? AlertSeverity::critical
                                   : failed >= 5 ? AlertSeverity::high
                                                 : AlertSeverity::medium;
    return Harm{.type = type, .series = errors, .severity = severity, .usual = usual_[errors], .actual = failed};
  }
  if (votes(queue, at) && waits) {
    return Harm{.type = AnomalyType::queue_buildup,
                .series = queue,
                .severity = figures.queue_p95_ms >= 1000 ? AlertSeverity::critical : AlertSeverity::high,
                .usual = usual_[queue],
                .actual = figures.queue_p95_ms};
  }
  if ((votes(latency, at) || votes(latency_change, at)) && slow) {
    const double factor = compared_.p95_ratio;
    const AnomalyType type = figures.system.cpu_percent >= busy_cpu         ? AnomalyType::high_cpu
                             : figures.system.memory_percent >= full_memory ? AnomalyType::high_memory
                             : waits                                        ? AnomalyType::resource_contention
                                                                            : AnomalyType::slow_query;
    const AlertSeverity severity = factor >= 10  ? AlertSeverity::critical
                                   : factor >= 3 ? AlertSeverity::high
                                                 : AlertSeverity::medium;
    return Harm{.type = type,
                .series = latency,
                .severity = severity,
                .usual = compared_.usual_p95_ms,
                .actual = factor * compared_.usual_p95_ms};
  }
  const double rate = figures.queries_per_second();
  if (votes(load, at) && usual_[load] >= least_load && rate <= load_left * usual_[load]) {
    return Harm{.type = AnomalyType::throughput_drop,
                .series = load,
                .severity = rate <= 0.1 * usual_[load] ? AlertSeverity::high : AlertSeverity::medium,
                .usual = usual_[load],
                .actual = rate};
  }
  return std::nullopt;
}

/// In seconds; less than 0: there was none. Nothing is said of calls that are gathered.
int AnomalyWatch::harm_of_this_second(const std::optional<Harm>& found) const {
  if (!found) return judged_seconds_ > 0 ? -judged_seconds_ : gathered_calls_ > 0 ? 0 : -1;
  return found->series == latency ? std::min(judged_seconds_, most_harm_at_once) : 1;
}

std::string AnomalyWatch::likely_cause(const Harm& found, const IntervalFigures& figures) const {
  const double at = seconds(figures.at);
  const double rate = figures.queries_per_second();
  const double hits = figures.cache_hit_rate();
  if (found.series == errors) {
    return fmt::format("most are {} (SQLSTATE class {})", errors_in_words(figures.most_errors), figures.most_errors);
  }
  if (votes(errors, at) && figures.failed >= least_errors) {
    return fmt::format("statements fail too: mostly {} (SQLSTATE class {})", errors_in_words(figures.most_errors),
                       figures.most_errors);
  }
  if (votes(cache_hits, at) && std::isfinite(hits) && hits < usual_[cache_hits] - fewer_hits) {
    return fmt::format("fewer answers come from memory: {:.0f} %, usually {:.0f} %", hits, usual_[cache_hits]);
  }
  if (figures.system.cpu_percent >= busy_cpu) {
    return fmt::format("this machine's processors are busy: {:.0f} %", figures.system.cpu_percent);
  }
  if (usual_[load] > 0 && rate >= 1.5 * usual_[load]) {
    return fmt::format("more is asked: {:.0f} queries a second, usually {:.0f}", rate, usual_[load]);
  }
  if (found.series == queue) {
    return "server connections are held longer than usual, by slower statements or by transactions that stay open";
  }
  if (found.series == load) return "clients ask less, or can't connect";
  return "PostgreSQL answers more slowly, though no more is asked of it: a changed plan, a lost index, a lock or its "
         "disk";
}

PerformanceAnomaly AnomalyWatch::describe(const Harm& found, const IntervalFigures& figures) const {
  PerformanceAnomaly anomaly{.anomaly_type = found.type,
                             .severity = found.severity,
                             .detected_at = figures.at,
                             .threshold_value = found.usual,
                             .actual_value = found.actual,
                             .likely_cause = likely_cause(found, figures)};
  switch (found.series) {
    case errors:
      anomaly.description = fmt::format("{:.1f} % of the statements fail, usually {:.1f} %: {}.", found.actual,
                                        found.usual, anomaly.likely_cause);
      anomaly.suggested_actions = {
          "See PostgreSQL's log for the errors of this class", "Ask whether PostgreSQL can be reached: GET /health",
          "If a deployment has just begun, compare its statements with the tables that there are"};
      break;
    case queue:
      anomaly.description =
          fmt::format("{} clients wait for a server connection, and those that got one waited {}: {}.", figures.waiting,
                      ms(found.actual), anomaly.likely_cause);
      anomaly.suggested_actions = {
          "Look for transactions that stay open: pg_stat_activity, state 'idle in transaction'",
          "Raise POOL_SIZE if PostgreSQL has room for more connections"};
      break;
    case load:
      anomaly.description = fmt::format("{:.0f} queries a second are asked, usually {:.0f}: {}.", found.actual,
                                        found.usual, anomaly.likely_cause);
      anomaly.suggested_actions = {"See whether the applications run, and whether they can connect: millrace status"};
      break;
    default:
      anomaly.description =
          fmt::format("Statements take {} times as long as usual (95th percentile {}, usually {}): {}.",
                      times(found.actual / found.usual), ms(found.actual), ms(found.usual), anomaly.likely_cause);
      anomaly.suggested_actions = {"See which statements were slow: GET /api/v1/performance/slow-queries, or the log",
                                   "See what runs and what it waits for: pg_stat_activity, wait_event",
                                   "Compare plans with EXPLAIN; run ANALYZE if a table has just been filled"};
  }
  add_context(anomaly, figures, {});
  return anomaly;
}

/// What votes, how sure that makes it, and the figures of the second.
void AnomalyWatch::add_context(PerformanceAnomaly& anomaly, const IntervalFigures& figures, Votes votes) const {
  const double at = seconds(figures.at);
  for (std::size_t series = 0; series < all_series; ++series) {
    if (!this->votes(static_cast<Series>(series), at)) continue;
    votes.scores += votes_[series]->score;
    ++votes.count;
    votes.names.append(votes.names.empty() ? "" : ", ").append(series_names[series]);
  }
  const auto count = static_cast<double>(votes.count);
  constexpr double for_each_more = 0.1;
  anomaly.confidence_score = std::clamp(votes.scores / count + for_each_more * (count - votes_to_raise), 0.0, 0.99);
  anomaly.related_context["series"] = votes.names;
  if (!figures.most_errors.empty()) anomaly.related_context["sqlstate_class"] = figures.most_errors;
  const auto metric = [&](const char* name, double value) {
    if (std::isfinite(value)) anomaly.metrics[name] = value;
  };
  metric("queries_per_second", figures.queries_per_second());
  metric("latency_p50_ms", figures.quantile_ms(0.5));
  metric("latency_p95_ms", figures.quantile_ms(0.95));
  metric("error_rate", figures.error_rate());
  metric("queue_depth", static_cast<double>(figures.waiting));
  metric("queue_p95_ms", figures.queue_p95_ms);
  metric("cache_hit_rate", figures.cache_hit_rate());
  metric("cpu_percent", figures.system.cpu_percent);
}

/// Whether there is another vote on templates that take longer since then. That all of them do is the same figures'.
bool AnomalyWatch::voted_since(double since) const {
  const auto voted = [&](Series series) { return votes_[series] && votes_[series]->at >= since - vote_seconds; };
  const bool told = last_anomaly_at_ >= since - vote_seconds;
  return voted(load) || voted(errors) || voted(queue) || voted(cache_hits) || told;
}

std::string AnomalyWatch::likely_cause(const TemplateSuspects::Agreed& agreed, const IntervalFigures& figures) const {
  const TemplateChange& worst = agreed.changes.front();
  if (agreed.plan) return fmt::format("its plan has changed: {}", difference(*agreed.plan));
  if (worst.hit_rate_after < worst.hit_rate_before - fewer_hits) {
    return fmt::format("fewer of its answers come from memory: {:.0f} %, before {:.0f} %", worst.hit_rate_after,
                       worst.hit_rate_before);
  }
  const Harm harm{.type = AnomalyType::slow_query,
                  .series = latency,
                  .severity = AlertSeverity::medium,
                  .usual = worst.change.before,
                  .actual = worst.change.after};
  return likely_cause(harm, figures);
}

PerformanceAnomaly AnomalyWatch::describe(const TemplateSuspects::Agreed& agreed,
                                          const IntervalFigures& figures) const {
  const TemplateChange& worst = agreed.changes.front();
  const double factor = worst.change.ratio();
  PerformanceAnomaly anomaly{.anomaly_type = AnomalyType::slow_query,
                             .severity = factor >= 10  ? AlertSeverity::high
                                         : factor >= 3 ? AlertSeverity::medium
                                                       : AlertSeverity::low,
                             .detected_at = figures.at,
                             .threshold_value = worst.change.before,
                             .actual_value = worst.change.after,
                             .likely_cause = likely_cause(agreed, figures)};
  const std::size_t others = agreed.changes.size() - 1;
  anomaly.description =
      fmt::format("{} takes {} since {:.0f} s, {} before (geometric means): {}.{}", in_short(worst.name),
                  ms(worst.change.after), std::max(0.0, seconds(figures.at) - worst.change.at), ms(worst.change.before),
                  anomaly.likely_cause, others == 0 ? "" : fmt::format(" So it is with {} more.", others));
  for (const TemplateChange& change : agreed.changes) {
    if (anomaly.affected_queries.size() == most_affected) break;
    anomaly.affected_queries.push_back(template_id(change.fingerprint));
  }
  anomaly.suggested_actions = {
      agreed.plan ? "Compare the plans: GET /api/v1/performance/plan-changes" : "See how it would be run: EXPLAIN",
      "See whether an index is gone; run ANALYZE if a table has just been filled",
      "See what it waits for: pg_stat_activity, wait_event"};
  anomaly.metrics["template_calls_per_second"] = worst.calls_per_second;
  Votes votes{.scores = 1 - worst.change.p_value, .count = 1, .names = std::string(template_series)};
  if (agreed.plan) votes = {.scores = votes.scores + 1, .count = 2, .names = votes.names + ", plan_change"};
  add_context(anomaly, figures, std::move(votes));
  return anomaly;
}

std::optional<PerformanceAnomaly> AnomalyWatch::observe_templates(const IntervalFigures& figures,
                                                                  std::vector<TemplateChange> changes,
                                                                  const TemplatePlans* plans) {
  const double at = seconds(figures.at);
  for (TemplateChange& change : changes) {
    AnomalyMark marked{.at = figures.at,
                       .series = std::string(template_series),
                       .kind = std::string(anomaly_kind_names[static_cast<std::size_t>(AnomalyKind::level_shift)]),
                       .score = 1 - change.change.p_value,
                       .value = change.change.after,
                       .usual = change.change.before,
                       .template_id = template_id(change.fingerprint)};
    if (suspects_.add(std::move(change), at)) mark(std::move(marked));
  }
  const auto agreed = suspects_.look(at, plans, [this](double since) { return voted_since(since); });
  if (!agreed) return std::nullopt;
  return raise(describe(*agreed, figures));
}

std::optional<PerformanceAnomaly> AnomalyWatch::observe(const IntervalFigures& figures,
                                                        std::span<const IntervalPtr> by_template) {
  const double at = seconds(figures.at);
  const double nothing = std::nan("");
  const bool enough = figures.queries >= least_queries;
  compare(by_template);
  watch(load, load_, figures, figures.queries_per_second());
  // Twice as long is as unusual as half as long.
  if (judged_seconds_ > 0) {
    watch(latency, latency_, figures,
          compared_.calls >= least_queries ? std::log2(compared_.p95_ratio + least_ratio) : nothing,
          std::log2(least_slower));
  }
  watch(errors, errors_, figures, enough ? figures.error_rate() : nothing);
  watch(queue, queue_, figures, std::log2(1 + figures.queue_p95_ms) + static_cast<double>(figures.waiting));
  const bool looked_up = figures.cache_hits + figures.cache_misses >= least_queries;
  watch(cache_hits, cache_hits_, figures, looked_up ? figures.cache_hit_rate() : nothing);
  watch_for_change(figures);

  if (usual_[load] >= least_load && figures.queries_per_second() < stopped_load * usual_[load]) stopped_at_ = at;
  const std::size_t votes = votes_at(at);
  if (votes == 0) learn_usual(figures);
  usual_durations_.learn(by_template, votes > 0);
  const auto found = votes >= votes_to_raise ? harm(figures) : std::nullopt;
  harmed_seconds_ = std::clamp(harmed_seconds_ + harm_of_this_second(found), 0, harmed_to_raise);
  if (!found || harmed_seconds_ < harmed_to_raise) return std::nullopt;
  // A clock that was set back would make the pause as long as that.
  const bool is_pause = last_anomaly_at_ > 0 && at >= last_anomaly_at_ && at - last_anomaly_at_ < pause_seconds;
  if (is_pause && found->severity <= last_severity_) return std::nullopt;
  last_anomaly_at_ = at;
  last_severity_ = found->severity;
  return raise(describe(*found, figures));
}

PerformanceAnomaly AnomalyWatch::raise(PerformanceAnomaly anomaly) {
  const auto at_ms = static_cast<std::int64_t>(seconds(anomaly.detected_at) * 1000);
  const std::lock_guard lock(mutex_);
  anomaly.anomaly_id = fmt::format("anomaly_{}_{}", at_ms, ++numbered_);
  anomalies_.push_front(anomaly);
  if (anomalies_.size() > kept_anomalies) anomalies_.pop_back();
  return anomaly;
}

std::vector<PerformanceAnomaly> AnomalyWatch::anomalies() const {
  const std::lock_guard lock(mutex_);
  return {anomalies_.begin(), anomalies_.end()};
}

std::uint64_t AnomalyWatch::found() const {
  const std::lock_guard lock(mutex_);
  return numbered_;
}

std::vector<AnomalyMark> AnomalyWatch::marks() const {
  const std::lock_guard lock(mutex_);
  return {marks_.begin(), marks_.end()};
}

}  // namespace millrace
