// What of a session waits for its turn and for a server connection, and what it does about limits of time and memory.
#include "gateway/comes_elsewhere.hpp"
#include "gateway/memory_limit.hpp"
#include "gateway/session.hpp"

namespace millrace::gateway {

using boost::system::error_code;

asio::awaitable<bool> Session::wait_for_turn() {
  if (finished_) co_return false;
  answered_.clear();
  const auto waiting = std::make_shared<ComesElsewhere>(answered_);
  relay_->wait_for_turn(says_when_it_has_come(waiting, core_.io), now_ns());
  const auto limit = rules_->settings->pool_wait_timeout_seconds;
  const auto until = Clock::now() + (limit.count() == 0 ? Clock::duration(std::chrono::hours(24)) : limit);
  const auto is_unwanted = [this] { return client_gone_ || finished_; };
  const auto is_out_of_reach = [this] { return !*link_ && pool_->breaker() && pool_->breaker()->refuses(); };
  const std::int64_t ends_at = relay_->wait_ends_at(), goes_on_at = relay_->goes_on_anyway_at();
  const auto left = [&]() -> Clock::duration {
    Clock::duration to_wait = until - Clock::now();
    for (const std::int64_t at : {ends_at, goes_on_at}) {
      if (at != 0) to_wait = std::min(to_wait, Clock::duration(at - now_ns()));
    }
    return to_wait;
  };
  const bool lacks_place = relay_->lacks_place();
  if (lacks_place) {
    core_.counters().pool_waits.add();
    core_.counters().clients_waiting.add();
  }
  while (relay_->waits_for_turn() && !cancel_wanted_ && !is_unwanted() && !is_out_of_reach() &&
         left() > Clock::duration::zero()) {
    co_await answered_.wait(left());
  }
  if (lacks_place) core_.counters().clients_waiting.sub();
  using Waited = Relay::Waited;
  const auto how = is_unwanted()                         ? Waited::in_vain
                   : !relay_->waits_for_turn()           ? Waited::ended
                   : cancel_wanted_                      ? Waited::cancelled
                   : is_out_of_reach()                   ? Waited::no_server
                   : ends_at != 0 && now_ns() >= ends_at ? Waited::timed_out
                   : goes_on_at != 0                     ? Waited::long_enough
                                                         : Waited::too_long;
  if (how == Waited::too_long && relay_->lacks_place()) core_.counters().pool_timeouts.add();
  relay_->end_wait_for_turn(how, now_ns());
  if (relay_->refusal() != nullptr) cancel_wanted_ = false;
  co_return !is_unwanted();
}

asio::awaitable<bool> Session::wait_for_server() {
  const auto taken = co_await link_->take();
  if (!taken) {
    const auto& failure = taken.error();
    if (failure.unavailable && !relay_->refuses_next()) relay_->lacks_server(failure.error);
    const bool goes_on = link_->is_late(failure) || relay_->refuses_next();
    if (goes_on && !client_gone_ && !finished_) co_return true;  // the relay refuses it
    relay_->refused(input_.bytes(), failure.error.sqlstate, now_ns());
    if (finished_) co_return false;
    if (failure.error.sqlstate == "53300") core_.counters().pool_timeouts.add();
    tell_login_error(failure);
    co_return false;
  }
  if (client_gone_ || finished_) {
    link_->decline();
    co_return false;
  }
  if (relay_->refuses_next()) {
    link_->decline();
  } else {
    attach();
  }
  co_return true;
}

/// Between two ticks: while others wait, whoever thinks in a transaction is in nobody's way for long.
void Session::lend_turn_soon() {
  call_at(relay_->lends_at(), lends_, [](Session& self) { self.relay_->lend_idle_turn(now_ns()); });
}

/// `at`: of `now_ns()`; 0: never. `timer` is made when it is needed first, and waits for one moment at a time.
void Session::call_at(std::int64_t at, std::unique_ptr<asio::steady_timer>& timer, void (*call)(Session&)) {
  if (at == 0) return;
  if (!timer) timer = std::make_unique<asio::steady_timer>(core_.io);
  timer->expires_after(std::chrono::nanoseconds(at - now_ns()));
  timer->async_wait([weak = weak_from_this(), call](error_code error) {
    if (const auto self = weak.lock(); self && !error) call(*self);
  });
}

/// What takes too long is cancelled; a server that doesn't end it all the same is given up.
void Session::look_at_time() {
  if (cancels_late_ || !link_ || !*link_) return;
  switch (relay_->exceeds(now_ns())) {
    case Relay::Late::no:
      return;
    case Relay::Late::too_late:
      return link_->connection()->close();
    case Relay::Late::ends_session:
      if (phase_ == Phase::ending) {
        cancels_late_ = true;
        asio::co_spawn(core_.io, cancel_and_give_up(shared_from_this()), asio::detached);
        return;
      }
      if (!relay_->server_mid_message()) send_fatal(relay_->ended_for_exceeding());
      return close_client();
    case Relay::Late::late:
      cancels_late_ = true;
      asio::co_spawn(core_.io, cancel_late(shared_from_this()), asio::detached);
  }
}

void Session::look_at_memory() {
  if (cancels_late_ || !link_ || !*link_) return;
  note_memory(*relay_, *link_->connection(), core_.shared, 0, now_ns());
}

/// For limits of the client's own, which may be shorter than it is between two ticks.
void Session::look_at_time_when_due() {
  call_at(relay_->clients_limit_at(), due_, [](Session& self) {
    self.look_at_time();
    if (!self.cancels_late_) self.look_at_time_when_due();
  });
}

/// Nobody waits for what was sent behind it. A server that isn't told goes on though its connection is gone.
asio::awaitable<void> Session::cancel_and_give_up(std::shared_ptr<Session> self) {
  co_await self->core_.cancel_turns.take();
  co_await self->link_->cancel([&relay = *self->relay_] { return relay.still_exceeds(); });
  self->core_.cancel_turns.give();
  if (*self->link_) self->link_->connection()->close();
  self->cancels_late_ = false;
}

/// Nothing is sent to the server meanwhile, and nothing was behind what it is about.
asio::awaitable<void> Session::cancel_late(std::shared_ptr<Session> self) {
  co_await self->core_.cancel_turns.take();
  co_await self->link_->cancel([&relay = *self->relay_] { return relay.still_exceeds(); });
  self->core_.cancel_turns.give();
  self->cancels_late_ = false;
  self->answered_.set();
}

}  // namespace millrace::gateway
