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
constexpr std::size_t most_lines = 200;  ///< of an outline: a table may have thousands of parts

bool can_be_planned(std::uint8_t kind) {
  using enum sql::StatementKind;
  const auto is = static_cast<sql::StatementKind>(kind);
  return is == select || is == insert || is == update || is == delete_ || is == merge;
}

/// The user or the database may be gone, where others still run the template.
bool is_of_who_or_where(std::string_view sqlstate) { return sqlstate.starts_with("28") || sqlstate == "3D000"; }
/// Or it has no connection to spare.
bool is_refusal(std::string_view sqlstate) { return is_of_who_or_where(sqlstate) || sqlstate == "53300"; }

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
      .request = {.database = query.database, .user = query.user, .only_by_its_log_in = true, .query = query.text},
      .of = PlanOf::slow_query};
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
    if (auto question = question_of(*one.fingerprint); question && !is_refused(*question)) return question;
  }
  return std::nullopt;
}

void PlanAsker::see_calls(std::int64_t now) {
  ++looks_;
  const auto totals = monitor_->history()->template_totals();
  for (const auto& one : totals.templates) {
    if (one.engine != Engine::postgresql) continue;
    Other& other = others_[one.fingerprint];
    other.look = looks_;
    if (std::exchange(other.calls, one.figures.calls) != one.figures.calls) other.called_ns = now;
    other.total_ns = one.figures.total_ns;
  }
  boost::unordered::erase_if(others_, [&](const auto& each) { return each.second.look != looks_; });
}

void PlanAsker::see_refusal(std::int64_t now) {
  std::erase_if(refused_, [&](const auto& each) { return now - each.second >= budget_.after_refusal.count(); });
  const auto refusal = std::exchange(refusal_, std::nullopt);
  if (!refusal) return;
  refused_[refusal->user_and_database] = now;
  if (!refusal->key || !is_of_who_or_where(refusal->sqlstate)) return;
  monitor_->history()->describe_anew(*refusal->key);
  if (const auto other = others_.find(refusal->fingerprint); other != others_.end()) other->second.asked_ns.reset();
}

bool PlanAsker::is_refused(const Question& question) const {
  return refused_.contains({question.request.user, question.request.database});
}

/// What was called once may never be again. Of those that are due, that which takes the most.
std::optional<PlanAsker::Question> PlanAsker::of_others(const TemplateSeries& templates, std::int64_t now) {
  std::set<std::uint64_t> take_most;
  for (const auto& one : templates.series()) {
    if (one.fingerprint) take_most.insert(*one.fingerprint);
  }
  std::vector<std::pair<std::uint64_t, std::uint64_t>> due;  // what it has taken, and its fingerprint
  for (const auto& [fingerprint, other] : others_) {
    const bool is_called = other.calls >= 2 && now - other.called_ns <= budget_.recently.count();
    const bool is_due = !other.asked_ns || (other.called_ns > *other.asked_ns &&
                                            now - *other.asked_ns >= budget_.between_of_others.count());
    if (is_called && is_due && !take_most.contains(fingerprint)) due.emplace_back(other.total_ns, fingerprint);
  }
  std::ranges::sort(due, std::greater());
  for (const auto& [total_ns, fingerprint] : due) {
    auto question = question_of(fingerprint);
    if (question && is_refused(*question)) continue;
    others_[fingerprint].asked_ns = now;
    if (!question) continue;  // nothing can be asked about it
    question->is_of_others = true;
    return question;
  }
  return std::nullopt;
}

std::optional<PlanAsker::Question> PlanAsker::question_of(std::uint64_t fingerprint) {
  const auto key = QueryPerformanceMonitor::template_key(fingerprint, Engine::postgresql);
  const auto about = monitor_->history()->about_template(key);
  if (!about || !can_be_planned(about->kind) || !is_whole(about->text)) return std::nullopt;
  if (about->database.empty() || about->user.empty()) {  // who told of it didn't know; who sends it does
    monitor_->history()->describe_anew(key);
    return std::nullopt;
  }
  return Question{
      .fingerprint = fingerprint,
      .key = key,
      .request = {.database = about->database, .user = about->user, .only_by_its_log_in = true, .query = about->text}};
}

/// What has become urgent goes past the budget: once.
std::optional<PlanAsker::Question> PlanAsker::next(const TemplateSeries& templates, std::int64_t now) {
  if (last_ns_ && now - *last_ns_ < budget_.between.count()) return of_series(templates, now, true);
  if (const auto slow = std::exchange(slow_, std::nullopt); slow && !is_refused(*slow)) return slow;
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
  see_refusal(now);
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
  Refusal refusal{.fingerprint = question.fingerprint,
                  .key = question.key,
                  .user_and_database = {question.request.user, question.request.database}};
  const auto planned = co_await planner_(std::move(question.request));
  TemplatePlan plan{.at = std::chrono::system_clock::now(), .at_ns = now_ns()};
  if (planned) {
    plan.outline = optimizer::outline_of(planned->plan);
    plan.outline.resize(std::min(plan.outline.size(), most_lines));
    plan.total_cost = planned->plan.total_cost;
    plan.rows = planned->plan.rows;
  } else {
    refusal.sqlstate = planned.error().sqlstate;
    // What is wrong with a constant says it, and others see this, whose constants it isn't.
    const bool is_of_constants = refusal.sqlstate.starts_with("22");
    plan.why_none = is_of_constants ? "PostgreSQL can't plan it with the constants at hand: " + refusal.sqlstate
                                    : planned.error().message;
    if (is_refusal(refusal.sqlstate)) refusal_ = std::move(refusal);
  }
  if (question.is_of_others) {
    plans_->note(question.fingerprint, std::move(plan));
    co_return;
  }
  const auto change = plans_->put(question.fingerprint, std::move(plan), question.of);
  if (change) {
    log::warn("a plan changed", {{"fingerprint", fmt::format("{:016x}", question.fingerprint)},
                                 {"was", change->before.outline.front()},
                                 {"is", change->after.outline.front()}});
  }
}

}  // namespace millrace::http
