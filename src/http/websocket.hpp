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
/// server stops, `receive` and `send` say so, and whatever else the handler waits for is cancelled, as is one that goes
/// on regardless. One that has messages from before the client's close has 5 seconds more for them.
class WebSocket {
 public:
  /// The next message; nothing if there will be none. What had come before the end is received first. One message at
  /// most waits to be received, the others at the client; if it waits for longer than `ServerLimits::idle_time` the
  /// connection ends.
  virtual asio::awaitable<std::optional<WebSocketMessage>> receive() = 0;

  /// Sends a message, and waits until the client has room for it. False: the client is gone, or didn't take it within
  /// `ServerLimits::write_time`, or the server stops. The data must live until it is done; text must be UTF-8.
  virtual asio::awaitable<bool> send_text(std::string_view text) = 0;
  virtual asio::awaitable<bool> send_binary(std::string_view data) = 0;

  /// How the connection is closed when the handler ends; by default 1000. Of a reason what 123 bytes hold is sent.
  virtual void close_with(std::uint16_t code, std::string_view reason) = 0;

 protected:
  ~WebSocket() = default;
};

}  // namespace millrace::http
