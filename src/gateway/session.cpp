#include "gateway/session.hpp"

#include "base/log.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

using boost::system::error_code;

/// An idle client holds this much; a pgbench query has 90 bytes.
constexpr std::size_t small_buffer = 1024;
constexpr std::size_t large_buffer = 64 * 1024;
constexpr auto own_query_timeout = std::chrono::seconds(30);

net::Bytes as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

/// Leaves a server connection's settings as the client's session left them on another.
std::string replay(const backend::Settings* on_server, const backend::Settings* wanted) {
  std::string sql;
  const auto add = [&sql](std::string_view text) {
    if (!sql.empty()) sql += "; ";
    sql += text;
  };
  const auto find = [](const backend::Settings* in, const std::string& name) -> const backend::SettingChange* {
    if (in == nullptr) return nullptr;
    const auto found = std::find_if(in->begin(), in->end(), [&](const auto& change) { return change.name == name; });
    return found == in->end() ? nullptr : &*found;
  };
  // The role first: what may be set, and what a search path means, depends on it.
  if (on_server != nullptr) {
    if (find(on_server, "role") != nullptr) add("RESET ROLE");
    for (const auto& change : *on_server) {
      const auto* same = find(wanted, change.name);
      // What was changed step by step starts from its default again.
      if (change.name != "role" && (same == nullptr || *same != change)) add("RESET " + change.name);
    }
  }
  if (wanted != nullptr) {
    for (const auto& change : *wanted) {
      const auto* same = find(on_server, change.name);
      if (change.name == "role" || same == nullptr || *same != change) add(change.text);
    }
  }
  return sql;
}

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
      started_(Clock::now()),
      last_heard_(started_),
      progress_(core.io) {
  core_.counters().clients_connected.add();
  core_.counters().clients_total.add();
}

Session::~Session() { core_.counters().clients_connected.sub(); }

asio::awaitable<void> Session::run(std::shared_ptr<Session> self) {
  if (co_await self->log_in()) co_await self->serve();
  co_await self->end();
}

asio::awaitable<void> Session::serve() {
  while (!client_gone_) {
    if (held_ > 0 && !co_await on_client_bytes()) co_return;
    if (shutting_down_ && may_shut_down()) {
      shut_down(true);
      co_return;
    }
    reserve_for_next_read();
    error_code error;
    const std::size_t got = co_await client_.read_some(std::span(in_).subspan(held_), error);
    if (error) {
      if (!terminated_) client_gone_ = true;
      co_return;
    }
    last_heard_ = core_.coarse_now;
    last_read_filled_ = held_ + got == in_.size();
    held_ += got;
    core_.counters().bytes_from_clients.add(got);
  }
}

/// Room for the rest of a message that must be whole, and for a client that sends much; little for one that is idle.
void Session::reserve_for_next_read() {
  if (held_ == in_.size()) {
    in_.resize(std::max(in_.size() * 2, small_buffer));
  } else if (last_read_filled_ && in_.size() < large_buffer) {
    in_.resize(in_.size() * 4);
  } else if (held_ == 0 && in_.size() > small_buffer && !relay_->query_under_way()) {
    in_ = std::vector<std::byte>(small_buffer);
  }
}

