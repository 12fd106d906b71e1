#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/server_process.hpp"
#include "backend/server_state.hpp"
#include "base/circuit_breaker.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "net/signal.hpp"
#include "net/stream.hpp"
#include "pgwire/sansio/server_login.hpp"

namespace millrace::backend {

namespace asio = boost::asio;

/// Where a PostgreSQL server is and how to speak with it.
struct ServerAddress {
  net::Endpoint endpoint;
  /// Where it may be, the endpoint among them. Not more than one: it is nowhere else.
  std::vector<net::Endpoint> hosts = {};
  /// A standby is no better than a server that can't be reached.
  bool must_be_primary = false;
  std::shared_ptr<const net::TlsContext> tls;  ///< null: never TLS
  bool tls_required = false;
  std::chrono::milliseconds connect_timeout{15000};
  std::shared_ptr<CircuitBreaker> breaker = {};  ///< is told of all connections; null: nobody wants to know
};

/// Who logs in, and with which start-up parameters (user and database among them).
struct LoginRequest {
  std::shared_ptr<const ParameterList> startup;
  pgwire::ServerCredential credential;
};

/// What a failed log-in tells the client: the server's own ErrorResponse where there is one.
struct LoginError {
  Error error;
  std::string error_response;
  bool unavailable = false;  ///< whoever asks fails at present: the server can't be reached, or isn't ready
  bool is_ours = false;      ///< its cause is on this side, and says nothing of the server: descriptors, ports, names
};

/// A logged-in connection to a PostgreSQL server.
///
/// Belongs to one io_context's thread at a time. It always reads: what comes is given to the Sink that holds it, or
/// handled here while nobody does.
class ServerConnection final : public std::enable_shared_from_this<ServerConnection>, private net::Stream::Reader {
 public:
  /// Who gets what the server sends.
  class Sink {
   public:
    virtual ~Sink() = default;
    /// `bytes` begin where the last call's consumed bytes ended. Answers how many are dealt with; the rest comes again
    /// with more.
    virtual std::size_t on_server_bytes(std::span<std::byte> bytes) = 0;
    /// False: what was taken is not yet written on; the connection waits for `drained` before it reads more.
    virtual bool writable() const = 0;
    virtual asio::awaitable<void> drained() = 0;
    /// The connection is closed and must not be used again.
    virtual void on_server_gone() = 0;
    /// The server has been sent a part of a message: whatever came next would be taken for the rest.
    virtual bool half_sent() const = 0;
  };

  /// Connects, negotiates TLS, logs in.
  static asio::awaitable<std::expected<std::shared_ptr<ServerConnection>, LoginError>> open(
      asio::io_context& context, std::shared_ptr<const ServerAddress> address, LoginRequest request);

  ServerConnection(asio::io_context& context, net::Stream stream);
  ~ServerConnection();

  void attach(std::shared_ptr<Sink> sink) { sink_ = std::move(sink); }
  void detach() { sink_.reset(); }

  /// Writes what the kernel takes now; answers how much.
  std::size_t try_write(net::Bytes bytes, boost::system::error_code& error) { return stream_.try_write(bytes, error); }
  asio::awaitable<void> write_all(net::Bytes bytes, boost::system::error_code& error) {
    return stream_.write_all(bytes, error);
  }

  using Row = std::vector<std::optional<std::string>>;
  /// Runs a query of Millrace's own while nobody holds the connection, and answers its rows as text. `parameters` make
  /// it an extended query. An error leaves the connection open unless it broke; a time-out closes it.
  asio::awaitable<Result<std::vector<Row>>> query(std::string sql, std::vector<std::string> parameters,
                                                  std::chrono::milliseconds timeout);
  /// Sends messages of Millrace's own that end with a Sync, while nobody holds the connection, and lets `hear` have
  /// what the server answers, message by message, but for its errors: the first of them is what this answers. As for
  /// `query` otherwise.
  using Hear = std::function<void(char type, std::span<const std::byte> body)>;
  asio::awaitable<Result<>> exchange(std::string messages, Hear hear, std::chrono::milliseconds timeout);

