#include "monitor/performance_history.hpp"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

/// Of what a template is called, with or without constants: a screenful.
constexpr std::size_t longest_name = 4096;
/// The template of all that has no fingerprint.
constexpr std::string_view not_parsed = "(not parsed)";

}  // namespace

PerformanceHistory::PerformanceHistory(RecordingOptions options, std::int64_t now)
    : options_(std::move(options)), started_ns_(now), slow_(options_.slow_queries) {
  for (std::size_t kind = 0; kind < subject_kinds; ++kind) {
    const bool is_template = static_cast<SubjectKind>(kind) == SubjectKind::query_template;
    subjects_.emplace_back(static_cast<SubjectKind>(kind), is_template ? options_.templates : options_.other_subjects);
  }
  second_.from_ns = now;
}

void PerformanceHistory::add_to_second(SubjectId id, const QueryFigures& figures, const CompactHistogram& durations) {
  const auto [place, is_new] = in_second_.try_emplace(id, second_.subjects.size());
  if (is_new) second_.subjects.push_back({.id = id, .figures = {}, .durations = {}});
  SubjectFigures& subject = second_.subjects[place->second];
  subject.figures += figures;
  subject.durations += durations;
}

void PerformanceHistory::take_templates(CoreRecording& recording) {
  Subjects& templates = of(SubjectKind::query_template);
  boost::unordered_flat_map<std::uint64_t, TemplateText*> told;
  for (TemplateText& text : recording.new_templates) told.emplace(text.key, &text);
  const auto cells = recording.templates.cells();
  for (const FigureTable::Cell& cell : cells) {
    if (cell.figures.calls == 0) continue;
    const bool has_key = &cell != &cells.front();
    const CompactHistogram durations = recording.templates.durations(cell);
    const auto name = [&]() -> std::optional<SubjectName> {
      const auto found = told.find(cell.key);
      if (found == told.end()) return std::nullopt;
      auto about = std::make_shared<TemplateText>(std::move(*found->second));
      std::string normalized = about->fingerprint == 0 ? std::string(not_parsed) : options_.normalized(about->text);
      normalized.resize(std::min(normalized.size(), longest_name));
      if (!options_.keep_parameters) {
        about->text = normalized;
        about->parameters.clear();
      }
      return SubjectName{.name = std::move(normalized), .about = std::move(about)};
    };
    const SubjectId id = has_key ? templates.take(cell.key, cell.figures, durations, name)
                                 : templates.take_other(cell.figures, durations);
    add_to_second(id, cell.figures, durations);
    second_.all.figures += cell.figures;
    second_.all.durations += durations;
  }
}

void PerformanceHistory::take_caller(SubjectKind kind, std::string_view name, const QueryFigures& figures,
                                     const CompactHistogram& durations) {
  if (name.empty()) return;  // it has no project, say
  const std::uint64_t key = std::hash<std::string_view>()(name);
  const SubjectId id = of(kind).take(key, figures, durations, [&]() -> std::optional<SubjectName> {
    return SubjectName{.name = std::string(name), .about = {}};
  });
  add_to_second(id, figures, durations);
}

void PerformanceHistory::take_callers(CoreRecording& recording) {
  const auto cells = recording.callers.cells();
  if (const auto& rest = cells.front(); rest.figures.calls > 0) {
    const CompactHistogram durations = recording.callers.durations(rest);
    for (const auto kind : {SubjectKind::user, SubjectKind::database, SubjectKind::application}) {
      const SubjectId id = of(kind).take_other(rest.figures, durations);
      add_to_second(id, rest.figures, durations);
    }
  }
  // The cells are in the order of the names.
  for (std::size_t i = 0; i < recording.new_callers.size(); ++i) {
    const auto& cell = cells[i + 1];
    const CallerNames& names = recording.new_callers[i];
    const CompactHistogram durations = recording.callers.durations(cell);
    take_caller(SubjectKind::user, names.user, cell.figures, durations);
    take_caller(SubjectKind::database, names.database, cell.figures, durations);
    take_caller(SubjectKind::application, names.application, cell.figures, durations);
    take_caller(SubjectKind::project, names.project, cell.figures, durations);
  }
}

void PerformanceHistory::take_slow_queries(CoreRecording& recording) {
  for (SlowQuery& query : recording.slow) {
    if (!options_.keep_parameters) {
      query.text = options_.normalized(query.text);
      query.parameters.clear();
    }
    slow_.add(std::move(query));
  }
  slow_lost_ += recording.slow_lost;
}

void PerformanceHistory::take(std::span<CoreRecording* const> recordings, std::int64_t now, const WireLevels& levels) {
  const std::scoped_lock lock(mutex_);
  for (CoreRecording* const recording : recordings) {
    take_templates(*recording);
    take_callers(*recording);
    take_slow_queries(*recording);
    recording->templates.clear(of(SubjectKind::query_template).named_keys());
    recording->callers.clear({});
    recording->new_templates.clear();
    recording->new_callers.clear();
    recording->slow.clear();
    recording->slow_lost = 0;
  }
  end_interval(now, levels);
}

/// Where the clock stands still the interval goes on.
void PerformanceHistory::end_interval(std::int64_t now, const WireLevels& levels) {
  if (now <= second_.from_ns) return;
  for (Subjects& subjects : subjects_) subjects.age(now - second_.from_ns);
  all_ += second_.all;
  second_.to_ns = now;
  second_.levels = levels;
  std::ranges::sort(second_.subjects, {}, &SubjectFigures::id);
  tiers_.add(std::exchange(second_, {.from_ns = now}),
             [this](SubjectId id) { return of(kind_of(id)).is_known(id) ? id : other_of(kind_of(id)); });
  in_second_.clear();
}

