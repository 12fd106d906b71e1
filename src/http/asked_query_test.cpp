#include "http/asked_query.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <future>

#include "base/clock.hpp"
#include "http/analysis_api.hpp"
#include "http/optimize_api.hpp"
#include "http/test_ask.hpp"
#include "pipeline/cacheability_test.hpp"

namespace millrace::http {
namespace {

namespace json = boost::json;

constexpr std::string_view counts =
    "SELECT id FROM users WHERE (SELECT count(*) FROM orders WHERE user_id = users.id) <> 0";
constexpr std::string_view simple = "SELECT id FROM users WHERE id = 1";

/// How long statements take, as it is answered of those that somebody asks about.
class AskedQuery : public testing::Test {
 protected:
  AskedQuery() {
    pipeline::test::Database database;
    database.builder.role("ada", {.search_path = "public", .isolation = "read committed"});
    reads_.use([snapshot = database.builder.build()](const std::string&, bool) {
      return std::make_shared<const pipeline::CatalogSource>(
          pipeline::CatalogSource{[snapshot] { return snapshot; }, [] { return nullptr; }});
    });
    add_analysis(table_, analysts_);
    add_optimization(table_, analysts_, [] { return optimizer::Options(); });
    // Others, of which each takes a hundredth of its cost.
    for (std::uint64_t other = 1; other <= 5; ++other) {
      call(other, static_cast<double>(other));
      plans_->note(other, {.outline = {"Seq Scan"}, .total_cost = 100.0 * static_cast<double>(other)});
    }
  }

  /// Five times; it is known from the next question on.
  void call(std::uint64_t fingerprint, double ms) {
    const QueryRecord record{
        .fingerprint = fingerprint, .started_ns = now_, .duration_ns = static_cast<std::int64_t>(ms * 1e6)};
    for (int time = 0; time < 5; ++time) {
      if (monitor_->record(0, record))
        monitor_->describe(0, {.fingerprint = fingerprint, .text = "x", .database = "d"});
    }
    now_ += 2'000'000'000;
    monitor_->tick(0, now_);
    monitor_->make_history(now_);
  }
  json::value ask(std::string_view operation, std::string_view query, unsigned status = 200) {
    const auto router = table_.router("Millrace", "1");
    const Response answer = http::ask(*router, "POST", "/api/v1/optimization/" + std::string(operation),
                                      json::serialize(json::object{{"query", query}}));
    EXPECT_EQ(answer.status, status) << answer.body;
    return json::parse(answer.body);
  }
  static bool warns(const json::value& answer, std::string_view of) {
    const auto& warnings = answer.at("warnings").as_array();
    return std::ranges::find(warnings, json::value(of)) != warnings.end();
  }

  bool fills_worker_ = false, can_plan_ = true;

 private:
  asio::awaitable<Result<optimizer::PlannedQuery>> plan(optimizer::PlanRequest request) {
    if (fills_worker_) {
      // Until whoever has asked for the plan has nothing to do any more.
      const auto executor = co_await asio::this_coro::executor;
      const auto end = std::make_shared<std::promise<void>>();
      const std::shared_future<void> until = end->get_future().share();
      for (int at = 0; at < 20; ++at) asio::co_spawn(executor, wait_on_worker(until), asio::detached);
      co_await asio::post(executor, asio::use_awaitable);
      asio::post(executor, [end] { end->set_value(); });
    }
    if (!can_plan_) co_return fail("it is refused");
    co_return optimizer::PlannedQuery{
        .plan = {.operation = "Seq Scan", .total_cost = request.query == counts ? 1000.0 : 100.0}};
  }
  asio::awaitable<void> wait_on_worker(std::shared_future<void> until) {
    co_await analysts_->worker.run([until] {
      until.wait();
      return true;
    });
  }