  /// A connection that Millrace only relays (replication): bytes as they come. Only before the read loop was started.
  net::Stream& stream() { return stream_; }

  /// Begins to read. Called once by `open`; again after `move_to`.
  void start_reading();

  /// Takes the idle connection to another thread; `arrived` runs there. To be called on its present thread.
  void move_to(asio::io_context& other, std::function<void(std::shared_ptr<ServerConnection>)> arrived);

  /// With a farewell, unless the server would take it for a part of a message that was only half sent.
  void close();
  bool is_open() const { return stream_.is_open() && !parting_; }
  /// As `close`, but the server's end is waited for: PostgreSQL leaves that to the end of its process, when nothing of
  /// it is in anybody's way any more. On its thread; `part` may be called again.
  void part();
  /// After `part`. False: the time is over, and it may be waited for once more.
  asio::awaitable<bool> parted(std::chrono::milliseconds limit);

  asio::io_context& context() { return *context_; }
  ServerState& state() { return state_; }
  const ServerState& state() const { return state_; }
  const pgwire::ServerLogin::Session& session() const { return session_; }
  /// Whether the server has told at log-in that this parameter is on.
  bool says_on(std::string_view parameter) const;
  const LoginRequest& login() const { return login_; }
  const std::shared_ptr<const ServerAddress>& address() const { return address_; }

  /// Looked for when it is asked for first. Nothing: it isn't known to be of this machine.
  const std::optional<ServerProcess>& process();

  TimePoint opened_at;
  TimePoint idle_since;
  int cancels_under_way = 0;                         ///< while there are any, no other client may get it
  bool held_back = false;                            ///< it was given back while there were
  bool makes_room = false;                           ///< it is closed so that somebody else may have its place
  char transaction_status = 'I';                     ///< of the last ReadyForQuery seen by whoever holds it
  std::function<void(ServerConnection&)> on_closed;  ///< once, on its thread

 private:
  class InternalQuery;
  class Farewell;

  static asio::awaitable<std::expected<std::shared_ptr<ServerConnection>, LoginError>> try_to_open(
      asio::io_context& context, std::shared_ptr<const ServerAddress> address, LoginRequest request);
  asio::awaitable<std::expected<void, LoginError>> log_in(LoginRequest request);
  asio::awaitable<Result<>> ask(std::string messages, std::shared_ptr<InternalQuery> internal,
                                std::chrono::milliseconds timeout);
  void on_readable() override;
  void deal_with_held();
  std::size_t idle_bytes(std::span<std::byte> bytes);
  void lost();

  asio::io_context* context_;
  net::Stream stream_;
  std::shared_ptr<const ServerAddress> address_;
  LoginRequest login_;
  pgwire::ServerLogin::Session session_;
  ServerState state_;
  std::shared_ptr<Sink> sink_;
  std::vector<std::byte> buffer_;
  std::size_t held_ = 0;  ///< bytes at the buffer's start that are not yet dealt with
  bool waiting_ = false;  ///< for the sink to take more
  bool lost_ = false;
  bool looked_for_process_ = false;
  std::optional<ServerProcess> process_;
  bool heard_ = false;                 ///< the server has said something, and be it a byte
  std::shared_ptr<Farewell> parting_;  ///< null: it isn't
};

/// Sends a CancelRequest and waits until the server has closed that connection, so it was acted upon. False: it was
/// sent, and nobody knows whether the server has dealt with it yet. `is_wanted` is asked once, just before it is sent.
asio::awaitable<bool> cancel(asio::io_context& context, std::shared_ptr<const ServerAddress> address,
                             std::uint32_t process_id, std::uint32_t secret_key, std::function<bool()> is_wanted = {});

/// Waits for the thread that log-ins with a plain password borrow, which still touches their io_context when their
/// result has come: for the end of a process, before its io_contexts are destroyed. Afterwards nothing may log in.
void join_slow_logins();

}  // namespace millrace::backend
