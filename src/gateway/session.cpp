#include "gateway/session.hpp"

#include "base/log.hpp"
#include "gateway/settings_replay.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

using boost::system::error_code;

/// An idle client holds this much; a pgbench query has 90 bytes.
constexpr std::size_t small_buffer = 1024;
constexpr std::size_t large_buffer = 64 * 1024;
/// A client that has been silent for so long gives back memory that it once needed.
constexpr auto resting_after = std::chrono::seconds(1);
/// Besides MAX_CLIENT_CONNECTIONS so many, and a tenth of it, may be about to start: room for requests to cancel.
constexpr std::size_t spare_connections = 20;
/// A client that doesn't take its answers may send this many messages ahead.
constexpr std::size_t max_backlog = 20000;
constexpr auto own_query_timeout = std::chrono::seconds(30);

net::Bytes as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

void Session::start(Core& core, net::Stream client) {
  const auto self = std::make_shared<Session>(core, std::move(client));
  core.sessions.insert(self.get());
  asio::co_spawn(core.io, run(self), asio::detached);
}

Session::Session(Core& core, net::Stream client)
    : core_(core),
      client_(std::move(client)),
      rules_(core.shared.rules.load()),
      in_(small_buffer),
      flushed_(core.io, asio::steady_timer::time_point::max()),
      started_(Clock::now()),
      last_heard_(started_),
      over_(core.io),
      answered_(core.io),
      progress_(core.io),
      cancel_carried_(core.io, asio::steady_timer::time_point::max()) {
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
  starting_ = true;
  const auto most = static_cast<std::size_t>(rules_->settings->max_client_connections);
  if (core_.shared.starting.fetch_add(1) + core_.shared.clients < most + most / 10 + spare_connections) return true;
  core_.counters().clients_refused.add();
  send_fatal(Error{.message = "sorry, too many connections that have not logged in", .sqlstate = "53300"});
  return false;
}

void Session::started() {
  if (std::exchange(starting_, false)) core_.shared.starting.fetch_sub(1);
}

asio::awaitable<void> Session::serve() {
  client_.notify(core_.io, *this);
  if (held_ > 0) {
    go_on(pass_on());
  }
  while (!finished_) co_await over_.wait(std::chrono::hours(24));
}

void Session::on_readable() {
  if (finished_) return;
  if (!waits_) {
    read_and_pass();
  } else if (next_ == Relay::Next::need_server || next_ == Relay::Next::answer || next_ == Relay::Next::parse) {
    notice_end();
  }
}

/// While the client's message waits: if it is gone, what it asked for isn't executed any more, unless it
/// took its leave as the protocol says.
void Session::notice_end() {
  const auto farewell = [this] {
    std::string terminate;
    pgwire::append_terminate(terminate);
    return held_ >= terminate.size() &&
           std::ranges::equal(as_bytes(terminate), std::span(in_).subspan(held_ - terminate.size(), terminate.size()));
  };
  while (held_ < in_.size() || in_.size() < large_buffer) {
    if (held_ == in_.size()) resize_in(std::min(in_.size() * 2, large_buffer));
    const std::size_t room = in_.size() - held_;
    error_code error;
    const std::size_t got = client_.try_read(std::span(in_).subspan(held_), error);
    if (error) {
      if (error == asio::error::eof && farewell()) return;
      client_gone_ = true;
      return finish();
    }
    if (got == 0) return;
    last_heard_ = core_.coarse_now;
    held_ += got;
    core_.counters().bytes_from_clients.add(got);
    if (client_.drained(got, room)) return;
  }
}

/// Many answers are owed, or not taken: the client waits until some have come or gone.
bool Session::too_far_ahead() {
  ahead_ = (server_ && relay_->backlog() > max_backlog) || pending_.size() > large_buffer;
  return ahead_;
}

