#include "http/alerts_api.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "http/test_ask.hpp"

namespace millrace::http {
namespace {

namespace json = boost::json;

class AlertsApi : public testing::Test {
 protected:
  Response ask(std::string method, const std::string& target, std::string body = {}) {
    return ask_of({.version = "1", .monitor = monitor_, .probe_postgresql = reachable, .watch = watch_, .channels = {}},
                  std::move(method), target, std::move(body));
  }
  static Response ask_of(const Sources& sources, std::string method, const std::string& target, std::string body = {}) {
    return http::ask(*api(sources), std::move(method), target, std::move(body));
  }
  json::value asked(const std::string& method, const std::string& target, std::string body = {}) {
    const Response answer = ask(method, target, std::move(body));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.status == 200 ? json::parse(answer.body) : json::value();
  }
  /// The places of what is wrong.
  std::string wrong(const std::string& body) {
    const Response answer = ask("POST", "/api/v1/performance/create-alert", body);
    EXPECT_EQ(answer.status, 422) << answer.body;
    std::string places;
    for (const auto& one : json::parse(answer.body).at("detail").as_array()) {
      places += (places.empty() ? "" : " ") + json::serialize(one.at("loc"));
    }
    return places;
  }
  void busy_seconds(int count) {
    for (int i = 0; i < count; ++i) {
      at_ += std::chrono::seconds(1);
      watch_->alerts().observe({.at = at_,
                                .seconds = 1,
                                .most_errors = {},
                                .durations = {},
                                .reads = {},
                                .system = {.cpu_percent = 95, .memory_percent = 50, .process_mb = 10}});
    }
  }

  std::chrono::system_clock::time_point at_ = std::chrono::system_clock::now();
  std::shared_ptr<QueryPerformanceMonitor> monitor_ =
      std::make_shared<QueryPerformanceMonitor>(1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}});
  std::shared_ptr<PerformanceWatch> watch_ =
      std::make_shared<PerformanceWatch>(monitor_, PerformanceWatch::Options(), PerformanceWatch::Hooks());
};

// As the specification has it.
constexpr auto example = R"({"metric_type": "execution_time", "threshold_value": 5000, "comparison_operator": ">",
                             "window_minutes": 5, "min_occurrences": 3, "severity": "high"})";

TEST_F(AlertsApi, ARuleWaitsForItsTime) {
  const auto made = asked("POST", "/api/v1/performance/create-alert", example);
  EXPECT_EQ(made.at("alert_id"), "pending");
  EXPECT_EQ(made.at("description"), "Alert threshold configured - monitoring for violations");
  EXPECT_TRUE(made.at("current_value").is_null());
  EXPECT_EQ(made.at("threshold").at("severity"), "high");
  EXPECT_EQ(made.at("threshold").at("min_occurrences"), 3);
  EXPECT_EQ(asked("POST", "/api/v1/optimization/performance/create-alert", example).at("rule_id"), made.at("rule_id"));
  EXPECT_EQ(asked("GET", "/api/v1/performance/alerts").at("total_count"), 0);
  const auto rules = asked("GET", "/api/v1/performance/alert-rules");
  EXPECT_EQ(rules.at("total_count"), 1);
  EXPECT_EQ(rules.at("rules").at(0).at("state"), "inactive");
}

TEST_F(AlertsApi, FromTheRuleToItsEnd) {
  const auto made =
      asked("POST", "/api/v1/performance/create-alert", R"({"metric_type": "cpu_usage", "threshold_value": 80})");
  busy_seconds(10);
  const auto list = asked("GET", "/api/v1/performance/alerts?active_only=true");
  ASSERT_EQ(list.at("total_count"), 1);
  const auto& alert = list.at("alerts").at(0);
  EXPECT_EQ(alert.at("metric_type"), "cpu_usage");
  EXPECT_EQ(alert.at("severity"), "medium");
  EXPECT_EQ(alert.at("current_value"), 95.0);
  EXPECT_EQ(alert.at("resolved"), false);
  const std::string path = "/api/v1/performance/alerts/" + std::string(alert.at("alert_id").as_string());
  EXPECT_EQ(asked("POST", path + "/acknowledge").at("acknowledged_by"), "local");
  EXPECT_EQ(asked("POST", path + "/acknowledge?acknowledged_by=ada").at("acknowledged_by"), "ada");
  EXPECT_EQ(asked("POST", path + "/resolve").at("resolved"), true);
  EXPECT_EQ(asked("GET", "/api/v1/performance/alerts").at("total_count"), 0);
  EXPECT_EQ(asked("GET", "/api/v1/performance/alerts?active_only=false").at("total_count"), 1);
  EXPECT_EQ(ask("DELETE", path).status, 204);
  EXPECT_EQ(ask("DELETE", path).status, 404);
  EXPECT_EQ(ask("POST", path + "/resolve").status, 404);
  const std::string rule = "/api/v1/performance/alert-rules/" + std::string(made.at("rule_id").as_string());
  EXPECT_EQ(ask("DELETE", rule).status, 204);
  EXPECT_EQ(ask("DELETE", rule).status, 404);
}

TEST_F(AlertsApi, OneThatIsViolatedIsAnAlertAtOnce) {
  busy_seconds(10);
  const auto made =
      asked("POST", "/api/v1/performance/create-alert", R"({"metric_type": "cpu_usage", "threshold_value": 80})");
  EXPECT_NE(made.at("alert_id"), "pending");
  EXPECT_EQ(made.at("current_value"), 95.0);
}

TEST_F(AlertsApi, BuiltInRulesAreNotDeleted) {
  watch_->alerts().built_in(
      {{"builtin_cpu", {.metric_type = PerformanceMetricType::cpu_usage, .threshold_value = 80}}});
  EXPECT_EQ(ask("DELETE", "/api/v1/performance/alert-rules/builtin_cpu").status, 409);
}

