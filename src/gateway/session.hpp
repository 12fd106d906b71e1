#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/pool.hpp"
#include "gateway/cancel_turns.hpp"
#include "gateway/client_input.hpp"
#include "gateway/client_output.hpp"
#include "gateway/core.hpp"
#include "gateway/relay.hpp"
#include "gateway/server_link.hpp"
#include "pgwire/protocol/startup.hpp"

namespace millrace::gateway {

/// A client from its first byte to its last: log-in, then the relay between it and a server connection, then the
/// tidying up of what it left behind. Sockets, waiting and the client's end; nothing of the protocol after the log-in.
/// Belongs to its core's thread.
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
  /// The server's breaker has opened: what waits for its turn needn't.
  void on_server_out_of_reach() {
    if (waits_for_turn_) look_soon();
  }
  /// Asks the server to cancel what runs for this client, and waits until it has heard. However many ask, the server is
  /// told once at a time.
  asio::awaitable<void> cancel();
  /// Ends the session as soon as nothing is under way; `now`: at once.
  void shut_down(bool now);

  // ServerConnection::Sink
  std::size_t on_server_bytes(std::span<std::byte> bytes) override;
  bool writable() const override { return !output_.flushing(); }
  asio::awaitable<void> drained() override;
  void on_server_gone() override;
  bool half_sent() const override { return relay_->client_mid_message() || link_->has_unsent(); }

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
  asio::awaitable<bool> is_still_admitted(backend::Pool::Startup startup, bool known);
  asio::awaitable<bool> welcome(const pgwire::StartupRequest& request, Proven proven);
  asio::awaitable<bool> read_at_least(std::size_t count);
  asio::awaitable<void> relay_replication(backend::Pool::Startup startup, pgwire::ServerCredential credential);

  // session.cpp
  /// What has become of the bytes that a client has sent.
  enum class Passed {
    all,    ///< they are on their way
    waits,  ///< something must be waited for first
    ended,  ///< so has the session
  };
  asio::awaitable<void> serve();
  void on_readable() override;
  void read_and_pass();
  void notice_end();
  bool go_on(Passed passed);
  Passed pass_on();
  static asio::awaitable<void> wait_and_pass(std::shared_ptr<Session> self);
  bool wait_here();
  bool waits_for_server() const;
  void look_at_answer();
  void look_soon();
  void waited(Passed passed);
  asio::awaitable<bool> clear_way();
  asio::awaitable<bool> wait_for_next();
  void wait_for_turn();
  void look_at_turn();
  std::optional<Relay::Waited> wait_for_turn_is_over(std::int64_t now) const;
  asio::awaitable<bool> wait_for_server();
  asio::awaitable<bool> wait_for_parse();
  asio::awaitable<bool> wait_elsewhere();
  bool send_again();
  void attach();
  void finish();
  bool too_far_ahead();
  static asio::awaitable<void> flush(std::shared_ptr<Session> self);
  void send_to_client(net::Bytes bytes);
  void send_fatal(const Error& error);
  void tell_login_error(const backend::LoginError& failure);
  void close_client();
  void cancel_soon();
  static asio::awaitable<void> cancel_now(std::shared_ptr<Session> self);
  asio::awaitable<void> carry_cancel();
  asio::awaitable<void> cancel_what_is_under_way(bool is_late);
  void go_on_if_held();
  void cancel_if_wanted();
  bool holds_back() const {
    return cancels_late_ || cancels_before_ || (cancel_behind_own_ && !finished_) || late_cancels_ > 0;
  }
  void look_at_time();
  void look_at_time_when_due();
  void look_at_memory();
  void call_at(std::int64_t at, std::unique_ptr<asio::steady_timer>& timer, void (*call)(Session&));
  void lend_turn_soon();
  static asio::awaitable<void> cancel_and_give_up(std::shared_ptr<Session> self);
  static asio::awaitable<void> cancel_late(std::shared_ptr<Session> self);
  bool wait_for_start();
  void started();
  void give_back_memory();

  // ending.cpp
  asio::awaitable<void> end();
  asio::awaitable<boost::system::error_code> end_what_is_under_way();
  asio::awaitable<void> tidy_server();
  bool may_shut_down() const;

  /// How far it has come.
  enum class Phase { starting, authenticated, relaying, replicating, ending };

  Core& core_;
  net::Stream client_;
  ClientInput input_;
  ClientOutput output_;
  std::shared_ptr<const Rules> rules_;
  Phase phase_ = Phase::starting;
  /// Of those that may be connected: it is counted in one of these, or in none.
  enum class Counted { none, starting, clients } counted_ = Counted::none;

  Relay::Next next_ = Relay::Next::more;
  bool waits_ = false;             ///< something is waited for before the client is read again
  bool waits_for_answer_ = false;  ///< namely what the relay asks
  bool waits_for_turn_ = false;    ///< namely the turn of the message at hand
  bool lacked_place_ = false;      ///< when that wait began
  bool ahead_ = false;             ///< not read, as too many answers are owed
  bool output_was_full_ = false;   ///< at the last tick
  bool finished_ = false;          ///< nothing more is read from the client
  bool terminated_ = false;        ///< the client said goodbye
  bool client_gone_ = false;
  bool shutting_down_ = false;

  std::string user_, database_, application_;
  CancelKeys::Key key_;
  std::shared_ptr<const void> uses_database_;  ///< from the log-in to the end
  std::shared_ptr<backend::Pool> pool_;
  std::optional<Relay> relay_;      ///< once logged in
  std::optional<ServerLink> link_;  ///< of `relay_`

  TimePoint started_;
  TimePoint last_heard_;
  net::Signal over_;      ///< it is to end
  net::Signal answered_;  ///< what it waits for elsewhere has come, or nobody is told to cancel any more
  net::Signal progress_;  ///< while it ends: the server has answered something
  CancelsInTurn cancels_;
  bool cancel_asked_ = false;           ///< by the client, and not begun with
  std::uint32_t late_cancels_ = 0;      ///< which had to wait until the server had what they are for, and are told now
  bool cancel_wanted_ = false;          ///< of the message that waits, or has come in part; once the server has it
  std::size_t came_before_cancel_ = 0;  ///< of the client's bytes; meant for `cancel_wanted_` and `cancelled_before_`
  bool cancel_behind_own_ = false;  ///< of what was sent behind something of Millrace's own, which isn't answered yet
  bool cancels_before_ = false;     ///< the server is being told to cancel what is before the message that waits
  std::optional<std::uint64_t> cancelled_before_;           ///< it was told so; `Relay::cancelled` when that began
  bool cancels_late_ = false;                               ///< the server is being told to cancel what takes too long
  std::unique_ptr<asio::steady_timer> due_;                 ///< of the client's own time limits; null: it has had none
  std::unique_ptr<asio::steady_timer> lends_;               ///< for `lend_turn_soon`; null: it hasn't yet
  std::unique_ptr<asio::steady_timer> turn_due_;            ///< of a wait for a turn that is soon over
  std::int64_t waits_until_ = 0;                            ///< for a turn, in ns of `now_ns()`; 0: for ever
  std::shared_ptr<backend::ServerConnection> replication_;  ///< whose queries a cancel request means, while replicating
};

}  // namespace millrace::gateway
