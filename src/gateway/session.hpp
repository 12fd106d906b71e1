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
class Session final : public backend::ServerConnection::Sink,
                      public std::enable_shared_from_this<Session>,
                      private net::Stream::Reader {
 public:
  static void start(Core& core, net::Stream client);

  Session(Core& core, net::Stream client);
  ~Session() override;

  Core& core() { return core_; }

  /// Once in a while: closes a client whose time is over.
  void on_tick(TimePoint now);
  /// Asks the server to cancel what runs for this client, and waits until it has heard. However many ask, the server is
  /// told once at a time.
  asio::awaitable<void> cancel();
  /// Ends the session as soon as nothing is under way; `now`: at once.
  void shut_down(bool now);

  // ServerConnection::Sink
  std::size_t on_server_bytes(std::span<std::byte> bytes) override;
  bool writable() const override { return !flushing_; }
  asio::awaitable<void> drained() override;
  void on_server_gone() override;
  bool half_sent() const override { return relay_->client_mid_message() || !unsent_.empty(); }

 private:
  static asio::awaitable<void> run(std::shared_ptr<Session> self);

  // log_in.cpp
  asio::awaitable<bool> log_in();
  asio::awaitable<std::optional<pgwire::StartupRequest>> negotiate();
  /// What the client proved itself with serves to log in to the server, if the secret hasn't changed since `as_of`.
  struct Proven {
    pgwire::ServerCredential credential;
    TimePoint as_of;
  };
  asio::awaitable<std::optional<Proven>> authenticate();
  void tell_refusal(const backend::LoginError& failure);
  asio::awaitable<bool> is_still_admitted(bool known);
  asio::awaitable<bool> welcome(const pgwire::StartupRequest& request, Proven proven);
  asio::awaitable<bool> read_at_least(std::size_t count);
  void consume(std::size_t count);
  asio::awaitable<void> relay_replication(backend::Pool::Startup startup, pgwire::ServerCredential credential);

  // session.cpp
  /// What has become of the bytes that a client has sent.
  enum class Passed {
    all,    ///< they are on their way
    waits,  ///< something must be waited for first: `wait_and_pass` does
    ended,  ///< so has the session
  };
  asio::awaitable<void> serve();
  void on_readable() override;
  void read_and_pass();
  void notice_end();
  bool go_on(Passed passed);
  Passed pass_on();
  static asio::awaitable<void> wait_and_pass(std::shared_ptr<Session> self);
  asio::awaitable<bool> wait_for_next();
  bool try_link();
  asio::awaitable<bool> link();
  void attach(backend::Pool::Connection connection);
  void finish();
  bool too_far_ahead();
  static asio::awaitable<void> flush(std::shared_ptr<Session> self);
  bool is_as_left(const backend::ServerState& server) const;
  void note_sequences();
  bool has_foreign_sequences(const backend::ServerState& server) const;
  asio::awaitable<bool> make_as_left(backend::Pool::Connection connection);
  asio::awaitable<bool> prepare_server(backend::Pool::Connection connection);
  void tell_parameters(backend::ServerConnection& connection);
  void release();
  void send_to_client(net::Bytes bytes);
  void send_fatal(const Error& error);
  void close_client();
  asio::awaitable<void> carry_cancel();
  bool reserve_for_next_read();
  bool resize_in(std::size_t size);
  bool wait_for_start();
  void started();
  void give_back_memory();

  // ending.cpp
  asio::awaitable<void> end();
  asio::awaitable<boost::system::error_code> end_what_is_under_way();
  asio::awaitable<void> tidy_server();
  bool may_shut_down() const;

  Core& core_;
  net::Stream client_;
  std::shared_ptr<const Rules> rules_;
  std::vector<std::byte> in_;  ///< read from the client, not yet passed on: the first `held_` bytes
  std::size_t held_ = 0;
  std::size_t charged_ = 0;  ///< for the size of `in_`, in what all clients hold together
  bool last_read_filled_ = false;
  std::string unsent_;  ///< for the server, which doesn't take it yet
  Relay::Next next_ = Relay::Next::more;
  bool waits_ = false;     ///< `wait_and_pass` is under way, and nobody else reads
  bool finished_ = false;  ///< nothing more is read from the client

  std::string pending_;  ///< for the client, which doesn't take it yet
  bool flushing_ = false;
  asio::steady_timer flushed_;  ///< never expires; cancelled when all is written

  std::string user_, database_, application_;
  CancelKeys::Key key_;
  std::shared_ptr<backend::Pool> pool_;
  backend::Pool::Startup startup_;
  std::shared_ptr<backend::Pool::Patience> patience_ = std::make_shared<backend::Pool::Patience>();
  backend::Pool::Connection server_;
  backend::Pool::Connection offered_;  ///< taken, but its settings are yet to be made the client's
  std::optional<Relay> relay_;         ///< once logged in

  TimePoint started_;
  TimePoint last_heard_;
  net::Signal over_;         ///< it is to end
  net::Signal answered_;     ///< the relay asks nothing more, or there is nobody to answer
  net::Signal progress_;     ///< while it ends: the server has answered something
  bool terminated_ = false;  ///< the client said goodbye
  bool client_gone_ = false;
  bool ending_ = false;
  bool shutting_down_ = false;
  bool starting_ = false;  ///< counted as such
  bool counted_ = false;
  bool authenticated_ = false;
  bool ahead_ = false;  ///< not read, as too many answers are owed
  std::uint64_t cancels_asked_ = 0;
  std::uint64_t cancels_carried_ = 0;  ///< of them: those that the server has heard of
  bool carrying_cancel_ = false;
  asio::steady_timer cancel_carried_;  ///< never expires; cancelled when one is carried
  bool cancel_wanted_ = false;         ///< of the query that waits for a server connection
  bool replicating_ = false;
  std::shared_ptr<backend::ServerConnection> replication_;  ///< whose queries a cancel request means, while replicating
};

}  // namespace millrace::gateway
