#include "monitor/figures_of_slice.hpp"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

constexpr double ns_in_ms = 1e6;

std::optional<double> percentage(std::uint64_t part, std::uint64_t whole, int least) {
  if (whole == 0 || whole < static_cast<std::uint64_t>(std::max(least, 0))) return std::nullopt;
  return 100 * static_cast<double>(std::min(part, whole)) / static_cast<double>(whole);
}

}  // namespace

void FiguresOfSlice::Mean::add(double value, double for_seconds) {
  if (!std::isfinite(value)) return;
  sum += value * for_seconds;
  seconds += for_seconds;
}

std::optional<double> FiguresOfSlice::Mean::value() const {
  return seconds > 0 ? std::optional(sum / seconds) : std::nullopt;
}

void FiguresOfSlice::add(const IntervalFigures& figures) {
  sum_.seconds += figures.seconds;
  sum_.queries += figures.queries;
  sum_.failed += figures.failed;
  sum_.slow += figures.slow;
  sum_.durations += figures.durations;
  sum_.cache_hits += figures.cache_hits;
  sum_.cache_misses += figures.cache_misses;
  cpu_.add(figures.system.cpu_percent, figures.seconds);
  memory_.add(figures.system.memory_percent, figures.seconds);
  process_.add(figures.system.process_mb, figures.seconds);
  waiting_.add(static_cast<double>(figures.waiting), figures.seconds);
  active_.add(static_cast<double>(figures.active), figures.seconds);
}

std::uint64_t FiguresOfSlice::queries_beyond(double ms, std::string_view comparison) const {
  const double ns = std::clamp(ms * ns_in_ms, 0.0, static_cast<double>(LogLinear::max_value));
  const std::uint64_t up_to = sum_.durations.count_up_to(static_cast<std::uint64_t>(ns));
  return comparison.starts_with('>') ? sum_.queries - std::min(up_to, sum_.queries) : up_to;
}

std::optional<double> FiguresOfSlice::value(PerformanceMetricType metric, int min_samples) const {
  switch (metric) {
    case PerformanceMetricType::execution_time:
      if (sum_.queries == 0) return std::nullopt;
      return static_cast<double>(sum_.durations.quantile(1)) / ns_in_ms;
    case PerformanceMetricType::cpu_usage:
      return cpu_.value();
    case PerformanceMetricType::memory_usage:
      return process_.value();
    case PerformanceMetricType::memory_usage_percentage:
      return memory_.value();
    case PerformanceMetricType::queue_depth:
      return waiting_.value();
    case PerformanceMetricType::concurrency:
      return active_.value();
    case PerformanceMetricType::throughput:
      if (sum_.seconds <= 0) return std::nullopt;
      return static_cast<double>(sum_.queries) / sum_.seconds;
    case PerformanceMetricType::error_rate:
      return percentage(sum_.failed, sum_.queries, min_samples);
    case PerformanceMetricType::slow_query_percentage:
      return percentage(sum_.slow, sum_.queries, min_samples);
    case PerformanceMetricType::cache_hit_rate:
      return percentage(sum_.cache_hits, sum_.cache_hits + sum_.cache_misses, min_samples);
    case PerformanceMetricType::io_operations:
    case PerformanceMetricType::network_latency:
    case PerformanceMetricType::lock_contention:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace millrace
