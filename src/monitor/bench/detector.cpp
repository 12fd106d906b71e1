// What bench/detector runs:
//   detector_bench families SERIES_A_FAMILY   judges the detector on made series; one JSON object
//   detector_bench calls SERIES_A_FAMILY      judges the change points of made calls of templates; one JSON object
//   detector_bench services SERIES_A_FAMILY   judges what is said of made services; one JSON object
//   detector_bench series PROFILE             reads "seconds value" lines, writes "score alarm kind" for each
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <string>

#include "monitor/anomaly_detector.hpp"
#include "monitor/anomaly_watch.hpp"
#include "monitor/bench/made_calls.hpp"
#include "monitor/bench/made_series.hpp"
#include "monitor/bench/made_services.hpp"
#include "monitor/template_suspects.hpp"

namespace {

using namespace millrace;
using bench::MadeSeries;

// What happens a little later still belongs to an event; before this many values nothing is judged.
constexpr std::size_t patience = 30;
constexpr std::size_t probation = 300;

struct Judged {
  MadeSeries series;
  std::vector<Surprise> surprises;
};

struct Figures {
  std::size_t events = 0;
  std::size_t found = 0;
  std::size_t false_alarms = 0;
  std::vector<double> delays = {};

  void operator+=(const Figures& other) {
    events += other.events;
    found += other.found;
    false_alarms += other.false_alarms;
    delays.insert(delays.end(), other.delays.begin(), other.delays.end());
  }
  double precision() const {
    return found + false_alarms == 0 ? 1 : static_cast<double>(found) / static_cast<double>(found + false_alarms);
  }
  double recall() const { return events == 0 ? 1 : static_cast<double>(found) / static_cast<double>(events); }
  double f1() const { return precision() + recall() == 0 ? 0 : 2 * precision() * recall() / (precision() + recall()); }
  double delay() const {
    if (delays.empty()) return 0;
    std::vector<double> sorted = delays;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
  std::string json() const {
    return fmt::format(
        R"({{"events":{},"found":{},"false_alarms":{},"precision":{:.4f},"recall":{:.4f},"delay":{:.0f}}})", events,
        found, false_alarms, precision(), recall(), delay());
  }
};

Judged judge(MadeSeries series) {
  SurpriseMeter meter;
  Judged judged{.series = std::move(series), .surprises = {}};
  for (std::size_t i = 0; i < judged.series.values.size(); ++i) {
    judged.surprises.push_back(meter.observe(judged.series.at[i], judged.series.values[i]));
  }
  return judged;
}

Figures figures(const Judged& judged, double threshold) {
  AlarmGate gate(threshold);
  Figures sum{.events = judged.series.events.size()};
  std::vector<bool> found(judged.series.events.size());
  for (std::size_t i = 0; i < judged.surprises.size(); ++i) {
    if (!gate.step(judged.surprises[i]) || i < probation) continue;
    bool belongs = false;
    for (std::size_t e = 0; e < found.size(); ++e) {
      const bench::Event& event = judged.series.events[e];
      if (i < event.from || i >= event.until + patience) continue;
      belongs = true;
      if (!found[e]) {
        ++sum.found;
        sum.delays.push_back(static_cast<double>(i - event.from));
      }
      found[e] = true;
    }
    if (!belongs) ++sum.false_alarms;
  }
  return sum;
}

using ByFamily = std::map<std::string, std::vector<Judged>>;

Figures of(const ByFamily& all, double threshold, const std::string& only = {}, const std::string& without = {}) {
  Figures sum;
  for (const auto& [family, list] : all) {
    if ((!only.empty() && family != only) || family == without) continue;
    for (const Judged& one : list) sum += figures(one, threshold);
  }
  return sum;
}

/// The threshold that would have been chosen without this family.
double chosen_without(const ByFamily& all, const std::string& family) {
  double best = 0;
  double best_f1 = -1;
  for (double threshold = 3; threshold <= 7.5; threshold += 0.25) {
    const double f1 = of(all, threshold, {}, family).f1();
    if (f1 > best_f1) {
      best_f1 = f1;
      best = threshold;
    }
  }
  return best;
}

int judge_families(std::uint64_t series_a_family) {
  ByFamily all;
  for (const std::string& family : bench::families()) {
    for (std::uint64_t seed = 0; seed < series_a_family; ++seed) {
      all[family].push_back(judge(bench::made_series(family, 1000 * (all.size()) + seed)));
    }
  }
  const auto by_family = [&](double threshold) {
    std::string text;
    for (const std::string& family : bench::families()) {
      text += fmt::format(R"({}"{}":{})", text.empty() ? "" : ",", family, of(all, threshold, family).json());
    }
    return text;
  };
  std::string left_out;
  Figures sum;
  for (const std::string& family : bench::families()) {
    const Figures one = of(all, chosen_without(all, family), family);
    left_out += fmt::format(R"({}"{}":{})", left_out.empty() ? "" : ",", family, one.json());
    sum += one;
  }
  const double standard = threshold_of(DetectorProfile::medium);
  const double low = threshold_of(DetectorProfile::low);
  fmt::print(
      R"({{"standard":{},"standard_by_family":{{{}}},"low":{},"low_by_family":{{{}}},"leave_one_out":{},"left_out":{{{}}}}})"
      "\n",
      of(all, standard).json(), by_family(standard), of(all, low).json(), by_family(low), sum.json(), left_out);
  return 0;
}

/// When change points are found in made calls, in seconds from the start.
struct FoundIn {
  std::vector<double> alone;   ///< by the detector, of five seconds' geometric means: those for the worse
  std::vector<double> told;    ///< less what isn't news
  std::vector<double> raised;  ///< what would be an anomaly if another series voted all the time
};

FoundIn find_in(const bench::MadeCalls& calls) {
  FoundIn found;
  ChangePointDetector alone;
  TemplateLatencies latencies;
  TemplateSuspects suspects;
  for (const Interval& interval : calls.intervals) {
    const double passed = static_cast<double>(interval.to_ns) / 1e9;
    for (const SubjectFigures& subject : interval.subjects) {
      const double log_ns = subject.durations.sum_of_logs() / static_cast<double>(subject.figures.calls);
      const auto change = alone.add(passed, std::exp(log_ns));
      if (change && change->ratio() > 1) found.alone.push_back(passed);
    }
    for (TemplateChange& change : latencies.observe(interval, calls.start + passed)) {
      if (change.is_hint) continue;  // there are no plans here
      if (!change.is_over) found.told.push_back(passed);
      suspects.add(std::move(change), passed);
    }
    if (suspects.look(passed, nullptr, [](double) { return true; })) found.raised.push_back(passed);
  }
  return found;
}

Figures figures(const bench::MadeCalls& calls, const std::vector<double>& found) {
  constexpr double belongs_for = 2400;  // seconds; a drift takes half an hour
  Figures sum{.events = calls.changes.size()};
  std::vector<bool> is_found(calls.changes.size());
  for (const double at : found) {
    if (at < calls.judged_from) continue;
    bool belongs = false;
    for (std::size_t e = 0; e < is_found.size(); ++e) {
      const double since = at - calls.changes[e];
      if (since < 0 || since >= belongs_for) continue;
      belongs = true;
      if (!is_found[e]) sum.delays.push_back(since);
      sum.found += is_found[e] ? 0 : 1;
      is_found[e] = true;
    }
    sum.false_alarms += belongs ? 0 : 1;
  }
  return sum;
}

int judge_calls(std::uint64_t series_a_family) {
  Figures alone;
  Figures told;
  Figures raised;
  std::string by_family;
  for (std::size_t at = 0; at < bench::call_families().size(); ++at) {
    const std::string& family = bench::call_families()[at];
    Figures of_alone;
    Figures of_told;
    Figures of_raised;
    double hours = 0;
    for (std::uint64_t seed = 0; seed < series_a_family; ++seed) {
      const auto calls = bench::made_calls(family, 1000 * at + seed);
      const FoundIn found = find_in(calls);
      of_alone += figures(calls, found.alone);
      of_told += figures(calls, found.told);
      of_raised += figures(calls, found.raised);
      hours += (static_cast<double>(calls.intervals.back().to_ns) / 1e9 - calls.judged_from) / 3600;
    }
    alone += of_alone;
    told += of_told;
    raised += of_raised;
    by_family +=
        fmt::format(R"({}"{}":{{"hours":{:.0f},"alone":{},"told":{},"raised":{}}})", by_family.empty() ? "" : ",",
                    family, hours, of_alone.json(), of_told.json(), of_raised.json());
  }
  fmt::print(R"({{"alone":{},"told":{},"raised":{},"by_family":{{{}}}}})"
             "\n",
             alone.json(), told.json(), raised.json(), by_family);
  return 0;
}

Figures figures(const bench::MadeService& service) {
  Figures sum{.events = service.is_event ? 1U : 0U};
  AnomalyWatch watch(DetectorProfile::medium);
  for (std::size_t second = 0; second < service.seconds.size(); ++second) {
    const auto& [made, by_template] = service.seconds[second];
    const auto anomaly = watch.observe(made, std::span(&by_template, 1));
    if (!anomaly) continue;
    if (second >= service.not_judged_from && second < service.judged_from) continue;
    const bool belongs = service.is_event && second >= service.judged_from;
    sum.false_alarms += belongs ? 0 : 1;
    if (!belongs || sum.found > 0) continue;
    ++sum.found;
    sum.delays.push_back(static_cast<double>(second - service.judged_from));
  }
  return sum;
}

int judge_services(std::uint64_t series_a_family) {
  Figures all;
  std::string by_family;
  for (std::size_t at = 0; at < bench::service_families().size(); ++at) {
    const std::string& family = bench::service_families()[at];
    Figures of_family;
    for (std::uint64_t seed = 0; seed < series_a_family; ++seed) {
      of_family += figures(bench::made_service(family, 1000 * at + seed));
    }
    all += of_family;
    by_family += fmt::format(R"({}"{}":{})", by_family.empty() ? "" : ",", family, of_family.json());
  }
  fmt::print(R"({{"all":{},"by_family":{{{}}}}})"
             "\n",
             all.json(), by_family);
  return 0;
}

int read_series(const std::string& profile) {
  AnomalyDetector detector(profile == "low"    ? DetectorProfile::low
                           : profile == "high" ? DetectorProfile::high
                                               : DetectorProfile::medium);
  std::string at;
  std::string value;
  while (std::cin >> at >> value) {
    const auto verdict = detector.observe(std::strtod(at.c_str(), nullptr), std::strtod(value.c_str(), nullptr));
    fmt::print("{:.4f} {} {}\n", verdict.surprise.score(), verdict.alarm ? 1 : 0,
               anomaly_kind_names[static_cast<std::size_t>(verdict.surprise.kind)]);
  }
  return 0;
}

}  // namespace

int main(int count, char** values) {
  const std::vector<std::string> arguments(values + 1, values + count);
  if (arguments.size() == 2 && arguments[0] == "families") return judge_families(std::stoull(arguments[1]));
  if (arguments.size() == 2 && arguments[0] == "calls") return judge_calls(std::stoull(arguments[1]));
  if (arguments.size() == 2 && arguments[0] == "services") return judge_services(std::stoull(arguments[1]));
  if (arguments.size() == 2 && arguments[0] == "series") return read_series(arguments[1]);
  fmt::print(stderr,
             "detector_bench families|calls|services SERIES_A_FAMILY | detector_bench series low|medium|high\n");
  return 2;
}
