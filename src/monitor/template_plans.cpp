#include "monitor/template_plans.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

constexpr std::int64_t remembered_ns = 3'600'000'000'000;

}  // namespace

std::string difference(const PlanChange& change) {
  const auto &was = change.before.outline, &is = change.after.outline;
  const auto [old_step, new_step] = std::ranges::mismatch(was, is);
  const auto step = [](const auto& at, const auto& all) {
    return at == all.end() ? std::string("nothing") : at->substr(at->find_first_not_of(' '));
  };
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
  if (way != ways.end()) {
    way->seen_ns = plan.at_ns;
    return std::nullopt;
  }
  if (ways.size() >= most_ways) ways.erase(std::ranges::min_element(ways, {}, &Way::seen_ns));
  ways.push_back({.outline = plan.outline, .seen_ns = plan.at_ns});
  if (before.outline.empty() || before.outline == plan.outline) return std::nullopt;
  changes_.push_front({.number = ++numbered_, .fingerprint = fingerprint, .before = before, .after = std::move(plan)});
  if (changes_.size() > most_changes) changes_.pop_back();
  return changes_.front();
}

std::optional<TemplatePlan> TemplatePlans::find(std::uint64_t fingerprint) const {
  const std::scoped_lock lock(mutex_);
  const auto found = known_.find(fingerprint);
  return found == known_.end() ? std::nullopt : std::optional(found->second.last);
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
