#include "gateway/session.hpp"

#include "base/log.hpp"
#include "gateway/comes_elsewhere.hpp"
#include "gateway/new_sessions.hpp"
#include "gateway/parse_elsewhere.hpp"
#include "net/poller.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/reader.hpp"

namespace millrace::gateway {
namespace {

using boost::system::error_code;
using pgwire::as_bytes;

/// A client that has been silent for so long gives back memory that it once needed.
constexpr auto resting_after = std::chrono::seconds(1);
/// Besides MAX_CLIENT_CONNECTIONS so many, and a tenth of it, may be about to start: room for requests to cancel.
constexpr std::size_t spare_connections = 20;
/// A client that doesn't take its answers may send this many messages ahead.
constexpr std::size_t max_backlog = 20000;
/// And so many bytes of them may wait for it.
constexpr std::size_t max_waiting = 64 * 1024;

}  // namespace

void Session::start(Core& core, net::Stream client) {
  const auto self = std::make_shared<Session>(core, std::move(client));
  core.sessions.insert(self.get());
  asio::co_spawn(core.io, run(self), asio::detached);
}

Session::Session(Core& core, net::Stream client)
    : core_(core),
      client_(std::move(client)),
      input_(core.shared.held),
      output_(core.io, client_),
      rules_(core.shared.rules.load()),
      started_(Clock::now()),
      last_heard_(started_),
      over_(core.io),
      answered_(core.io),
      progress_(core.io),
      cancels_(core.io, core.cancel_turns) {
  core_.counters().clients_connected.add();
  core_.counters().clients_total.add();
}

Session::~Session() = default;

asio::awaitable<void> Session::run(std::shared_ptr<Session> self) {
  if (self->wait_for_start() && co_await self->log_in()) co_await self->serve();
  co_await self->end();
}

/// False: there are too many connections that have yet to say what they want.
bool Session::wait_for_start() {
  counted_ = Counted::starting;
  const auto most = static_cast<std::size_t>(rules_->settings->max_client_connections);
  if (core_.shared.starting.fetch_add(1) + core_.shared.clients < most + most / 10 + spare_connections) return true;
  core_.counters().clients_refused.add();
  send_fatal(Error{.message = "sorry, too many connections that have not logged in", .sqlstate = "53300"});
  return false;
}

/// It has said what it wants, or is over.
void Session::started() {
  if (counted_ == Counted::starting) core_.shared.starting.fetch_sub(1);
  if (counted_ == Counted::clients) core_.shared.clients.fetch_sub(1);
  counted_ = Counted::none;
}

asio::awaitable<void> Session::serve() {
  client_.notify(core_.io, *this);
  // Of what has come behind the log-in TLS may hold a part already, of which no event tells.
  if (input_.empty() || go_on(pass_on())) read_and_pass();
  while (!finished_) co_await over_.wait(std::chrono::hours(24));
}

void Session::on_readable() {
  if (finished_) return;
  if (!waits_) {
    read_and_pass();
  } else if (next_ == Relay::Next::turn || next_ == Relay::Next::need_server || next_ == Relay::Next::answer ||
             next_ == Relay::Next::parse || next_ == Relay::Next::elsewhere) {
    notice_end();
  }
}

/// While the client's message waits: if it is gone, what it asked for isn't executed any more, unless it
/// took its leave as the protocol says.
void Session::notice_end() {
  const auto farewell = [this] {
    std::string terminate;
    pgwire::append_terminate(terminate);
    const auto held = input_.bytes();
    return held.size() >= terminate.size() && std::ranges::equal(as_bytes(terminate), held.last(terminate.size()));
  };
  while (input_.reserve_small()) {
    const auto room = input_.room();
    error_code error;
    const std::size_t got = client_.try_read(room, error);
    if (error) {
      if (error == asio::error::eof && farewell()) return;
      client_gone_ = true;
      return finish();
    }
    if (got == 0) return;
    last_heard_ = core_.coarse_now;
    input_.add(got);
    core_.counters().bytes_from_clients.add(got);
    if (client_.drained(got, room.size())) return;
  }
}

/// Many answers are owed, or not taken: the client waits until some have come or gone.
bool Session::too_far_ahead() {
  ahead_ = (*link_ && relay_->backlog() > max_backlog) || output_.waiting() > max_waiting;
  return ahead_;
}

void Session::read_and_pass() {
  if (relay_->stopped_short() && !finished_ && !too_far_ahead() && !go_on(pass_on())) return;
  while (!finished_ && !too_far_ahead()) {
    if (!input_.reserve_for_next_read(!relay_->query_under_way())) {
      log::warn("too much memory is held by messages that are half sent",
                {{"client", client_.peer()}, {"user", user_}});
      send_fatal(Error{.message = "too much memory is held by messages that are half sent or wait",
                       .sqlstate = "53200",
                       .hint = "MAX_HELD_MESSAGES_MB is the limit for all clients together."});
      return finish();
    }
    const auto room = input_.room();
    error_code error;
    const std::size_t got = client_.try_read(room, error);
    if (error) {
      client_gone_ = true;
      return finish();
    }
    if (got == 0) return;
    last_heard_ = core_.coarse_now;
    input_.add(got);
    core_.counters().bytes_from_clients.add(got);
    if (!go_on(pass_on()) || client_.drained(got, room.size())) return;
  }
}

/// True: the client may be read again.
bool Session::go_on(Passed passed) {
  switch (passed) {
    case Passed::all:
      if (!shutting_down_ || !may_shut_down()) return true;
      shut_down(true);
      return false;
    case Passed::waits:
      waits_ = true;
      if (holds_back() || link_->has_unsent() || !wait_here())
        asio::co_spawn(core_.io, wait_and_pass(shared_from_this()), asio::detached);
      return false;
    case Passed::ended:
      finish();
      return false;
  }
  return false;
}

asio::awaitable<void> Session::wait_and_pass(std::shared_ptr<Session> self) {
  Passed passed = Passed::waits;
  while (passed == Passed::waits && !self->finished_) {
    const bool goes_on = co_await self->clear_way();
    if (goes_on && !self->finished_ && self->wait_here()) co_return;
    passed = goes_on && co_await self->wait_for_next() ? self->pass_on() : Passed::ended;
  }
  self->waited(passed);
}

/// What is waited for often needs no coroutine: what may end such a wait looks whether it does. False: it isn't that.
bool Session::wait_here() {
  if (next_ == Relay::Next::turn) {
    wait_for_turn();
    return true;
  }
  if (next_ != Relay::Next::answer) return false;
  waits_for_answer_ = true;
  if (!waits_for_server()) look_soon();
  return true;
}

bool Session::waits_for_server() const { return *link_ && !finished_ && relay_->asking(); }

void Session::look_at_answer() {
  if (!waits_for_answer_ || waits_for_server()) return;
  waits_for_answer_ = false;
  // The server connection may have been given back meanwhile.
  waited(client_gone_ || finished_ ? Passed::ended : pass_on());
}

/// Whether what it waits for has come: not at once, as others are at work.
void Session::look_soon() {
  net::Poller::soon(core_.io, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->look_at_turn();
    self->look_at_answer();
  });
}

