#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::http {

namespace asio = boost::asio;

class BodyWriter;
class WebSocket;

using Headers = std::vector<std::pair<std::string, std::string>>;

/// What the request line's target says, all decoded. "/a/b%2Fc/" has the segments "a" and "b/c".
struct Target {
  std::vector<std::string> segments;
  std::vector<std::pair<std::string, std::string>> query;  ///< names and values
};

/// Who asks, as authentication found.
struct Principal {
  std::string name;  ///< empty: it isn't known, and needn't be
};

/// All of a request but its body.
struct Request {
  std::string method;
  std::string raw_target;  ///< as it was sent; for logs
  Target target;
  Headers headers = {};  ///< names in lower case
  bool http_1_0 = false;
  bool keep_alive = true;
  bool expects_continue = false;  ///< the client waits for "100 Continue" before it sends the body

  // What the router adds:
  std::vector<std::string> path_parameters = {};  ///< what stands for the path's parameters, in order
  Principal principal = {};

  /// A header's value, the first one's if there are several; empty if there is none. `name` is in lower case.
  std::string_view header(std::string_view name) const {
    for (const auto& [each, value] : headers) {
      if (each == name) return value;
    }
    return {};
  }
};

/// Speaks WebSocket with a client until one of them ends it (`websocket.hpp`).
using WebSocketHandler = std::function<asio::awaitable<void>(WebSocket&)>;

struct Response {
  int status = 200;
  std::string content_type = "application/json";  ///< left out where there is no body
  std::string body = {};
  Headers headers = {};  ///< beside those that each response has; control characters in them are sent as spaces

  /// Writes the body in place of `body`, after the header was sent: chunked, or until the connection's end in HTTP/1.0.
  /// Not called for HEAD. If the client goes away, or sends more than 64 KiB meanwhile, or the server stops, what it
  /// waits for is cancelled: it ends by an exception, as it does if it fails; the client sees the missing end then.
  std::function<asio::awaitable<void>(BodyWriter&)> stream = {};

  /// The connection becomes a WebSocket, which is given to this; 426 if the client didn't ask for one. `status` is 101.
  WebSocketHandler websocket = {};
};

}  // namespace millrace::http
