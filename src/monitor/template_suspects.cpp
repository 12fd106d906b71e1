#include "monitor/template_suspects.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace millrace {
namespace {

// What is harm. The last one is what SQL Server's automatic plan correction acts on.
constexpr double slower = 1.5;
constexpr double slower_by_ms = 1;
constexpr double least_lost_seconds_an_hour = 10;

// All in seconds.
constexpr double waits_for_votes = 300;
constexpr double must_last = 60;
constexpr double pause = 300;
constexpr double plan_is_asked_within = 600;  // Millrace learns of it later than PostgreSQL changes it, or sooner

bool is_within(double now, double at, double seconds) { return std::abs(now - at) <= seconds; }

}  // namespace

bool TemplateSuspects::add(TemplateChange change, double now) {
  std::erase_if(suspects_, [&](const Suspect& each) { return each.about.id == change.id; });
  if (change.is_over) return false;
  const ChangePoint& point = change.change;
  if (point.ratio() < slower || point.after - point.before < slower_by_ms) return false;
  if (change.lost_seconds_an_hour() < least_lost_seconds_an_hour) return false;
  if (suspects_.size() == most) suspects_.erase(suspects_.begin());
  suspects_.push_back({.about = std::move(change), .found_at = now});
  return true;
}

std::optional<TemplateSuspects::Agreed> TemplateSuspects::look(double now, const TemplatePlans* plans,
                                                               const std::function<bool(double)>& others) {
  std::erase_if(suspects_, [&](const Suspect& each) { return !is_within(now, each.found_at, waits_for_votes); });
  if (suspects_.empty()) return std::nullopt;
  for (const PlanChange& plan : plans == nullptr ? std::vector<PlanChange>() : plans->changes()) {
    const auto found =
        std::ranges::find(suspects_, plan.fingerprint, [](const Suspect& each) { return each.about.fingerprint; });
    if (found == suspects_.end()) continue;
    const double at = std::chrono::duration<double>(plan.after.at.time_since_epoch()).count();
    if (!is_within(found->about.change.at, at, plan_is_asked_within)) continue;
    Agreed agreed{.changes = {std::move(found->about)}, .plan = plan};
    suspects_.erase(found);
    return agreed;
  }
  if (last_together_at_ && is_within(now, *last_together_at_, pause)) return std::nullopt;
  const auto is_agreed = [&](const Suspect& each) { return others(each.about.change.at); };
  const bool may_tell = std::ranges::any_of(
      suspects_, [&](const Suspect& each) { return !is_within(now, each.found_at, must_last) && is_agreed(each); });
  if (!may_tell) return std::nullopt;
  Agreed agreed;
  std::erase_if(suspects_, [&](Suspect& each) {
    if (!is_agreed(each)) return false;
    agreed.changes.push_back(std::move(each.about));
    return true;
  });
  last_together_at_ = now;
  std::ranges::sort(agreed.changes, std::greater(), &TemplateChange::lost_seconds_an_hour);
  return agreed;
}

std::vector<std::uint64_t> TemplateSuspects::fingerprints() const {
  std::vector<std::uint64_t> found;
  for (const Suspect& each : suspects_) found.push_back(each.about.fingerprint);
  return found;
}

}  // namespace millrace
