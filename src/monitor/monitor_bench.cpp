// What bench/monitor_cost, bench/quantiles and bench/estimates measure of the monitor alone: prints one JSON object.
//
//     monitor_bench cost SECONDS      what recording a query takes, on two threads, with history being made beside them
//     monitor_bench quantiles COUNT   how far percentiles are off on heavy-tailed data, and what a template occupies
//     monitor_bench estimates COUNT   what it takes to estimate how long a statement will take, of so many templates

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <string_view>
#include <thread>

#include "base/clock.hpp"
#include "monitor/query_performance_monitor.hpp"
#include "monitor/time_estimates.hpp"

using namespace millrace;

namespace {

constexpr std::size_t threads = 2;
constexpr std::uint64_t templates = 200;
constexpr std::size_t applications = 8;

std::string as_it_is(std::string_view text) { return std::string(text); }

/// A database's latencies in ns: hits of its cache, joins, and a heavy tail (Pareto, alpha 1.3).
class Latency {
 public:
  explicit Latency(std::uint64_t seed) : random_(seed) {}
  std::int64_t next() {
    const double kind = uniform_(random_);
    if (kind < 0.80) return static_cast<std::int64_t>(quick_(random_));
    if (kind < 0.98) return static_cast<std::int64_t>(slow_(random_));
    return static_cast<std::int64_t>(20e6 / std::pow(1 - uniform_(random_), 1 / 1.3));
  }

 private:
  std::mt19937_64 random_;
  std::uniform_real_distribution<double> uniform_{0, 1};
  std::lognormal_distribution<double> quick_{std::log(180e3), 0.4};
  std::lognormal_distribution<double> slow_{std::log(3e6), 0.7};
};

std::vector<QueryRecord> made_queries(std::uint64_t seed) {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> made;
    for (std::size_t i = 0; i < applications; ++i) made.push_back("application-" + std::to_string(i));
    return made;
  }();
  Latency latency(seed);
  std::mt19937_64 random(seed);
  std::vector<QueryRecord> made(4096);
  for (QueryRecord& query : made) {
    query = {.fingerprint = (random() % templates) * 0x9e3779b97f4a7c15,
             .user = "application",
             .database = "production",
             .application = names[random() % names.size()],
             .first_byte_ns = 1000,
             .duration_ns = latency.next(),
             .rows = 1,
             .bytes_out = 100,
             .cache = CacheUse::hit};
  }
  return made;
}

/// Nanoseconds a query, of each of the threads.
double cost(bool records, std::chrono::nanoseconds time) {
  std::optional<RecordingOptions> options;
  if (records) options = RecordingOptions{.normalized = as_it_is};
  QueryPerformanceMonitor monitor(threads, {{"select", StatementGroup::read}}, std::move(options));
  monitor.start();
  std::atomic<std::uint64_t> done = 0;
  const std::int64_t started = now_ns();
  {
    std::vector<std::jthread> writers;
    for (std::size_t core = 0; core < threads; ++core) {
      writers.emplace_back([&, core] {
        std::vector<QueryRecord> queries = made_queries(core);
        std::uint64_t count = 0;
        for (std::int64_t now = started; now - started < time.count(); now = now_ns()) {
          for (QueryRecord& query : queries) {
            query.started_ns = now - query.duration_ns;
            if (monitor.record(core, query))
              monitor.describe(core, {.fingerprint = query.fingerprint, .text = "SELECT 1"});
          }
          count += queries.size();
        }
        done += count;
      });
    }
  }
  const auto took = static_cast<double>(now_ns() - started);
  return took * static_cast<double>(threads) / static_cast<double>(done);
}

void print_cost(std::chrono::nanoseconds time) {
  // In turns, so that what else the machine does falls on both.
  double counted = 0, recorded = 0;
  constexpr int turns = 4;
  for (int turn = 0; turn < turns; ++turn) {
    counted += cost(false, time / (2 * turns)) / turns;
    recorded += cost(true, time / (2 * turns)) / turns;
  }
  std::printf("{\"ns_per_query\": %.1f, \"ns_per_query_counted\": %.1f}\n", recorded, counted);
}

double off(std::uint64_t said, std::int64_t exact) {
  return std::abs(static_cast<double>(said) - static_cast<double>(exact)) / static_cast<double>(exact);
}

