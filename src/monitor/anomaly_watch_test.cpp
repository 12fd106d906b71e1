#include "monitor/anomaly_watch.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

namespace millrace {
namespace {

/// A second of a service: what is usual, times what is said.
struct Second {
  double load = 1;
  double slower = 1;
  double slower_share = 1;    ///< of the queries
  double reports = 0;         ///< a second, of another template, that takes a hundred times as long
  double reports_slower = 1;  ///< beside `slower`
  double errors = 0;          ///< percent
  int waiting = 0;
  double hits = 90;              ///< percent, as it is counted
  double taken_from_memory = 0;  ///< percent, which takes no time
  double cpu = 30;
};

class Watched {
 public:
  explicit Watched(unsigned seed) : random_(seed) {}

  std::vector<PerformanceAnomaly> run(int seconds, const Second& second) {
    std::vector<PerformanceAnomaly> found;
    for (int i = 0; i < seconds; ++i) {
      const IntervalFigures made = figures(second);
      if (auto anomaly = watch_.observe(made, by_template_)) found.push_back(*std::move(anomaly));
    }
    return found;
  }
  /// As `run`, of the templates only.
  std::vector<PerformanceAnomaly> run_templates(int seconds, const Second& second, const TemplatePlans* plans,
                                                std::vector<TemplateChange> changes) {
    std::vector<PerformanceAnomaly> found;
    for (int i = 0; i < seconds; ++i) {
      const IntervalFigures made = figures(second);
      watch_.observe(made, by_template_);
      if (auto anomaly = watch_.observe_templates(made, std::exchange(changes, {}), plans)) {
        found.push_back(*std::move(anomaly));
      }
    }
    return found;
  }
  double now() const { return std::chrono::duration<double>(at_.time_since_epoch()).count(); }
  const AnomalyWatch& watch() const { return watch_; }
  void set_clock_back(std::chrono::seconds by) { at_ -= by; }