  std::int64_t now_ = now_ns();
  std::shared_ptr<QueryPerformanceMonitor> monitor_ = std::make_shared<QueryPerformanceMonitor>(
      1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}},
      RecordingOptions{.normalized = [](std::string_view text) { return std::string(text); }});
  std::shared_ptr<TemplatePlans> plans_ = std::make_shared<TemplatePlans>();
  pipeline::ReadCache reads_{std::make_shared<cache::IntelligentCacheManager>(std::size_t{1} << 20),
                             std::chrono::seconds(300)};
  std::shared_ptr<QueryAnalysts> analysts_ = std::make_shared<QueryAnalysts>(
      &reads_, [] { return Asker{.database = "crawl", .user = "ada"}; },
      [this](optimizer::PlanRequest request) { return plan(std::move(request)); }, monitor_, plans_);
  ApiTable table_;
};

TEST_F(AskedQuery, TakesWhatItsCostComesTo) {
  const auto said = ask("analyze-query", counts);
  EXPECT_NEAR(said.at("execution_time_estimate_ms").as_double(), 10, 0.2);
  EXPECT_GT(said.at("confidence_score").as_double(), 0.5);
  EXPECT_EQ(said.at("estimated_from"), "costs and times of 5 other statements");
}

TEST_F(AskedQuery, TakesWhatItTookBefore) {
  call(sql::parse(std::string(counts))->fingerprint, 40);
  const auto said = ask("analyze-query", counts);
  EXPECT_NEAR(said.at("execution_time_estimate_ms").as_double(), 40, 1);
  EXPECT_EQ(said.at("estimated_from"), "5 calls of it");
}

TEST_F(AskedQuery, TakesLessWhereItIsRewritten) {
  call(sql::parse(std::string(counts))->fingerprint, 40);
  const auto said = ask("optimize-query", counts);
  EXPECT_EQ(said.at("optimization_types"), json::parse(R"(["subquery_optimization"])"));
  EXPECT_EQ(said.at("rules"), json::parse(R"(["count_to_exists"])"));
  const auto &before = said.at("estimated_cost_before"), &after = said.at("estimated_cost_after");
  EXPECT_NEAR(before.at("execution_time_estimate_ms").as_double(), 40, 1);
  EXPECT_EQ(before.at("estimated_from"), "5 calls of it");
  EXPECT_NEAR(after.at("execution_time_estimate_ms").as_double(), 4, 0.2) << "a tenth, as of the cost";
  EXPECT_EQ(after.at("estimated_from"), "costs and times of 5 other statements");
}

TEST_F(AskedQuery, TakesAsLongWhereItStaysAsItIs) {
  call(sql::parse(std::string(simple))->fingerprint, 3);
  const auto said = ask("optimize-query", simple);
  EXPECT_EQ(said.at("estimated_cost_before").at("estimated_from"), "5 calls of it");
  EXPECT_EQ(said.at("estimated_cost_before"), said.at("estimated_cost_after"));
}

TEST_F(AskedQuery, IsAnsweredWithoutATimeWhereThatWouldHaveToWait) {
  fills_worker_ = true;
  const auto optimized = ask("optimize-query", simple);
  EXPECT_EQ(optimized.at("estimated_cost_before").at("total_cost"), 100.0);
  EXPECT_TRUE(optimized.at("estimated_cost_before").at("execution_time_estimate_ms").is_null());
  EXPECT_TRUE(warns(optimized, too_busy_for_times)) << optimized;
  ask("analyze-query", simple, 503);  // the plan would have to wait, too
  can_plan_ = false;
  const auto analyzed = ask("analyze-query", simple);
  EXPECT_EQ(analyzed.at("statement_kind"), "select");
  EXPECT_TRUE(warns(analyzed, too_busy_for_times)) << analyzed;
  EXPECT_FALSE(warns(ask("optimize-query", simple), too_busy_for_times)) << "without a cost there is no time anyway";
}

}  // namespace
}  // namespace millrace::http