asio::awaitable<bool> Session::on_client_bytes() {
  for (;;) {
    const auto step = relay_->from_client(std::span(in_.data(), held_), now_ns());
    if (!step.forward.empty()) {
      if (relay_->take_affects_new_sessions()) {
        renew_sessions_ = true;
        core_.shared.pools.retire();
      }
      if (!co_await send_to_server(step.forward)) co_return false;
    }
    consume(step.used);
    switch (step.next) {
      case Relay::Next::more:
        co_return true;
      case Relay::Next::need_server:
        if (!co_await link()) co_return false;
        break;
      case Relay::Next::parse: {
        const std::string text(relay_->to_parse());
        std::shared_ptr<const sql::Statement> statement;
        net::Signal parsed(core_.io);
        core_.shared.parse_pool.parse(text, [&](std::shared_ptr<const sql::Statement> result) {
          asio::post(core_.io, [&, result = std::move(result)]() mutable {
            statement = std::move(result);
            parsed.set();
          });
        });
        co_await parsed.wait(std::chrono::hours(24));
        core_.pipeline.remember(text, std::move(statement));
        break;
      }
      case Relay::Next::reset_sequences: {
        const auto server = server_;
        const auto done = co_await server->query("DISCARD SEQUENCES", {}, own_query_timeout);
        if (server_ != server || !server->is_open()) co_return false;
        (void)done;  // in a failed transaction it fails, and so will what the client sends
        relay_->sequences_reset();
        break;
      }
      case Relay::Next::terminate:
        terminated_ = true;
        co_return false;
      case Relay::Next::broken:
        core_.counters().protocol_errors.add();
        send_fatal(relay_->error());
        co_return false;
    }
    if (client_gone_) co_return false;
  }
}

void Session::consume(std::size_t count) {
  held_ -= count;
  if (held_ > 0 && count > 0) std::memmove(in_.data(), in_.data() + count, held_);
}

asio::awaitable<bool> Session::send_to_server(net::Bytes bytes) {
  const auto server = server_;
  if (!server) co_return !client_gone_;  // it went away; on_server_gone has told the client
  error_code error;
  const std::size_t sent = server->try_write(bytes, error);
  if (!error && sent < bytes.size()) co_await server->write_all(bytes.subspan(sent), error);
  if (!error) co_return true;
  // The read loop hears the same and tells the client; what the server said last may still be on its way.
  server->close();
  co_return !client_gone_;
}

asio::awaitable<bool> Session::link() {
  const auto self = shared_from_this();
  auto connection = pool_->try_take(core_.io, startup_, relay_->settings());
  if (!connection) {
    core_.counters().pool_waits.add();
    core_.counters().clients_waiting.add();
    const std::int64_t before = now_ns();
    auto taken = co_await pool_->take(core_.io, startup_);
    core_.counters().clients_waiting.sub();
    if (!taken) {
      const backend::LoginError failure(std::move(taken.error()));
      if (failure.error.sqlstate == "53300") core_.counters().pool_timeouts.add();
      if (failure.error_response.empty()) {
        send_fatal(failure.error);
      } else {
        send_to_client(as_bytes(failure.error_response));
      }
      co_return false;
    }
    connection = std::move(*taken);
    relay_->count_wait(now_ns() - before);
  }
  if (client_gone_) {
    pool_->give_back(std::move(connection));
    co_return false;
  }
  const auto& on_server = connection->state().settings;
  if (on_server != relay_->settings() && !(on_server && relay_->settings() && *on_server == *relay_->settings())) {
    if (!co_await prepare_server(connection)) co_return false;
  }
  if (connection->state().parameters != relay_->parameters) {
    std::string changed;
    for (const auto& parameter : *connection->state().parameters) {
      const auto& known = *relay_->parameters;
      if (std::find(known.begin(), known.end(), parameter) == known.end()) {
        pgwire::append_parameter_status(changed, parameter.first, parameter.second);
      }
    }
    relay_->parameters = connection->state().parameters;
    send_to_client(as_bytes(changed));
  }
  server_ = std::move(connection);
  server_->attach(self);
  relay_->attach(server_->state());
  core_.counters().clients_active.add();
  co_return true;
}

asio::awaitable<bool> Session::prepare_server(backend::Pool::Connection connection) {
  const std::string sql = replay(connection->state().settings.get(), relay_->settings().get());
  const auto done = sql.empty() ? Result<std::vector<backend::ServerConnection::Row>>{}
                                : co_await connection->query(sql, {}, own_query_timeout);
  if (!done || !connection->is_open()) {
    connection->close();  // some settings may have been applied
    send_fatal(Error{
        .message = "could not restore the session's settings: " + (done ? "the server is gone" : done.error().message),
        .sqlstate = done && !done.error().sqlstate.empty() ? done.error().sqlstate : "08006"});
    co_return false;
  }
  connection->state().settings = relay_->settings();
  co_return true;
}