/// What was waited for has come, and `passed` is what became of it.
void Session::waited(Passed passed) {
  waits_ = false;
  if (finished_) {
    over_.set();  // `end` waits for this
  } else if (go_on(passed)) {
    read_and_pass();
  }
}

void Session::finish() {
  finished_ = true;
  over_.set();
  answered_.set();
  if (waits_for_turn_ || waits_for_answer_) look_soon();
  if (link_) link_->give_up_waiting();
}

void Session::give_back_memory() {
  if (waits_ || finished_ || relay_->query_under_way()) return;
  core_.given_back += relay_->give_back_memory() + input_.give_back_memory() + link_->give_back_memory();
}

/// Passes on what can be passed on now.
Session::Passed Session::pass_on() {
  for (;;) {
    if (holds_back()) {  // what comes next might be cancelled
      next_ = Relay::Next::more;
      return Passed::waits;
    }
    // What was to be cancelled had ended by then, so it is the next that the client waits for.
    const auto before = std::exchange(cancelled_before_, {});
    if (before && !input_.bytes().empty() && !relay_->query_under_way())
      cancel_wanted_ |= relay_->cancelled() == *before;
    const auto bytes = input_.bytes();
    // What has come since the request to cancel isn't sent before the server has heard of that.
    const auto sent = bytes.first(cancel_wanted_ ? std::min(bytes.size(), came_before_cancel_) : bytes.size());
    const auto step = relay_->from_client(sent, now_ns());
    next_ = step.next;
    if (!step.answer.empty()) {
      core_.counters().bytes_to_clients.add(step.answer.size());
      send_to_client(step.answer);
    }
    if (!step.forward.empty()) {
      if (relay_->take_wants_no_idle_sessions()) core_.shared.pools.close_idle();
      if (!*link_) return Passed::ended;
      // One that is broken tells the client; what the server said last may still be on its way.
      if (!link_->write(step.forward)) {
        input_.consume(step.used);
        return Passed::all;
      }
      look_at_time_when_due();
      cancel_if_wanted();
    }
    if (step.used > 0 && step.forward.empty()) cancel_wanted_ = false;  // it was answered here
    input_.consume(step.used);
    came_before_cancel_ -= std::min(came_before_cancel_, step.used);
    if (link_->has_unsent()) return Passed::waits;
    switch (next_) {
      case Relay::Next::more:
        if (relay_->stopped_short()) {
          if (too_far_ahead()) return Passed::all;  // until the client has taken it
          break;
        }
        if (sent.size() < bytes.size()) {
          came_before_cancel_ = bytes.size();  // the rest of what had come in part
          break;
        }
        if (relay_->releasable()) link_->release();  // after a message that isn't answered, such as Flush
        return Passed::all;
      case Relay::Next::need_server:
        link_->expect(input_.bytes());
        if (!link_->try_take()) return Passed::waits;
        attach();
        break;
      case Relay::Next::elsewhere:
      case Relay::Next::turn:
        if (relay_->releasable()) link_->release();
        return Passed::waits;
      case Relay::Next::parse:
      case Relay::Next::answer:
        return Passed::waits;
      case Relay::Next::terminate:
        terminated_ = true;
        return Passed::ended;
      case Relay::Next::broken:
        core_.counters().protocol_errors.add();
        send_fatal(relay_->error());
        return Passed::ended;
    }
  }
}

