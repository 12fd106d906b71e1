#pragma once

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::http {

namespace asio = boost::asio;

/// The subprotocol (RFC 6455, 1.9) that is spoken if the client offers it. It needn't; a browser that offers a key
/// (`api_keys.hpp`) must offer one that can be chosen.
inline constexpr std::string_view websocket_protocol = "millrace";

/// The first in a list, as Sec-WebSocket-Protocol has it, for which `is` is true.
template <typename Is>
std::optional<std::string_view> offered_protocol(std::string_view list, Is is) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    std::string_view one = list.substr(0, end);
    while (one.starts_with(' ') || one.starts_with('\t')) one.remove_prefix(1);
    while (one.ends_with(' ') || one.ends_with('\t')) one.remove_suffix(1);
    if (is(one)) return one;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return std::nullopt;
}

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
