#include "monitor/template_plans.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "monitor/serial_outline.hpp"

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
std::pair<std::string_view, std::string_view> other_reads(const std::vector<std::string>& was,
                                                          const std::vector<std::string>& is) {
  for (const std::string_view line : is) {
    const std::string_view step = step_of(line), table = table_of(step);
    if (table.empty()) continue;
    std::string_view before;
    bool is_as_before = false;
    for (const std::string_view old_line : was) {
      const std::string_view old_step = step_of(old_line);
      if (table_of(old_step) != table) continue;
      if (before.empty()) before = old_step;
      is_as_before = is_as_before || old_step == step;
    }
    if (!before.empty() && !is_as_before) return {before, step};
  }
  return {};
}

/// The one of which an answer was asked for longest ago makes place.
template <typename Map, typename AnswersOf>
void make_place_for(std::uint64_t fingerprint, Map& map, std::size_t most, AnswersOf answers_of) {
  if (map.size() < most || map.contains(fingerprint)) return;
  map.erase(std::ranges::min_element(map, {}, [&](const auto& each) { return answers_of(each.second).last->at_ns; }));
}

}  // namespace

std::string difference(const PlanChange& change) {
  const auto was = serial_outline(change.before.outline), is = serial_outline(change.after.outline);
  const auto [before, after] = other_reads(was, is);
  if (!after.empty()) return fmt::format("{} where there was {}", after, before);
  const auto [old_step, new_step] = std::ranges::mismatch(was, is);
  const auto step = [](const auto& at, const auto& all) { return at == all.end() ? "nothing" : step_of(*at); };
  return fmt::format("{} where there was {}", step(new_step, is), step(old_step, was));
}

void TemplatePlans::take(Answers& answers, TemplatePlan plan) {
  if (!plan.outline.empty()) answers.planned = plan;
  answers.last = std::move(plan);
}

std::optional<PlanChange> TemplatePlans::put(std::uint64_t fingerprint, TemplatePlan plan, PlanOf of) {
  const std::scoped_lock lock(mutex_);
  auto& all = watched_[static_cast<std::size_t>(of)];
  make_place_for(fingerprint, all, most_watched, [](const Watched& each) -> auto& { return each.answers; });
  Watched& watched = all[fingerprint];
  const auto before = watched.answers.planned;
  take(watched.answers, plan);
  if (plan.outline.empty()) return std::nullopt;
  auto serial = serial_outline(plan.outline);
  auto& ways = watched.ways;
  std::erase_if(ways, [&](const Way& way) { return plan.at_ns - way.seen_ns > remembered_ns; });
  const auto way = std::ranges::find(ways, serial, &Way::serial_outline);
  const bool is_other = before && serial_outline(before->outline) != serial;
  if (is_other) {
    watched.turn.reset();
    if (way == ways.end() || watched.run >= least_run) {
      watched.turn = {.fingerprint = fingerprint, .before = *before, .after = plan};
    }
    watched.run = 0;
  }
  ++watched.run;
  if (way != ways.end()) {
    way->seen_ns = plan.at_ns;
    return std::nullopt;
  }
  if (ways.size() >= most_ways) ways.erase(std::ranges::min_element(ways, {}, &Way::seen_ns));
  ways.push_back({.serial_outline = std::move(serial), .seen_ns = plan.at_ns});
  if (!is_other) return std::nullopt;
  changes_.push_front({.number = ++numbered_, .fingerprint = fingerprint, .before = *before, .after = std::move(plan)});
  if (changes_.size() > most_changes) changes_.pop_back();
  return changes_.front();
}

void TemplatePlans::note(std::uint64_t fingerprint, TemplatePlan plan) {
  const std::scoped_lock lock(mutex_);
  make_place_for(fingerprint, noted_, most_noted, [](const Answers& each) -> auto& { return each; });
  take(noted_[fingerprint], std::move(plan));
}

std::vector<const TemplatePlans::Watched*> TemplatePlans::watched(std::uint64_t fingerprint) const {
  std::vector<const Watched*> found;
  for (const auto& all : watched_) {
    if (const auto one = all.find(fingerprint); one != all.end()) found.push_back(&one->second);
  }
  return found;
}

std::optional<TemplatePlan> TemplatePlans::find(std::uint64_t fingerprint) const {
  const std::scoped_lock lock(mutex_);
  std::optional<TemplatePlan> newest;
  for (const Watched* each : watched(fingerprint)) {
    if (!newest || each->answers.last->at_ns > newest->at_ns) newest = each->answers.last;
  }
  if (newest) return newest;
  const auto noted = noted_.find(fingerprint);
  return noted == noted_.end() ? std::nullopt : noted->second.last;
}

std::optional<double> TemplatePlans::total_cost(std::uint64_t fingerprint) const {
  const std::scoped_lock lock(mutex_);
  const TemplatePlan* newest = nullptr;
  const auto consider = [&](const Answers& answers) {
    if (answers.planned && (newest == nullptr || answers.planned->at_ns > newest->at_ns)) newest = &*answers.planned;
  };
  for (const Watched* each : watched(fingerprint)) consider(each->answers);
  if (const auto noted = noted_.find(fingerprint); noted != noted_.end()) consider(noted->second);
  return newest == nullptr ? std::nullopt : std::optional(newest->total_cost);
}

std::optional<PlanChange> TemplatePlans::last_turn(std::uint64_t fingerprint) const {
  const std::scoped_lock lock(mutex_);
  std::optional<PlanChange> newest;
  for (const Watched* each : watched(fingerprint)) {
    if (each->turn && (!newest || each->turn->after.at_ns > newest->after.at_ns)) newest = each->turn;
  }
  return newest;
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
