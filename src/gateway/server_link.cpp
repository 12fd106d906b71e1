#include "gateway/server_link.hpp"

#include "gateway/settings_replay.hpp"
#include "gateway/shrink.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

using boost::system::error_code;
using Taken = std::expected<void, backend::LoginError>;

backend::LoginError failure(std::string sqlstate, std::string message) {
  return {Error{.message = std::move(message), .sqlstate = std::move(sqlstate)}, {}};
}

constexpr auto own_query_timeout = std::chrono::seconds(30);
constexpr auto tidying_limit = std::chrono::seconds(10);

/// It outlives DISCARD ALL, and makes a difference to statements that were prepared before another table comes into it.
asio::awaitable<bool> has_temporary_schema(backend::ServerConnection& connection) {
  const auto rows = co_await connection.query("SELECT pg_catalog.pg_my_temp_schema()", {}, tidying_limit);
  co_return !rows || rows->empty() || rows->front().front() != "0";
}

}  // namespace

ServerLink::ServerLink(Core& core, Relay& relay, std::shared_ptr<backend::Pool> pool, backend::Pool::Startup startup)
    : core_(core), relay_(relay), pool_(std::move(pool)), startup_(std::move(startup)) {}

void ServerLink::expect(pgwire::Bytes request) {
  auto& asked = core_.shared.sequences_asked;
  if (!asked.load(std::memory_order::relaxed) && mentions_sequence_state(request)) asked = true;
}

bool ServerLink::try_take() {
  if (relay_.is_to_rest()) return false;
  taken_ = pool_->try_take(core_.io, startup_, relay_.settings().current(), relay_.settings().placeholders());
  if (taken_) relay_.has_place();
  return taken_ && is_as_left(taken_->state());
}

asio::awaitable<Taken> ServerLink::take() {
  asio::steady_timer deadline(core_.io);
  if (const std::int64_t ends_at = relay_.wait_ends_at(); ends_at != 0) {
    deadline.expires_after(std::chrono::nanoseconds(ends_at - now_ns()));
    deadline.async_wait([patience = patience_](error_code error) {
      if (!error && patience->give_up) patience->give_up();
    });
  }
  auto connection = std::exchange(taken_, nullptr);
  int tried_again = relay_.take_rest();
  if (tried_again > 0 && !co_await rest(tried_again - 1))
    co_return std::unexpected(failure("57014", "nobody waits any more"));
  while (!connection || !connection->is_open()) {
    core_.counters().pool_waits.add();
    core_.counters().clients_waiting.add();
    const std::int64_t before = now_ns();
    const auto when_waits = [this](bool is_full) { is_full ? relay_.give_turn_back(now_ns()) : relay_.has_place(); };
    auto taken = co_await pool_->take(
        core_.io, startup_,
        {.known = relay_.settings().placeholders(), .patience = patience_, .when_waits = when_waits});
    core_.counters().clients_waiting.sub();
    relay_.count_wait(now_ns() - before);
    if (!taken && may_come_soon(taken.error()) && may_try_again(tried_again)) {
      ++tried_again;
      if (co_await rest(tried_again - 1)) continue;
    }
    if (!taken) co_return std::unexpected(std::move(taken.error()));
    connection = std::move(*taken);
    relay_.has_place();
  }
  co_return co_await take(std::move(connection));
}

/// Nothing has been sent yet, so whatever it is for may be tried again, where the server may have a connection soon.
bool ServerLink::may_come_soon(const backend::LoginError& failure) const {
  const bool is_full = failure.error.sqlstate == "53300" && !failure.error_response.empty();
  return (failure.unavailable || is_full) && !(pool_->breaker() && pool_->breaker()->refuses());
}

bool ServerLink::may_try_again(int times) {
  const auto settings = core_.shared.rules.load()->settings;
  if (!settings->enable_automatic_retry || times >= settings->max_query_retries) return false;
  if (!core_.retries.take(now_ns())) return false;
  core_.counters().retries.add();
  return true;
}