/// What comes next may be sent. False: the session is over.
asio::awaitable<bool> Session::clear_way() {
  if (holds_back()) {
    while (holds_back()) co_await answered_.wait(std::chrono::hours(24));
    if (client_gone_ || finished_) co_return false;
  }
  if (!link_->has_unsent()) co_return true;
  const bool is_sent = co_await link_->flush();
  if (is_sent) cancel_if_wanted();
  co_return is_sent;
}

/// Does what `pass_on` could not do at once. False: the session is over.
asio::awaitable<bool> Session::wait_for_next() {
  switch (next_) {
    case Relay::Next::terminate:
    case Relay::Next::broken:
      co_return true;  // seen again by pass_on
    case Relay::Next::turn:
    case Relay::Next::answer:
      co_return false;  // it is finished, or would be waited for by `wait_here`
    case Relay::Next::need_server:
      co_return co_await wait_for_server();
    case Relay::Next::parse:
      co_return co_await wait_for_parse();
    case Relay::Next::elsewhere:
      co_return co_await wait_elsewhere();
    default:
      co_return !client_gone_;
  }
}

asio::awaitable<bool> Session::wait_elsewhere() {
  if (finished_) co_return false;
  answered_.clear();
  const auto waiting = std::make_shared<ComesElsewhere>(answered_);
  if (relay_->wait_elsewhere(says_when_it_has_come(waiting, core_.io))) {
    // What was sent before may be answered meanwhile.
    const auto until = Clock::now() + relay_->longest_wait();
    while (!waiting->is_over && !cancel_wanted_ && !client_gone_ && !finished_ && Clock::now() < until) {
      co_await answered_.wait(until - Clock::now());
    }
  }
  co_return !client_gone_ && !finished_;
}

asio::awaitable<bool> Session::wait_for_parse() {
  auto statement = co_await parse_elsewhere(core_, relay_->take_to_parse());
  relay_->parsed(std::move(statement));  // the memo doesn't keep every statement
  co_return !client_gone_ && !finished_;
}

void Session::attach() {
  send_to_client(as_bytes(link_->changed_parameters()));
  link_->attach(shared_from_this());
}

