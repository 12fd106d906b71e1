#pragma once

#include <functional>
#include <memory>
#include <string>

#include "backend/pool.hpp"
#include "gateway/core.hpp"
#include "gateway/relay.hpp"

namespace millrace::gateway {

/// The server connection of a relay: taken from the pool when the relay needs it, made as the client's session was
/// left, written to, given back. Belongs to its core's thread; both references must outlive it.
class ServerLink {
 public:
  ServerLink(Core& core, Relay& relay, std::shared_ptr<backend::Pool> pool, backend::Pool::Startup startup);

  const backend::Pool::Connection& connection() const { return connection_; }
  explicit operator bool() const { return connection_ != nullptr; }

  /// Before anything of a client's request is executed.
  void expect(pgwire::Bytes request);
  /// Takes one that is free and as the client left its session. False: `take` has to wait, or to make one so.
  bool try_take();
  /// Errors: as of `Pool::take`; or the session's settings could not be made. It waits no longer than the relay's
  /// message at hand may (`is_late`).
  asio::awaitable<std::expected<void, backend::LoginError>> take();
  /// Whether what failed may be tried again, which was `times` times before: by the settings, and by what all others
  /// have had. It counts then.
  bool may_try_again(int times);
  /// Nobody wants one any more: `take` ends soon, with an error.
  void give_up_waiting();
  /// `take`, if it is under way, ends soon, with an error, unless it has one already.
  void give_up_this();
  /// Why `take` has failed: the relay refuses the message at hand then.
  bool is_late(const backend::LoginError& failure) const;
  /// This one, which the client has been given already.
  asio::awaitable<std::expected<void, backend::LoginError>> take(backend::Pool::Connection connection);
  /// Nobody wants what was taken.
  void decline();
  /// From now on `sink` has what was taken. Answers what the client must be told before: ParameterStatus messages.
  std::string changed_parameters();
  void attach(std::shared_ptr<backend::ServerConnection::Sink> sink);

  /// False: the connection is broken, which it tells its sink.
  bool write(pgwire::Bytes bytes);
  /// Something was written that the server didn't take yet.
  bool has_unsent() const { return !unsent_.empty(); }
  /// Waits until it has. False: it is broken, or gone.
  asio::awaitable<bool> flush();

  /// It holds nothing of the client's: others may have it.
  void release();
  /// It is gone, and what was under way is the relay's client's once more: see `Relay::take_back`.
  void take_back();
  /// It is over, or given up: what was under way has ended.
  void lost();
  void give_up();
  /// What the client left on it is undone, then others may have it. `session_state`: also what DISCARD ALL undoes.
  asio::awaitable<void> tidy(bool session_state);

  /// Asks the server to cancel what runs. `is_wanted`: still, when the server is about to hear of it. False: nothing
  /// runs.
  asio::awaitable<bool> cancel(std::function<bool()> is_wanted = {});
  std::size_t give_back_memory();

 private:
  bool may_come_soon(const backend::LoginError& failure) const;
  asio::awaitable<bool> rest(int times);
  bool is_as_left(const backend::ServerState& server) const;
  bool has_foreign_sequences(const backend::ServerState& server) const;
  asio::awaitable<std::expected<void, Error>> make_as_left(backend::ServerConnection& connection);
  backend::Pool::Connection detach();

  Core& core_;
  Relay& relay_;
  const std::shared_ptr<backend::Pool> pool_;
  const backend::Pool::Startup startup_;
  std::shared_ptr<backend::Pool::Patience> patience_ = std::make_shared<backend::Pool::Patience>();
  backend::Pool::Connection connection_;
  backend::Pool::Connection taken_;  ///< and not attached yet
  bool unwanted_ = false;
  std::string unsent_;
};

}  // namespace millrace::gateway
