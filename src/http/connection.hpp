#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "http/deadline.hpp"
#include "http/request_parser.hpp"
#include "http/router.hpp"
#include "http/server.hpp"
#include "http/websocket_session.hpp"
#include "net/stream.hpp"

namespace millrace::http {

/// One client's connection, from the TLS handshake to the end. Belongs to the thread of its io_context.
class Connection {
 public:
  Connection(asio::io_context& context, net::Stream stream, const ServerOptions& options, const Router& router);

  /// Serves requests until the client is gone, breaks a rule, or `close_soon` was called. What the constructor was
  /// given must live until it is done.
  asio::awaitable<void> run();

  /// Closes an idle connection now, and a busy one after the response that is under way; a streamed one is cancelled,
  /// a WebSocket closed.
  void close_soon();

 private:
  enum class Outcome { served, over };
  class RequestBody;
  class ResponseBody;

  asio::awaitable<bool> shake_hands();
  asio::awaitable<Outcome> serve_one();
  asio::awaitable<RequestParser::State> receive_head();
  asio::awaitable<bool> read_more();
  asio::awaitable<bool> send(std::string_view bytes);
  asio::awaitable<void> take_turns(std::size_t bytes);
  asio::awaitable<bool> send_stream(const Response& response, bool http_1_0);
  asio::awaitable<void> serve_websocket(const Request& request, const WebSocketHandler& handler,
                                        std::uint64_t message_bytes);
  asio::awaitable<void> refuse(const Response& response);
  asio::awaitable<void> linger();

  asio::io_context& context_;
  net::Stream stream_;
  const ServerOptions& options_;
  const Router& router_;
  RequestParser parser_;
  Deadline deadline_;
  asio::cancellation_signal cancel_stream_;
  WebSocketSession* websocket_ = nullptr;
  std::string received_;           ///< not yet parsed
  std::size_t moved_in_turn_ = 0;  ///< read and written since the other connections had theirs
  bool idle_ = true;
  bool closing_ = false;
  bool is_at_end_ = false;  ///< the client sends nothing more
};

}  // namespace millrace::http
