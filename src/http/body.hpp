#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace millrace::http {

namespace asio = boost::asio;

/// A request's body, read in parts: what isn't asked for isn't read from the client, who then has to wait. One that
/// waits for "100 Continue" gets it with the first read. Belongs to the connection's thread.
class BodyReader {
 public:
  /// Only before the answer: not in a response's `stream`, where it is an error.
  /// The next part, of some kB at most; empty at the body's end. An error: the body is too large (413), malformed (400)
  /// or too slow (408), or the client is gone; the handler then should end. What it answers isn't sent.
  virtual asio::awaitable<Result<std::string>> read() = 0;

  /// The whole body, or what is left of it.
  asio::awaitable<Result<std::string>> read_all();

  /// How large the body may be; before the first read.
  virtual void limit(std::uint64_t bytes) = 0;

 protected:
  ~BodyReader() = default;
};

/// A response's body, written in parts. Belongs to the connection's thread.
class BodyWriter {
 public:
  /// Sends a part, and waits until the client has room for it. False: the client is gone, or didn't take it within
  /// `ServerLimits::write_time`; the handler then should end. `part` must live until it is done.
  virtual asio::awaitable<bool> write(std::string_view part) = 0;

 protected:
  ~BodyWriter() = default;
};

}  // namespace millrace::http