void Session::read_and_pass() {
  while (!finished_ && !too_far_ahead()) {
    if (!reserve_for_next_read()) {
      log::warn("too much memory is held by messages that are half sent",
                {{"client", client_.peer()}, {"user", user_}});
      send_fatal(Error{.message = "too much memory is held by messages that are half sent or wait",
                       .sqlstate = "53200",
                       .hint = "MAX_HELD_MESSAGES_MB is the limit for all clients together."});
      return finish();
    }
    const std::size_t room = in_.size() - held_;
    error_code error;
    const std::size_t got = client_.try_read(std::span(in_).subspan(held_), error);
    if (error) {
      client_gone_ = true;
      return finish();
    }
    if (got == 0) return;
    last_heard_ = core_.coarse_now;
    last_read_filled_ = got == room;
    held_ += got;
    core_.counters().bytes_from_clients.add(got);
    if (!go_on(pass_on()) || client_.drained(got, room)) return;
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
    passed = co_await self->wait_for_next() ? self->pass_on() : Passed::ended;
  }
  self->waits_ = false;
  if (self->finished_) {
    self->over_.set();  // `end` waits for this
  } else if (self->go_on(passed)) {
    self->read_and_pass();
  }
}

void Session::finish() {
  finished_ = true;
  over_.set();
  answered_.set();
  if (patience_->give_up) patience_->give_up();
}

/// Room for the rest of a message that must be whole, and for a client that sends much; little for one that is idle.
/// False: all clients together hold too much.
bool Session::reserve_for_next_read() {
  if (held_ == in_.size()) return resize_in(std::max(in_.size() * 2, small_buffer));
  if (last_read_filled_ && in_.size() < large_buffer) return resize_in(in_.size() * 4);
  if (held_ == 0 && in_.size() > small_buffer && !relay_->query_under_way()) return resize_in(small_buffer);
  return true;
}

/// What is held of it stays.
bool Session::resize_in(std::size_t size) {
  const std::size_t charge = size > large_buffer ? size : 0;
  auto& all = core_.shared.held_bytes;
  const std::size_t most = static_cast<std::size_t>(core_.shared.rules.load()->settings->max_held_messages_mb) << 20;
  if (charge > charged_ && all.fetch_add(charge - charged_) + charge - charged_ > most) {
    all.fetch_sub(charge - charged_);
    return false;
  }
  if (charge < charged_) all.fetch_sub(charged_ - charge);
  charged_ = charge;
  if (size > in_.size()) {
    in_.resize(size);
  } else {
    std::vector<std::byte> smaller(size);
    std::copy_n(in_.begin(), std::min(held_, size), smaller.begin());
    in_ = std::move(smaller);
  }
  return true;
}

void Session::give_back_memory() {
  if (waits_ || finished_ || relay_->query_under_way()) return;
  core_.given_back += relay_->give_back_memory();
  const std::size_t needed = std::max(small_buffer, held_);
  if (in_.capacity() > 2 * needed) {
    core_.given_back += in_.capacity() - needed;
    resize_in(needed);
  }
  if (unsent_.empty() && unsent_.capacity() > small_buffer) {
    core_.given_back += unsent_.capacity();
    unsent_ = {};
    unsent_.shrink_to_fit();
  }
}

