// A session's last part: nothing that a client left half done reaches the next one.
#include "base/log.hpp"
#include "gateway/session.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

using boost::system::error_code;

net::Bytes as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

/// How long a cancelled statement may take to end, before its server connection is given up.
constexpr auto cancelled_statement_limit = std::chrono::seconds(10);
constexpr auto tidying_limit = std::chrono::seconds(10);
/// How long a client that was told goodbye may take to read it.
constexpr auto last_words_limit = std::chrono::seconds(5);

}  // namespace

asio::awaitable<void> Session::end() {
  ending_ = true;
  // Who says goodbye behind a query gets its answer, as with the server itself.
  if (terminated_ && !client_gone_ && server_ && !relay_->in_copy() && !relay_->client_mid_message()) {
    co_await end_what_is_under_way();
  }
  while (terminated_ && !client_gone_ && server_ && relay_->query_under_way() && !relay_->in_copy()) {
    co_await progress_.wait(std::chrono::hours(24));
  }
  core_.shared.cancel_keys.remove(key_);
  if (!client_gone_ && flushing_) {
    asio::steady_timer limit(core_.io, last_words_limit);
    limit.async_wait([weak = weak_from_this()](error_code fired) {
      if (const auto self = weak.lock(); self && !fired) self->close_client();
    });
    co_await drained();
  }
  const bool logged_in = relay_.has_value();
  if (logged_in && rules_->settings->log_connections) {
    log::info("client disconnected", {{"client", client_.peer()}, {"user", user_}, {"database", database_}});
  }
  close_client();
  while (waits_) co_await over_.wait(std::chrono::seconds(1));  // what it waits for ends, now that it is over
  if (offered_) pool_->give_back(std::move(offered_));
  started();
  resize_in(0);
  held_ = 0;
  if (counted_) core_.shared.clients.fetch_sub(1);
  if (server_) co_await tidy_server();
  core_.sessions.erase(this);
  core_.counters().clients_connected.sub();
}

asio::awaitable<error_code> Session::end_what_is_under_way() {
  const auto server = server_;
  const std::string ending = relay_->ending();
  error_code error;
  if (!ending.empty()) co_await server->write_all(as_bytes(ending), error);
  co_return error;
}

asio::awaitable<void> Session::tidy_server() {
  const auto server = server_;
  const auto give_up = [&] {
    server->close();
    server->detach();
    server_.reset();
    relay_->lost(now_ns());
    core_.counters().clients_active.sub();
  };
  if (relay_->client_mid_message()) {
    // The server waits for the rest of a message that nobody has.
    co_await cancel();
    if (server_) give_up();
    co_return;
  }
  error_code error = co_await end_what_is_under_way();
  if (!terminated_ && server_) co_await cancel();
  // Who said goodbye before the answer came gets what was asked for done, as with the server itself.
  while (server_ && relay_->query_under_way()) {
    if (relay_->in_copy()) {  // it came to that only now
      error = co_await end_what_is_under_way();
      if (!server_ || error) break;
    }
    const auto limit = terminated_ ? std::chrono::seconds(24 * 3600) : cancelled_statement_limit;
    if (!co_await progress_.wait(limit)) break;
  }
  if (!server_) co_return;
  if (error || relay_->query_under_way() || relay_->server_mid_message() || server->state().tainted) {
    give_up();
    co_return;
  }
  const bool session_state = rules_->settings->pool_mode == config::PoolMode::session || !relay_->pinned().empty();
  const char status = relay_->transaction_status();
  relay_->detach();
  server->detach();
  server_.reset();
  core_.counters().clients_active.sub();
  auto& state = server->state();
  bool clean = true;
  if (status != 'I') clean = (co_await server->query("ROLLBACK", {}, tidying_limit)).has_value();
  if (clean && session_state && state.used) {
    clean = (co_await server->query("DISCARD ALL", {}, tidying_limit)).has_value();
    state.settings.reset();
    state.prepared.clear();
    state.unneeded.clear();
    state.unnamed = 0;
    state.holder = 0;
    state.used = false;
  }
  if (!clean) {
    server->close();
    co_return;
  }
  pool_->give_back(server);
}

bool Session::may_shut_down() const { return !relay_ || (!waits_ && relay_->idle()); }

void Session::shut_down(bool now) {
  if (client_gone_ || ending_) return;
  shutting_down_ = true;
  if (!now && !may_shut_down()) return;
  if (relay_ && !relay_->server_mid_message()) {
    send_fatal(Error{.message = "terminating connection due to administrator command", .sqlstate = "57P01"});
  }
  if (now && server_ && relay_->query_under_way()) {
    close_client();
    return;
  }
  terminated_ = true;
  if (!relay_ || replicating_) {
    close_client();
  } else {
    finish();
  }
}

}  // namespace millrace::gateway
