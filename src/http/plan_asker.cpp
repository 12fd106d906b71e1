#include "http/plan_asker.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <limits>
#include <set>
#include <utility>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "sql/statement.hpp"

namespace millrace::http {
namespace {

constexpr std::size_t most_asked = 2000;

bool can_be_planned(std::uint8_t kind) {
  using enum sql::StatementKind;
  const auto is = static_cast<sql::StatementKind>(kind);
  return is == select || is == insert || is == update || is == delete_ || is == merge;
}

bool is_whole(std::string_view text) { return !text.empty() && text.size() < sql::Statement::most_text; }

}  // namespace

bool PlanAsker::may_ask(std::uint64_t fingerprint, std::int64_t now) const {
  const auto asked = asked_.find(fingerprint);
  return asked == asked_.end() || !asked->second.is_asked ||
         now - asked->second.at_ns >= budget_.between_of_one.count();
}

void PlanAsker::add_slow(std::int64_t now) {
  const std::uint64_t seen = slow_queries_seen_;
  const auto found = monitor_->history()->slow_queries([&](const SlowQuery& query) {
    slow_queries_seen_ = std::max(slow_queries_seen_, query.number);
    return query.number > seen && query.engine == Engine::postgresql && !query.database.empty() &&
           can_be_planned(query.kind) && is_whole(query.text) && !query.failed() && may_ask(query.fingerprint, now);
  });
  if (found.empty()) return;
  const SlowQuery& query = found.back();
  slow_ = Question{.fingerprint = query.fingerprint,
                   .request = {.database = query.database, .user = query.user, .query = query.text}};
}

void PlanAsker::add_suspects(const std::vector<std::uint64_t>& suspects, std::int64_t now) {
  for (const std::uint64_t fingerprint : suspects) {
    if (std::ranges::find(suspects_, fingerprint) != suspects_.end()) continue;
    asked_[fingerprint] = {.at_ns = now - budget_.between_of_one.count(), .is_urgent = true};
  }
  suspects_ = suspects;
}

/// What takes the most isn't asked about at once: it may be a moment's.
std::optional<PlanAsker::Question> PlanAsker::of_series(const TemplateSeries& templates, std::int64_t now) {
  auto series = templates.series();
  std::ranges::sort(series, {}, [&](const TemplateSeries::Series& one) {
    const auto asked = one.fingerprint ? asked_.find(*one.fingerprint) : asked_.end();
    const bool is_urgent = asked != asked_.end() && asked->second.is_urgent;
    const auto place = is_urgent ? std::ranges::find(suspects_, *one.fingerprint) : suspects_.end();
    return std::pair(place, std::numeric_limits<std::uint64_t>::max() - one.figures.total_ns);
  });
  for (const TemplateSeries::Series& one : series) {
    if (!one.fingerprint) continue;
    const std::int64_t first = now - (budget_.between_of_one - budget_.before_first).count();
    const Asked& asked = asked_.try_emplace(*one.fingerprint, Asked{.at_ns = first}).first->second;
    if (now - asked.at_ns < budget_.between_of_one.count()) continue;
    // Where nobody asks any more Millrace doesn't either: its connection would be in the way of who drops a database.
    if (asked.calls == one.figures.calls) continue;
    if (auto question = question_of(*one.fingerprint)) return question;
  }
  return std::nullopt;
}

/// What was called once may never be again. Of those that are due, that which takes the most.
std::optional<PlanAsker::Question> PlanAsker::of_others(const TemplateSeries& templates, std::int64_t now) {
  std::set<std::uint64_t> take_most;
  for (const auto& one : templates.series()) take_most.insert(one.fingerprint.value_or(0));
  const auto totals = monitor_->history()->template_totals();
  const TemplateTotals::One* next = nullptr;
  for (const auto& one : totals.templates) {
    if (one.figures.calls < 2 || take_most.contains(one.fingerprint) ||
        (next != nullptr && one.figures.total_ns <= next->figures.total_ns))
      continue;
    const auto asked = asked_.find(one.fingerprint);
    const bool is_due = asked == asked_.end() || !asked->second.is_asked ||
                        (now - asked->second.at_ns >= budget_.between_of_others.count() &&
                         asked->second.calls_in_all != one.figures.calls);
    if (is_due) next = &one;
  }
  if (next == nullptr) return std::nullopt;
  auto question = question_of(next->fingerprint);
  if (question) {
    question->calls_in_all = next->figures.calls;
  } else {
    asked_[next->fingerprint] = {.at_ns = now, .calls_in_all = next->figures.calls, .is_asked = true};
  }
  return question;
}

std::optional<PlanAsker::Question> PlanAsker::question_of(std::uint64_t fingerprint) const {
  const auto about = monitor_->history()->about_template(fingerprint);
  if (!about || about->engine != Engine::postgresql || !can_be_planned(about->kind) || !is_whole(about->text) ||
      about->database.empty()) {
    return std::nullopt;
  }
  return Question{.fingerprint = fingerprint,
                  .request = {.database = about->database, .user = usual_().user, .query = about->text}};
}

void PlanAsker::look(const TemplateSeries& templates, const std::vector<std::uint64_t>& suspects,
                     const std::function<void(const PlanChange&)>& changed) {
  if (monitor_->history() == nullptr) return;
  const auto changes = plans_->changes();
  for (const PlanChange& change : changes) {
    if (change.number <= changes_told_) break;
    changed(change);
  }
  if (!changes.empty()) changes_told_ = changes.front().number;
  const std::int64_t now = now_ns();
  add_slow(now);
  add_suspects(suspects, now);
  if (under_way_ || (last_ns_ && now - *last_ns_ < budget_.between.count())) return;
  auto question = slow_ ? std::exchange(slow_, std::nullopt) : of_series(templates, now);
  if (!question) question = of_others(templates, now);
  if (!question) return;
  if (asked_.size() >= most_asked) {
    boost::unordered::erase_if(asked_, [&](const auto& each) { return may_ask(each.first, now); });
  }
  std::uint64_t calls = 0;
  for (const auto& one : templates.series()) {
    if (one.fingerprint == question->fingerprint) calls = one.figures.calls;
  }
  asked_[question->fingerprint] = {
      .at_ns = now, .calls = calls, .calls_in_all = question->calls_in_all, .is_asked = true};
  last_ns_ = now;
  under_way_ = true;
  asio::co_spawn(context_, answer(*std::move(question)),
                 [self = shared_from_this()](const std::exception_ptr&) { self->under_way_ = false; });
}

asio::awaitable<void> PlanAsker::answer(Question question) {
  const std::uint64_t fingerprint = question.fingerprint;
  const auto planned = co_await planner_(std::move(question.request));
  TemplatePlan plan{.at = std::chrono::system_clock::now(), .at_ns = now_ns()};
  if (planned) {
    plan.outline = optimizer::outline_of(planned->plan);
    plan.total_cost = planned->plan.total_cost;
    plan.rows = planned->plan.rows;
  } else {
    plan.why_none = planned.error().message;
  }
  const auto change = plans_->put(fingerprint, std::move(plan));
  if (change) {
    log::warn("a plan changed", {{"fingerprint", fmt::format("{:016x}", fingerprint)},
                                 {"was", change->before.outline.front()},
                                 {"is", change->after.outline.front()}});
  }
}

}  // namespace millrace::http
