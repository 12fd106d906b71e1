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
constexpr double worse = 3;  // than what was told, of which the first seconds were perhaps half as before

// All in seconds.
constexpr double waits_for_votes = 300;
constexpr double hint_waits = 30;
constexpr double must_last = 60;
constexpr double pause = 300;
constexpr double plan_is_asked_within = 600;  // Millrace learns of it later than PostgreSQL changes it
constexpr double plan_is_asked_before = 30;   // or before a call has shown it, or a change point stands too late

bool is_within(double now, double at, double seconds) { return std::abs(now - at) <= seconds; }

}  // namespace

bool TemplateSuspects::add(TemplateChange change, double now) {
  const auto is_same = [&](const Suspect& each) { return each.about.id == change.id; };
  if (change.is_hint && std::ranges::any_of(suspects_, is_same)) return false;
  std::erase_if(suspects_, is_same);
  if (change.is_over) return false;
  const ChangePoint& point = change.change;
  if (point.ratio() < slower || point.after - point.before < slower_by_ms) return false;
  if (change.lost_seconds_an_hour() < least_lost_seconds_an_hour) return false;
  if (suspects_.size() == most) suspects_.erase(suspects_.begin());
  const bool is_vote = !change.is_hint;
  suspects_.push_back({.about = std::move(change), .found_at = now});
  return is_vote;
}

std::optional<TemplateSuspects::Agreed> TemplateSuspects::look(double now, const TemplatePlans* plans,
                                                               const std::function<bool(double)>& others) {
  std::erase_if(suspects_, [&](const Suspect& each) {
    return !is_within(now, each.found_at, each.about.is_hint ? hint_waits : waits_for_votes);
  });
  std::erase_if(told_, [&](const Told& each) { return !is_within(now, each.at, plan_is_asked_within); });
  for (auto suspect = suspects_.begin(); plans != nullptr && suspect != suspects_.end(); ++suspect) {
    auto plan = turned(*plans, *suspect);
    const Told* const before = told(suspect->about);
    if (!plan || (before != nullptr && before->plan_at_ns == plan->after.at_ns)) continue;
    Agreed agreed{.changes = {std::move(suspect->about)}, .plan = std::move(plan)};
    const std::int64_t plan_at_ns = agreed.plan->after.at_ns;
    suspects_.erase(suspect);
    const TemplateChange& change = agreed.changes.front();
    std::erase_if(told_, [&](const Told& each) { return each.fingerprint == change.fingerprint; });
    if (told_.size() == most) told_.erase(told_.begin());
    told_.push_back(
        {.fingerprint = change.fingerprint, .at = now, .ms = change.change.after, .plan_at_ns = plan_at_ns});
    return agreed;
  }
  if (last_together_at_ && is_within(now, *last_together_at_, pause)) return std::nullopt;
  const auto is_agreed = [&](const Suspect& each) {
    return !each.about.is_hint && told(each.about) == nullptr && others(each.about.change.at);
  };
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
  std::vector<const TemplateChange*> changes;
  for (const Suspect& each : suspects_) changes.push_back(&each.about);
  std::ranges::sort(changes, std::greater(), [](const TemplateChange* each) { return each->lost_seconds_an_hour(); });
  std::vector<std::uint64_t> found;
  for (const TemplateChange* each : changes) found.push_back(each->fingerprint);
  return found;
}

const TemplateSuspects::Told* TemplateSuspects::told(const TemplateChange& change) const {
  const auto found = std::ranges::find(told_, change.fingerprint, &Told::fingerprint);
  return found != told_.end() && change.change.after < worse * found->ms ? &*found : nullptr;
}

std::optional<PlanChange> TemplateSuspects::turned(const TemplatePlans& plans, const Suspect& suspect) const {
  auto turn = plans.last_turn(suspect.about.fingerprint);
  if (!turn) return std::nullopt;
  const double at = std::chrono::duration<double>(turn->after.at.time_since_epoch()).count();
  const double before = std::min(plan_is_asked_before + 2 / suspect.about.calls_per_second, plan_is_asked_within);
  const double late = at - suspect.about.change.at;
  return late >= -before && late <= plan_is_asked_within ? turn : std::nullopt;
}

}  // namespace millrace