/// Before it is tried again. False: nobody waits any more.
asio::awaitable<bool> ServerLink::rest(int times) {
  const executor::Backoff backoff(core_.shared.rules.load()->settings->retry_backoff_multiplier);
  const std::int64_t before = now_ns();
  const auto stopped = std::make_shared<net::Signal>(core_.io);
  patience_->give_up = [stopped] { stopped->set(); };
  const bool is_over = co_await stopped->wait(backoff.pause(times, core_.random));
  patience_->give_up = nullptr;
  relay_.count_wait(now_ns() - before);
  co_return !is_over;
}

asio::awaitable<Taken> ServerLink::take(backend::Pool::Connection connection) {
  if (unwanted_) {
    pool_->give_back(std::move(connection));
    co_return std::unexpected(failure("57014", "nobody waits any more"));
  }
  if (!is_as_left(connection->state())) {
    if (const auto made = co_await make_as_left(*connection); !made) {
      const bool is_gone = !connection->is_open();
      connection->close();  // some settings may have been applied
      co_return std::unexpected(backend::LoginError{made.error(), {}, is_gone});
    }
  }
  if (!connection->is_open())
    co_return std::unexpected(
        backend::LoginError{{.message = "the server closed the connection", .sqlstate = "08006"}, {}, true});
  taken_ = std::move(connection);
  co_return Taken{};
}

void ServerLink::give_up_waiting() {
  unwanted_ = true;
  give_up_this();
}

void ServerLink::give_up_this() {
  if (patience_->give_up) patience_->give_up();
}

bool ServerLink::is_late(const backend::LoginError& failure) const {
  const std::int64_t ends_at = relay_.wait_ends_at();
  return ends_at != 0 && now_ns() >= ends_at && failure.error.sqlstate == "57014";
}

void ServerLink::decline() {
  if (taken_) pool_->give_back(std::exchange(taken_, nullptr));
}

/// Nothing has to be done to it before the client may have it.
bool ServerLink::is_as_left(const backend::ServerState& server) const {
  const auto same = [](const auto& a, const auto& b) { return a == b || (a && b && *a == *b); };
  return !(server.unclear && relay_.wants_memory()) && same(server.settings, relay_.settings().current()) &&
         same(server.placeholders, relay_.settings().placeholders()) && !has_foreign_sequences(server);
}

/// What currval() and lastval() say there is another client's, and somebody asks them.
bool ServerLink::has_foreign_sequences(const backend::ServerState& server) const {
  return server.holder != 0 && server.holder != relay_.id() && core_.shared.sequences_asked;
}

asio::awaitable<std::expected<void, Error>> ServerLink::make_as_left(backend::ServerConnection& connection) {
  auto& state = connection.state();
  const auto& settings = relay_.settings();
  std::vector<ReplayStep> steps;
  const bool clears = state.unclear && relay_.wants_memory();
  if (clears) {
    steps = {{.sql = "RESET SESSION AUTHORIZATION"}, {.sql = "RESET ALL"}, {.sql = "DISCARD TEMP"}};
    state.settings.reset();
  }
  std::ranges::move(replay(state, settings.current().get(), settings.placeholders()), std::back_inserter(steps));
  const bool foreign_sequences = has_foreign_sequences(state);
  if (foreign_sequences) steps.push_back({.sql = "DISCARD SEQUENCES"});
  for (const auto& step : steps) {
    const auto done = co_await connection.query(step.sql, {}, own_query_timeout);
    if ((done || step.may_fail) && connection.is_open()) continue;
    co_return std::unexpected(Error{
        .message = "could not restore the session's settings: " + (done ? "the server is gone" : done.error().message),
        .sqlstate = done || done.error().sqlstate.empty() ? "08006" : done.error().sqlstate});
  }
  if (foreign_sequences) state.holder = 0;
  if (clears) state.unclear = false;
  state.settings = settings.current();
  state.placeholders = settings.placeholders();
  co_return std::expected<void, Error>{};
}