TEST_F(AlertsApi, SaysWhatIsWrong) {
  EXPECT_EQ(wrong(R"({"threshold_value": 1})"), R"(["body","metric_type"])");
  EXPECT_EQ(wrong(R"({"metric_type": "speed", "threshold_value": 1})"), R"(["body","metric_type"])");
  EXPECT_EQ(wrong(R"({"metric_type": "lock_contention", "threshold_value": 1})"), R"(["body","metric_type"])");
  EXPECT_EQ(
      wrong(R"({"metric_type": "cpu_usage", "threshold_value": 80, "comparison_operator": "<>", "window_minutes": 0,
                      "min_occurrences": 0, "notification_channels": ["a b"]})"),
      R"(["body","comparison_operator"] ["body","window_minutes"] ["body","min_occurrences"] ["body","notification_channels",0])");
  EXPECT_EQ(wrong(R"({"metric_type": "cpu_usage", "threshold_value": 80, "clear_value": 90})"),
            R"(["body","clear_value"])");
  EXPECT_EQ(wrong(R"({"metric_type": "execution_time", "threshold_value": 80, "comparison_operator": "=="})"),
            R"(["body","comparison_operator"])");
}

TEST_F(AlertsApi, RefusesWhatCanNeverFire) {
  const auto rule = [](std::string_view metric, std::string_view rest) {
    return fmt::format(R"({{"metric_type": "{}", {}}})", metric, rest);
  };
  EXPECT_EQ(wrong(rule("error_rate", R"("threshold_value": 5, "window_minutes": 1, "min_occurrences": 7)")),
            R"(["body","min_occurrences"])");
  EXPECT_EQ(wrong(rule("error_rate", R"("threshold_value": 101)")), R"(["body","threshold_value"])");
  EXPECT_EQ(wrong(rule("cache_hit_rate", R"("threshold_value": -1, "comparison_operator": ">")")),
            R"(["body","threshold_value"])");
  EXPECT_EQ(wrong(rule("error_rate", R"("threshold_value": 5, "clear_value": -1)")), R"(["body","clear_value"])");
  for (const std::string_view never :
       {R"("threshold_value": 100)", R"("threshold_value": 0, "comparison_operator": "<")"}) {
    EXPECT_EQ(wrong(rule("cpu_usage", never)), R"(["body","threshold_value"])") << never;
  }
  EXPECT_EQ(wrong(rule("throughput", R"("threshold_value": -1, "comparison_operator": "<=")")),
            R"(["body","threshold_value"])");

  for (const auto& can :
       {rule("error_rate", R"("threshold_value": 5, "window_minutes": 1, "min_occurrences": 6)"),
        rule("execution_time", R"("threshold_value": 5, "window_minutes": 1, "min_occurrences": 7)"),
        rule("cpu_usage", R"("threshold_value": 100, "comparison_operator": ">=")"),
        rule("throughput", R"("threshold_value": 0, "comparison_operator": "<=")"),
        rule("throughput", R"("threshold_value": 0, "comparison_operator": "<", "no_data": "alert")")}) {
    asked("POST", "/api/v1/performance/create-alert", can);
  }
}

TEST_F(AlertsApi, ARuleFiresByAsManyOccurrencesAsThereCanBe) {
  const auto made =
      asked("POST", "/api/v1/performance/create-alert",
            R"({"metric_type": "cpu_usage", "threshold_value": 80, "window_minutes": 1, "min_occurrences": 6})");
  EXPECT_EQ(made.at("alert_id"), "pending");
  busy_seconds(70);
  EXPECT_EQ(asked("GET", "/api/v1/performance/alerts").at("total_count"), 1);
}

TEST_F(AlertsApi, Anomalies) {
  const auto none = asked("GET", "/api/v1/performance/anomalies");
  EXPECT_EQ(none.at("total_count"), 0);
  EXPECT_TRUE(none.at("marks").as_array().empty());
  watch_ = std::make_shared<PerformanceWatch>(monitor_, PerformanceWatch::Options{.detect_anomalies = false},
                                              PerformanceWatch::Hooks());
  EXPECT_EQ(ask("GET", "/api/v1/performance/anomalies").status, 503);
  watch_ = nullptr;
  EXPECT_NE(ask("GET", "/api/v1/performance/anomalies").body.find("PERFORMANCE_MONITORING_ENABLED"), std::string::npos);
  EXPECT_EQ(ask("GET", "/api/v1/performance/alerts").status, 503);
  EXPECT_EQ(ask("POST", "/api/v1/performance/create-alert", example).status, 503);
}

TEST_F(AlertsApi, Metrics) {
  asked("POST", "/api/v1/performance/create-alert",
        R"({"metric_type": "cpu_usage", "threshold_value": 80, "severity": "high"})");
  busy_seconds(10);
  const auto channel = std::make_shared<NotificationChannel>(
      "webhook", [](const std::string&, const std::atomic<bool>&) { return Result<>(); });
  const std::string text = performance_metrics_text(*watch_, {channel}, LiveUpdates());
  EXPECT_NE(text.find("millrace_alerts_firing{severity=\"high\"} 1"), std::string::npos) << text;
  EXPECT_NE(text.find("millrace_alerts_firing{severity=\"low\"} 0"), std::string::npos) << text;
  EXPECT_NE(text.find("millrace_alert_notifications_total{channel=\"webhook\",outcome=\"lost\"} 0"), std::string::npos)
      << text;
  EXPECT_NE(text.find("millrace_anomalies_total 0"), std::string::npos) << text;
}

}  // namespace
}  // namespace millrace::http
