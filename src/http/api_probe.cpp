// Millrace's API on a free port, with figures of a made-up past: for api_probe_test.py. Prints the port, ends when its
// input does.
#include <cstdio>
#include <thread>

#include "base/clock.hpp"
#include "http/api.hpp"
#include "http/server.hpp"

using namespace millrace;

namespace {

http::asio::awaitable<Result<>> reachable() { co_return Result<>(); }

std::shared_ptr<QueryPerformanceMonitor> monitor_with_a_past() {
  auto monitor = std::make_shared<QueryPerformanceMonitor>(
      1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}, {"insert", StatementGroup::write}},
      RecordingOptions{.normalized = [](std::string_view text) { return std::string(text); }});
  for (std::int64_t i = 1; i <= 1000; ++i) {
    const std::int64_t duration = i * 1'000'000;
    QueryRecord query{.kind = static_cast<std::uint8_t>(i % 2),
                      .started_ns = now_ns() - duration,  // it ends now: what ends later isn't of the last minute
                      .queue_ns = i % 10,
                      .first_byte_ns = i * 900,
                      .duration_ns = duration,
                      .rows = 2};
    if (i % 100 == 0) query.sqlstate = {"40001"};
    if (monitor->record(0, query)) monitor->describe(0, {.text = "SELECT 1", .parameters = {"1", std::nullopt}});
  }
  monitor->add_slow(0, {.text = "SELECT 1", .parameters = {"1"}, .user = "ann", .duration_ns = 2'000'000'000});
  const std::int64_t later = now_ns() + 2'000'000'000;
  monitor->tick(0, later);
  monitor->make_history(later);
  monitor->wire(0).clients_connected.add(7);
  monitor->wire(0).bytes_to_clients.add(123'456);
  return monitor;
}

/// Two alerts, of which "a" stays.
std::shared_ptr<PerformanceWatch> watch_with_alerts(const std::shared_ptr<QueryPerformanceMonitor>& monitor) {
  auto watch = std::make_shared<PerformanceWatch>(monitor, PerformanceWatch::Options(), PerformanceWatch::Hooks());
  StoredAlerts stored;
  for (const char* id : {"a", "b"}) {
    stored.rules.push_back({.rule_id = id, .threshold = {.threshold_value = 5000}});
    stored.alerts.push_back({.alert_id = id, .rule_id = id, .triggered_at = std::chrono::system_clock::now()});
  }
  watch->alerts().restore(std::move(stored));
  return watch;
}

std::shared_ptr<cache::IntelligentCacheManager> cache_with_entries() {
  auto cache = std::make_shared<cache::IntelligentCacheManager>(1 << 20);
  cache->cache_result("a", "[1]", std::chrono::seconds(60), {"tag"}, {"table:x"});
  cache->get_cached_result("a");
  cache->get_cached_result("b");
  return cache;
}

/// Of which each is done at once, with one row.
std::shared_ptr<executor::QueryJobs> quick_jobs() {
  return std::make_shared<executor::QueryJobs>(executor::QueryJobs::Limits(),
                                               [](const std::shared_ptr<executor::QueryJob>& job) {
                                                 job->runs(0, now_ns());
                                                 job->has_columns({{.name = "one", .type_oid = 23}});
                                                 job->add(std::vector<executor::KeptRows::Value>{"1"});
                                                 job->end("SELECT 1", now_ns());
                                               });
}

}  // namespace

int main() {
  http::asio::io_context context;
  const auto monitor = monitor_with_a_past();
  const auto router = http::api(
      {.version = "1.2.3",
       .monitor = monitor,
       .probe_postgresql = reachable,
       .cache = cache_with_entries(),
       .executor = std::make_shared<executor::AdaptiveQueryExecutor>(executor::AdaptiveQueryExecutor::Limits()),
       .jobs = quick_jobs(),
       .watch = watch_with_alerts(monitor),
       .reports = std::make_shared<pipeline::ReportedQueries>(monitor_with_a_past(), 0, std::chrono::seconds(1)),
       .plans = std::make_shared<TemplatePlans>(),
       .live = std::make_shared<http::LiveUpdates>()});
  const auto server = http::Server::start({&context}, {.listen = {.host = "127.0.0.1", .port = 0}}, router);
  if (!server) {
    fmt::print(stderr, "{}\n", server.error().message);
    return 1;
  }
  std::thread core([&context] { context.run(); });
  fmt::print("{}\n", (*server)->port());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  context.stop();
  core.join();
  return 0;
}
