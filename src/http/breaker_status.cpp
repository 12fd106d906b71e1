#include "http/breaker_status.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <array>

namespace millrace::http {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using State = CircuitBreaker::State;

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

/// Null: it never was.
std::optional<Timestamp> time_of(std::int64_t moment, std::int64_t now) {
  if (moment == 0) return std::nullopt;
  return std::chrono::time_point_cast<Timestamp::duration>(std::chrono::system_clock::now() +
                                                           std::chrono::nanoseconds(moment - now));
}

ClientMetric metric(MetricType type, double value, const std::string& server, std::string_view state = {}) {
  ClientMetric made;
  made.label = {{.name = "server", .value = server}};
  if (!state.empty()) made.label.push_back({.name = "state", .value = std::string(state)});
  (type == MetricType::Counter ? made.counter.value : made.gauge.value) = value;
  return made;
}

}  // namespace

CircuitBreakerStatus breaker_status(const CircuitBreaker::Status& status, std::int64_t now) {
  CircuitBreakerStatus answer{.name = status.name,
                              .state = std::string(name(status.state)),
                              .failure_count = status.failures_in_row,
                              .success_count = status.successes_in_row,
                              .recent_failures = status.recent_failures,
                              .next_attempt_time = time_of(status.next_attempt, now),
                              .seconds_until_retry = {},
                              .config = {.failure_threshold = status.config.failure_threshold,
                                         .timeout_seconds = seconds(status.config.timeout),
                                         .max_timeout_seconds = seconds(status.config.max_timeout),
                                         .sliding_window_size = status.config.sliding_window_size},
                              .metrics = {.total_requests = status.answered + status.failed,
                                          .successful_requests = status.answered,
                                          .failed_requests = status.failed,
                                          .success_rate = {},
                                          .circuit_open_count = status.opened,
                                          .avg_response_time = {},
                                          .last_failure_time = time_of(status.last_failure, now),
                                          .last_success_time = time_of(status.last_answer, now),
                                          .lost_connections = status.lost,
                                          .refused_queries = status.refused}};
  if (status.next_attempt != 0) {
    answer.seconds_until_retry =
        seconds(std::chrono::nanoseconds(std::max<std::int64_t>(status.next_attempt - now, 0)));
  }
  auto& metrics = answer.metrics;
  if (metrics.total_requests > 0) {
    metrics.success_rate = static_cast<double>(status.answered) / static_cast<double>(metrics.total_requests);
  }
  if (status.answered > 0) metrics.avg_response_time = seconds(std::chrono::nanoseconds(status.mean_ns));
  return answer;
}

std::string breaker_metrics_text(const std::vector<CircuitBreaker::Status>& breakers) {
  using Status = CircuitBreaker::Status;
  std::vector<MetricFamily> families;
  std::vector<ClientMetric> states;
  for (const auto& breaker : breakers) {
    for (const State state : {State::closed, State::open, State::half_open}) {
      states.push_back(metric(MetricType::Gauge, breaker.state == state ? 1 : 0, breaker.name, name(state)));
    }
  }
  families.push_back({"millrace_circuit_breaker_state", "1 for the state that the server's circuit breaker is in.",
                      MetricType::Gauge, std::move(states)});
  struct Counted {
    const char* name;
    const char* help;
    std::uint64_t Status::* value;
  };
  constexpr std::array all = {
      Counted{"attempts_answered_total", "Attempts to connect that the server has answered.", &Status::answered},
      Counted{"attempts_failed_total", "Attempts to connect that it hasn't, or as it isn't ready.", &Status::failed},
      Counted{"lost_connections_total", "Connections that ended without Millrace.", &Status::lost},
      Counted{"opened_total", "How often the circuit breaker has opened.", &Status::opened},
      Counted{"refused_total", "What was refused while it was open.", &Status::refused},
  };
  for (const auto& [name, help, value] : all) {
    std::vector<ClientMetric> metrics;
    for (const auto& breaker : breakers)
      metrics.push_back(metric(MetricType::Counter, static_cast<double>(breaker.*value), breaker.name));
    families.push_back(
        {std::string("millrace_circuit_breaker_") + name, help, MetricType::Counter, std::move(metrics)});
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace millrace::http