std::size_t Session::on_server_bytes(std::span<std::byte> bytes) {
  const auto step = relay_->from_server(bytes, now_ns());
  if (!client_gone_) {
    core_.counters().bytes_to_clients.add(step.forward.size());
    send_to_client(step.forward);
  }
  if (step.broken) {
    log::error("server connection broken off",
               {{"user", user_}, {"database", database_}, {"reason", relay_->error().message}});
    if (!client_gone_) {
      if (!relay_->server_mid_message()) send_fatal(relay_->error());
      close_client();
    }
    link_->connection()->close();
    return bytes.size();
  }
  if (relay_->has_farewell()) link_->connection()->close();
  if (cancel_behind_own_ && !relay_->is_at_own()) {
    cancel_behind_own_ = false;
    cancel_soon();
  }
  if (waits_for_answer_ && !relay_->asking()) look_soon();
  if (due_) look_at_time_when_due();  // of what runs now
  lend_turn_soon();
  if (relay_->take_new_sessions_differ()) begin_anew(core_.shared);
  if (phase_ == Phase::ending) {
    progress_.set();
  } else if (relay_->releasable() && step.used == bytes.size() && !link_->has_unsent()) {
    link_->release();
  }
  if (shutting_down_ && phase_ != Phase::ending && may_shut_down()) shut_down(true);
  if (ahead_ && relay_->backlog() < max_backlog / 2) {
    asio::post(core_.io, [self = shared_from_this()] { self->on_readable(); });
    ahead_ = false;
  }
  return step.used;
}

void Session::send_to_client(net::Bytes bytes) {
  if (client_gone_ || bytes.empty()) return;
  if (!output_.send(bytes)) return close_client();
  if (output_.begin_flush()) asio::co_spawn(core_.io, flush(shared_from_this()), asio::detached);
}

/// Writes what the client didn't take at once.
asio::awaitable<void> Session::flush(std::shared_ptr<Session> self) {
  if (!co_await self->output_.flush()) self->close_client();
  if (std::exchange(self->ahead_, false)) self->on_readable();
}

/// Meanwhile the server is not read.
asio::awaitable<void> Session::drained() {
  const auto self = shared_from_this();
  co_await output_.drained();
}

void Session::send_fatal(const Error& error) {
  std::string out;
  pgwire::append_error_response(out, "FATAL", error);
  send_to_client(as_bytes(out));
}

void Session::tell_login_error(const backend::LoginError& failure) {
  if (failure.error_response.empty()) {
    send_fatal(failure.error);
  } else {
    send_to_client(as_bytes(failure.error_response));
  }
}

void Session::close_client() {
  client_gone_ = true;
  client_.close();
  progress_.set();
  finish();
}

/// The server connection is gone: what was under way is sent once more, if that can't change what has happened.
bool Session::send_again() {
  if (phase_ != Phase::relaying || finished_ || cancels_late_ || link_->has_unsent()) return false;
  if (waits_ && next_ != Relay::Next::answer) return false;
  if (!relay_->may_be_sent_again() || !link_->may_try_again(relay_->times_sent_again()) ||
      !input_.put_back(relay_->unanswered()))
    return false;
  log::info("reads are sent once more, as their server connection is lost", {{"user", user_}, {"database", database_}});
  link_->take_back();
  if (waits_) {
    look_soon();
  } else if (go_on(pass_on())) {
    read_and_pass();
  }
  return true;
}

void Session::on_server_gone() {
  if (send_again()) return;
  if (std::string farewell = relay_->take_farewell(); !farewell.empty()) {
    on_server_bytes(std::as_writable_bytes(std::span(farewell)));
  }
  const bool told = relay_->fatal_seen() || relay_->server_mid_message();
  link_->lost();
  if (phase_ == Phase::ending) {
    progress_.set();
    return;
  }
  if (!told) {
    send_fatal(Error{.message = "the server closed the connection unexpectedly",
                     .sqlstate = "08006",
                     .hint = "The outcome of what was under way is not known."});
  }
  terminated_ = true;  // by us: what is still to be sent is sent
  finish();
}

