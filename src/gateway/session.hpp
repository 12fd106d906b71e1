#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/pool.hpp"
#include "gateway/core.hpp"
#include "gateway/relay.hpp"
#include "pgwire/protocol/startup.hpp"

namespace millrace::gateway {

/// A client from its first byte to its last: log-in, then the relay between it and a server connection, then the
/// tidying up of what it left behind. Belongs to its core's thread.
class Session final : public backend::ServerConnection::Sink, public std::enable_shared_from_this<Session> {
 public:
  static void start(Core& core, net::Stream client);

  Session(Core& core, net::Stream client);
  ~Session() override;

  Core& core() { return core_; }

  /// Once in a while: closes a client whose time is over.
  void on_tick(TimePoint now);
  /// Asks the server to cancel what runs for this client, and waits until it has heard.
  asio::awaitable<void> cancel();
  /// Ends the session as soon as nothing is under way; `now`: at once.
  void shut_down(bool now);

  // ServerConnection::Sink
  std::size_t on_server_bytes(std::span<std::byte> bytes) override;
  bool writable() const override { return pending_.empty() && !flushing_; }
  asio::awaitable<void> drained() override;
  void on_server_gone() override;

 private:
  static asio::awaitable<void> run(std::shared_ptr<Session> self);

  // log_in.cpp
  asio::awaitable<bool> log_in();
  asio::awaitable<std::optional<pgwire::StartupRequest>> negotiate();
  asio::awaitable<bool> authenticate(const pgwire::StartupRequest& request, pgwire::ServerCredential& credential);
  asio::awaitable<bool> welcome(const pgwire::StartupRequest& request, pgwire::ServerCredential credential);
  asio::awaitable<bool> read_at_least(std::size_t count);
  void consume(std::size_t count);
  asio::awaitable<void> relay_replication(backend::Pool::Startup startup, pgwire::ServerCredential credential);

  // session.cpp
  asio::awaitable<void> serve();
  asio::awaitable<bool> on_client_bytes();
  asio::awaitable<bool> send_to_server(net::Bytes bytes);
  asio::awaitable<bool> link();
  asio::awaitable<bool> prepare_server(backend::Pool::Connection connection);
  void release();
  void send_to_client(net::Bytes bytes);
  void send_fatal(const Error& error);
  void close_client();
  void reserve_for_next_read();

  // ending.cpp
  asio::awaitable<void> end();
  asio::awaitable<void> tidy_server();
  bool may_shut_down() const;

  Core& core_;
  net::Stream client_;
  std::shared_ptr<const Rules> rules_;
  std::vector<std::byte> in_;  ///< read from the client, not yet passed on: the first `held_` bytes
  std::size_t held_ = 0;
  bool last_read_filled_ = false;

  std::string pending_;  ///< for the client, which doesn't take it yet
  bool flushing_ = false;

  std::string user_, database_, application_;
  CancelKeys::Key key_;
  std::shared_ptr<backend::Pool> pool_;
  backend::Pool::Startup startup_;
  backend::Pool::Connection server_;
  std::optional<Relay> relay_;  ///< once logged in

  TimePoint started_;
  TimePoint last_heard_;
  net::Signal progress_;     ///< while it ends: the server has answered something
  bool terminated_ = false;  ///< the client said goodbye
  bool client_gone_ = false;
  bool ending_ = false;
  bool shutting_down_ = false;
  bool renew_sessions_ = false;  ///< a statement is under way after which idle server connections are stale
  bool counted_ = false;
  bool replicating_ = false;
};

}  // namespace millrace::gateway
