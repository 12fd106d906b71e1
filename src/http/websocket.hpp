#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::http {

namespace asio = boost::asio;

struct WebSocketMessage {
  std::string data;
  bool binary = false;  ///< else UTF-8 text, which has been checked
};

/// A connection that speaks WebSocket (RFC 6455), as its handler sees it. Pings, fragments and the closing handshake
/// are taken care of. Belongs to the connection's thread; one `receive` and one `send` may be under way at a time.
///
/// When the handler ends, the connection is closed, with 1011 if it threw. When the client closes or vanishes, or the
/// server stops, whatever the handler waits for is cancelled, but for `receive`, which says so.
class WebSocket {
 public:
  /// The next message; nothing if there will be none. One message at most waits to be received, the others at the
  /// client; if it waits for longer than `ServerLimits::idle_time` the connection ends.
  virtual asio::awaitable<std::optional<WebSocketMessage>> receive() = 0;

  /// Sends a message, and waits until the client has room for it. False: the client is gone, or didn't take it within
  /// `ServerLimits::write_time`. The data must live until it is done; text must be UTF-8.
  virtual asio::awaitable<bool> send_text(std::string_view text) = 0;
  virtual asio::awaitable<bool> send_binary(std::string_view data) = 0;

  /// How the connection is closed when the handler ends; by default 1000. A reason has up to 123 bytes.
  virtual void close_with(std::uint16_t code, std::string_view reason) = 0;

 protected:
  ~WebSocket() = default;
};

}  // namespace millrace::http
