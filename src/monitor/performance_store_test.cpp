#include "monitor/performance_store.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "monitor/past_queries.hpp"

namespace millrace {
namespace {

using backend::DuckDb;
using backend::DuckDbRows;
using backend::EmbeddedStore;
namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t ms = 1'000'000;
const std::vector<StatementKindLabel> kinds = {{"select", StatementGroup::read}, {"insert", StatementGroup::write}};

/// A process, whose clocks are the test's: a monitor, and what it keeps.
class Process {
 public:
  /// `at`: since 1970.
  explicit Process(std::chrono::seconds at, RecordingOptions options = {}, PerformanceStore::Options kept = {})
      : monitor(std::make_shared<QueryPerformanceMonitor>(1, kinds, with_names(std::move(options)))) {
    now = {.ns = monitor->history()->started_ns(), .wall = std::chrono::system_clock::time_point(at)};
    store = std::make_shared<PerformanceStore>(monitor, kept, now);
  }

  void record(std::uint64_t fingerprint, std::int64_t duration_ns, int times = 1) {
    const QueryRecord query{.fingerprint = fingerprint,
                            .kind = 1,
                            .user = "ada",
                            .started_ns = now.ns - duration_ns,
                            .duration_ns = duration_ns,
                            .rows = 2};
    for (int i = 0; i < times; ++i) {
      if (!monitor->record(0, query)) continue;
      monitor->describe(0, {.fingerprint = fingerprint,
                            .kind = 1,
                            .text = std::to_string(fingerprint) + "=secret",
                            .parameters = {"seven", std::nullopt},
                            .database = "shop"});
    }
  }
  void slow(std::int64_t duration_ns, std::string text = "select slow=secret") {
    monitor->add_slow(0, {.fingerprint = 9,
                          .kind = 1,
                          .text = std::move(text),
                          .parameters = {std::nullopt, std::string("\xff\0x", 3)},
                          .user = "ada",
                          .database = "shop",
                          .traceparent = "00-1",
                          .started = now.wall,
                          .duration_ns = duration_ns,
                          .queue_ns = 5,
                          .rows = 3,
                          .bytes = 4,
                          .cache = CacheUse::miss,
                          .rewritten = true,
                          .sqlstate = {'5', '7', '0', '1', '4'},
                          .cpu_percent = 1.5});
  }
  void pass(std::chrono::seconds time = 1s) {
    for (std::int64_t i = 0; i < time.count(); ++i) {
      now.ns += second;
      now.wall += 1s;
      monitor->tick(0, now.ns);
      monitor->make_history(now.ns);
    }
  }

  Moment now;
  std::shared_ptr<QueryPerformanceMonitor> monitor;
  std::shared_ptr<PerformanceStore> store;

