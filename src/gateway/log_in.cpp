// A session's first part: from the first packet to the first ReadyForQuery.
#include <boost/asio/co_spawn.hpp>

#include "base/log.hpp"
#include "gateway/admission.hpp"
#include "gateway/application_name.hpp"
#include "gateway/session.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/limits.hpp"
#include "pgwire/protocol/reader.hpp"
#include "pgwire/sansio/client_authentication.hpp"

namespace millrace::gateway {
namespace {

using boost::system::error_code;
using pgwire::as_bytes;
using pgwire::ClientAuthentication;

pgwire::AuthMethod method_of(config::AuthType type) {
  switch (type) {
    case config::AuthType::trust:
      return pgwire::AuthMethod::trust;
    case config::AuthType::md5:
      return pgwire::AuthMethod::md5;
    case config::AuthType::scram_sha_256:
      return pgwire::AuthMethod::scram_sha_256;
  }
  return pgwire::AuthMethod::scram_sha_256;
}

asio::awaitable<void> prepare_elsewhere(ClientAuthentication::Options* options) {
  ClientAuthentication::prepare(*options);
  co_return;
}

}  // namespace

asio::awaitable<bool> Session::log_in() {
  const auto request = co_await negotiate();
  if (!request) co_return false;
  if (const auto breaker = core_.shared.pools.address()->breaker; breaker->refuses()) {
    breaker->refuse(now_ns());  // is counted; more isn't for anybody's ears
    send_fatal(Error{.message = "the database system is not accepting connections",
                     .sqlstate = "57P03",
                     .hint = "It can't be reached at present. Try again in a moment."});
    core_.counters().logins_failed.add();
    co_return false;
  }
  auto proven = co_await authenticate();
  if (!proven || !co_await welcome(*request, std::move(*proven))) {
    if (phase_ == Phase::replicating) co_return false;  // it was logged in, and is over
    core_.counters().logins_failed.add();
    co_return false;
  }
  co_return true;
}

asio::awaitable<bool> Session::read_at_least(std::size_t count) {
  input_.reserve(count);
  while (input_.bytes().size() < count) {
    error_code error;
    input_.add(co_await client_.read_some(input_.room(), error));
    if (error) {
      client_gone_ = true;
      co_return false;
    }
  }
  co_return true;
}

/// Reads up to the start-up packet, and answers what may come before it: SSLRequest, GSSENCRequest, CancelRequest.
asio::awaitable<std::optional<pgwire::StartupRequest>> Session::negotiate() {
  const auto& settings = *rules_->settings;
  pgwire::AskedBefore asked;
  for (;;) {
    if (!co_await read_at_least(4)) co_return std::nullopt;
    const std::uint32_t length = pgwire::load_u32(input_.bytes().data());
    if (!pgwire::valid_startup_length(length)) {  // as PostgreSQL, no answer: this is no PostgreSQL client
      core_.counters().protocol_errors.add();
      log::info("not a start-up packet", {{"client", client_.peer()}});
      co_return std::nullopt;
    }
    if (!co_await read_at_least(length)) co_return std::nullopt;
    auto packet = pgwire::decode_startup(input_.bytes().first(length), asked);
    if (!packet) {
      core_.counters().protocol_errors.add();
      std::string refusal;
      pgwire::append_startup_error(refusal, input_.bytes().first(length), packet.error());
      send_to_client(as_bytes(refusal));
      co_return std::nullopt;
    }
    input_.consume(length);
    if (auto* request = std::get_if<pgwire::StartupRequest>(&*packet)) {
      user_ = request->user();
      database_ = request->database();
      application_ = request->parameter("application_name");
      if (settings.client_tls_mode == config::ClientTlsMode::require && !client_.encrypted() &&
          client_.peer() != "unix") {
        send_fatal(Error{.message = "TLS is required", .sqlstate = "28000", .hint = "Connect with sslmode=require."});
        co_return std::nullopt;
      }
      started();
      counted_ = Counted::clients;
      if (core_.shared.clients.fetch_add(1) >= static_cast<std::size_t>(settings.max_client_connections)) {
        core_.counters().clients_refused.add();
        send_fatal(Error{.message = "sorry, too many clients already",
                         .sqlstate = "53300",
                         .hint = "MAX_CLIENT_CONNECTIONS is the limit."});
        co_return std::nullopt;
      }
      if (core_.shared.draining) {
        send_fatal(Error{.message = "the database system is shutting down", .sqlstate = "57P03"});
        co_return std::nullopt;
      }
      if (request->needs_negotiation()) {
        std::string out;
        pgwire::append_negotiate_protocol_version(out, pgwire::protocol_3_0, request->unknown_options);
        send_to_client(as_bytes(out));
      }
      co_return std::move(*request);
    }
    if (const auto* request = std::get_if<pgwire::CancelRequest>(&*packet)) {
      auto target = core_.shared.cancel_keys.find({request->process_id, request->secret_key});
      if (target) {
        core_.counters().cancels.add();
        // The client waits for the end of this connection: by then the server has heard.
        asio::io_context& its_core = target->core().io;
        co_await asio::co_spawn(its_core, target->cancel(), asio::use_awaitable);
        asio::post(its_core, [target = std::move(target)] {});  // where it ends, if this was its last owner
      }
      co_return std::nullopt;
    }
    const bool tls_request = std::holds_alternative<pgwire::SslRequest>(*packet);
    const bool accept = tls_request && rules_->tls && settings.client_tls_mode != config::ClientTlsMode::disable;
    asked.ssl = asked.ssl || tls_request;
    asked.gss = asked.gss || !tls_request || accept;
    send_to_client(as_bytes(accept ? "S" : "N"));
    if (!accept) continue;
    if (!input_.empty()) {  // text that was sent before TLS must not be taken for protected (CVE-2021-23214)
      core_.counters().protocol_errors.add();
      send_fatal(Error{.message = "received unencrypted data after SSL request", .sqlstate = "08P01"});
      co_return std::nullopt;
    }
    if (const auto started = co_await client_.start_tls_server(rules_->tls); !started) {
      log::info("TLS handshake failed", {{"client", client_.peer()}, {"reason", started.error().message}});
      client_gone_ = true;
      co_return std::nullopt;
    }
  }
}

asio::awaitable<std::optional<Session::Proven>> Session::authenticate() {
  const auto& settings = *rules_->settings;
  Result<Secrets::Found> found = rules_->secrets->known(user_);
  if (settings.auth_type != config::AuthType::trust) {
    found = co_await rules_->secrets->find(core_.io, core_.shared.pools, user_);
  }
  if (!found) {
    log::warn("could not look up a user", {{"user", user_}, {"reason", found.error().message}});
    send_fatal(found.error());
    co_return std::nullopt;
  }
  ClientAuthentication::Options options;
  options.method = method_of(settings.auth_type);
  options.user = user_;
  options.secret = std::move(found->secret);
  options.tls = client_.encrypted();
  options.tls_server_end_point = client_.tls_server_end_point();
  options.mock_seed = core_.shared.mock_seed;
  if (ClientAuthentication::needs_preparation(options)) {
    co_await asio::co_spawn(core_.shared.workers, prepare_elsewhere(&options), asio::use_awaitable);
  }
  ClientAuthentication machine(std::move(options));
  auto step = machine.start();
  while (step.state == ClientAuthentication::State::more) {
    send_to_client(as_bytes(step.send));
    if (!co_await read_at_least(pgwire::header_size)) co_return std::nullopt;
    const auto header = pgwire::load_header(input_.bytes());
    if (header.type != pgwire::frontend::password) {
      core_.counters().protocol_errors.add();
      send_fatal(machine.unexpected_message(header.type));
      co_return std::nullopt;
    }
    if (!header.valid() || header.length > pgwire::max_password_length) {
      core_.counters().protocol_errors.add();
      send_fatal(Error{.message = "invalid password packet size", .sqlstate = "08P01"});
      co_return std::nullopt;
    }
    if (!co_await read_at_least(header.total())) co_return std::nullopt;
    step = machine.on_password_message(input_.bytes().first(header.total()).subspan(pgwire::header_size));
    input_.consume(header.total());
  }
  if (step.state == ClientAuthentication::State::rejected) {
    log::info("log-in refused", {{"client", client_.peer()}, {"user", user_}, {"sqlstate", step.error.sqlstate}});
    send_to_client(as_bytes(step.send));
    send_fatal(step.error);
    co_return std::nullopt;
  }
  std::string out = std::move(step.send);
  // AuthenticationOk follows when a server connection was had: until then the server may still refuse.
  send_to_client(as_bytes(out));
  phase_ = Phase::authenticated;
  co_return Proven{std::move(step.credential), found->as_of};
}

void Session::tell_refusal(const backend::LoginError& failure) {
  tell_login_error(failure);
  log::info("server refused a log-in", {{"user", user_}, {"database", database_}, {"reason", failure.error.message}});
}

/// `known`: this user was let in before, and may be given a connection that is open. False: the client was told.
asio::awaitable<bool> Session::is_still_admitted(backend::Pool::Startup startup, bool known) {
  const auto& settings = *rules_->settings;
  const auto admission = co_await ask_admission(core_.io, core_.shared.pools, settings.database_url, user_, database_,
                                                settings.server_connect_timeout_seconds);
  if (!admission.identity.empty()) pool_->identify(admission.identity);
  if (!known || admission.likely) co_return true;
  const auto opened = co_await pool_->open_apart(core_.io, startup, pool_->credential());
  if (opened) {
    (*opened)->close();
    co_return true;
  }
  tell_refusal(opened.error());
  co_return false;
}

asio::awaitable<bool> Session::welcome(const pgwire::StartupRequest& request, Proven proven) {
  const bool replicates = request.replication() != pgwire::Replication::none;
  backend::ParameterList parameters = {{"user", user_}, {"database", database_}};
  std::shared_ptr<const backend::Settings> start;
  for (const auto& [name, value] : request.parameters) {
    if (name == "user" || name == "database") continue;
    if (name == application_name && !replicates) {
      if (auto setting = application_setting(value)) {
        application_ = value;
        start = std::move(setting);
        continue;
      }
    }
    parameters.emplace_back(name, value);
  }
  pool_ = core_.shared.pools.get(user_, database_);
  const auto startup = pool_->intern(std::move(parameters));
  if (replicates) {
    co_await relay_replication(startup, std::move(proven.credential));
    co_return false;
  }
  if (!std::holds_alternative<std::monostate>(proven.credential)) {
    pool_->set_credential(std::move(proven.credential), proven.as_of);
  }
  const auto& settings = *rules_->settings;
  const bool session_mode = settings.pool_mode == config::PoolMode::session;
  auto known = pool_->welcome(startup);
  if (known && !co_await is_still_admitted(startup, true)) co_return false;
  const bool first = !known;
  backend::Pool::Connection own;
  if (!known || session_mode) {
    // A session's connection is its own from now on, so that the process id that the client is told is the server's.
    using Queue = backend::Pool::Queue;
    auto taken = co_await pool_->take(core_.io, startup, {.queue = known ? Queue::avoid : Queue::join});
    if (!taken) {
      tell_refusal(taken.error());
      co_return false;
    }
    own = std::move(*taken);
    if (own) known = own->state().parameters;
    if (own && (!session_mode || client_gone_)) pool_->give_back(std::exchange(own, nullptr));
  }
  if (first) co_await is_still_admitted(startup, false);
  uses_database_ = core_.shared.database_users.add(database_);
  relay_.emplace(
      core_.pipeline, core_.shared.prepared_texts,
      Relay::Options{.mode = session_mode ? Relay::Mode::session : Relay::Mode::transaction,
                     .max_message = static_cast<std::uint32_t>(settings.max_message_size_mb) * 1024 * 1024,
                     .user = user_,
                     .database = database_,
                     .startup = startup,
                     .level = Consistency{.level = static_cast<Consistency::Level>(settings.cache_consistency_level),
                                          .bound = settings.cache_bounded_staleness_ms},
                     .executor = settings.enable_adaptive_executor ? core_.shared.executor : nullptr,
                     .places = pool_->places(),
                     .breaker = pool_->breaker(),
                     .times = &core_.times,
                     .query_timeout = settings.query_timeout_seconds,
                     .rewriting = true,
                     .sends_again = true});
  link_.emplace(core_, *relay_, pool_, startup);
  relay_->application = application_;
  if (start) {
    relay_->settings().start_with(std::move(start));
    known = pool_->intern(*backend::with_parameter(known, application_name, application_));
  }
  relay_->settings().parameters = known;
  if (own) {
    if (const auto taken = co_await link_->take(own); !taken) {
      tell_login_error(taken.error());
      co_return false;
    }
    if (client_gone_ || finished_) {
      link_->decline();
      co_return false;
    }
    relay_->settings().parameters = known = own->state().parameters;
    attach();
  }
  phase_ = Phase::relaying;
  key_ = core_.shared.cancel_keys.add(weak_from_this(), *link_ ? link_->connection()->session().process_id : 0);
  std::string out;
  pgwire::append_authentication_ok(out);
  for (const auto& [name, value] : *known) pgwire::append_parameter_status(out, name, value);
  pgwire::append_backend_key_data(out, key_.process_id, key_.secret);
  pgwire::append_ready_for_query(out, 'I');
  send_to_client(as_bytes(out));
  if (settings.log_connections) {
    log::info("client connected", {{"client", client_.peer()},
                                   {"user", user_},
                                   {"database", database_},
                                   {"application", application_},
                                   {"tls", client_.encrypted()}});
  }
  co_return !client_gone_;
}

namespace {

/// Bytes from one stream to the other until either ends; then both are closed.
asio::awaitable<void> copy_all(net::Stream* from, net::Stream* to, std::vector<std::byte> first) {
  error_code error;
  co_await to->write_all(first, error);
  std::vector<std::byte> buffer(16 * 1024);
  while (!error) {
    const std::size_t got = co_await from->read_some(buffer, error);
    if (!error) co_await to->write_all(std::span(buffer).first(got), error);
  }
  from->close();
  to->close();
}

}  // namespace

/// A replication connection has a server connection of its own from log-in to its end, and nothing of it is understood.
asio::awaitable<void> Session::relay_replication(backend::Pool::Startup startup, pgwire::ServerCredential credential) {
  auto opened = co_await pool_->open_apart(core_.io, startup, std::move(credential));
  if (!opened) {
    tell_refusal(opened.error());
    co_return;
  }
  const auto& server = *opened;
  std::string out;
  pgwire::append_authentication_ok(out);
  for (const auto& [name, value] : server->session().parameter_statuses)
    pgwire::append_parameter_status(out, name, value);
  key_ = core_.shared.cancel_keys.add(weak_from_this(), server->session().process_id);
  pgwire::append_backend_key_data(out, key_.process_id, key_.secret);
  pgwire::append_ready_for_query(out, 'I');
  send_to_client(as_bytes(out));
  phase_ = Phase::replicating;
  replication_ = server;
  std::vector<std::byte> first(input_.bytes().begin(), input_.bytes().end());
  input_.clear();
  net::Signal done(core_.io);
  asio::co_spawn(core_.io, copy_all(&server->stream(), &client_, {}), [&done](std::exception_ptr) { done.set(); });
  co_await copy_all(&client_, &server->stream(), std::move(first));
  co_await done.wait(std::chrono::hours(24));
  replication_.reset();
  client_gone_ = true;
}

}  // namespace millrace::gateway
