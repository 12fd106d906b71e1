#include "monitor/performance_watch.hpp"

#include <gtest/gtest.h>

#include "base/clock.hpp"

namespace millrace {
namespace {

class Kept {
 public:
  void put(std::size_t alerts, bool resolved) {
    const std::lock_guard lock(mutex_);
    (resolved ? resolved_ : alerts_) += alerts;
    changed_.notify_all();
  }
  void save(std::size_t rules) {
    const std::lock_guard lock(mutex_);
    rules_ = rules;
    changed_.notify_all();
  }
  template <typename F>
  bool wait(F&& until) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return until(alerts_, resolved_, rules_); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t alerts_ = 0;
  std::size_t resolved_ = 0;
  std::size_t rules_ = 0;
};

TEST(PerformanceWatch, TellsWhatTheMonitorHasSeen) {
  auto monitor =
      std::make_shared<QueryPerformanceMonitor>(1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}});
  Kept kept;
  PerformanceWatch watch(monitor, {},
                         {.alert = [&](const Alert& alert) { kept.put(1, alert.resolved); },
                          .save =
                              [&](const StoredAlerts& stored) {
                                kept.save(stored.rules.size());
                                return true;
                              }});
  watch.start();
  const auto now = std::chrono::system_clock::now();
  const auto made = watch.alerts().create({.threshold_value = 50, .min_occurrences = 2}, now);
  watch.changed();
  EXPECT_TRUE(kept.wait([](auto, auto, auto rules) { return rules == 1; })) << "a new rule is saved";
  for (int i = 0; i < 2; ++i) monitor->record(0, {.started_ns = now_ns(), .duration_ns = 80'000'000});
  EXPECT_TRUE(kept.wait([](auto alerts, auto, auto) { return alerts == 1; })) << "two slow queries fire it";
  watch.alerts().resolve(watch.alerts().alerts(true).at(0).alert_id, now);
  watch.changed();
  EXPECT_TRUE(kept.wait([](auto, auto resolved, auto) { return resolved == 1; }));
  watch.alerts().remove_rule(made->rule.rule_id, now);
  watch.stop();
  EXPECT_TRUE(kept.wait([](auto, auto, auto rules) { return rules == 0; })) << "what is left is saved in the end";
  watch.stop();
}

TEST(PerformanceWatch, TriesAgainToSave) {
  auto monitor =
      std::make_shared<QueryPerformanceMonitor>(1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}});
  Kept kept;
  int attempts = 0;
  PerformanceWatch watch(monitor, {}, {.save = [&](const StoredAlerts& stored) {
                           if (++attempts == 1) return false;
                           kept.save(stored.rules.size());
                           return true;
                         }});
  watch.alerts().create({.threshold_value = 50}, std::chrono::system_clock::now());
  watch.start();
  EXPECT_TRUE(kept.wait([](auto, auto, auto rules) { return rules == 1; })) << "what was made before it started too";
  watch.stop();
  EXPECT_EQ(attempts, 2) << "what is saved isn't saved again";
}

TEST(SystemUsage, IsOfThisMachine) {
  SystemUsageMeter meter;
  meter.look();
  const SystemUsage usage = meter.look();
  EXPECT_GT(usage.memory_percent, 0);
  EXPECT_LE(usage.memory_percent, 100);
  EXPECT_GT(usage.process_mb, 0);
  EXPECT_FALSE(usage.cpu_percent < 0 || usage.cpu_percent > 100);
}

TEST(IntervalFigures, AreWhatLiesBetween) {
  QueryPerformanceMonitor monitor(
      2, {{.name = "select", .group = StatementGroup::read}, {.name = "insert", .group = StatementGroup::write}});
  const auto record = [&](std::size_t core, std::uint8_t kind, std::int64_t ms, std::string_view sqlstate = {}) {
    QueryRecord query{.kind = kind, .started_ns = now_ns(), .queue_ns = 5'000'000, .duration_ns = ms * 1'000'000};
    std::copy(sqlstate.begin(), sqlstate.end(), query.sqlstate.begin());
    monitor.record(core, query);
  };
  record(0, 0, 1000);
  const auto before = monitor.snapshot();
  record(0, 0, 10);
  record(1, 1, 20);
  record(1, 0, 2000, "57014");
  monitor.wire(0).cache_hits.add(3);
  monitor.wire(1).cache_misses.add(1);
  monitor.wire(1).clients_waiting.add(4);
  const auto figures = figures_between(before, monitor.snapshot(), std::chrono::seconds(1), {}, {});
  EXPECT_EQ(figures.queries, 3);
  EXPECT_EQ(figures.failed, 1);
  EXPECT_EQ(figures.slow, 1);
  EXPECT_EQ(figures.most_errors, "57");
  EXPECT_EQ(figures.reads.count(), 2);
  EXPECT_NEAR(figures.quantile_ms(0.5), 20, 1);
  EXPECT_NEAR(figures.queue_p95_ms, 5, 0.2);
  EXPECT_EQ(figures.cache_hit_rate(), 75);
  EXPECT_EQ(figures.waiting, 4);
  EXPECT_NEAR(figures.error_rate(), 100.0 / 3, 1e-9);
}

}  // namespace
}  // namespace millrace
