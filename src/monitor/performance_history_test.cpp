#include "monitor/performance_history.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/clock.hpp"
#include "monitor/query_performance_monitor.hpp"

namespace millrace {
namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t ms = 1'000'000;
const std::vector<StatementKindLabel> kinds = {{"select", StatementGroup::read}};

RecordingOptions options() {
  return {.normalized = [](std::string_view text) { return std::string(text.substr(0, text.find('='))) + "= ?"; },
          .templates = 20};
}

/// A monitor whose clock is the test's.
struct History {
  explicit History(const RecordingOptions& with, std::size_t cores = 2) : monitor(cores, kinds, with) {}

  void record(std::size_t core, std::uint64_t fingerprint, std::int64_t duration_ns, QueryRecord more = {}) {
    more.fingerprint = fingerprint;
    more.started_ns = now - duration_ns;
    more.duration_ns = duration_ns;
    if (!monitor.record(core, more)) return;
    monitor.describe(
        core, {.fingerprint = fingerprint, .text = std::to_string(fingerprint) + "=secret", .parameters = {"7"}});
  }
  /// Time passes; what was recorded is history then.
  void pass(std::int64_t seconds = 1) {
    now += seconds * second;
    for (std::size_t core = 0; core < 2; ++core) monitor.tick(core, now);
    monitor.make_history(now);
  }
  PeriodReport report(SubjectKind kind, std::optional<std::chrono::nanoseconds> window = {}) const {
    return monitor.history()->report(kind, window, now);
  }
  const SubjectReport* find(const PeriodReport& report, std::string_view name) const {
    const auto found = std::ranges::find(report.subjects, name, &SubjectReport::name);
    return found == report.subjects.end() ? nullptr : &*found;
  }