void Session::on_tick(TimePoint now) {
  if (phase_ == Phase::ending) {  // of what it asked for before it said goodbye
    look_at_memory();
    return look_at_time();
  }
  if (client_gone_ || phase_ == Phase::replicating) return;
  const auto& settings = *rules_->settings;
  if (phase_ != Phase::relaying) {
    if (now - started_ > settings.login_timeout_seconds) {
      log::info("client did not log in in time", {{"client", client_.peer()}});
      if (phase_ == Phase::authenticated) {
        send_fatal(Error{.message = "all server connections are in use, or the server doesn't answer",
                         .sqlstate = "53300",
                         .hint = "LOGIN_TIMEOUT_SECONDS passed while the log-in waited for a server connection."});
      } else if (!user_.empty()) {
        send_fatal(Error{.message = "canceling authentication due to timeout", .sqlstate = "57014"});
      }
      close_client();
    }
    return;
  }
  const bool is_unread = std::exchange(output_was_full_, output_.flushing()) && output_.flushing();
  if (is_unread) relay_->lead_nobody();
  const auto silence_limit = settings.client_message_timeout_seconds;
  // What waits for a server connection, a parser or a slow server isn't the client's to finish.
  const bool owes_the_rest =
      !waits_ && !ahead_ && (relay_->client_owes_rest() || input_.bytes().size() > relay_->waiting());
  if (owes_the_rest && silence_limit.count() > 0 && now - last_heard_ > silence_limit) {
    log::info("client stopped in the middle of a message", {{"client", client_.peer()}, {"user", user_}});
    if (!relay_->server_mid_message()) {
      send_fatal(Error{.message = "terminating connection as the rest of a message did not come",
                       .sqlstate = "08P01",
                       .hint = "CLIENT_MESSAGE_TIMEOUT_SECONDS is the limit."});
    }
    close_client();
    return;
  }
  relay_->lend_turn(now_ns(), is_unread);
  if (!waits_ && *link_ && !link_->has_unsent() && relay_->wants_flush(now_ns())) {
    std::string flush;
    pgwire::append_flush(flush);
    link_->write(as_bytes(flush));
  }
  look_at_memory();
  look_at_time();
  if (now - last_heard_ > resting_after) give_back_memory();
  const auto idle_limit = settings.client_idle_timeout_seconds;
  if (idle_limit.count() > 0 && now - last_heard_ > idle_limit && may_shut_down()) {
    send_fatal(Error{.message = "terminating connection due to CLIENT_IDLE_TIMEOUT_SECONDS", .sqlstate = "57P05"});
    close_client();
  }
  look_at_turn();
}

asio::awaitable<void> Session::cancel() {
  const auto self = shared_from_this();
  if (relay_) relay_->forbid_sending_again();
  cancel_asked_ = true;
  co_await cancels_.ask([this] { return carry_cancel(); });
}

void Session::cancel_soon() {
  ++late_cancels_;
  asio::co_spawn(core_.io, cancel_now(shared_from_this()), asio::detached);
}

asio::awaitable<void> Session::cancel_now(std::shared_ptr<Session> self) {
  self->relay_->forbid_sending_again();
  co_await self->cancels_.ask([self] { return self->carry_cancel(); });
  --self->late_cancels_;
  self->go_on_if_held();
}

asio::awaitable<void> Session::carry_cancel() {
  const bool is_late = !std::exchange(cancel_asked_, false);
  if (const auto replication = replication_) {
    const auto& session = replication->session();
    co_await backend::cancel(core_.io, replication->address(), session.process_id, session.secret_key);
  } else if (link_ && !*link_ && relay_->is_sent_again()) {
    relay_->cancel_before_sent();
    link_->give_up_this();
    answered_.set();
  } else if (link_ && *link_ && relay_->query_under_way() && (phase_ == Phase::ending || !relay_->is_at_own())) {
    co_await cancel_what_is_under_way(is_late);
  } else if (link_ && relay_->is_at_own() && relay_->is_at_clients()) {
    cancel_behind_own_ = true;
  } else if (link_ && !is_late) {
    // The query still waits, or has come in part, and is cancelled once the server has it.
    cancel_wanted_ = waits_ ? next_ != Relay::Next::more : input_.bytes().size() > relay_->waiting();
    came_before_cancel_ = input_.bytes().size();
    if (cancel_wanted_ && waits_for_turn_) {
      look_soon();
    } else if (cancel_wanted_ && next_ == Relay::Next::need_server) {
      link_->give_up_this();
    } else if (cancel_wanted_ && next_ == Relay::Next::elsewhere) {
      answered_.set();
    }
  }
}

/// It may have come to its end already. So what waits behind it isn't sent meanwhile, and is cancelled then; not so
/// what comes behind what has just been sent.
asio::awaitable<void> Session::cancel_what_is_under_way(bool is_late) {
  cancels_before_ = waits_;
  if (waits_ && !is_late && next_ != Relay::Next::more) {
    cancelled_before_ = relay_->cancelled();
    came_before_cancel_ = input_.bytes().size();
  }
  co_await link_->cancel();
  if (std::exchange(cancels_before_, false)) go_on_if_held();
}

/// What was held back for a cancel may be sent now.
void Session::go_on_if_held() {
  answered_.set();
  look_soon();
}

/// What it is wanted of is sent.
void Session::cancel_if_wanted() {
  if (relay_->asking() || link_->has_unsent() || !std::exchange(cancel_wanted_, false)) return;
  cancel_soon();
}

}  // namespace millrace::gateway