/// Passes on what can be passed on now.
Session::Passed Session::pass_on() {
  for (;;) {
    const auto step = relay_->from_client(std::span(in_.data(), held_), now_ns());
    next_ = step.next;
    if (!step.answer.empty()) {
      core_.counters().bytes_to_clients.add(step.answer.size());
      send_to_client(step.answer);
    }
    if (!step.forward.empty()) {
      if (relay_->take_wants_no_idle_sessions()) core_.shared.pools.close_idle();
      if (!server_) return Passed::ended;
      error_code error;
      const std::size_t sent = server_->try_write(step.forward, error);
      if (error) {
        // The connection hears the same and tells the client; what the server said last may still be on its way.
        server_->close();
        return Passed::all;
      }
      if (!relay_->asking() && std::exchange(cancel_wanted_, false)) {
        asio::co_spawn(
            core_.io,
            [](std::shared_ptr<Session> self) -> asio::awaitable<void> { co_await self->cancel(); }(shared_from_this()),
            asio::detached);
      }
      if (sent < step.forward.size()) {
        const auto rest = step.forward.subspan(sent);
        unsent_.assign(reinterpret_cast<const char*>(rest.data()), rest.size());
      }
    }
    consume(step.used);
    if (!unsent_.empty()) return Passed::waits;
    switch (next_) {
      case Relay::Next::more:
        if (server_ && relay_->releasable()) release();  // after a message that isn't answered, such as Flush
        return Passed::all;
      case Relay::Next::need_server:
        note_sequences();
        if (!try_link()) return Passed::waits;
        break;
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

/// Does what `pass_on` could not do at once. False: the session is over.
asio::awaitable<bool> Session::wait_for_next() {
  if (!unsent_.empty()) {
    const auto server = server_;
    if (!server) co_return false;
    error_code error;
    co_await server->write_all(as_bytes(unsent_), error);
    unsent_.clear();
    if (error) {
      server->close();
      co_return false;
    }
    if (next_ == Relay::Next::terminate || next_ == Relay::Next::broken) co_return true;  // seen again by pass_on
  }
  switch (next_) {
    case Relay::Next::need_server:
      co_return co_await link();
    case Relay::Next::parse: {
      const std::string text = relay_->take_to_parse();
      std::shared_ptr<const sql::Statement> statement;
      net::Signal parsed(core_.io);
      core_.shared.parse_pool.parse(text, [&](std::shared_ptr<const sql::Statement> result) {
        asio::post(core_.io, [&, result = std::move(result)]() mutable {
          statement = std::move(result);
          parsed.set();
        });
      });
      co_await parsed.wait(std::chrono::hours(24));
      core_.pipeline.remember(text, statement);
      relay_->parsed(std::move(statement));  // the memo doesn't keep every statement
      co_return !client_gone_ && !finished_;
    }
    case Relay::Next::answer:
      while (server_ && !finished_ && relay_->asking()) co_await answered_.wait(std::chrono::hours(24));
      co_return !client_gone_ && !finished_;  // the server connection may have been given back meanwhile
    default:
      co_return !client_gone_;
  }
}

void Session::consume(std::size_t count) {
  held_ -= count;
  if (held_ > 0 && count > 0) std::memmove(in_.data(), in_.data() + count, held_);
  if (held_ <= large_buffer && charged_ > 0) resize_in(large_buffer);
}

/// Nothing has to be done to it before the client may have it.
bool Session::is_as_left(const backend::ServerState& server) const {
  const auto same = [](const auto& a, const auto& b) { return a == b || (a && b && *a == *b); };
  return same(server.settings, relay_->settings().current()) &&
         same(server.placeholders, relay_->settings().placeholders()) && !has_foreign_sequences(server);
}

/// Before anything of a client's message is executed.
void Session::note_sequences() {
  auto& asked = core_.shared.sequences_asked;
  if (!asked.load(std::memory_order::relaxed) && mentions_sequence_state(std::span(in_.data(), held_))) {
    asked = true;
  }
}

/// What currval() and lastval() say there is another client's, and somebody asks them.
bool Session::has_foreign_sequences(const backend::ServerState& server) const {
  return server.holder != 0 && server.holder != relay_->id() && core_.shared.sequences_asked;
}

/// Takes a server connection that is free and as the client left its session.
bool Session::try_link() {
  auto connection =
      pool_->try_take(core_.io, startup_, relay_->settings().current(), relay_->settings().placeholders());
  if (!connection) return false;
  if (!is_as_left(connection->state())) {
    offered_ = std::move(connection);
    return false;
  }
  attach(std::move(connection));
  return true;
}

asio::awaitable<bool> Session::link() {
  auto connection = std::exchange(offered_, nullptr);
  while (!connection || !connection->is_open()) {
    core_.counters().pool_waits.add();
    core_.counters().clients_waiting.add();
    const std::int64_t before = now_ns();
    auto taken =
        co_await pool_->take(core_.io, startup_, {.known = relay_->settings().placeholders(), .patience = patience_});
    core_.counters().clients_waiting.sub();
    relay_->count_wait(now_ns() - before);
    if (!taken) {
      const backend::LoginError failure(std::move(taken.error()));
      relay_->refused(std::span(in_.data(), held_), failure.error.sqlstate, now_ns());
      if (finished_) co_return false;
      if (failure.error.sqlstate == "53300") core_.counters().pool_timeouts.add();
      if (failure.error_response.empty()) {
        send_fatal(failure.error);
      } else {
        send_to_client(as_bytes(failure.error_response));
      }
      co_return false;
    }
    connection = std::move(*taken);
  }
  if (client_gone_ || finished_) {
    pool_->give_back(std::move(connection));
    co_return false;
  }
  if (!co_await make_as_left(connection)) co_return false;
  if (client_gone_ || finished_) {
    pool_->give_back(std::move(connection));
    co_return false;
  }
  attach(std::move(connection));
  co_return true;
}

void Session::tell_parameters(backend::ServerConnection& connection) {
  auto& theirs = connection.state().parameters;
  auto& known = relay_->settings().parameters;
  if (theirs == known) return;
  if (*theirs == *known) {  // one object from now on, for all who have the same
    theirs = known = pool_->intern(*known);
    return;
  }
  std::string changed;
  for (const auto& parameter : *theirs) {
    if (std::ranges::find(*known, parameter) != known->end()) continue;
    pgwire::append_parameter_status(changed, parameter.first, parameter.second);
  }
  known = theirs;
  send_to_client(as_bytes(changed));
}

void Session::attach(backend::Pool::Connection connection) {
  tell_parameters(*connection);
  server_ = std::move(connection);
  server_->attach(shared_from_this());
  relay_->attach(server_->state());
  core_.counters().clients_active.add();
}

/// It is to be as the client's session. False: it can't be, and the client was told.
asio::awaitable<bool> Session::make_as_left(backend::Pool::Connection connection) {
  co_return is_as_left(connection->state()) || co_await prepare_server(connection);
}

asio::awaitable<bool> Session::prepare_server(backend::Pool::Connection connection) {
  auto& state = connection->state();
  auto steps = replay(state, relay_->settings().current().get(), relay_->settings().placeholders());
  const bool foreign_sequences = has_foreign_sequences(state);
  if (foreign_sequences) steps.push_back({.sql = "DISCARD SEQUENCES"});
  for (const auto& step : steps) {
    const auto done = co_await connection->query(step.sql, {}, own_query_timeout);
    if ((done || step.may_fail) && connection->is_open()) continue;
    connection->close();  // some settings may have been applied
    send_fatal(Error{
        .message = "could not restore the session's settings: " + (done ? "the server is gone" : done.error().message),
        .sqlstate = done || done.error().sqlstate.empty() ? "08006" : done.error().sqlstate});
    co_return false;
  }
  if (foreign_sequences) state.holder = 0;
  state.settings = relay_->settings().current();
  state.placeholders = relay_->settings().placeholders();
  co_return true;
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
    server_->close();
    return bytes.size();
  }
  if (!relay_->asking()) answered_.set();
  if (relay_->take_new_sessions_differ()) core_.shared.pools.retire();
  if (ending_) {
    progress_.set();
  } else if (relay_->releasable() && step.used == bytes.size() && unsent_.empty()) {
    release();
  }
  if (shutting_down_ && !ending_ && may_shut_down()) shut_down(true);
  if (ahead_ && relay_->backlog() < max_backlog / 2) {
    asio::post(core_.io, [self = shared_from_this()] { self->on_readable(); });
    ahead_ = false;
  }
  return step.used;
}

void Session::release() {
  auto connection = std::move(server_);
  server_.reset();
  relay_->detach();
  connection->detach();
  core_.counters().clients_active.sub();
  pool_->give_back(std::move(connection));
}

void Session::send_to_client(net::Bytes bytes) {
  if (client_gone_ || bytes.empty()) return;
  std::size_t sent = 0;
  if (pending_.empty() && !flushing_) {
    error_code error;
    sent = client_.try_write(bytes, error);
    if (error) {
      close_client();
      return;
    }
  }
  if (sent == bytes.size()) return;
  pending_.append(reinterpret_cast<const char*>(bytes.data()) + sent, bytes.size() - sent);
  if (!std::exchange(flushing_, true)) asio::co_spawn(core_.io, flush(shared_from_this()), asio::detached);
}

/// Writes what the client didn't take at once.
asio::awaitable<void> Session::flush(std::shared_ptr<Session> self) {
  while (!self->pending_.empty() && !self->client_gone_) {
    const std::string out = std::exchange(self->pending_, {});
    error_code error;
    co_await self->client_.write_all(as_bytes(out), error);
    if (error) self->close_client();
  }
  self->pending_.clear();
  self->flushing_ = false;
  self->flushed_.cancel();
  if (std::exchange(self->ahead_, false)) self->on_readable();
}

/// Meanwhile the server is not read.
asio::awaitable<void> Session::drained() {
  const auto self = shared_from_this();
  while (flushing_) {
    error_code woken;
    co_await flushed_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  }
}

void Session::send_fatal(const Error& error) {
  std::string out;
  pgwire::append_error_response(out, "FATAL", error);
  send_to_client(as_bytes(out));
}

void Session::close_client() {
  client_gone_ = true;
  client_.close();
  progress_.set();
  finish();
}

void Session::on_server_gone() {
  const bool told = relay_->fatal_seen() || relay_->server_mid_message();
  server_.reset();
  relay_->lost(now_ns());
  relay_->detach();
  core_.counters().clients_active.sub();
  if (ending_) {
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
  if (client_gone_ || ending_ || replicating_) return;
  const auto& settings = *rules_->settings;
  if (!relay_) {
    if (now - started_ > settings.login_timeout_seconds) {
      log::info("client did not log in in time", {{"client", client_.peer()}});
      if (authenticated_) {
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
  const auto silence_limit = settings.client_message_timeout_seconds;
  // What waits for a server connection, a parser or a slow server isn't the client's to finish.
  const bool owes_the_rest = !waits_ && !ahead_ && (relay_->client_mid_message() || held_ > relay_->waiting());
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
  if (now - last_heard_ > resting_after) give_back_memory();
  const auto idle_limit = settings.client_idle_timeout_seconds;
  if (idle_limit.count() > 0 && now - last_heard_ > idle_limit && may_shut_down()) {
    send_fatal(Error{.message = "terminating connection due to CLIENT_IDLE_TIMEOUT_SECONDS", .sqlstate = "57P05"});
    close_client();
  }
}

asio::awaitable<void> Session::cancel() {
  const auto self = shared_from_this();
  const std::uint64_t mine = ++cancels_asked_;
  while (cancels_carried_ < mine) {
    if (carrying_cancel_) {
      error_code woken;
      co_await cancel_carried_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
      continue;
    }
    // It may have come too early for what was asked after it began, so those wait for one more, all for the same.
    carrying_cancel_ = true;
    co_await core_.cancel_turns.take();
    const std::uint64_t asked = cancels_asked_;
    co_await carry_cancel();
    core_.cancel_turns.give();
    carrying_cancel_ = false;
    cancels_carried_ = asked;
    cancel_carried_.cancel();
  }
}

asio::awaitable<void> Session::carry_cancel() {
  if (const auto replication = replication_) {
    const auto& session = replication->session();
    co_await backend::cancel(core_.io, replication->address(), session.process_id, session.secret_key);
    co_return;
  }
  const auto server = server_;
  const auto pool = pool_;
  if (!server || !relay_ || !relay_->query_under_way()) {
    cancel_wanted_ = waits_ && next_ == Relay::Next::need_server;  // the query still waits for a server connection
    co_return;
  }
  ++server->cancels_under_way;
  const bool settled =
      co_await backend::cancel(core_.io, server->address(), server->session().process_id, server->session().secret_key);
  // One that is still on its way would cancel the next client's query.
  if (!settled) server->state().tainted = true;
  --server->cancels_under_way;
  pool->cancel_done(server);
}

}  // namespace millrace::gateway