  std::int64_t now = now_ns();
  QueryPerformanceMonitor monitor;
};

TEST(PerformanceHistory, JoinsTheCores) {
  History history(options());
  history.pass();
  history.record(0, 5, 2 * ms, {.rows = 3, .cache = CacheUse::miss, .rewritten = true});
  history.record(1, 5, 4 * ms, {.rows = 1, .cache = CacheUse::hit});
  history.record(1, 6, 8 * ms, {.sqlstate = {'4', '2', '6', '0', '1', '\0'}});
  history.pass();
  const PeriodReport report = history.report(SubjectKind::query_template);
  ASSERT_EQ(report.subjects.size(), 2);
  const SubjectReport* five = history.find(report, "5= ?");
  ASSERT_NE(five, nullptr);
  EXPECT_EQ(five->figures.calls, 2);
  EXPECT_EQ(five->figures.rows, 4);
  EXPECT_EQ(five->figures.hits, 1);
  EXPECT_EQ(five->figures.misses, 1);
  EXPECT_EQ(five->figures.rewritten, 1);
  EXPECT_EQ(five->figures.total_ns, 6 * ms);
  EXPECT_EQ(five->durations.count(), 2);
  EXPECT_EQ(five->about->fingerprint, 5);
  EXPECT_EQ(five->about->text, "5=secret");
  EXPECT_EQ(history.find(report, "6= ?")->figures.errors, 1);
  EXPECT_EQ(report.all.figures.calls, 3);
}

TEST(PerformanceHistory, AWindowHasWhatCameInIt) {
  History history(options());
  history.pass();
  history.record(0, 5, ms);
  history.pass();
  for (int i = 0; i < 30; ++i) history.pass();
  history.record(0, 5, 3 * ms);
  history.record(0, 6, ms);
  history.pass();
  const PeriodReport recent = history.report(SubjectKind::query_template, std::chrono::seconds(10));
  EXPECT_EQ(recent.all.figures.calls, 2);
  EXPECT_EQ(history.find(recent, "5= ?")->figures.total_ns, 3 * ms);
  EXPECT_NEAR(recent.seconds(), 10, 1);
  const PeriodReport longer = history.report(SubjectKind::query_template, std::chrono::minutes(60));
  EXPECT_EQ(history.find(longer, "5= ?")->figures.calls, 2);
  EXPECT_LT(longer.seconds(), 60);
  EXPECT_EQ(history.report(SubjectKind::query_template).all.figures.calls, 3);
}

TEST(PerformanceHistory, CountsByWhoAsks) {
  History history(options());
  history.pass();
  history.record(0, 5, ms, {.user = "ann", .database = "shop", .application = "web", .project = "9"});
  history.record(1, 5, ms, {.user = "ann", .database = "shop", .application = "batch"});
  history.record(1, 5, ms, {.user = "bob", .database = "shop"});
  history.pass();
  const auto calls = [&](SubjectKind kind, std::string_view name) {
    const PeriodReport report = history.report(kind);
    const SubjectReport* found = history.find(report, name);
    return found == nullptr ? 0 : found->figures.calls;
  };
  EXPECT_EQ(calls(SubjectKind::user, "ann"), 2);
  EXPECT_EQ(calls(SubjectKind::user, "bob"), 1);
  EXPECT_EQ(calls(SubjectKind::database, "shop"), 3);
  EXPECT_EQ(calls(SubjectKind::application, "web"), 1);
  EXPECT_EQ(calls(SubjectKind::project, "9"), 1);
  EXPECT_EQ(history.report(SubjectKind::project).subjects.size(), 1) << "who says no project is none";
}

/// Thousands of new templates and callers a second: nothing is lost, nothing grows, the regular one stays.
TEST(PerformanceHistory, AFloodIsOther) {
  History history(options());
  history.pass();
  std::uint64_t fingerprint = 1000;
  std::uint64_t recorded = 0;
  std::size_t memory = 0;
  std::vector<std::string> names;
  for (int i = 0; i < 3000; ++i) names.push_back("application " + std::to_string(i));
  for (int s = 0; s < 20; ++s) {
    for (int i = 0; i < 3000; ++i, ++recorded)
      history.record(0, fingerprint++, ms, {.application = names[static_cast<std::size_t>(i)]});
    history.record(1, 5, ms);
    ++recorded;
    history.pass();
    if (s == 4) memory = history.monitor.history()->counts().memory_bytes;
  }
  const PeriodReport report = history.report(SubjectKind::query_template);
  EXPECT_EQ(report.subjects.size(), 21);
  const SubjectReport* regular = history.find(report, "5= ?");
  ASSERT_NE(regular, nullptr);
  EXPECT_GT(regular->figures.calls, 15) << "in the first seconds nobody knew that it comes again";
  EXPECT_TRUE(report.subjects.back().is_other);
  EXPECT_EQ(report.all.figures.calls, recorded);
  std::uint64_t sum = 0;
  for (const auto& each : report.subjects) sum += each.figures.calls;
  EXPECT_EQ(sum, recorded);
  EXPECT_GT(history.monitor.history()->counts().evicted_templates, 0);
  EXPECT_LT(history.monitor.history()->counts().memory_bytes, memory * 5);
  std::uint64_t asked = 0;
  const PeriodReport applications = history.report(SubjectKind::application);
  for (const auto& each : applications.subjects) asked += each.figures.calls;
  EXPECT_EQ(asked, recorded - 20) << "all but those that say no application";
  EXPECT_LE(applications.subjects.size(), 257);
}

TEST(PerformanceHistory, WithoutParametersNoConstantIsKept) {
  RecordingOptions redacted = options();
  redacted.keep_parameters = false;
  History history(redacted);
  history.pass();
  history.record(0, 5, ms);
  SlowQuery slow;
  slow.text = "a=secret";
  slow.parameters = {"secret"};
  history.monitor.add_slow(0, std::move(slow));
  history.pass();
  const PeriodReport report = history.report(SubjectKind::query_template);
  EXPECT_EQ(report.subjects.front().about->text, "5= ?");
  EXPECT_TRUE(report.subjects.front().about->parameters.empty());
  const auto kept = history.monitor.history()->slow_queries([](const SlowQuery&) { return true; });
  ASSERT_EQ(kept.size(), 1);
  EXPECT_EQ(kept.front().text, "a= ?");
  EXPECT_TRUE(kept.front().parameters.empty());
}

TEST(PerformanceHistory, TooManySlowOnesAtOnceAreCountedOnly) {
  History history(options());
  history.pass();
  for (int i = 0; i < 100; ++i) history.monitor.add_slow(0, SlowQuery());
  history.pass();
  const RecordingCounts counts = history.monitor.history()->counts();
  EXPECT_EQ(counts.slow_queries, 100);
  EXPECT_EQ(counts.slow_queries_lost, 100 - CoreRecording::most_slow);
}

TEST(PerformanceHistory, NothingIsLostWhereTheHistorianIsLate) {
  History history(options());
  history.pass();
  for (int i = 0; i < 5; ++i) {
    history.record(0, 5, ms);
    history.now += 2 * second;  // the core hands over, and again before that is taken
    history.record(0, 5, ms);
  }
  history.pass(2);
  history.pass(2);
  EXPECT_EQ(history.report(SubjectKind::query_template).all.figures.calls, 10);
}

/// Shares are of the time of all: it is never less than that of a subject.
TEST(PerformanceHistory, WhatIsTakenIsInTheTotalOfAllAtOnce) {
  History history(options());
  history.pass();
  history.record(0, 5, ms);
  history.pass();
  history.record(0, 5, 3 * ms);
  history.monitor.tick(0, history.now + 2 * second);
  history.monitor.make_history(history.now);  // no time has passed: the interval isn't over
  const PeriodReport report = history.report(SubjectKind::query_template);
  EXPECT_EQ(history.find(report, "5= ?")->figures.total_ns, 4 * ms);
  EXPECT_EQ(report.all.figures.total_ns, 4 * ms);
  EXPECT_EQ(report.all.durations.count(), 2);
  history.pass();
  EXPECT_EQ(history.report(SubjectKind::query_template).all.figures.total_ns, 4 * ms);
}

TEST(PerformanceHistory, AClockThatStandsStillMakesNoInterval) {
  History history(options());
  history.pass();
  const auto before = history.monitor.history()->since(0).size();
  history.monitor.make_history(history.now);
  history.monitor.make_history(history.now - second);
  EXPECT_EQ(history.monitor.history()->since(0).size(), before);
}

}  // namespace
}  // namespace millrace
