// What of a session waits for its turn and for a server connection, and what it does about limits of time and memory.
#include "gateway/memory_limit.hpp"
#include "gateway/session.hpp"
#include "net/poller.hpp"

namespace millrace::gateway {

using boost::system::error_code;

/// Where the server has more to do than it can many messages wait, so this costs no coroutine and mostly no timer: what
/// may end it looks whether it does, and so does each tick.
void Session::wait_for_turn() {
  waits_ = waits_for_turn_ = true;
  const std::int64_t now = now_ns();
  const std::chrono::nanoseconds limit = rules_->settings->pool_wait_timeout_seconds;
  waits_until_ = limit.count() == 0 ? 0 : now + limit.count();
  // On another thread a session mustn't end, and what is called may be kept for long. Who has just been answered says
  // first what it wants next: whoever has the turn then knows that somebody waits.
  relay_->wait_for_turn(
      [weak = weak_from_this(), &io = core_.io] {
        if (weak.expired()) return;
        net::Poller::soon(io, [weak] {
          if (const auto self = weak.lock()) self->look_soon();
        });
      },
      now);
  lacked_place_ = relay_->lacks_place();
  if (lacked_place_) {
    core_.counters().pool_waits.add();
    core_.counters().clients_waiting.add();
  }
  const auto [sooner, later] = std::minmax({relay_->wait_ends_at(), relay_->goes_on_anyway_at()});
  call_at(sooner != 0 ? sooner : later, turn_due_, [](Session& self) { self.look_at_turn(); });
  if (wait_for_turn_is_over(now)) look_soon();  // cancelled before it began, say
}

/// Null: it goes on.
std::optional<Relay::Waited> Session::wait_for_turn_is_over(std::int64_t now) const {
  using Waited = Relay::Waited;
  const auto is_past = [now](std::int64_t at) { return at != 0 && now >= at; };
  if (client_gone_ || finished_) return Waited::in_vain;
  if (!relay_->waits_for_turn()) return Waited::ended;
  if (cancel_wanted_) return Waited::cancelled;
  if (!*link_ && pool_->breaker() && pool_->breaker()->refuses()) return Waited::no_server;
  if (is_past(relay_->wait_ends_at())) return Waited::timed_out;
  if (is_past(relay_->goes_on_anyway_at())) return Waited::long_enough;
  if (is_past(waits_until_)) return Waited::too_long;
  return std::nullopt;
}

void Session::look_at_turn() {
  if (!waits_for_turn_) return;
  const std::int64_t now = now_ns();
  const auto how = wait_for_turn_is_over(now);
  if (!how) return;
  waits_for_turn_ = false;
  if (turn_due_) turn_due_->cancel();
  if (lacked_place_) core_.counters().clients_waiting.sub();
  if (*how == Relay::Waited::too_long && relay_->lacks_place()) core_.counters().pool_timeouts.add();
  relay_->end_wait_for_turn(*how, now);
  if (relay_->refusal() != nullptr) cancel_wanted_ = false;
  waited(*how == Relay::Waited::in_vain ? Passed::ended : pass_on());
}

asio::awaitable<bool> Session::wait_for_server() {
  if (std::exchange(cancel_wanted_, false)) {
    relay_->cancel_before_sent();
    co_return true;
  }
  const auto taken = co_await link_->take();
  if (!taken) {
    const auto& failure = taken.error();
    const bool waited_in_vain = failure.error.sqlstate == "53300" && failure.error_response.empty();
    if (std::exchange(cancel_wanted_, false)) relay_->cancel_before_sent();
    if (failure.unavailable && !relay_->refuses_next()) relay_->lacks_server(failure.error);
    if (waited_in_vain && rules_->settings->enable_adaptive_executor && !relay_->refuses_next()) {
      core_.counters().pool_timeouts.add();
      relay_->waited_in_vain(failure.error);
    }
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
