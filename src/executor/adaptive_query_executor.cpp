#include "executor/adaptive_query_executor.hpp"

#include <algorithm>

#include "base/clock.hpp"

namespace millrace::executor {
namespace {

// Of `ended_`: a count, then a sum.
constexpr int count_at = 40;
constexpr std::uint64_t sum_mask = (std::uint64_t{1} << count_at) - 1;
/// After so many have ended, where nobody waits, it is looked whether a window has.
constexpr std::uint64_t look_every = 8;
/// So long nothing has ended where somebody waits: what runs by then is set aside; and where as many run as may at
/// most, it doesn't count at all any more.
constexpr std::int64_t longest_standstill = 250'000'000, longest_at_most = 10'000'000'000;

}  // namespace

void Permit::give_back(std::int64_t now, End end) {
  if (executor_ == nullptr) return;
  if (end == End::failed && round_ != 0) executor_->in_vain_.fetch_add(1, std::memory_order::relaxed);
  give_back_slot(now, 0);
}

void Permit::give_back(std::int64_t now, int size) {
  if (executor_ == nullptr) return;
  if (round_ == 0) return give_back_slot(now, 0);
  const auto added = (std::uint64_t{1} << count_at) + static_cast<std::uint64_t>(std::max(size, 0));
  give_back_slot(now, executor_->ended_.fetch_add(added, std::memory_order::relaxed) >> count_at);
}

void Permit::give_back_slot(std::int64_t now, std::uint64_t count) {
  has_place();
  std::exchange(executor_, nullptr)->ended(*this, now, count);
}

void Permit::drop() {
  if (executor_ != nullptr) give_back(now_ns());
}

AdaptiveQueryExecutor::AdaptiveQueryExecutor(Limits limits) : limits_(limits), best_(limits.most) { apply_limits(); }

void AdaptiveQueryExecutor::set_limits(Limits limits) {
  Woken woken;
  {
    const std::scoped_lock lock(mutex_);
    limits_ = limits;
    apply_limits();
    let_in(woken, now_ns());
  }
  wake(woken);
}

void AdaptiveQueryExecutor::apply_limits() {
  limits_.most = std::max<std::size_t>(limits_.most, 1);
  best_.set_most(limits_.most);
  apply_limit();
}

/// With the lock held, as the next.
std::size_t AdaptiveQueryExecutor::found_limit() const {
  return limits_.finds_best && limits_.most_waiting > 0 ? best_.limit() : limits_.most;
}

void AdaptiveQueryExecutor::apply_limit() {
  const std::size_t left = limits_.most - std::min(limits_.most, aside_);
  limit_.store(std::min(found_limit(), left), std::memory_order::relaxed);
}

AdaptiveQueryExecutor::Limits AdaptiveQueryExecutor::limits() const {
  const std::scoped_lock lock(mutex_);
  return limits_;
}

void AdaptiveQueryExecutor::follow_quotas(std::int64_t now) {
  Woken woken;
  {
    const std::scoped_lock lock(mutex_);
    queue_.quotas_are_others();
    let_in(woken, now);
  }
  wake(woken);
}

std::optional<Exceeded> AdaptiveQueryExecutor::charge(const Party& party, std::int64_t now) {
  if (!party.has_account() || !quotas_.on()) return std::nullopt;
  std::optional<Exceeded> exceeded;
  if (party.user_account()) exceeded = party.user_account()->charge(now);
  if (!exceeded && party.project_account()) {
    exceeded = party.project_account()->charge(now);
    if (exceeded) {
      exceeded->is_of_project = true;
      if (party.user_account()) party.user_account()->take_back();
    }
  }
  if (exceeded) {
    const std::scoped_lock lock(mutex_);
    ++counted_.refused.at(static_cast<std::size_t>(Refused::quota));
  }
  return exceeded;
}

void AdaptiveQueryExecutor::take_back(const Party& party) {
  if (!quotas_.on()) return;
  if (party.user_account()) party.user_account()->take_back();
  if (party.project_account()) party.project_account()->take_back();
}

Permit AdaptiveQueryExecutor::try_take(Party& party, Places* places, std::int64_t now) {
  const bool may_run_more = party.user_may_run_more() && party.project_may_run_more() && !party.is_held_back();
  if (slot_wanted_.load(std::memory_order::relaxed) || !may_run_more) return {};
  if (places != nullptr && (places->wanted() || !places->promise())) return {};
  const auto round = slots_.try_take(limit());
  if (round == 0) {
    if (places != nullptr) places->end_promise();
    return {};
  }
  party.add_running();
  return {*this, party, places, round, now};
}

Permit AdaptiveQueryExecutor::take_anyway(Party& party, std::int64_t now) {
  const auto round = slot_wanted_.load(std::memory_order::relaxed) ? 0 : slots_.try_take(limit());
  if (round == 0) besides_.fetch_add(1, std::memory_order::relaxed);
  party.add_running();
  return {*this, party, nullptr, round, now};
}

std::shared_ptr<WaitingQuery> AdaptiveQueryExecutor::wait(WaitingQuery::Wanted wanted, std::function<void()> call,
                                                          std::int64_t now) {
  auto query = std::make_shared<WaitingQuery>(std::move(wanted), std::move(call), now);
  Woken woken;
  {
    const std::scoped_lock lock(mutex_);
    end_window(now);
    queue_.add(query, now);
    let_in(woken, now);
    if (query->state() == WaitingQuery::State::waits && queue_.size() > limits_.most_waiting) {
      auto lower = limits_.most_waiting == 0 ? nullptr : queue_.take_lower_than(query->wanted().priority);
      if (!lower) {
        queue_.remove(*query);
        lower = query;
      }
      refuse(woken, std::move(lower), limits_.most_waiting == 0 ? Refused::no_queue : Refused::queue_full);
      let_in(woken, now);
    } else if (query->state() == WaitingQuery::State::waits && is_too_late(*query)) {
      queue_.remove(*query);
      refuse(woken, query, Refused::overload);
      let_in(woken, now);
    }
  }
  wake(woken);
  return query;
}

/// With the lock held, of one that has just come: it couldn't be done in time. How long it will wait is an estimate, so
/// where its client hasn't said that he will be gone it must be twice as long as it may.
bool AdaptiveQueryExecutor::is_too_late(const WaitingQuery& query) {
  const auto& wanted = query.wanted();
  if (wanted.party->is_held_back() || (wanted.places && limits_.places_are_kept)) return false;
  const double wait = queue_.wait_of(query);
  if (wanted.time > 0 && wait > static_cast<double>(wanted.time - std::min(wanted.predicted, wanted.time)))
    return wait > 0;
  return !wanted.is_patient && limits_.wait.count() > 0 && wait > 2 * static_cast<double>(limits_.wait.count());
}

/// With the lock held; it isn't in the queue any more.
void AdaptiveQueryExecutor::refuse(Woken& woken, std::shared_ptr<WaitingQuery> query, Refused why) {
  ++counted_.refused.at(static_cast<std::size_t>(why));
  query->why_ = why;
  query->state_.store(WaitingQuery::State::refused, std::memory_order::release);
  woken.push_back(std::move(query));
}

/// With the lock held: whoever has a turn now.
void AdaptiveQueryExecutor::let_in(Woken& woken, std::int64_t now) {
  for (;;) {
    const auto next = queue_.next(now);
    if (!slot_wanted_.exchange(next.query != nullptr, std::memory_order::seq_cst)) stirred_ = now;
    if (next.query == nullptr) {
      if (!next.lacks_place || has_slots_to_spare()) saturated_ = false;
      return;
    }
    const auto round = slots_.try_take(limit());
    if (round == 0) return;
    const auto& places = next.query->wanted().places;
    if (places && !places->promise()) {  // somebody else was quicker
      slots_.give_back(round);
      continue;
    }
    auto query = queue_.take(*next.query, now);
    query->round_ = round;
    stirred_ = now;
    ++counted_.waited;
    query->wanted().party->add_running();
    query->state_.store(WaitingQuery::State::let_in, std::memory_order::release);
    woken.push_back(std::move(query));
  }
}

/// What has just ended may still have its connection, which others wait for: that the limit is some way off.
bool AdaptiveQueryExecutor::has_slots_to_spare() const {
  constexpr std::size_t parts = 8;
  return slots_.count() + 1 + limit() / parts < limit();
}

void AdaptiveQueryExecutor::wake(const Woken& woken) {
  for (const auto& query : woken) {
    if (query->wake_) query->wake_();
  }
}

Permit AdaptiveQueryExecutor::take(WaitingQuery& query, std::int64_t now) {
  if (query.state() != WaitingQuery::State::let_in) return {};
  if (std::exchange(query.is_taken_, true)) return {};
  return {*this, *query.wanted().party, query.wanted().places.get(), query.round_, now};
}

void AdaptiveQueryExecutor::stop_waiting(WaitingQuery& query, std::int64_t now) {
  Woken woken;
  bool waited = false;
  {
    const std::scoped_lock lock(mutex_);
    waited = queue_.remove(query);
    if (waited) {
      ++counted_.left;
      query.why_ = Refused::overload;
      query.state_.store(WaitingQuery::State::refused, std::memory_order::release);
      let_in(woken, now);
    }
  }
  wake(woken);
  if (!waited) take(query, now).give_back(now);
}

/// `count`: of those that have come to a good end in this window.
void AdaptiveQueryExecutor::ended(Permit& permit, std::int64_t now, std::uint64_t count) {
  Party& party = *permit.party_;
  party.end_running(now - permit.since_);
  const bool counted = slots_.give_back(permit.round_);
  if (!counted) besides_.fetch_sub(1, std::memory_order::relaxed);
  const bool was_aside = !counted && permit.round_ != 0;
  const bool concerns_others =
      was_aside || slot_wanted_.load(std::memory_order::seq_cst) || party.group().waiting > 0 || party.is_held_back();
  if (!concerns_others && count % look_every != look_every - 1) return;
  Woken woken;
  {
    std::unique_lock lock(mutex_, std::defer_lock);
    if (concerns_others) {
      lock.lock();
    } else if (!lock.try_lock()) {
      return;  // whoever has it may look
    }
    if (concerns_others) queue_.has_less(party);
    if (permit.round_ != 0) stirred_ = now;
    if (was_aside && permit.round_ > forgotten_) {
      --aside_;
      apply_limit();
    }
    end_window(now);
    let_in(woken, now);
  }
  wake(woken);
}

/// If it is time; with the lock held.
void AdaptiveQueryExecutor::end_window(std::int64_t now) {
  constexpr double unit = 256;  // of sizes
  const std::uint64_t ended = ended_.load(std::memory_order::relaxed);
  ConcurrencyLimit::Window window{.ended = static_cast<std::size_t>(ended >> count_at),
                                  .in_vain = in_vain_.load(std::memory_order::relaxed),
                                  .saturated = saturated_,
                                  .begun = window_begun_,
                                  .now = now};
  if (!best_.is_due(window)) return;
  if (window.ended > 0) window.size = static_cast<double>(ended & sum_mask) / unit / static_cast<double>(window.ended);
  if (limits_.finds_best && limits_.most_waiting > 0) {
    best_.end(window);
    apply_limit();
  }
  ended_.fetch_sub(ended, std::memory_order::relaxed);
  in_vain_.fetch_sub(window.in_vain, std::memory_order::relaxed);
  window_begun_ = now;
  saturated_ = !queue_.empty();  // where it is only for quotas and connections, `let_in` takes it back
}

void AdaptiveQueryExecutor::look_again(std::int64_t now) {
  Woken woken;
  {
    const std::scoped_lock lock(mutex_);
    let_in(woken, now);
  }
  wake(woken);
}

void AdaptiveQueryExecutor::tick(std::int64_t now) {
  Woken woken;
  {
    const std::scoped_lock lock(mutex_);
    end_window(now);
    end_standstill(now);
    let_in(woken, now);
  }
  wake(woken);
}

/// If there is one; with the lock held.
void AdaptiveQueryExecutor::end_standstill(std::int64_t now) {
  if (!anybody_waits() || !limits_.finds_best) return;
  const bool is_most = slots_.count() + aside_ >= limits_.most;
  if (now - stirred_ < (is_most ? longest_at_most : longest_standstill)) return;
  const auto [round, count] = slots_.begin_round();
  besides_.fetch_add(static_cast<std::int64_t>(count), std::memory_order::relaxed);
  aside_ += count;
  if (is_most) {
    aside_ = 0;
    forgotten_ = round;
  }
  apply_limit();
}

std::optional<std::size_t> AdaptiveQueryExecutor::position(const WaitingQuery& query) const {
  const std::scoped_lock lock(mutex_);
  if (query.state() != WaitingQuery::State::waits) return std::nullopt;
  return queue_.position(query);
}

AdaptiveQueryExecutor::Figures AdaptiveQueryExecutor::figures(std::int64_t now) const {
  const std::scoped_lock lock(mutex_);
  Figures figures = counted_;
  const std::int64_t besides = besides_.load(std::memory_order::relaxed);
  figures.running = slots_.count() + static_cast<std::size_t>(std::max<std::int64_t>(besides, 0));
  figures.limit = found_limit();
  figures.most = limits_.most;
  figures.waiting = queue_.sizes();
  figures.oldest_wait = now - queue_.oldest(now);
  return figures;
}

}  // namespace millrace::executor