 private:
  IntervalFigures figures(const Second& second) {
    at_ += std::chrono::seconds(1);
    IntervalFigures made{.at = at_,
                         .seconds = 1,
                         .most_errors = second.errors > 0 ? "57" : "",
                         .durations = {},
                         .reads = {},
                         .waiting = static_cast<std::uint64_t>(second.waiting),
                         .queue_p95_ms = second.waiting * 40.0,
                         .system = {.cpu_percent = second.cpu, .memory_percent = 40, .process_mb = 100}};
    Interval interval{.from_ns = to_ns_, .to_ns = to_ns_ += 1'000'000'000};
    const auto call = [&](SubjectId id, double calls, double ms, double slower) {
      std::lognormal_distribution<double> latency(std::log(1e6 * ms), 0.5);
      std::bernoulli_distribution is_slower(second.slower_share);
      std::map<std::uint16_t, std::uint64_t> counts;
      std::bernoulli_distribution is_hit(second.taken_from_memory / 100);
      QueryFigures counted;
      for (int left = std::poisson_distribution<int>(calls)(random_); left > 0; --left) {
        double ns = latency(random_) * (is_slower(random_) ? slower : 1);
        if (second.taken_from_memory > 0 && is_hit(random_)) {
          ns = 0;
          ++counted.hits;
        }
        const auto bucket = static_cast<std::uint16_t>(LogLinear::index(static_cast<std::uint64_t>(ns)));
        made.durations.add(bucket, 1);
        ++counts[bucket];
      }
      std::vector<BucketCount> buckets;
      for (const auto& [bucket, of_bucket] : counts) buckets.push_back({.bucket = bucket, .count = of_bucket});
      interval.subjects.push_back({.id = id, .figures = counted, .durations = CompactHistogram(buckets)});
    };
    call(8, 300 * second.load, 4, second.slower);
    call(16, second.reports, 400, second.slower * second.reports_slower);
    by_template_ = {std::make_shared<const Interval>(std::move(interval))};
    made.queries = made.durations.count();
    const auto part = [&](double percent) {
      return static_cast<std::uint64_t>(
          std::binomial_distribution<int>(static_cast<int>(made.queries), percent / 100)(random_));
    };
    made.failed = part(second.errors);
    made.cache_hits = part(second.hits);
    made.cache_misses = made.queries - made.cache_hits;
    return made;
  }

  std::mt19937_64 random_;
  std::chrono::system_clock::time_point at_{std::chrono::seconds(1'750'000'000)};
  std::int64_t to_ns_ = 1'000'000'000;
  std::vector<IntervalPtr> by_template_;
  AnomalyWatch watch_{DetectorProfile::medium};
};

TEST(AnomalyWatch, SaysThatStatementsAreSlowerAndWhy) {
  Watched service(1);
  EXPECT_TRUE(service.run(600, {}).empty());
  const auto found = service.run(55, {.slower = 6, .hits = 20});
  ASSERT_EQ(found.size(), 1) << "within a minute, once";
  const PerformanceAnomaly& anomaly = found[0];
  EXPECT_EQ(anomaly.anomaly_type, AnomalyType::slow_query);
  EXPECT_EQ(anomaly.severity, AlertSeverity::high);
  EXPECT_NEAR(anomaly.actual_value / anomaly.threshold_value, 6, 2);
  EXPECT_TRUE(anomaly.description.starts_with("Statements take ")) << anomaly.description;
  EXPECT_NE(anomaly.description.find("fewer answers come from memory: "), std::string::npos) << anomaly.description;
  EXPECT_GT(anomaly.confidence_score, 0.5);
  EXPECT_LE(anomaly.confidence_score, 1);
  EXPECT_FALSE(anomaly.suggested_actions.empty());
  EXPECT_TRUE(anomaly.metrics.contains("latency_p95_ms"));
  EXPECT_EQ(service.watch().anomalies().size(), 1);
  EXPECT_FALSE(service.watch().marks().empty());
}

TEST(AnomalyWatch, SaysThatStatementsFail) {
  Watched service(2);
  service.run(600, {});
  const auto found = service.run(55, {.load = 0.4, .errors = 40});
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].anomaly_type, AnomalyType::error_spike);
  EXPECT_EQ(found[0].severity, AlertSeverity::critical);
  EXPECT_NE(found[0].description.find("SQLSTATE class 57"), std::string::npos) << found[0].description;
}

TEST(AnomalyWatch, SaysThatClientsWait) {
  Watched service(3);
  service.run(600, {});
  const auto found = service.run(55, {.slower = 4, .waiting = 20});
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].anomaly_type, AnomalyType::queue_buildup);
}

TEST(AnomalyWatch, OneSeriesOnlyMarks) {
  Watched service(4);
  service.run(600, {});
  EXPECT_TRUE(service.run(60, {.hits = 40}).empty());
  bool is_marked = false;
  for (const AnomalyMark& mark : service.watch().marks()) is_marked |= mark.series == "cache_hits";
  EXPECT_TRUE(is_marked);
}

TEST(AnomalyWatch, IsQuietOnAPeakAMomentAndARestart) {
  Watched service(5);
  EXPECT_TRUE(service.run(900, {}).empty());
  // More is asked, and answered as fast.
  EXPECT_TRUE(service.run(120, {.load = 3}).empty());
  EXPECT_TRUE(service.run(300, {}).empty());
  // A deployment: for some seconds all is slow, and cold.
  EXPECT_TRUE(service.run(5, {.load = 0.3, .slower = 5, .hits = 10}).empty());
  EXPECT_TRUE(service.run(300, {}).empty());
  // Nothing at all, then as before.
  EXPECT_TRUE(service.run(20, {.load = 0}).empty());
  EXPECT_TRUE(service.run(300, {}).empty());
}

TEST(AnomalyWatch, IsQuietInABatchOfSlowStatements) {
  Watched service(10);
  const Second usual = {.load = 0.1};
  const Second batch = {.load = 0.1, .reports = 20, .hits = 40, .cpu = 100};
  EXPECT_TRUE(service.run(600, usual).empty());
  for (int night = 0; night < 2; ++night) {
    // Two of five are the batch's; the first night nobody knows what it takes.
    EXPECT_TRUE(service.run(600, batch).empty()) << night;
    EXPECT_TRUE(service.run(600, usual).empty()) << night;
  }
  Second slow_batch = batch;
  slow_batch.slower = 3;
  const auto found = service.run(60, slow_batch);
  ASSERT_FALSE(found.empty()) << "the same statements";
  EXPECT_EQ(found[0].anomaly_type, AnomalyType::high_cpu);
  EXPECT_NEAR(found[0].actual_value / found[0].threshold_value, 3, 1);
}

TEST(AnomalyWatch, FindsThatOnlyTheBatchIsSlower) {
  Watched service(11);
  service.run(600, {.load = 0.1});
  service.run(600, {.load = 0.1, .reports = 10});
  service.run(600, {.load = 0.1});
  const auto found = service.run(60, {.load = 0.1, .reports = 10, .reports_slower = 3, .hits = 20});
  ASSERT_FALSE(found.empty());
  EXPECT_GT(found[0].threshold_value, 100) << "usually, in ms";
}

TEST(AnomalyWatch, AnotherMixIsNoSlowness) {
  Watched service(12);
  EXPECT_TRUE(service.run(900, {.load = 0.2, .reports = 1}).empty());
  EXPECT_TRUE(service.run(120, {.load = 0.15, .reports = 30, .hits = 40}).empty());
  EXPECT_TRUE(service.run(300, {.load = 0.2, .reports = 1}).empty());
  for (const AnomalyMark& mark : service.watch().marks()) EXPECT_FALSE(mark.series.starts_with("latency"));
}

TEST(AnomalyWatch, FewerAnswersFromMemoryAreNoSlowness) {
  Watched service(14);
  EXPECT_TRUE(service.run(900, {.hits = 97, .taken_from_memory = 97}).empty());
  EXPECT_TRUE(service.run(180, {.hits = 90, .taken_from_memory = 90}).empty());
  EXPECT_TRUE(service.run(180, {.hits = 50, .taken_from_memory = 50}).empty());
  for (const AnomalyMark& mark : service.watch().marks()) EXPECT_FALSE(mark.series.starts_with("latency"));
  const auto found = service.run(60, {.slower = 6, .hits = 10, .taken_from_memory = 10});
  ASSERT_FALSE(found.empty()) << "what PostgreSQL answers takes longer";
}

TEST(AnomalyWatch, ThatLessIsUsualAfterAnImprovementIsNoSlowness) {
  Watched service(15);
  service.run(600, {.slower = 3});
  service.run(1500, {});
  for (const AnomalyMark& mark : service.watch().marks()) EXPECT_FALSE(mark.series.starts_with("latency"));
  EXPECT_FALSE(service.run(60, {.slower = 3, .hits = 20}).empty()) << "4 ms are usual by now";
}

TEST(AnomalyWatch, JudgesFewCallsTogether) {
  // PostgreSQL answers three in two seconds.
  const Second usual = {.load = 0.17, .hits = 97, .taken_from_memory = 97};
  Second fewer_hits = usual;
  fewer_hits.hits = 60;
  Second slow = fewer_hits;
  slow.slower = 20;
  int found = 0;
  for (unsigned seed = 20; seed < 30; ++seed) {
    Watched service(seed);
    EXPECT_TRUE(service.run(900, usual).empty());
    // One of them is slow from time to time, while others vote.
    for (int times = 0; times < 12; ++times) {
      EXPECT_TRUE(service.run(1, slow).empty()) << seed;
      EXPECT_TRUE(service.run(7, fewer_hits).empty()) << seed;
    }
    EXPECT_TRUE(service.run(300, usual).empty());
    found += service.run(120, slow).empty() ? 0 : 1;
  }
  EXPECT_GE(found, 5) << "where all are";
}

TEST(AnomalyWatch, IsQuietForAWhileAfterAStop) {
  Watched service(17);
  service.run(900, {});
  // This votes, and is over.
  EXPECT_TRUE(service.run(3, {.slower = 6}).empty());
  EXPECT_TRUE(service.run(5, {}).empty());
  EXPECT_TRUE(service.run(5, {.load = 0}).empty());
  EXPECT_TRUE(service.run(15, {.slower = 6, .hits = 20}).empty());
  EXPECT_FALSE(service.run(40, {.slower = 6, .hits = 20}).empty()) << "it lasts";
}

TEST(AnomalyWatch, FindsATail) {
  Watched service(13);
  service.run(900, {.load = 0.2, .reports = 1});
  // As where some wait for locks.
  const auto found = service.run(60, {.load = 0.2, .slower = 50, .slower_share = 0.1, .reports = 1, .hits = 20});
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].anomaly_type, AnomalyType::slow_query);
}

