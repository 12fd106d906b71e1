#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "http/message.hpp"

namespace millrace::http {

struct MessageLimits {
  std::uint32_t header_bytes = 16 * 1024;
  std::uint64_t body_bytes = 1024 * 1024;
};

/// Turns bytes into requests, one after the other; knows no socket. Not thread-safe.
///
/// The caller keeps the bytes that `feed` leaves, and gives them again with those that follow.
class RequestParser {
 public:
  enum class State {
    between,   ///< nothing of a request has come yet
    header,    ///< in the middle of a request's header
    body,      ///< in the middle of its body
    complete,  ///< `take` gives it
    failed,    ///< `failure` says why; nothing more can be read from this connection
  };

  explicit RequestParser(MessageLimits limits);
  ~RequestParser();

  /// Answers how many of the bytes it used.
  std::size_t feed(std::string_view bytes);

  State state() const;

  /// True once a request: its client waits for "100 Continue" before it sends the body.
  bool take_wants_continue();

  /// The request that is complete; the parser then is ready for the next.
  Request take();

  /// The answer to a request that can't be read; the connection is closed after it.
  Response failure() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::http
