#include "monitor/query_performance_monitor.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "base/clock.hpp"

namespace millrace {
namespace {

const std::vector<StatementKindLabel> kinds = {{"select", StatementGroup::read},
                                               {"insert", StatementGroup::write},
                                               {"transaction", StatementGroup::transaction},
                                               {"unparsed", StatementGroup::other}};

QueryRecord query(std::uint8_t kind, std::int64_t duration_ns, std::string_view sqlstate = {}) {
  QueryRecord made{.kind = kind, .started_ns = now_ns(), .duration_ns = duration_ns, .rows = 3};
  std::copy(sqlstate.begin(), sqlstate.end(), made.sqlstate.begin());
  return made;
}

TEST(SqlstateClass, KnownClassesAndTheRest) {
  static_assert(std::is_sorted(SqlstateClass::names.begin(), SqlstateClass::names.end() - 1));
  const auto name = [](std::string_view code) { return SqlstateClass::names[SqlstateClass::index(code)]; };
  EXPECT_EQ(name("42P01"), "42");
  EXPECT_EQ(name("00000"), "00");
  EXPECT_EQ(name("XX000"), "XX");
  EXPECT_EQ(name("ZZ123"), "other");
  EXPECT_EQ(name("?"), "other");
  EXPECT_EQ(name(""), "other");
}

TEST(QueryPerformanceMonitor, SumsOverTheCores) {
  QueryPerformanceMonitor monitor(2, kinds);
  monitor.record(0, query(0, 1'000));
  monitor.record(1, query(0, 2'000));
  monitor.record(1, query(1, 5'000'000, "23505"));
  monitor.record(0, query(200, 10));

  const MonitorSnapshot sum = monitor.snapshot();
  EXPECT_EQ(sum.queries(), 4);
  EXPECT_EQ(sum.kinds[0].queries, 2);
  EXPECT_EQ(sum.kinds[1].queries, 1);
  EXPECT_EQ(sum.kinds[3].name, "unparsed");
  EXPECT_EQ(sum.kinds[3].queries, 1);
  EXPECT_EQ(sum.rows, 12);
  EXPECT_EQ(sum.failed_queries(), 1);
  EXPECT_EQ(sum.errors[SqlstateClass::index("23505")], 1);
  EXPECT_EQ(sum.durations[static_cast<std::size_t>(StatementGroup::read)].count(), 2);
  EXPECT_EQ(sum.durations[static_cast<std::size_t>(StatementGroup::write)].sum(), 5'000'000);
  EXPECT_EQ(sum.all_durations().count(), 4);
  EXPECT_EQ(sum.recent_durations.count(), 4);
  EXPECT_GT(sum.recent_seconds, 0);
  EXPECT_LE(sum.recent_seconds, sum.uptime_seconds);
}

TEST(QueryPerformanceMonitor, OnlyWaitsAndAnswersThatHappenedCount) {
  QueryPerformanceMonitor monitor(1, kinds);
  QueryRecord waited = query(0, 900);
  waited.queue_ns = 300;
  waited.first_byte_ns = 500;
  monitor.record(0, waited);
  monitor.record(0, query(0, -5));
  const MonitorSnapshot sum = monitor.snapshot();
  EXPECT_EQ(sum.queue_waits.count(), 1);
  EXPECT_EQ(sum.queue_waits.sum(), 300);
  EXPECT_EQ(sum.first_bytes.count(), 1);
  EXPECT_EQ(sum.all_durations().count(), 2);
  EXPECT_EQ(sum.all_durations().sum(), 900);
}

TEST(QueryPerformanceMonitor, WhatOneCoreOpenedAnotherMayClose) {
  QueryPerformanceMonitor monitor(2, kinds);
  monitor.wire(0).clients_connected.add(2);
  monitor.wire(1).clients_connected.sub();
  monitor.wire(1).bytes_to_clients.add(70);
  const WireTotals wire = monitor.snapshot().wire;
  EXPECT_EQ(wire.clients_connected, 1);
  EXPECT_EQ(wire.bytes_to_clients, 70);
  EXPECT_EQ(wire.memo_misses, 0);
}

TEST(QueryPerformanceMonitor, ReadersRunBesideWriters) {
  constexpr std::uint64_t each = 20'000;
  QueryPerformanceMonitor monitor(2, kinds);
  std::vector<std::thread> writers;
  writers.reserve(2);
  for (std::size_t core = 0; core < 2; ++core) {
    writers.emplace_back([&monitor, core] {
      for (std::uint64_t i = 0; i < each; ++i) {
        monitor.record(core, query(0, static_cast<std::int64_t>(i)));
        monitor.wire(core).clients_total.add();
      }
    });
  }
  std::uint64_t last = 0;
  while (last < 2 * each) {
    const std::uint64_t now = monitor.snapshot().queries();
    ASSERT_GE(now, last);
    last = now;
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(monitor.snapshot().wire.clients_total, 2 * each);
}

TEST(QueryPerformanceMonitor, HistoryIsMadeBesideTheWriters) {
  constexpr std::uint64_t each = 200'000;
  QueryPerformanceMonitor monitor(
      2, kinds, RecordingOptions{.normalized = [](std::string_view text) { return std::string(text); }});
  std::vector<std::thread> writers;
  for (std::size_t core = 0; core < 2; ++core) {
    writers.emplace_back([&, core] {
      std::int64_t now = now_ns();
      for (std::uint64_t i = 0; i < each; ++i) {
        now += 1'000'000;  // a clock of its own, so that much is handed over
        QueryRecord made = query(0, 5);
        made.started_ns = now;
        made.fingerprint = i % 40;
        if (monitor.record(core, made)) monitor.describe(core, {.fingerprint = made.fingerprint, .text = "text"});
      }
      now += 10'000'000'000;
      while (monitor.history()->report(SubjectKind::query_template, {}, 0).all.figures.calls < 2 * each)
        monitor.tick(core, now += 1'000'000'000);
    });
  }
  std::int64_t now = now_ns();
  while (monitor.history()->report(SubjectKind::query_template, {}, 0).all.figures.calls < 2 * each)
    monitor.make_history(now += 1'000'000'000);
  for (std::thread& writer : writers) writer.join();
  const PeriodReport report = monitor.history()->report(SubjectKind::query_template, {}, 0);
  EXPECT_EQ(report.subjects.size(), 40);
  EXPECT_EQ(report.all.figures.calls, 2 * each);
}

TEST(QueryPerformanceMonitor, WithoutRecordingThereIsNoHistory) {
  QueryPerformanceMonitor monitor(1, kinds);
  EXPECT_FALSE(monitor.records());
  EXPECT_FALSE(monitor.record(0, query(0, 5)));
  monitor.add_slow(0, SlowQuery());
  monitor.tick(0, now_ns());
  monitor.start();
  EXPECT_EQ(monitor.history(), nullptr);
  EXPECT_EQ(monitor.snapshot().queries(), 1);
}

TEST(QueryPerformanceMonitor, TheHistorianEndsWithIt) {
  QueryPerformanceMonitor monitor(1, kinds,
                                  RecordingOptions{.normalized = [](std::string_view) { return std::string(); }});
  monitor.start();
  monitor.record(0, query(0, 5));
}

}  // namespace
}  // namespace millrace