TEST(AnomalyWatch, TellsAgainOnlyIfItGetsWorse) {
  Watched service(6);
  service.run(600, {});
  ASSERT_EQ(service.run(40, {.slower = 2.5, .hits = 20}).size(), 1);
  const auto worse = service.run(40, {.slower = 40, .hits = 20});
  ASSERT_EQ(worse.size(), 1);
  EXPECT_EQ(worse[0].severity, AlertSeverity::critical);
}

TemplateChange slower(std::uint64_t fingerprint, double at) {
  return {.id = 8 * fingerprint,
          .fingerprint = fingerprint,
          .name = "SELECT room\n  FROM shelves WHERE id = ?",
          .change = {.at = at - 40, .before = 3, .after = 48, .p_value = 1e-6},
          .calls_per_second = 20};
}

TEST(AnomalyWatch, NamesATemplateWhosePlanHasChanged) {
  Watched service(8);
  EXPECT_TRUE(service.run(300, {}).empty());
  TemplatePlans plans;
  const auto planned = [&](std::string step) {
    const std::chrono::system_clock::time_point at{std::chrono::seconds(static_cast<std::int64_t>(service.now()))};
    plans.put(0xab, {.outline = {std::move(step)}, .at = at});
  };
  planned("Index Scan using shelves_pkey on shelves");
  EXPECT_TRUE(service.run_templates(4, {}, &plans, {slower(0xab, service.now())}).empty()) << "one vote";
  EXPECT_EQ(service.watch().suspects(), std::vector<std::uint64_t>{0xab});
  ASSERT_EQ(service.watch().marks().size(), 1);
  EXPECT_EQ(service.watch().marks()[0].series, "template_latency");
  EXPECT_EQ(service.watch().marks()[0].template_id, "00000000000000ab");
  planned("Seq Scan on shelves");
  const auto found = service.run_templates(60, {}, &plans, {});
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].description,
            "SELECT room FROM shelves WHERE id = ? takes 48 ms since 45 s, 3 ms before (geometric means): its plan has "
            "changed: Seq Scan on shelves where there was Index Scan using shelves_pkey on shelves.");
  EXPECT_EQ(found[0].affected_queries, std::vector<std::string>{"00000000000000ab"});
  EXPECT_EQ(found[0].severity, AlertSeverity::high);
  EXPECT_EQ(found[0].related_context.at("series"), "template_latency, plan_change");
  EXPECT_GT(found[0].confidence_score, 0.9);
  EXPECT_EQ(service.watch().anomalies().size(), 1);
}

TEST(AnomalyWatch, NamesTemplatesTogetherWithWhatElseIsUnusual) {
  Watched service(9);
  EXPECT_TRUE(service.run(600, {}).empty());
  const double now = service.now();
  EXPECT_TRUE(service.run_templates(250, {}, nullptr, {slower(1, now), slower(2, now)}).empty()) << "one vote each";
  const auto found = service.run_templates(60, {.load = 3}, nullptr, {slower(3, service.now())});
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].affected_queries.size(), 3);
  EXPECT_NE(found[0].description.find("more is asked"), std::string::npos) << found[0].description;
  EXPECT_TRUE(found[0].description.ends_with(" So it is with 2 more.")) << found[0].description;
}

TEST(AnomalyWatch, AClockThatIsSetBackDoesNotSilenceIt) {
  Watched service(7);
  service.run(600, {});
  ASSERT_EQ(service.run(55, {.slower = 6, .hits = 20}).size(), 1);
  service.set_clock_back(std::chrono::hours(2));
  EXPECT_TRUE(service.run(600, {}).empty());
  EXPECT_EQ(service.run(55, {.slower = 6, .hits = 20}).size(), 1);
}

}  // namespace
}  // namespace millrace
