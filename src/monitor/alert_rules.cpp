#include "monitor/alert_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace millrace {
namespace {

constexpr double slice_seconds = 10;
constexpr double looks_differ_by = 0.5;  // ten of them last a little less than ten seconds, or more
constexpr int slices_to_clear = 6;

using Metric = PerformanceMetricType;

std::int64_t milliseconds(AlertRules::Time time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

std::string number(double value) {
  return value >= 100 || value == std::trunc(value) ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

std::string minutes(int count) { return count == 1 ? "a minute" : fmt::format("{} minutes", count); }

std::string_view in_words(std::string_view comparison) {
  if (comparison == ">") return "over";
  if (comparison == ">=") return "at least";
  if (comparison == "<") return "under";
  return comparison == "<=" ? "at most" : "exactly";
}

}  // namespace

struct AlertRules::Kept {
  std::string rule_id;
  bool built_in = false;
  AlertThreshold threshold;
  std::vector<std::uint32_t> slices;  // occurrences; a ring as long as the window
  std::size_t current = 0;
  std::uint64_t occurrences = 0;  // their sum
  int clear_slices = 0;
  bool firing = false;
  std::optional<double> value;
  bool lacks_data = false;

  void add(std::uint64_t count) {
    slices[current] = static_cast<std::uint32_t>(std::min<std::uint64_t>(slices[current] + count, UINT32_MAX));
    occurrences = std::accumulate(slices.begin(), slices.end(), std::uint64_t{0});
  }
  void next_slice() {
    current = (current + 1) % slices.size();
    slices[current] = 0;
    occurrences = std::accumulate(slices.begin(), slices.end(), std::uint64_t{0});
  }
  void forget_occurrences() {
    std::ranges::fill(slices, 0);
    occurrences = 0;
  }
  AlertState state() const {
    return firing ? AlertState::firing : occurrences > 0 ? AlertState::pending : AlertState::inactive;
  }
  AlertRule described() const {
    return {.rule_id = rule_id,
            .built_in = built_in,
            .threshold = threshold,
            .state = state(),
            .occurrences = occurrences,
            .current_value = value};
  }

  std::string description() const {
    const std::string limit = number(threshold.threshold_value) + std::string(unit_of(threshold.metric_type));
    const std::string figure = number(value.value_or(0)) + std::string(unit_of(threshold.metric_type));
    if (threshold.metric_type == Metric::execution_time) {
      const bool longer = threshold.comparison_operator.starts_with('>');
      return fmt::format("{} {} took {} than {} within {}; of late the slowest {}", occurrences,
                         occurrences == 1 ? "query" : "queries", longer ? "longer" : "less", limit,
                         minutes(threshold.window_minutes), figure);
    }
    if (lacks_data) {
      return fmt::format("there is nothing to take the {} of, for {} seconds within {}",
                         title_of(threshold.metric_type), occurrences * static_cast<int>(slice_seconds),
                         minutes(threshold.window_minutes));
    }
    return fmt::format("{} is {}: {} {} for {} seconds within {}", title_of(threshold.metric_type), figure,
                       in_words(threshold.comparison_operator), limit, occurrences * static_cast<int>(slice_seconds),
                       minutes(threshold.window_minutes));
  }

  /// Of what is in the slice so far, or of all of it.
  std::uint64_t occurrences_in(const FiguresOfSlice& slice) const {
    if (threshold.metric_type == Metric::execution_time) {
      return slice.queries_beyond(threshold.threshold_value, threshold.comparison_operator);
    }
    const auto figure = slice.value(threshold.metric_type, threshold.min_samples);
    if (!figure) return threshold.no_data == NoDataPolicy::alert ? 1 : 0;
    return compares(*figure, threshold.comparison_operator, threshold.threshold_value) ? 1 : 0;
  }

  std::uint64_t enough() const { return static_cast<std::uint64_t>(std::max(threshold.min_occurrences, 1)); }

  /// Whether a slice of this figure says that an alert is over. Nothing: it doesn't say.
  std::optional<bool> is_clear_in(const FiguresOfSlice& slice, std::optional<double> figure) const {
    if (threshold.metric_type == Metric::execution_time) {
      const double limit = threshold.clear_value.value_or(threshold.threshold_value);
      return occurrences < enough() && slice.queries_beyond(limit, threshold.comparison_operator) == 0;
    }
    if (figure) return is_clear(threshold, *figure);
    if (threshold.no_data == NoDataPolicy::keep) return std::nullopt;
    return threshold.no_data == NoDataPolicy::ok;
  }
};

std::shared_ptr<AlertRules::Kept> AlertRules::keep(std::string rule_id, bool is_built_in,
                                                   const AlertThreshold& threshold) {
  const auto slices =
      static_cast<std::size_t>(std::clamp(threshold.window_minutes, 1, most_window_minutes)) * slices_a_minute;
  return std::make_shared<Kept>(Kept{.rule_id = std::move(rule_id),
                                     .built_in = is_built_in,
                                     .threshold = threshold,
                                     .slices = std::vector<std::uint32_t>(slices),
                                     .value = {}});
}

AlertRules::Kept* AlertRules::find_rule(const std::string& rule_id) {
  const auto found = std::ranges::find_if(rules_, [&](const auto& rule) { return rule->rule_id == rule_id; });
  return found == rules_.end() ? nullptr : found->get();
}

Alert* AlertRules::find_alert(const std::string& alert_id) {
  const auto found = std::ranges::find(alerts_, alert_id, &Alert::alert_id);
  return found == alerts_.end() ? nullptr : &*found;
}

Alert* AlertRules::open_alert(const std::string& rule_id) {
  const auto found =
      std::ranges::find_if(alerts_, [&](const Alert& alert) { return !alert.resolved && alert.rule_id == rule_id; });
  return found == alerts_.end() ? nullptr : &*found;
}

void AlertRules::built_in(const std::vector<std::pair<std::string, AlertThreshold>>& rules) {
  const std::lock_guard lock(mutex_);
  const auto before = std::exchange(rules_, {});
  std::ranges::copy_if(before, std::back_inserter(rules_), [](const auto& rule) { return !rule->built_in; });
  for (const auto& [name, threshold] : rules) {
    const auto same = std::ranges::find_if(before, [&](const auto& rule) {
      return rule->built_in && rule->rule_id == name && rule->threshold == threshold;
    });
    rules_.push_back(same != before.end() ? *same : keep(name, true, threshold));
    rules_.back()->firing = open_alert(name) != nullptr;
  }
}

std::optional<AlertRules::Created> AlertRules::create(const AlertThreshold& threshold, Time now) {
  const std::lock_guard lock(mutex_);
  const auto same = std::ranges::find_if(rules_, [&](const auto& rule) { return rule->threshold == threshold; });
  if (same != rules_.end()) {
    const Alert* alert = open_alert((*same)->rule_id);
    return Created{.rule = (*same)->described(), .alert = alert != nullptr ? std::optional(*alert) : std::nullopt};
  }
  if (rules_.size() >= most_rules) return std::nullopt;
  const auto rule = keep(fmt::format("rule_{}_{}", milliseconds(now), ++numbered_), false, threshold);
  rules_.push_back(rule);
  ++changes_;
  if (last_slice_) {
    rule->value = last_slice_->value(threshold.metric_type, threshold.min_samples);
    rule->lacks_data = !rule->value;
    if (threshold.enabled) rule->add(rule->occurrences_in(*last_slice_));
  }
  advance(*rule, now);
  const Alert* alert = open_alert(rule->rule_id);
  return Created{.rule = rule->described(), .alert = alert != nullptr ? std::optional(*alert) : std::nullopt};
}

AlertRules::Removal AlertRules::remove_rule(const std::string& rule_id, Time now) {
  const std::lock_guard lock(mutex_);
  const Kept* rule = find_rule(rule_id);
  if (rule == nullptr) return Removal::absent;
  if (rule->built_in) return Removal::is_built_in;
  if (Alert* alert = open_alert(rule_id)) finish(*alert, now);
  std::erase_if(rules_, [&](const auto& one) { return one->rule_id == rule_id; });
  ++changes_;
  return Removal::done;
}

std::vector<AlertRule> AlertRules::rules() const {
  const std::lock_guard lock(mutex_);
  std::vector<AlertRule> all;
  all.reserve(rules_.size());
  for (const auto& rule : rules_) all.push_back(rule->described());
  return all;
}

std::vector<Alert> AlertRules::alerts(bool active_only) const {
  const std::lock_guard lock(mutex_);
  std::vector<Alert> all;
  std::copy_if(alerts_.rbegin(), alerts_.rend(), std::back_inserter(all),
               [&](const Alert& alert) { return !active_only || !alert.resolved; });
  return all;
}

std::optional<Alert> AlertRules::acknowledge(const std::string& alert_id, const std::string& by) {
  const std::lock_guard lock(mutex_);
  Alert* alert = find_alert(alert_id);
  if (alert == nullptr) return std::nullopt;
  alert->acknowledged = true;
  alert->acknowledged_by = by;
  ++changes_;
  return *alert;
}

std::optional<Alert> AlertRules::resolve(const std::string& alert_id, Time now) {
  const std::lock_guard lock(mutex_);
  Alert* alert = find_alert(alert_id);
  if (alert == nullptr) return std::nullopt;
  return alert->resolved ? *alert : finish(*alert, now);
}

bool AlertRules::remove_alert(const std::string& alert_id, Time now) {
  const std::lock_guard lock(mutex_);
  Alert* alert = find_alert(alert_id);
  if (alert == nullptr) return false;
  if (!alert->resolved) finish(*alert, now);
  std::erase_if(alerts_, [&](const Alert& one) { return one.alert_id == alert_id; });
  ++changes_;
  return true;
}

Alert& AlertRules::fire(Kept& rule, Time now) {
  rule.firing = true;
  rule.clear_slices = 0;
  const AlertThreshold& threshold = rule.threshold;
  alerts_.push_back({.alert_id = fmt::format("alert_{}_{}", milliseconds(now), ++numbered_),
                     .rule_id = rule.rule_id,
                     .threshold = threshold,
                     .triggered_at = now,
                     .current_value = rule.value.value_or(0),
                     .description = rule.description(),
                     .affected_resources = {std::string(title_of(threshold.metric_type))},
                     .suggested_actions = suggested_actions(threshold.metric_type),
                     .acknowledged_by = {},
                     .resolved_at = {}});
  events_.push_back(alerts_.back());
  ++changes_;
  return alerts_.back();
}

Alert AlertRules::finish(Alert& alert, Time now) {
  alert.resolved = true;
  alert.resolved_at = now;
  Alert finished = alert;
  events_.push_back(finished);
  ++changes_;
  if (Kept* rule = find_rule(alert.rule_id)) {
    rule->firing = false;
    rule->forget_occurrences();
  }
  forget_old(finished.alert_id);
  return finished;
}

void AlertRules::forget_old(std::string_view but) {
  auto resolved = static_cast<std::size_t>(std::ranges::count(alerts_, true, &Alert::resolved));
  const auto over_since = [but](const Alert& alert) {
    const bool may_go = alert.resolved && alert.alert_id != but;
    return may_go ? alert.resolved_at.value_or(alert.triggered_at) : Time::max();
  };
  for (; resolved > kept_alerts; --resolved) alerts_.erase(std::ranges::min_element(alerts_, {}, over_since));
}

void AlertRules::advance(Kept& rule, Time now) {
  if (!rule.firing && rule.threshold.enabled && rule.occurrences >= rule.enough()) fire(rule, now);
}

void AlertRules::close_slice(Kept& rule, Time now) {
  const AlertThreshold& threshold = rule.threshold;
  const auto figure = slice_.value(threshold.metric_type, threshold.min_samples);
  if (figure) rule.value = figure;
  rule.lacks_data = !figure;
  if (threshold.metric_type != Metric::execution_time) rule.add(rule.occurrences_in(slice_));
  advance(rule, now);
  const auto clear = rule.is_clear_in(slice_, figure);
  if (clear) rule.clear_slices = *clear ? rule.clear_slices + 1 : 0;
  Alert* alert = rule.firing ? open_alert(rule.rule_id) : nullptr;
  if (alert != nullptr && figure) alert->current_value = *figure;
  if (alert != nullptr && rule.clear_slices >= slices_to_clear) finish(*alert, now);
  rule.next_slice();
}

void AlertRules::observe(const IntervalFigures& figures) {
  const std::lock_guard lock(mutex_);
  FiguresOfSlice second;
  second.add(figures);
  slice_.add(figures);
  for (const auto& rule : rules_) {
    // Of these each second counts, as what fires them is a query.
    if (!rule->threshold.enabled || rule->threshold.metric_type != Metric::execution_time) continue;
    const std::uint64_t beyond = rule->occurrences_in(second);
    if (beyond == 0) continue;
    rule->value = second.value(Metric::execution_time, 0);
    rule->add(beyond);
    advance(*rule, figures.at);
  }
  if (slice_.seconds() < slice_seconds - looks_differ_by) return;
  for (const auto& rule : rules_) {
    if (rule->threshold.enabled) close_slice(*rule, figures.at);
  }
  last_slice_ = std::exchange(slice_, FiguresOfSlice());
}

std::vector<Alert> AlertRules::take_events() {
  const std::lock_guard lock(mutex_);
  return std::exchange(events_, {});
}

std::uint64_t AlertRules::changes() const {
  const std::lock_guard lock(mutex_);
  return changes_;
}

StoredAlerts AlertRules::stored() const {
  const std::lock_guard lock(mutex_);
  StoredAlerts all;
  for (const auto& rule : rules_) {
    if (!rule->built_in) all.rules.push_back({.rule_id = rule->rule_id, .threshold = rule->threshold});
  }
  all.alerts.assign(alerts_.begin(), alerts_.end());
  return all;
}

void AlertRules::restore(StoredAlerts stored) {
  const std::lock_guard lock(mutex_);
  alerts_.assign(stored.alerts.begin(), stored.alerts.end());
  std::erase_if(rules_, [](const auto& rule) { return !rule->built_in; });
  for (StoredRule& rule : stored.rules) {
    if (rules_.size() < most_rules) rules_.push_back(keep(std::move(rule.rule_id), false, rule.threshold));
  }
  for (const auto& rule : rules_) rule->firing = open_alert(rule->rule_id) != nullptr;
  // Of a rule that isn't any more nobody would ever resolve it.
  for (Alert& alert : alerts_) {
    if (alert.resolved || find_rule(alert.rule_id) != nullptr) continue;
    alert.resolved = true;
    alert.resolved_at = alert.triggered_at;
  }
  forget_old({});
}

}  // namespace millrace