 private:
  static RecordingOptions with_names(RecordingOptions options) {
    options.normalized = [](std::string_view text) { return std::string(text.substr(0, text.find('='))) + "= ?"; };
    return options;
  }
};

DuckDb in_memory() {
  auto database = DuckDb::open("");
  EXPECT_TRUE(database) << database.error().detail;
  return *std::move(database);
}

template <typename T>
void good(const Result<T>& done) {
  ASSERT_TRUE(done) << done.error().message << ": " << done.error().detail;
}

std::uint64_t count(DuckDb& database, const std::string& what) {
  std::uint64_t counted = 0;
  good(database.each("SELECT count(*) FROM " + what, [&](const DuckDbRows& row) -> Result<> {
    counted = row.number(0);
    return {};
  }));
  return counted;
}

const SubjectReport* find(const PeriodReport& report, std::string_view name) {
  const auto found = std::ranges::find(report.subjects, name, &SubjectReport::name);
  return found == report.subjects.end() ? nullptr : &*found;
}

/// All of those before this process.
PeriodReport stored(const Process& process, DuckDb& database, SubjectKind kind = SubjectKind::query_template) {
  const auto report = process.store->report(
      database, kind, {.from_us = 0, .own_to_ns = process.monitor->history()->started_ns()}, process.now);
  EXPECT_TRUE(report) << report.error().detail;
  return *report;
}

void same(const PeriodReport& one, const PeriodReport& other) {
  EXPECT_EQ(one.all.figures, other.all.figures);
  EXPECT_EQ(one.all.durations, other.all.durations);
  ASSERT_EQ(one.subjects.size(), other.subjects.size());
  for (const SubjectReport& subject : one.subjects) {
    const auto* found = find(other, subject.name);
    ASSERT_NE(found, nullptr) << subject.name;
    EXPECT_EQ(found->is_other, subject.is_other);
    EXPECT_EQ(found->figures, subject.figures) << subject.name;
    EXPECT_EQ(found->durations, subject.durations) << subject.name;
  }
}

constexpr auto morning = std::chrono::seconds(1'750'000'000 / 3600 * 3600);

TEST(PerformanceStore, WhatWasRecordedIsThereAfterARestart) {
  DuckDb database = in_memory();
  Process first(morning);
  good(first.store->prepare(database));
  for (int minute = 0; minute < 5; ++minute) {
    first.record(5, (minute + 1) * ms, 10);
    first.record(6, 7 * ms);
    first.pass(60s);
    good(first.store->write(database, first.now, false));
  }
  first.record(7, ms);
  first.pass(2s);
  good(first.store->write(database, first.now, true));
  EXPECT_GE(count(database, "monitor_periods"), 5);

  Process second_one(morning + 600s);
  good(second_one.store->prepare(database));
  for (const auto kind : {SubjectKind::query_template, SubjectKind::user}) {
    same(stored(second_one, database, kind), first.monitor->history()->report(kind, {}, first.now.ns));
  }
  const PeriodReport report = stored(second_one, database);
  EXPECT_EQ(report.from_ns, second_one.now.ns - 600 * second);
  const SubjectReport* five = find(report, "5= ?");
  ASSERT_NE(five, nullptr);
  EXPECT_EQ(five->about->fingerprint, 5);
  EXPECT_EQ(five->about->kind, 1);
  EXPECT_EQ(five->about->text, "5=secret");
  EXPECT_EQ(five->about->parameters, (ParameterTexts{"seven", std::nullopt}));
  EXPECT_EQ(five->about->database, "shop");
}

TEST(PerformanceStore, AWindowHasWhatWasInIt) {
  DuckDb database = in_memory();
  Process first(morning);
  good(first.store->prepare(database));
  for (const std::uint64_t fingerprint : {5, 6, 7}) {
    first.record(fingerprint, ms, static_cast<int>(fingerprint));
    first.pass(60s);
  }
  good(first.store->write(database, first.now, true));
  const Process next(morning + 200s);
  // What is stored is minutes of the machine's clock, which began anywhere in one: 7's may end a second after it, and
  // 6's as late as 7's begins.
  const auto report =
      next.store->report(database, SubjectKind::query_template,
                         {.from_us = next.now.us_of(next.now.ns - 79'500 * ms), .own_to_ns = next.now.ns}, next.now);
  ASSERT_TRUE(report);
  EXPECT_EQ(find(*report, "5= ?"), nullptr);
  EXPECT_EQ(report->all.figures.calls, 7);
  const SubjectReport* seven = find(*report, "7= ?");
  ASSERT_NE(seven, nullptr);
  EXPECT_EQ(seven->figures.calls, 7);
}

TEST(PerformanceStore, HoursThatAreOverBecomeOneAndSayTheSame) {
  DuckDb database = in_memory();
  Process first(morning);
  good(first.store->prepare(database));
  for (int minute = 0; minute < 190; ++minute) {
    first.record(5, (minute % 7 + 1) * ms, minute % 3);
    if (minute % 10 == 0) first.record(6, ms);
    first.now.ns += 59 * second;
    first.now.wall += 59s;
    first.pass();
    if (minute % 30 == 0) good(first.store->write(database, first.now, false));
  }
  good(first.store->write(database, first.now, false));
  // Hours 0 and 1 are over by more than one; 2 and 3 are there by the minute.
  EXPECT_EQ(count(database, "monitor_periods WHERE to_ns - from_ns > 3000000000000"), 2);
  EXPECT_EQ(count(database,
                  "monitor_figures WHERE kind = 1 AND period IN (SELECT id FROM monitor_periods WHERE to_ns "
                  "- from_ns > 3000000000000)"),
            2)
      << "a row an hour";
  EXPECT_EQ(count(database, "monitor_figures WHERE period NOT IN (SELECT id FROM monitor_periods)"), 0);
  good(first.store->write(database, first.now, true));
  const Process next(morning + 12'000s);
  same(stored(next, database), first.monitor->history()->report(SubjectKind::query_template, {}, first.now.ns));
}

TEST(PerformanceStore, WhatIsTooOldGoes) {
  DuckDb database = in_memory();
  const PerformanceStore::Options kept{.figures_for = std::chrono::days(2), .slow_queries_for = std::chrono::days(1)};
  Process first(morning, {}, kept);
  good(first.store->prepare(database));
  first.record(5, ms);
  first.slow(second);
  first.pass(60s);
  good(first.store->write(database, first.now, true));
  const auto after = [&](std::chrono::seconds time) {
    Process later(morning + time, {}, kept);
    good(later.store->prepare(database));
    good(later.store->write(database, later.now, false));
  };
  after(23h);
  EXPECT_EQ(count(database, "monitor_slow_queries"), 1);
  after(25h);
  EXPECT_EQ(count(database, "monitor_slow_queries"), 0);
  EXPECT_EQ(count(database, "monitor_periods"), 1);
  EXPECT_EQ(count(database, "monitor_subjects"), 2);
  after(49h);
  for (const char* table : {"monitor_periods", "monitor_figures", "monitor_subjects"}) {
    EXPECT_EQ(count(database, table), 0) << table;
  }
}

TEST(PerformanceStore, SlowQueriesComeBackAsTheyWere) {
  DuckDb database = in_memory();
  Process first(morning);
  good(first.store->prepare(database));
  first.slow(3 * second, std::string("select '\xe4' /* no UTF-8 */"));
  first.slow(second);
  first.pass();
  good(first.store->write(database, first.now, false));
  first.slow(2 * second);
  first.pass();
  good(first.store->write(database, first.now, false));
  good(first.store->write(database, first.now, true));

  const auto own = first.store->slow_queries(database, 0, 0, 10);
  ASSERT_TRUE(own) << own.error().detail;
  EXPECT_EQ(own->count, 3);
  EXPECT_EQ(own->own_written, 3);
  EXPECT_EQ(own->slowest.front().run, 0);
  const Process next(morning + 100s);
  const auto found = next.store->slow_queries(database, 0, 2 * second, 1);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->count, 2);
  EXPECT_EQ(found->total_ns, 5.0 * second);
  EXPECT_EQ(found->own_written, 0);
  ASSERT_EQ(found->slowest.size(), 1);
  const SlowQuery& query = found->slowest.front();
  EXPECT_EQ(query.number, 1);
  EXPECT_EQ(query.run, morning.count());
  EXPECT_EQ(query.kind, 1);
  EXPECT_EQ(query.text, "select '\xe4' /* no UTF-8 */");
  EXPECT_EQ(query.parameters, (ParameterTexts{std::nullopt, std::string("\xff\0x", 3)}));
  EXPECT_EQ(query.user, "ada");
  EXPECT_EQ(query.traceparent, "00-1");
  EXPECT_EQ(query.started, std::chrono::system_clock::time_point(morning));
  EXPECT_EQ(query.duration_ns, 3 * second);
  EXPECT_EQ(query.queue_ns, 5);
  EXPECT_EQ(query.rows, 3);
  EXPECT_EQ(query.bytes, 4);
  EXPECT_EQ(query.cache, CacheUse::miss);
  EXPECT_TRUE(query.rewritten);
  EXPECT_STREQ(query.sqlstate.data(), "57014");
  EXPECT_EQ(query.cpu_percent, 1.5);
  EXPECT_FALSE(query.memory_mb);
  EXPECT_EQ(next.store->slow_queries(database, first.now.us_of(first.now.ns), 0, 10)->count, 0) << "by time";
}

TEST(PerformanceStore, MoreSlowQueriesThanAreRememberedAreCounted) {
  DuckDb database = in_memory();
  Process process(morning, {.slow_queries = 10});
  good(process.store->prepare(database));
  for (int i = 0; i < 25; ++i) process.slow(second);
  process.pass();
  good(process.store->write(database, process.now, false));
  EXPECT_EQ(count(database, "monitor_slow_queries"), 10);
  EXPECT_EQ(process.store->counts().lost_slow_queries, 15);
}

TEST(PerformanceStore, WhatCouldntBeWrittenIsWrittenLater) {
  DuckDb database = in_memory();
  Process process(morning);
  good(process.store->prepare(database));
  process.record(5, ms, 3);
  process.slow(second);
  process.pass(120s);
  good(database.run("ALTER TABLE monitor_slow_queries RENAME TO away"));
  EXPECT_FALSE(process.store->write(database, process.now, false));
  EXPECT_EQ(count(database, "monitor_periods"), 0) << "a batch is whole or not at all";
  good(database.run("ALTER TABLE away RENAME TO monitor_slow_queries"));
  process.record(5, ms, 4);
  process.pass(60s);
  good(process.store->write(database, process.now, true));
  EXPECT_EQ(process.store->counts().lost_seconds, 0);
  EXPECT_EQ(count(database, "monitor_slow_queries"), 1);
  const Process next(morning + 600s);
  EXPECT_EQ(find(stored(next, database), "5= ?")->figures.calls, 7);
}

TEST(PerformanceStore, TimeThatIsForgottenBeforeItIsWrittenIsCounted) {
  DuckDb database = in_memory();
  Process process(morning);
  good(process.store->prepare(database));
  const std::int64_t minutes = 1440 + 60;
  for (std::int64_t minute = 0; minute < minutes; ++minute) {
    process.now.ns += 59 * second;
    process.now.wall += 59s;
    process.pass();
  }
  good(process.store->write(database, process.now, false));
  EXPECT_NEAR(static_cast<double>(process.store->counts().lost_seconds), 3600, 120);
  EXPECT_EQ(count(database, "monitor_periods WHERE to_ns - from_ns < 90000000000"), 60) << "since the last whole hour";
}

bool holds_secret(DuckDb& database) {
  return count(database,
               "monitor_subjects WHERE coalesce(parameters, ''::BLOB) <> ''::BLOB OR sample::VARCHAR LIKE "
               "'%secret%'") +
             count(database,
                   "monitor_slow_queries WHERE coalesce(parameters, ''::BLOB) <> ''::BLOB OR query::VARCHAR "
                   "LIKE '%secret%'") >
         0;
}

TEST(PerformanceStore, NothingOfParametersIsKeptWhereThatIsOff) {
  DuckDb database = in_memory();
  const auto run = [&](bool keeps, std::chrono::seconds at) {
    Process process(at, {.keep_parameters = keeps});
    good(process.store->prepare(database));
    process.record(5, ms);
    process.slow(second);
    process.pass(2s);
    good(process.store->write(database, process.now, true));
  };
  run(false, morning);
  EXPECT_EQ(count(database, "monitor_slow_queries"), 1);
  EXPECT_FALSE(holds_secret(database));
  run(true, morning + 100s);
  EXPECT_TRUE(holds_secret(database));
  run(false, morning + 200s);
  EXPECT_FALSE(holds_secret(database)) << "nor what was kept before";
  EXPECT_EQ(count(database, "monitor_slow_queries"), 2);
  const Process next(morning + 300s);
  const PeriodReport report = stored(next, database);
  EXPECT_EQ(find(report, "5= ?")->figures.calls, 3);
  EXPECT_EQ(find(report, "5= ?")->about->text, "5= ?");
}

TEST(PerformanceStore, KnowsSoManyNamesAndCountsTheOthersTogether) {
  DuckDb database = in_memory();
  Process process(morning);
  good(process.store->prepare(database));
  for (const int kind : {0, 1}) {  // users take no template's place
    good(database.run(fmt::format(
        "INSERT INTO monitor_subjects(subject, kind, name) SELECT i + 1000, {}, 'x'::BLOB FROM range({}) r(i)", kind,
        PerformanceStore::most_templates - 1)));
  }
  good(process.store->prepare(database));
  process.record(5, ms, 2);
  process.record(6, ms, 3);
  process.pass(60s);
  good(process.store->write(database, process.now, true));
  const PeriodReport report = stored(Process(morning + 100s), database);
  ASSERT_EQ(report.subjects.size(), 2);
  EXPECT_EQ(report.all.figures.calls, 5);
  EXPECT_EQ(report.subjects[0].figures.calls + report.subjects[1].figures.calls, 5);
  EXPECT_TRUE(report.subjects[1].is_other);
}

/// With a store's thread and file.
class PastQueriesTest : public testing::Test {
 protected:
  PastQueriesTest() { fs::create_directories(folder_); }
  ~PastQueriesTest() override { fs::remove_all(folder_); }

  /// The parts are written when somebody says so.
  std::shared_ptr<EmbeddedStore> opened(const Process& process) {
    std::vector<EmbeddedStore::Part> parts;
    parts.push_back({.name = "monitor",
                     .prepare = [kept = process.store](DuckDb& database) { return kept->prepare(database); },
                     .write = [](DuckDb&, bool) { return Result<>(); }});
    auto store = std::make_shared<EmbeddedStore>(folder_.string(), std::move(parts),
                                                 EmbeddedStore::Times{.between_writes = 1h, .before_retry = 1h});
    store->start();
    return store;
  }
  static void write(EmbeddedStore& store, const Process& process, bool is_last = false) {
    good(store.ask([kept = process.store, now = process.now,
                    is_last](DuckDb& database) { return kept->write(database, now, is_last); },
                   60s));
  }

  const fs::path folder_ = fs::temp_directory_path() / fmt::format("past_queries_test.{}", getpid());
};

TEST_F(PastQueriesTest, JoinMemoryAndStore) {
  {
    Process first(morning);
    const auto store = opened(first);
    first.record(5, ms, 10);
    first.record(6, ms, 1);
    first.slow(3 * second);
    first.pass(130s);
    write(*store, first, true);
  }
  Process next(morning + 300s);
  const auto store = opened(next);
  const PastQueries past(next.monitor, store, next.store);
  next.record(5, 3 * ms, 4);
  next.record(7, ms, 2);
  next.slow(second);
  next.pass(130s);
  write(*store, next);
  next.slow(2 * second);
  next.pass(10s);

  const PeriodReport report = past.report(SubjectKind::query_template, 1h, next.now);
  EXPECT_EQ(report.all.figures.calls, 17);
  EXPECT_EQ(find(report, "5= ?")->figures.calls, 14);
  EXPECT_EQ(find(report, "5= ?")->durations.count(), 14);
  EXPECT_EQ(find(report, "6= ?")->figures.calls, 1);
  EXPECT_EQ(find(report, "7= ?")->figures.calls, 2);
  EXPECT_NEAR(report.seconds(), 440, 1);
  EXPECT_EQ(past.report(SubjectKind::query_template, 100s, next.now).all.figures.calls, 0) << "memory suffices";
  EXPECT_EQ(past.report(SubjectKind::user, 1h, next.now).subjects.size(), 1);

  for (const char* name : {"5= ?", "6= ?", "7= ?"}) {
    const SubjectReport* subject = find(report, name);
    QueryFigures all;
    QueryFigures of_one;
    std::int64_t covered = 0;
    for (const IntervalPtr& interval : past.since(report.from_ns, subject, next.now)) {
      EXPECT_GE(interval->from_ns, covered) << "each part of the time once";
      covered = interval->to_ns;
      all += interval->all.figures;
      for (const auto& each : interval->subjects) {
        if (each.id == subject->id) of_one += each.figures;
      }
    }
    EXPECT_EQ(all.calls, 17);
    EXPECT_EQ(of_one, subject->figures) << name;
  }

  const auto slow = past.slow_queries({}, 0s, 2, next.now);
  EXPECT_EQ(slow.count, 3);
  EXPECT_EQ(slow.total_ns, 6.0 * second);
  ASSERT_EQ(slow.slowest.size(), 2);
  EXPECT_EQ(slow.slowest[0].run, morning.count());
  EXPECT_EQ(slow.slowest[1].duration_ns, 2 * second);
  EXPECT_EQ(past.slow_queries(200s, 0s, 10, next.now).count, 2);
}

TEST_F(PastQueriesTest, GoOnWhereMemoryEnds) {
  Process process(morning);
  const auto store = opened(process);
  const PastQueries past(process.monitor, store, process.store);
  // More than a day, by the minute.
  constexpr int minutes = 25 * 60;
  for (int minute = 0; minute < minutes; ++minute) {
    process.record(5, ms);
    process.now.ns += 59 * second;
    process.now.wall += 59s;
    process.pass();
    if (minute % 240 == 7 || minute + 1 == minutes) write(*store, process);
  }
  EXPECT_LT(process.monitor->history()->report(SubjectKind::query_template, 48h, process.now.ns).all.figures.calls,
            minutes);
  const PeriodReport report = past.report(SubjectKind::query_template, 48h, process.now);
  EXPECT_EQ(report.all.figures.calls, minutes);
  EXPECT_EQ(find(report, "5= ?")->figures.calls, minutes);
  std::uint64_t calls = 0;
  for (const auto& interval : past.since(process.now.ns - 48 * 3600 * second, nullptr, process.now)) {
    calls += interval->all.figures.calls;
  }
  EXPECT_EQ(calls, minutes);
}

TEST_F(PastQueriesTest, AreWhatIsInMemoryWhereThereIsNoStore) {
  Process process(morning);
  process.record(5, ms, 3);
  process.slow(second);
  process.pass(10s);
  const PastQueries past(process.monitor);
  EXPECT_EQ(past.report(SubjectKind::query_template, 1h, process.now).all.figures.calls, 3);
  EXPECT_FALSE(past.since(0, nullptr, process.now).empty());
  EXPECT_EQ(past.slow_queries(1h, 0s, 10, process.now).count, 1);
  const auto store = opened(process);
  store->stop();
  const PastQueries closed(process.monitor, store, process.store);
  EXPECT_EQ(closed.report(SubjectKind::query_template, 1h, process.now).all.figures.calls, 3);
}

}  // namespace
}  // namespace millrace