SubjectReport PerformanceHistory::described(SubjectFigures figures) const {
  SubjectReport report{.id = figures.id,
                       .kind = kind_of(figures.id),
                       .is_other = is_other(figures.id),
                       .name = "",
                       .about = {},
                       .figures = figures.figures,
                       .durations = std::move(figures.durations)};
  if (const SubjectName* name = of(report.kind).name_of(figures.id)) {
    report.name = name->name;
    report.about = name->about;
  }
  return report;
}

PeriodReport PerformanceHistory::report(SubjectKind kind, std::optional<std::chrono::nanoseconds> window,
                                        std::int64_t now) const {
  PeriodReport report{.from_ns = started_ns_, .to_ns = now};
  std::vector<SubjectFigures> found;
  std::vector<IntervalPtr> intervals;
  {
    const std::scoped_lock lock(mutex_);
    report.to_ns = second_.from_ns;
    if (window) {
      intervals = tiers_.since(now - window->count());
    } else {
      found = of(kind).totals();
      report.all = all_;
      report.all += second_.all;  // as it is in the totals
    }
  }
  if (window) {
    report.from_ns = intervals.empty() ? report.to_ns : intervals.front()->from_ns;
    boost::unordered_flat_map<SubjectId, std::size_t> places;
    for (const IntervalPtr& interval : intervals) {
      report.all += interval->all;
      for (const SubjectFigures& subject : interval->subjects) {
        if (kind_of(subject.id) != kind) continue;
        const auto [place, is_new] = places.try_emplace(subject.id, found.size());
        if (is_new) {
          found.push_back(subject);
        } else {
          found[place->second] += subject;
        }
      }
    }
  }
  const std::scoped_lock lock(mutex_);
  std::optional<SubjectReport> rest;
  for (SubjectFigures& figures : found) {
    if (figures.figures.calls == 0) continue;
    if (!of(kind).is_known(figures.id)) figures.id = other_of(kind);
    SubjectReport made = described(std::move(figures));
    if (!made.is_other) {
      report.subjects.push_back(std::move(made));
    } else if (rest) {
      rest->figures += made.figures;
      rest->durations += made.durations;
    } else {
      rest = std::move(made);
    }
  }
  if (rest) report.subjects.push_back(*std::move(rest));
  return report;
}

std::vector<IntervalPtr> PerformanceHistory::since(std::int64_t from_ns) const {
  const std::scoped_lock lock(mutex_);
  return tiers_.since(from_ns);
}

std::vector<IntervalPtr> PerformanceHistory::minutes_since(std::int64_t from_ns) const {
  const std::scoped_lock lock(mutex_);
  return tiers_.minutes_since(from_ns);
}

std::vector<SubjectReport> PerformanceHistory::described(const Interval& interval) const {
  std::vector<SubjectReport> reports;
  std::array<std::optional<std::size_t>, subject_kinds> others;
  const std::scoped_lock lock(mutex_);
  for (SubjectFigures figures : interval.subjects) {
    const SubjectKind kind = kind_of(figures.id);
    if (!of(kind).is_known(figures.id)) figures.id = other_of(kind);
    auto& other = others[static_cast<std::size_t>(kind)];
    if (!is_other(figures.id)) {
      reports.push_back(described(std::move(figures)));
    } else if (other) {
      reports[*other].figures += figures.figures;
      reports[*other].durations += figures.durations;
    } else {
      other = reports.size();
      reports.push_back(described(std::move(figures)));
    }
  }
  return reports;
}

std::vector<SlowQuery> PerformanceHistory::slow_queries(const std::function<bool(const SlowQuery&)>& wanted) const {
  const std::scoped_lock lock(mutex_);
  std::vector<SlowQuery> found;
  std::ranges::copy_if(slow_.all(), std::back_inserter(found), wanted);
  return found;
}

TemplateTotals PerformanceHistory::template_totals() const {
  const std::scoped_lock lock(mutex_);
  TemplateTotals totals{.all = all_.figures, .templates = {}};
  totals.all += second_.all.figures;  // as it is in theirs
  const Subjects& templates = of(SubjectKind::query_template);
  totals.templates.reserve(templates.size());
  templates.for_each([&](SubjectId id, const SubjectName& name, const QueryFigures& figures) {
    totals.templates.push_back(
        {.id = id, .fingerprint = name.about->fingerprint, .engine = name.about->engine, .figures = figures});
  });
  return totals;
}

std::optional<SubjectFigures> PerformanceHistory::template_total(std::uint64_t key) const {
  const std::scoped_lock lock(mutex_);
  const Subjects& templates = of(SubjectKind::query_template);
  const SubjectFigures* total = templates.total_of(templates.find(key));
  return total == nullptr ? std::nullopt : std::optional(*total);
}

std::shared_ptr<const TemplateText> PerformanceHistory::about_template(std::uint64_t key) const {
  const std::scoped_lock lock(mutex_);
  const Subjects& templates = of(SubjectKind::query_template);
  const SubjectName* const name = templates.name_of(templates.find(key));
  return name == nullptr ? nullptr : name->about;
}

void PerformanceHistory::describe_anew(std::uint64_t key) {
  const std::scoped_lock lock(mutex_);
  of(SubjectKind::query_template).want_name(key);
}

RecordingCounts PerformanceHistory::counts() const {
  const std::scoped_lock lock(mutex_);
  const Subjects& templates = of(SubjectKind::query_template);
  return {.templates = templates.size(),
          .evicted_templates = templates.evicted(),
          .slow_queries = slow_.count() + slow_lost_,
          .slow_queries_lost = slow_lost_,
          .memory_bytes = templates.memory_bytes() + tiers_.memory_bytes()};
}

}  // namespace millrace
