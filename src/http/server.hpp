#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "http/request_parser.hpp"
#include "http/router.hpp"
#include "net/listener.hpp"
#include "net/tls.hpp"

namespace millrace::http {

/// How long a client may take for each step, and how many there may be.
struct ServerLimits {
  MessageLimits message = {};
  std::size_t connections = 1000;
  std::chrono::milliseconds header_time{10'000};  ///< from a request's first byte to its header's end; TLS too
  std::chrono::milliseconds body_time{30'000};    ///< for which we wait for the body, and never longer at a time
  std::uint64_t body_rate = 64 * 1024;            ///< bytes of it that have come give a second back
  std::chrono::milliseconds idle_time{75'000};    ///< between requests; of a WebSocket without a sign of its client
  /// Until a response is taken, or a part of a streamed one; also between its parts once the client sends nothing more.
  std::chrono::milliseconds write_time{30'000};
};

struct ServerOptions {
  net::Endpoint listen;
  std::shared_ptr<const net::TlsContext> tls = {};  ///< null: plain HTTP
  ServerLimits limits = {};
};

/// Speaks HTTP/1.1 (and 1.0) on one port: keep-alive, pipelined requests answered in order, HEAD, chunked bodies,
/// "100 Continue", bodies streamed both ways, WebSocket (RFC 6455). A body that no handler reads is skipped if it is
/// small, else the connection is closed after the answer. Connections are spread over the io_contexts, each run by one
/// thread, and stay where they are.
class Server {
 public:
  static Result<std::unique_ptr<Server>> start(std::vector<asio::io_context*> contexts, ServerOptions options,
                                               std::shared_ptr<const Router> router);

  /// Stops. What the connections still do ends on their io_contexts' threads. Must come before the io_contexts' end.
  ~Server();

  /// The port in use; of interest when 0 was asked for.
  std::uint16_t port() const;

  /// How many there are now. Thread-safe.
  std::size_t connections() const;

  /// Accepts nothing more, closes idle connections, and the others after the response that is under way; streamed
  /// responses, which may have no end, are cancelled, and WebSockets closed with 1001. Thread-safe; may be called
  /// twice.
  void stop();

 private:
  struct State;
  Server(std::shared_ptr<State> state, std::unique_ptr<net::Listener> listener);

  std::shared_ptr<State> state_;
  std::unique_ptr<net::Listener> listener_;
};

}  // namespace millrace::http
