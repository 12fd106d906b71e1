#include "monitor/alert_rules.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

using Metric = PerformanceMetricType;
using Time = AlertRules::Time;

/// Seconds of a made-up service.
class Service {
 public:
  IntervalFigures second(int queries, int failed = 0, double ms = 1, double cpu = 10) {
    now_ += std::chrono::seconds(1);
    IntervalFigures figures{.at = now_,
                            .seconds = 1,
                            .queries = static_cast<std::uint64_t>(queries),
                            .failed = static_cast<std::uint64_t>(failed),
                            .most_errors = {},
                            .durations = {},
                            .reads = {},
                            .system = {.cpu_percent = cpu, .memory_percent = 40, .process_mb = 100}};
    for (int i = 0; i < queries; ++i) figures.durations.add(LogLinear::index(static_cast<std::uint64_t>(ms * 1e6)), 1);
    return figures;
  }
  Time now() const { return now_; }

 private:
  Time now_{std::chrono::seconds(1'750'000'000)};
};

class Rules : public testing::Test {
 protected:
  AlertRules::Created create(AlertThreshold threshold) { return rules_.create(threshold, service_.now()).value(); }
  void run(int seconds, int queries, int failed = 0, double ms = 1, double cpu = 10) {
    for (int i = 0; i < seconds; ++i) rules_.observe(service_.second(queries, failed, ms, cpu));
  }
  AlertState state(const std::string& rule_id) {
    for (const AlertRule& rule : rules_.rules()) {
      if (rule.rule_id == rule_id) return rule.state;
    }
    ADD_FAILURE() << "no rule " << rule_id;
    return AlertState::inactive;
  }

  Service service_;
  AlertRules rules_;
};

TEST_F(Rules, PendingThenFiringThenResolved) {
  const std::string rule =
      create({.metric_type = Metric::error_rate, .threshold_value = 5, .window_minutes = 1, .min_occurrences = 3})
          .rule.rule_id;
  run(30, 100);
  EXPECT_EQ(state(rule), AlertState::inactive);
  run(10, 100, 10);
  EXPECT_EQ(state(rule), AlertState::pending);
  EXPECT_TRUE(rules_.take_events().empty());
  run(20, 100, 10);
  EXPECT_EQ(state(rule), AlertState::firing);
  auto events = rules_.take_events();
  ASSERT_EQ(events.size(), 1);
  EXPECT_FALSE(events[0].resolved);
  EXPECT_EQ(events[0].current_value, 10);
  EXPECT_EQ(events[0].description, "error rate is 10 %: over 5 % for 30 seconds within a minute");
  run(30, 100, 10);
  EXPECT_TRUE(rules_.take_events().empty()) << "told once";
  run(50, 100);
  EXPECT_EQ(state(rule), AlertState::firing) << "not a whole minute yet";
  run(10, 100);
  EXPECT_EQ(state(rule), AlertState::inactive);
  events = rules_.take_events();
  ASSERT_EQ(events.size(), 1);
  EXPECT_TRUE(events[0].resolved);
  EXPECT_EQ(rules_.alerts(true).size(), 0);
  EXPECT_EQ(rules_.alerts(false).size(), 1);
}

TEST_F(Rules, PendingIsOverWithTheWindow) {
  const std::string rule =
      create({.metric_type = Metric::error_rate, .threshold_value = 5, .window_minutes = 1, .min_occurrences = 3})
          .rule.rule_id;
  run(20, 100, 10);
  EXPECT_EQ(state(rule), AlertState::pending);
  run(60, 100);
  EXPECT_EQ(state(rule), AlertState::inactive);
}

TEST_F(Rules, OccurrencesOfExecutionTimeAreQueries) {
  const std::string rule =
      create({.metric_type = Metric::execution_time, .threshold_value = 100, .window_minutes = 1, .min_occurrences = 3})
          .rule.rule_id;
  run(1, 2, 0, 250);
  EXPECT_EQ(state(rule), AlertState::pending);
  run(1, 1, 0, 250);
  EXPECT_EQ(state(rule), AlertState::firing) << "in the second of the third, not after ten";
  const auto events = rules_.take_events();
  ASSERT_EQ(events.size(), 1);
  EXPECT_NEAR(events[0].current_value, 250, 5);
  run(100, 10, 0, 95);
  EXPECT_EQ(state(rule), AlertState::firing) << "three were within a minute until a minute later";
  run(20, 10, 0, 95);
  EXPECT_EQ(state(rule), AlertState::inactive) << "nearly as slow isn't";
}

TEST_F(Rules, ExecutionTimeIsOverWithoutAnyQuery) {
  const AlertThreshold base{.metric_type = Metric::execution_time, .threshold_value = 100, .window_minutes = 1};
  AlertThreshold stricter = base;
  stricter.clear_value = 50;
  const std::string rule = create(base).rule.rule_id;
  const std::string strict = create(stricter).rule.rule_id;
  run(10, 1, 0, 250);
  run(120, 1, 0, 70);
  EXPECT_EQ(state(rule), AlertState::inactive);
  EXPECT_EQ(state(strict), AlertState::firing) << "over its clear_value";
  run(60, 0);
  EXPECT_EQ(state(strict), AlertState::inactive);
}

TEST_F(Rules, TheClearThresholdIsAnother) {
  const std::string rule =
      create({.metric_type = Metric::cpu_usage, .threshold_value = 80, .clear_value = 60}).rule.rule_id;
  run(10, 1, 0, 1, 90);
  EXPECT_EQ(state(rule), AlertState::firing);
  run(120, 1, 0, 1, 70);
  EXPECT_EQ(state(rule), AlertState::firing) << "between the two";
  run(60, 1, 0, 1, 50);
  EXPECT_EQ(state(rule), AlertState::inactive);
}

TEST_F(Rules, FewSamplesSayNothing) {
  const std::string rule =
      create({.metric_type = Metric::error_rate, .threshold_value = 5, .min_samples = 50}).rule.rule_id;
  run(60, 1, 1);
  EXPECT_EQ(state(rule), AlertState::inactive);
  run(10, 10, 5);
  EXPECT_EQ(state(rule), AlertState::firing);
}

TEST_F(Rules, WhatNoDataMeans) {
  const AlertThreshold base{.metric_type = Metric::error_rate, .threshold_value = 5};
  std::array<std::string, 3> rules;
  for (const auto policy : {NoDataPolicy::keep, NoDataPolicy::ok, NoDataPolicy::alert}) {
    AlertThreshold threshold = base;
    threshold.no_data = policy;
    rules[static_cast<std::size_t>(policy)] = create(threshold).rule.rule_id;
  }
  const auto& [keep, ok, alert] = rules;
  run(10, 0);
  EXPECT_EQ(state(keep), AlertState::inactive);
  EXPECT_EQ(state(alert), AlertState::firing);
  EXPECT_EQ(rules_.alerts(true).at(0).description,
            "there is nothing to take the error rate of, for 10 seconds within 5 minutes");
  run(10, 100, 50);
  EXPECT_EQ(state(keep), AlertState::firing);
  EXPECT_EQ(state(ok), AlertState::firing);
  run(70, 0);
  EXPECT_EQ(state(keep), AlertState::firing);
  EXPECT_EQ(state(ok), AlertState::inactive);
  EXPECT_EQ(state(alert), AlertState::firing);
}

TEST_F(Rules, NoDataIsNoFigureInANewRulesAlertEither) {
  run(10, 0);
  const auto created =
      create({.metric_type = Metric::error_rate, .threshold_value = 5, .no_data = NoDataPolicy::alert});
  ASSERT_TRUE(created.alert);
  EXPECT_EQ(created.alert->description, "there is nothing to take the error rate of, for 10 seconds within 5 minutes");
}

TEST_F(Rules, TenLooksAreASliceThoughTheyAreALittleShort) {
  const std::string rule = create({.metric_type = Metric::cpu_usage, .threshold_value = 80}).rule.rule_id;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(state(rule), AlertState::inactive) << i;
    IntervalFigures figures = service_.second(1, 0, 1, 90);
    figures.seconds = 0.99;
    rules_.observe(figures);
  }
  EXPECT_EQ(state(rule), AlertState::firing);
}

TEST_F(Rules, LessThanIsAThresholdToo) {
  const std::string rule =
      create({.metric_type = Metric::throughput, .threshold_value = 50, .comparison_operator = "<"}).rule.rule_id;
  run(20, 60);
  EXPECT_EQ(state(rule), AlertState::inactive);
  run(10, 20);
  EXPECT_EQ(state(rule), AlertState::firing);
  run(120, 52);
  EXPECT_EQ(state(rule), AlertState::firing) << "a tenth above it clears";
  run(60, 56);
  EXPECT_EQ(state(rule), AlertState::inactive);
}

TEST_F(Rules, OneThatIsViolatedAlreadyFiresAtOnce) {
  run(10, 1, 0, 1, 95);
  const auto created = create({.metric_type = Metric::cpu_usage, .threshold_value = 80});
  ASSERT_TRUE(created.alert);
  EXPECT_EQ(created.alert->current_value, 95);
  EXPECT_EQ(create({.metric_type = Metric::cpu_usage, .threshold_value = 80}).rule.rule_id, created.rule.rule_id)
      << "the same rule isn't made twice";
  EXPECT_EQ(rules_.alerts(true).size(), 1);
  EXPECT_FALSE(create({.metric_type = Metric::cpu_usage, .threshold_value = 99}).alert);
}

TEST_F(Rules, ByHand) {
  const std::string rule = create({.metric_type = Metric::cpu_usage, .threshold_value = 80}).rule.rule_id;
  run(10, 1, 0, 1, 90);
  const std::string id = rules_.alerts(true).at(0).alert_id;
  EXPECT_EQ(rules_.acknowledge(id, "ada")->acknowledged_by, "ada");
  EXPECT_TRUE(rules_.resolve(id, service_.now())->resolved);
  EXPECT_EQ(state(rule), AlertState::inactive);
  run(10, 1, 0, 1, 90);
  EXPECT_EQ(rules_.alerts(true).size(), 1) << "it comes again";
  EXPECT_NE(rules_.alerts(true).at(0).alert_id, id);
  EXPECT_EQ(rules_.remove_rule(rule, service_.now()), AlertRules::Removal::done);
  EXPECT_EQ(rules_.remove_rule(rule, service_.now()), AlertRules::Removal::absent);
  EXPECT_TRUE(rules_.alerts(true).empty());
  EXPECT_TRUE(rules_.remove_alert(id, service_.now()));
  EXPECT_FALSE(rules_.remove_alert(id, service_.now()));
  EXPECT_FALSE(rules_.acknowledge("nosuch", "ada"));
  EXPECT_FALSE(rules_.resolve("nosuch", service_.now()));
  EXPECT_EQ(rules_.take_events().size(), 4);
}

TEST_F(Rules, WhatIsSwitchedOffDoesNotFire) {
  const std::string rule =
      create({.metric_type = Metric::cpu_usage, .threshold_value = 80, .enabled = false}).rule.rule_id;
  run(60, 1, 0, 1, 99);
  EXPECT_EQ(state(rule), AlertState::inactive);
}

TEST_F(Rules, BuiltInOnesStay) {
  rules_.built_in({{"builtin_cpu", {.metric_type = Metric::cpu_usage, .threshold_value = 80}}});
  run(10, 1, 0, 1, 90);
  EXPECT_EQ(state("builtin_cpu"), AlertState::firing);
  EXPECT_EQ(rules_.remove_rule("builtin_cpu", service_.now()), AlertRules::Removal::is_built_in);
  rules_.built_in({{"builtin_cpu", {.metric_type = Metric::cpu_usage, .threshold_value = 95}}});
  EXPECT_EQ(state("builtin_cpu"), AlertState::firing) << "a reload loses no alert";
  run(60, 1, 0, 1, 50);
  EXPECT_EQ(state("builtin_cpu"), AlertState::inactive);
}

TEST_F(Rules, AReloadForgetsNoOccurrences) {
  const AlertThreshold cpu{.metric_type = Metric::cpu_usage, .threshold_value = 80, .min_occurrences = 2};
  const AlertThreshold memory{.metric_type = Metric::memory_usage, .threshold_value = 90, .min_occurrences = 2};
  rules_.built_in({{"builtin_cpu", cpu}, {"builtin_memory", memory}});
  run(10, 1, 0, 1, 90);
  AlertThreshold another = memory;
  another.threshold_value = 95;
  rules_.built_in({{"builtin_cpu", cpu}, {"builtin_memory", another}});
  run(10, 1, 0, 1, 90);
  EXPECT_EQ(state("builtin_cpu"), AlertState::firing);
  EXPECT_EQ(state("builtin_memory"), AlertState::pending) << "another rule counts anew";
}

TEST_F(Rules, SurviveARestart) {
  rules_.built_in({{"builtin_cpu", {.metric_type = Metric::cpu_usage, .threshold_value = 80}}});
  const std::string mine =
      create({.metric_type = Metric::error_rate, .threshold_value = 5, .notification_channels = {"ops"}}).rule.rule_id;
  run(10, 100, 50, 1, 90);
  EXPECT_GT(rules_.changes(), 0);
  AlertRules next;
  next.built_in({{"builtin_cpu", {.metric_type = Metric::cpu_usage, .threshold_value = 80}}});
  StoredAlerts stored = rules_.stored();
  ASSERT_EQ(stored.rules.size(), 1);
  ASSERT_EQ(stored.alerts.size(), 2);
  stored.alerts.push_back(stored.alerts[0]);
  stored.alerts.back().alert_id = "orphan";
  stored.alerts.back().rule_id = "gone";
  next.restore(std::move(stored));
  EXPECT_EQ(next.rules().size(), 2);
  EXPECT_EQ(next.alerts(true).size(), 2) << "one of a rule that is gone doesn't fire for ever";
  EXPECT_TRUE(next.take_events().empty()) << "nobody is told again";
  for (int i = 0; i < 70; ++i) next.observe(service_.second(100));
  EXPECT_TRUE(next.alerts(true).empty());
  EXPECT_EQ(next.take_events().size(), 2);
  EXPECT_EQ(next.remove_rule(mine, service_.now()), AlertRules::Removal::done);
}

TEST_F(Rules, AreBounded) {
  for (std::size_t i = 0; i < AlertRules::most_rules; ++i) {
    ASSERT_TRUE(rules_.create({.threshold_value = static_cast<double>(i)}, service_.now()));
  }
  EXPECT_FALSE(rules_.create({.threshold_value = 1e6}, service_.now()));
  AlertRules flapping;
  const auto made = flapping.create({.metric_type = Metric::cpu_usage, .threshold_value = 80}, service_.now());
  for (std::size_t i = 0; i < AlertRules::kept_alerts + 20; ++i) {
    for (int s = 0; s < 10; ++s) flapping.observe(service_.second(1, 0, 1, 90));
    flapping.resolve(flapping.alerts(true).at(0).alert_id, service_.now());
  }
  EXPECT_EQ(flapping.alerts(false).size(), AlertRules::kept_alerts);
}

TEST_F(Rules, WhatIsJustOverIsKept) {
  create({.metric_type = Metric::cpu_usage, .threshold_value = 80});
  run(10, 1, 0, 1, 90);
  const std::string oldest = rules_.alerts(true).at(0).alert_id;
  create({.metric_type = Metric::memory_usage, .threshold_value = 50});
  std::string first_over;
  for (std::size_t i = 0; i < AlertRules::kept_alerts + 5; ++i) {
    const auto open = rules_.alerts(true);
    ASSERT_EQ(open.size(), 2);
    EXPECT_EQ(rules_.resolve(open[0].alert_id, service_.now())->alert_id, open[0].alert_id);
    if (first_over.empty()) first_over = open[0].alert_id;
    run(10, 1, 0, 1, 90);
  }
  const auto over = rules_.resolve(oldest, service_.now());
  ASSERT_TRUE(over);
  EXPECT_EQ(over->alert_id, oldest);
  EXPECT_TRUE(over->resolved);
  const auto alerts = rules_.alerts(false);
  EXPECT_EQ(std::ranges::count(alerts, oldest, &Alert::alert_id), 1) << "though it began before all others";
  EXPECT_EQ(std::ranges::count(alerts, first_over, &Alert::alert_id), 0);
  EXPECT_EQ(alerts.size(), AlertRules::kept_alerts + 1) << "and one that fires";
}

TEST(AlertThreshold, Clears) {
  const AlertThreshold over{.threshold_value = 80};
  EXPECT_FALSE(is_clear(over, 75));
  EXPECT_TRUE(is_clear(over, 72));
  const AlertThreshold under{.threshold_value = 70, .comparison_operator = "<"};
  EXPECT_FALSE(is_clear(under, 72));
  EXPECT_TRUE(is_clear(under, 77));
  const AlertThreshold hits{.metric_type = Metric::cache_hit_rate, .threshold_value = 95, .comparison_operator = "<"};
  EXPECT_FALSE(is_clear(hits, 97));
  EXPECT_TRUE(is_clear(hits, 97.5)) << "104.5 % there can't be";
  const AlertThreshold all{.metric_type = Metric::cache_hit_rate, .threshold_value = 100, .comparison_operator = "<"};
  EXPECT_TRUE(is_clear(all, 100));
  EXPECT_FALSE(is_measured(Metric::lock_contention));
  EXPECT_TRUE(is_measured(Metric::execution_time));
  EXPECT_FALSE(suggested_actions(Metric::queue_depth).empty());
}

}  // namespace
}  // namespace millrace
