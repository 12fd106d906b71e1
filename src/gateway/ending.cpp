// A session's last part: nothing that a client left half done reaches the next one.
#include "base/log.hpp"
#include "gateway/session.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/reader.hpp"

namespace millrace::gateway {
namespace {

using boost::system::error_code;
using pgwire::as_bytes;

/// How long a cancelled statement may take to end, before its server connection is given up.
constexpr auto cancelled_statement_limit = std::chrono::seconds(10);
/// How long a client that was told goodbye may take to read it.
constexpr auto last_words_limit = std::chrono::seconds(5);

}  // namespace

asio::awaitable<void> Session::end() {
  const bool logged_in = phase_ == Phase::relaying;
  phase_ = Phase::ending;
  const auto server_answers = [this] { return link_ && *link_ && relay_->query_under_way() && !relay_->in_copy(); };
  // Who says goodbye behind a query gets its answer, as with the server itself.
  if (terminated_ && !client_gone_ && link_ && *link_ && !relay_->in_copy() && !relay_->client_mid_message()) {
    co_await end_what_is_under_way();
  }
  while (terminated_ && !client_gone_ && server_answers()) co_await progress_.wait(std::chrono::hours(24));
  core_.shared.cancel_keys.remove(key_);
  if (!client_gone_ && output_.flushing()) {
    asio::steady_timer limit(core_.io, last_words_limit);
    limit.async_wait([weak = weak_from_this()](error_code fired) {
      if (const auto self = weak.lock(); self && !fired) self->close_client();
    });
    co_await drained();
  }
  if (logged_in && rules_->settings->log_connections) {
    log::info("client disconnected", {{"client", client_.peer()}, {"user", user_}, {"database", database_}});
  }
  close_client();
  while (waits_) co_await over_.wait(std::chrono::seconds(1));  // what it waits for ends, now that it is over
  if (link_) link_->decline();
  uses_database_.reset();
  core_.shared.ending.fetch_add(1);
  started();
  input_.close();
  if (link_ && *link_) co_await tidy_server();
  core_.shared.ending.fetch_sub(1);
  core_.sessions.erase(this);
  core_.counters().clients_connected.sub();
}

asio::awaitable<error_code> Session::end_what_is_under_way() {
  const auto server = link_->connection();
  const std::string ending = relay_->ending();
  error_code error;
  if (!ending.empty()) co_await server->write_all(as_bytes(ending), error);
  co_return error;
}

asio::awaitable<void> Session::tidy_server() {
  const auto server = link_->connection();
  if (relay_->client_mid_message()) {
    // The server waits for the rest of a message that nobody has.
    co_await cancel();
    if (*link_) link_->give_up();
    co_return;
  }
  error_code error = co_await end_what_is_under_way();
  if (!terminated_ && *link_) co_await cancel();
  // Who said goodbye before the answer came gets what was asked for done, as with the server itself.
  while (*link_ && (relay_->query_under_way() || relay_->skipping())) {
    if (relay_->in_copy() || relay_->skipping()) {  // it came to that only now
      error = co_await end_what_is_under_way();
      if (!*link_ || error) break;
    }
    const auto limit = terminated_ ? std::chrono::seconds(24 * 3600) : cancelled_statement_limit;
    if (!co_await progress_.wait(limit)) break;
  }
  if (!*link_) co_return;
  if (error || relay_->query_under_way() || relay_->skipping() || relay_->server_mid_message() ||
      server->state().tainted) {
    link_->give_up();
    co_return;
  }
  const bool session_mode = rules_->settings->pool_mode == config::PoolMode::session;
  co_await link_->tidy(session_mode || !relay_->pinned().empty());
}

bool Session::may_shut_down() const { return !relay_ || (!waits_ && relay_->idle()); }

void Session::shut_down(bool now) {
  if (client_gone_ || phase_ == Phase::ending) return;
  shutting_down_ = true;
  if (!now && !may_shut_down()) return;
  if (relay_ && !relay_->server_mid_message()) {
    send_fatal(Error{.message = "terminating connection due to administrator command", .sqlstate = "57P01"});
  }
  if (now && link_ && *link_ && relay_->query_under_way()) {
    close_client();
    return;
  }
  terminated_ = true;
  if (phase_ != Phase::relaying) {
    close_client();
  } else {
    finish();
  }
}

}  // namespace millrace::gateway
