#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "http/deadline.hpp"
#include "http/request_parser.hpp"
#include "http/router.hpp"
#include "http/server.hpp"
#include "net/stream.hpp"

namespace millrace::http {

/// One client's connection, from the TLS handshake to the end. Belongs to the thread of its io_context.
class Connection {
 public:
  Connection(asio::io_context& context, net::Stream stream, const ServerOptions& options, const Router& router);

  /// Serves requests until the client is gone, breaks a rule, or `close_soon` was called. What the constructor was
  /// given must live until it is done.
  asio::awaitable<void> run();

  /// Closes an idle connection now, and a busy one after the response that is under way.
  void close_soon();

 private:
  enum class Outcome { served, over };

  asio::awaitable<bool> shake_hands();
  asio::awaitable<Outcome> serve_one();
  asio::awaitable<RequestParser::State> receive();
  std::chrono::milliseconds time_for(RequestParser::State state) const;
  asio::awaitable<bool> read_more();
  asio::awaitable<bool> send(std::string_view bytes);
  asio::awaitable<void> refuse(Response response);
  void log_access(const Request& request, const Response& response, TimePoint started) const;

  net::Stream stream_;
  const ServerOptions& options_;
  const Router& router_;
  RequestParser parser_;
  Deadline deadline_;
  std::string received_;  ///< not yet parsed
  bool idle_ = true;
  bool closing_ = false;
};

}  // namespace millrace::http
