#include "monitor/performance_watch.hpp"

#include <algorithm>

#include "base/clock.hpp"

namespace millrace {
namespace {

constexpr auto between_looks = std::chrono::seconds(1);

}  // namespace

PerformanceWatch::PerformanceWatch(std::shared_ptr<const QueryPerformanceMonitor> monitor, const Options& options,
                                   Hooks hooks, std::shared_ptr<const TemplatePlans> plans)
    : monitor_(std::move(monitor)),
      options_(options),
      hooks_(std::move(hooks)),
      plans_(std::move(plans)),
      slow_from_ms_(options.slow_query_threshold.count()),
      anomalies_(options.profile),
      new_history_(now_ns()) {}

PerformanceWatch::~PerformanceWatch() { stop(); }

void PerformanceWatch::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void PerformanceWatch::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void PerformanceWatch::changed() {
  {
    const std::lock_guard lock(mutex_);
    changed_ = true;
  }
  wake_.notify_all();
}

void PerformanceWatch::tell() {
  for (const Alert& alert : alerts_.take_events()) hooks_.alert(alert);
  const std::uint64_t changes = alerts_.changes();
  if (changes == saved_changes_) return;
  if (hooks_.save(alerts_.stored())) saved_changes_ = changes;
}

void PerformanceWatch::find_anomalies(const IntervalFigures& figures) {
  const std::vector<IntervalPtr> intervals = new_history_.take(monitor_->history(), figures, now_ns());
  if (const auto anomaly = anomalies_.observe(figures, intervals)) hooks_.anomaly(*anomaly);
  const auto anomaly = anomalies_.observe_templates(figures, changed_templates(figures, intervals), plans_.get());
  if (anomaly) hooks_.anomaly(*anomaly);
}

/// Those whose calls take longer.
std::vector<TemplateChange> PerformanceWatch::changed_templates(const IntervalFigures& figures,
                                                                std::span<const IntervalPtr> intervals) {
  std::vector<TemplateChange> found;
  const PerformanceHistory* const history = monitor_->history();
  if (history == nullptr) return found;
  const std::int64_t now = now_ns();
  const double at = std::chrono::duration<double>(figures.at.time_since_epoch()).count();
  for (const IntervalPtr& interval : intervals) {
    auto changes = latencies_.observe(*interval, at - static_cast<double>(now - interval->to_ns) / 1e9);
    std::ranges::move(changes, std::back_inserter(found));
  }
  for (TemplateChange& change : found) {
    if (change.is_over) continue;
    Interval only;
    only.subjects.push_back({.id = change.id});
    const auto reports = history->described(only);
    if (reports.empty() || !reports.front().about) continue;  // it has just lost its place
    change.fingerprint = reports.front().about->fingerprint;
    change.name = reports.front().name;
  }
  std::erase_if(found, [](const TemplateChange& change) { return !change.is_over && change.fingerprint == 0; });
  return found;
}

void PerformanceWatch::run(const std::stop_token& stop) {
  SystemUsageMeter system;
  system.look();
  MonitorSnapshot before = monitor_->snapshot();
  auto next = Clock::now() + between_looks;
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    wake_.wait_until(lock, stop, next, [this] { return changed_; });
    const bool only_changed = std::exchange(changed_, false) && Clock::now() < next;
    lock.unlock();
    if (!only_changed) {
      MonitorSnapshot after = monitor_->snapshot();
      const auto figures = figures_between(before, after, std::chrono::milliseconds(slow_from_ms_), system.look(),
                                           std::chrono::system_clock::now());
      before = std::move(after);
      if (const auto* history = monitor_->history()) {
        const TemplateTotals totals = history->template_totals();
        templates_.observe(totals, now_ns());
        if (options_.detect_anomalies) anomalies_.keep_only(totals);
      }
      hooks_.looked(figures);
      if (options_.detect_anomalies) find_anomalies(figures);
      alerts_.observe(figures);
      // What took too long isn't made up for: a look at no time says nothing.
      next += between_looks;
      if (const auto now = Clock::now(); next <= now) next = now + between_looks;
    }
    tell();
    lock.lock();
  }
  lock.unlock();
  tell();
}

}  // namespace millrace
