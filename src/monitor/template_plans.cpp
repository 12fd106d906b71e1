#include "monitor/template_plans.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

constexpr std::int64_t remembered_ns = 3'600'000'000'000;
constexpr std::size_t least_run = 2;  // a statement that is run now one way, now the other hasn't turned

/// Without its indentation.
std::string_view step_of(std::string_view line) {
  return line.substr(std::min(line.find_first_not_of(' '), line.size()));
}

/// The table that a step reads; empty: none.
std::string_view table_of(std::string_view step) {
  constexpr std::string_view on = " on ";
  const auto at = step.find(on);
  if (at == std::string_view::npos) return {};
  const std::string_view table = step.substr(at + on.size());
  return table.substr(0, table.find(" by "));
}

/// A step of the one that reads a table which the other reads another way; both empty: there is none.
std::pair<std::string_view, std::string_view> other_reads(const TemplatePlan& was, const TemplatePlan& is) {
  for (const std::string_view line : is.outline) {
    const std::string_view step = step_of(line), table = table_of(step);
    if (table.empty()) continue;
    std::string_view before;
    bool is_as_before = false;
    for (const std::string_view old_line : was.outline) {
      const std::string_view old_step = step_of(old_line);
      if (table_of(old_step) != table) continue;
      if (before.empty()) before = old_step;
      is_as_before = is_as_before || old_step == step;
    }
    if (!before.empty() && !is_as_before) return {before, step};
  }
  return {};
}

}  // namespace

std::string difference(const PlanChange& change) {
  const auto &was = change.before.outline, &is = change.after.outline;
  const auto [before, after] = other_reads(change.before, change.after);
  if (!after.empty()) return fmt::format("{} where there was {}", after, before);
  const auto [old_step, new_step] = std::ranges::mismatch(was, is);
  const auto step = [](const auto& at, const auto& all) { return at == all.end() ? "nothing" : step_of(*at); };
  return fmt::format("{} where there was {}", step(new_step, is), step(old_step, was));
}

std::optional<PlanChange> TemplatePlans::put(std::uint64_t fingerprint, TemplatePlan plan) {
  const std::scoped_lock lock(mutex_);
  if (known_.size() >= most_templates && !known_.contains(fingerprint)) {
    known_.erase(std::min_element(known_.begin(), known_.end(), [](const auto& one, const auto& other) {
      return one.second.last.at_ns < other.second.last.at_ns;
    }));
  }
  Known& known = known_[fingerprint];
  known.last = plan;
  if (plan.outline.empty()) return std::nullopt;
  auto& ways = known.ways;
  std::erase_if(ways, [&](const Way& way) { return plan.at_ns - way.seen_ns > remembered_ns; });
  const auto way = std::ranges::find(ways, plan.outline, &Way::outline);
  const TemplatePlan before = std::exchange(known.planned, plan);
  const bool is_other = !before.outline.empty() && before.outline != plan.outline;
  if (is_other) {
    known.turn.reset();
    if (way == ways.end() || known.run >= least_run) {
      known.turn = {.fingerprint = fingerprint, .before = before, .after = plan};
    }
    known.run = 0;
  }
  ++known.run;
  if (way != ways.end()) {
    way->seen_ns = plan.at_ns;
    return std::nullopt;
  }
  if (ways.size() >= most_ways) ways.erase(std::ranges::min_element(ways, {}, &Way::seen_ns));
  ways.push_back({.outline = plan.outline, .seen_ns = plan.at_ns});
  if (!is_other) return std::nullopt;
  changes_.push_front({.number = ++numbered_, .fingerprint = fingerprint, .before = before, .after = std::move(plan)});
  if (changes_.size() > most_changes) changes_.pop_back();
  return changes_.front();
}

std::optional<TemplatePlan> TemplatePlans::find(std::uint64_t fingerprint) const {
  const std::scoped_lock lock(mutex_);
  const auto found = known_.find(fingerprint);
  return found == known_.end() ? std::nullopt : std::optional(found->second.last);
}

std::optional<PlanChange> TemplatePlans::last_turn(std::uint64_t fingerprint) const {
  const std::scoped_lock lock(mutex_);
  const auto found = known_.find(fingerprint);
  return found == known_.end() ? std::nullopt : found->second.turn;
}

std::vector<PlanChange> TemplatePlans::changes() const {
  const std::scoped_lock lock(mutex_);
  return {changes_.begin(), changes_.end()};
}

std::uint64_t TemplatePlans::changes_found() const {
  const std::scoped_lock lock(mutex_);
  return numbered_;
}

}  // namespace millrace