void print_quantiles(std::size_t count) {
  constexpr int seeds = 10;
  double worst[3] = {};
  const double q[3] = {0.5, 0.99, 0.999};
  std::size_t bytes = 0, full_bytes = 0;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    Latency latency(seed);
    QueryPerformanceMonitor monitor(1, {{"select", StatementGroup::read}}, RecordingOptions{.normalized = as_it_is});
    std::vector<std::int64_t> values(count);
    std::int64_t now = now_ns();
    for (std::int64_t& value : values) {
      value = latency.next();
      now += 10'000'000;  // a hundred a second, so that most of it is history that was merged again and again
      if (monitor.record(0, {.fingerprint = 1, .started_ns = now - value, .duration_ns = value}))
        monitor.describe(0, {.fingerprint = 1, .text = ""});
      if (now % 1'000'000'000 < 10'000'000) monitor.make_history(now);
    }
    for (int i = 0; i < 3; ++i) {
      monitor.tick(0, now += 2'000'000'000);
      monitor.make_history(now);
    }
    const PeriodReport report = monitor.history()->report(SubjectKind::query_template, {}, now);
    const SubjectReport& only = report.subjects.front();
    if (only.durations.count() != count) std::fprintf(stderr, "some were lost\n");
    std::ranges::sort(values);
    for (int i = 0; i < 3; ++i) {
      const auto rank = static_cast<std::size_t>(std::ceil(q[i] * static_cast<double>(count))) - 1;
      worst[i] = std::max(worst[i], off(only.durations.quantile(q[i]), values[rank]));
    }
    bytes += sizeof(SubjectFigures) + only.durations.heap_bytes();
    full_bytes += LogLinear::buckets * sizeof(std::uint64_t);
  }
  std::printf(
      "{\"p50\": %.5f, \"p99\": %.5f, \"p999\": %.5f, \"bytes_per_template\": %zu, \"bytes_of_a_dense_one\": %zu}\n",
      worst[0], worst[1], worst[2], bytes / seeds, full_bytes / seeds);
}

/// The median of several, in microseconds.
template <typename F>
double microseconds(F&& work) {
  std::vector<double> took(21);
  for (double& one : took) {
    const std::int64_t started = now_ns();
    work();
    one = static_cast<double>(now_ns() - started) / 1e3;
  }
  std::ranges::nth_element(took, took.begin() + 10);
  return took[10];
}

/// After a day in which each template was called ten times a minute.
void print_estimates(std::uint64_t count) {
  constexpr int minutes = 1440, calls = 10;
  const auto fingerprint = [](std::uint64_t number) { return (number + 1) * 0x9e3779b97f4a7c15; };
  const std::string text(300, 'x');
  const auto recorded = std::make_shared<QueryPerformanceMonitor>(
      1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}}, RecordingOptions{.normalized = as_it_is});
  QueryPerformanceMonitor& monitor = *recorded;
  const auto plans = std::make_shared<TemplatePlans>();
  Latency latency(1);
  std::int64_t now = now_ns();
  for (int minute = 0; minute < minutes; ++minute) {
    for (std::uint64_t number = 0; number < count; ++number) {
      for (int call = 0; call < calls; ++call) {
        if (monitor.record(0, {.fingerprint = fingerprint(number), .started_ns = now, .duration_ns = latency.next()}))
          monitor.describe(0, {.fingerprint = fingerprint(number), .text = text, .database = "d"});
      }
    }
    monitor.tick(0, now += 60'000'000'000);
    monitor.make_history(now);
  }
  for (std::uint64_t number = 0; number < count; ++number) {
    plans->note(fingerprint(number),
                {.outline = {"Seq Scan"}, .total_cost = 1 + static_cast<double>(number), .at_ns = now});
  }
  const TimeEstimates estimates(recorded, plans);
  const double own = microseconds([&] { estimates.of(fingerprint(0), 100, now); });
  const double kept = microseconds([&] { estimates.of(0, 100, now); });
  const double made = microseconds([&] { TimeEstimates(recorded, plans).of(0, 100, now); });
  std::printf("{\"own_calls_us\": %.1f, \"by_costs_us\": %.1f, \"by_costs_anew_us\": %.1f}\n", own, kept, made);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc == 3 ? argv[1] : "";
  const double number = argc == 3 ? std::strtod(argv[2], nullptr) : 0;
  if (number <= 0 || (what != "cost" && what != "quantiles" && what != "estimates")) {
    std::fprintf(stderr, "usage: monitor_bench cost SECONDS | quantiles COUNT | estimates COUNT\n");
    return 2;
  }
  if (what == "cost") print_cost(std::chrono::nanoseconds(static_cast<std::int64_t>(number * 1e9)));
  if (what == "quantiles") print_quantiles(static_cast<std::size_t>(number));
  if (what == "estimates") print_estimates(static_cast<std::uint64_t>(number));
  return 0;
}