std::size_t Session::on_server_bytes(std::span<std::byte> bytes) {
  const auto step = relay_->from_server(bytes, now_ns());
  if (!client_gone_) {
    core_.counters().bytes_to_clients.add(step.forward.size());
    send_to_client(step.forward);
  }
  if (step.broken) {
    log::error("server broke the protocol", {{"user", user_}, {"database", database_}});
    if (!client_gone_) {
      if (!relay_->server_mid_message()) send_fatal(relay_->error());
      close_client();
    }
    server_->close();
    return bytes.size();
  }
  if (renew_sessions_ && !relay_->query_under_way()) {
    renew_sessions_ = false;
    core_.shared.pools.retire();
  }
  if (ending_) {
    progress_.set();
  } else if (relay_->releasable() && step.used == bytes.size()) {
    release();
  }
  if (shutting_down_ && !ending_ && may_shut_down()) shut_down(true);
  return step.used;
}

void Session::release() {
  auto connection = std::move(server_);
  server_.reset();
  relay_->detach();
  connection->detach();
  core_.counters().clients_active.sub();
  if (connection->state().tainted) {
    connection->close();
    return;
  }
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
  if (sent < bytes.size()) {
    pending_.append(reinterpret_cast<const char*>(bytes.data()) + sent, bytes.size() - sent);
    if (!server_)
      asio::co_spawn(
          core_.io,
          [](std::shared_ptr<Session> self) -> asio::awaitable<void> { co_await self->drained(); }(shared_from_this()),
          asio::detached);
  }
}

/// Writes what the client didn't take at once. Called by the server's read loop, which so reads no more meanwhile.
asio::awaitable<void> Session::drained() {
  const auto self = shared_from_this();
  if (flushing_) co_return;
  flushing_ = true;
  while (!pending_.empty() && !client_gone_) {
    const std::string out = std::exchange(pending_, {});
    error_code error;
    co_await client_.write_all(as_bytes(out), error);
    if (error) close_client();
  }
  pending_.clear();
  flushing_ = false;
}

void Session::send_fatal(const Error& error) {
  std::string out;
  pgwire::append_error_response(out, "FATAL", error);
  send_to_client(as_bytes(out));
}

/// The read that waits for the client ends with an error, and so the session.
void Session::close_client() {
  client_gone_ = true;
  client_.close();
}

void Session::on_server_gone() {
  const bool told = relay_->fatal_seen() || relay_->server_mid_message();
  server_.reset();
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
  client_.cancel();
}

void Session::on_tick(TimePoint now) {
  if (client_gone_ || ending_) return;
  const auto& settings = *rules_->settings;
  if (!relay_) {
    if (now - started_ > settings.login_timeout_seconds) {
      log::info("client did not log in in time", {{"client", client_.peer()}});
      close_client();
    }
    return;
  }
  const auto idle_limit = settings.client_idle_timeout_seconds;
  if (idle_limit.count() > 0 && now - last_heard_ > idle_limit && !server_) {
    send_fatal(Error{.message = "terminating connection due to CLIENT_IDLE_TIMEOUT_SECONDS", .sqlstate = "57P05"});
    close_client();
  }
}

asio::awaitable<void> Session::cancel() {
  const auto self = shared_from_this();
  const auto server = server_;
  const auto pool = pool_;
  if (!server || !relay_->query_under_way()) co_return;
  core_.counters().cancels.add();
  ++server->cancels_under_way;
  co_await backend::cancel(core_.io, server->address(), server->session().process_id, server->session().secret_key);
  --server->cancels_under_way;
  pool->cancel_done(server);
}

}  // namespace millrace::gateway
