#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "http/message.hpp"
#include "http/server.hpp"
#include "http/websocket.hpp"
#include "net/stream.hpp"

namespace millrace::http {

/// The answer to a request that can't become a WebSocket (RFC 6455, 4.2.1); nothing if it can.
std::optional<Response> upgrade_objection(const Request& request);

/// One connection from the answer to its upgrade to the end of the closing handshake. Belongs to one thread.
class WebSocketSession {
 public:
  /// `received` has come after the request. What is given by reference must outlive the session.
  WebSocketSession(asio::io_context& context, net::Stream& stream, std::string received, const ServerLimits& limits,
                   std::uint64_t message_bytes);
  ~WebSocketSession();

  /// `request` has no objection.
  asio::awaitable<void> run(const Request& request, const WebSocketHandler& handler);

  /// Closes with 1001.
  void stop();

 private:
  class Session;
  std::unique_ptr<Session> session_;
};

}  // namespace millrace::http