std::string ServerLink::changed_parameters() {
  std::string changed;
  auto& theirs = taken_->state().parameters;
  auto& known = relay_.settings().parameters;
  if (theirs == known) return changed;
  if (*theirs == *known) {  // one object from now on, for all who have the same
    theirs = known = pool_->intern(*known);
    return changed;
  }
  for (const auto& parameter : *theirs) {
    if (std::ranges::find(*known, parameter) != known->end()) continue;
    pgwire::append_parameter_status(changed, parameter.first, parameter.second);
  }
  known = theirs;
  return changed;
}

void ServerLink::attach(std::shared_ptr<backend::ServerConnection::Sink> sink) {
  connection_ = std::move(taken_);
  connection_->attach(std::move(sink));
  relay_.attach(connection_->state());
  if (pool_->is_retired(*connection_)) relay_.attached_from_before();
  core_.counters().clients_active.add();
  core_.retries.sent();
}

bool ServerLink::write(pgwire::Bytes bytes) {
  error_code error;
  const std::size_t sent = unsent_.empty() ? connection_->try_write(bytes, error) : 0;
  if (error) {
    connection_->close();
    return false;
  }
  const auto rest = bytes.subspan(sent);
  unsent_.append(reinterpret_cast<const char*>(rest.data()), rest.size());
  return true;
}

asio::awaitable<bool> ServerLink::flush() {
  const auto connection = connection_;
  if (!connection) co_return false;
  error_code error;
  co_await connection->write_all(std::as_bytes(std::span(unsent_)), error);
  unsent_.clear();
  if (error) connection->close();
  co_return !error;
}

backend::Pool::Connection ServerLink::detach() {
  relay_.detach();
  connection_->detach();
  core_.counters().clients_active.sub();
  return std::exchange(connection_, nullptr);
}

void ServerLink::release() { pool_->give_back(detach()); }

void ServerLink::take_back() {
  detach();
  relay_.take_back(now_ns());
}

void ServerLink::lost() {
  relay_.lost(now_ns());
  detach();
}

void ServerLink::give_up() {
  connection_->close();
  lost();
}

asio::awaitable<void> ServerLink::tidy(bool session_state) {
  const char status = relay_.transaction_status();
  const auto connection = detach();
  auto& state = connection->state();
  bool clean = true;
  if (status != 'I') clean = (co_await connection->query("ROLLBACK", {}, tidying_limit)).has_value();
  if (clean && session_state && state.used) {
    if (state.ran_unseen || !state.unjudged.empty()) clean = !co_await has_temporary_schema(*connection);
    clean = clean && (co_await connection->query("DISCARD ALL", {}, tidying_limit)).has_value();
    state.settings.reset();
    state.prepared.clear();
    state.unneeded.clear();
    state.unnamed = 0;
    state.holder = 0;
    state.is_discarded();
    state.used = state.ran_unseen = false;
  }
  if (clean) {
    pool_->give_back(connection);
  } else {
    connection->close();
  }
}

asio::awaitable<bool> ServerLink::cancel(std::function<bool()> is_wanted) {
  const auto connection = connection_;
  const auto pool = pool_;
  if (!connection || !relay_.query_under_way()) co_return false;
  ++connection->cancels_under_way;
  const auto& session = connection->session();
  const bool settled =
      co_await backend::cancel(core_.io, connection->address(), session.process_id, session.secret_key, is_wanted);
  // One that is still on its way would cancel the next client's query.
  if (!settled) connection->state().tainted = true;
  --connection->cancels_under_way;
  pool->cancel_done(connection);
  co_return true;
}

std::size_t ServerLink::give_back_memory() {
  if (!unsent_.empty()) return 0;
  return shrink(unsent_);
}

}  // namespace millrace::gateway
