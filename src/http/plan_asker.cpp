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

/// The user or the database may be gone, where others still run the template.
bool is_of_who_or_where(const Error& error) { return error.sqlstate.starts_with("28") || error.sqlstate == "3D000"; }

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
  slow_ = Question{
      .fingerprint = query.fingerprint,
      .request = {.database = query.database, .user = query.user, .only_by_its_log_in = true, .query = query.text}};
}

void PlanAsker::add_suspects(const std::vector<std::uint64_t>& suspects, std::int64_t now) {
  for (const std::uint64_t fingerprint : suspects) {
    if (std::ranges::find(suspects_, fingerprint) != suspects_.end()) continue;
    asked_[fingerprint] = {.at_ns = now - budget_.between_of_one.count(), .is_urgent = true};
  }
  suspects_ = suspects;
}

/// What takes the most isn't asked about at once: it may be a moment's.
std::optional<PlanAsker::Question> PlanAsker::of_series(const TemplateSeries& templates, std::int64_t now,
                                                        bool only_urgent) {
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
    if (asked.calls == one.figures.calls) continue;  // see `Budget::recently`
    if (only_urgent && !asked.is_urgent) continue;
    if (auto question = question_of(*one.fingerprint)) return question;
  }
  return std::nullopt;
}

void PlanAsker::see_calls(std::int64_t now) {
  ++looks_;
  for (const auto& one : monitor_->history()->template_totals().templates) {
    Other& other = others_[one.fingerprint];
    other.look = looks_;
    if (std::exchange(other.calls, one.figures.calls) != one.figures.calls) other.called_ns = now;
    other.total_ns = one.figures.total_ns;
  }
  boost::unordered::erase_if(others_, [&](const auto& each) { return each.second.look != looks_; });
}

/// What was called once may never be again. Of those that are due, that which takes the most.
std::optional<PlanAsker::Question> PlanAsker::of_others(const TemplateSeries& templates, std::int64_t now) {
  std::set<std::uint64_t> take_most;
  for (const auto& one : templates.series()) {
    if (one.fingerprint) take_most.insert(*one.fingerprint);
  }
  Other* next = nullptr;
  std::uint64_t fingerprint = 0;
  for (auto& [its_fingerprint, other] : others_) {
    if (other.calls < 2 || (next != nullptr && other.total_ns <= next->total_ns) ||
        take_most.contains(its_fingerprint) || now - other.called_ns > budget_.recently.count())
      continue;
    if (other.asked_ns &&
        (other.called_ns <= *other.asked_ns || now - *other.asked_ns < budget_.between_of_others.count()))
      continue;
    next = &other;
    fingerprint = its_fingerprint;
  }
  if (next == nullptr) return std::nullopt;
  next->asked_ns = now;  // also if nothing can be asked
  auto question = question_of(fingerprint);
  if (question) question->is_of_others = true;
  return question;
}

std::optional<PlanAsker::Question> PlanAsker::question_of(std::uint64_t fingerprint) const {
  const auto about = monitor_->history()->about_template(fingerprint);
  if (!about || about->engine != Engine::postgresql || !can_be_planned(about->kind) || !is_whole(about->text) ||
      about->database.empty() || about->user.empty()) {
    return std::nullopt;
  }
  return Question{
      .fingerprint = fingerprint,
      .key = about->key,
      .request = {.database = about->database, .user = about->user, .only_by_its_log_in = true, .query = about->text}};
}

/// What has become urgent goes past the budget: once.
std::optional<PlanAsker::Question> PlanAsker::next(const TemplateSeries& templates, std::int64_t now) {
  if (last_ns_ && now - *last_ns_ < budget_.between.count()) return of_series(templates, now, true);
  if (slow_) return std::exchange(slow_, std::nullopt);
  auto question = of_series(templates, now, false);
  return question ? question : of_others(templates, now);
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
  see_calls(now);
  if (under_way_) return;
  auto question = next(templates, now);
  if (!question) return;
  if (asked_.size() >= most_asked) {
    boost::unordered::erase_if(asked_, [&](const auto& each) { return may_ask(each.first, now); });
  }
  if (!question->is_of_others) {
    std::uint64_t calls = 0;
    for (const auto& one : templates.series()) {
      if (one.fingerprint == question->fingerprint) calls = one.figures.calls;
    }
    asked_[question->fingerprint] = {.at_ns = now, .calls = calls, .is_asked = true};
  }
  last_ns_ = now;
  under_way_ = true;
  asio::co_spawn(context_, answer(*std::move(question)),
                 [self = shared_from_this()](const std::exception_ptr&) { self->under_way_ = false; });
}

asio::awaitable<void> PlanAsker::answer(Question question) {
  const auto planned = co_await planner_(std::move(question.request));
  TemplatePlan plan{.at = std::chrono::system_clock::now(), .at_ns = now_ns()};
  if (planned) {
    plan.outline = optimizer::outline_of(planned->plan);
    plan.total_cost = planned->plan.total_cost;
    plan.rows = planned->plan.rows;
  } else {
    plan.why_none = planned.error().message;
    if (question.key && is_of_who_or_where(planned.error())) monitor_->history()->describe_anew(*question.key);
  }
  if (question.is_of_others) {
    plans_->note(question.fingerprint, std::move(plan));
    co_return;
  }
  const auto change = plans_->put(question.fingerprint, std::move(plan));
  if (change) {
    log::warn("a plan changed", {{"fingerprint", fmt::format("{:016x}", question.fingerprint)},
                                 {"was", change->before.outline.front()},
                                 {"is", change->after.outline.front()}});
  }
}

}  // namespace millrace::http
