#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "http/message.hpp"

namespace millrace::http {

struct MessageLimits {
  std::uint32_t header_bytes = 16 * 1024;
  std::uint64_t body_bytes = 1024 * 1024;  ///< unless the operation has a limit of its own
};

/// Turns bytes into requests, one after the other; knows no socket, and holds no more of a body than it was fed last.
/// Not thread-safe.
///
/// The caller keeps the bytes that `feed` leaves, and gives them again with those that follow.
class RequestParser {
 public:
  enum class State {
    between,   ///< nothing of a request has come yet
    header,    ///< in the middle of a request's header
    head,      ///< the header has been read: `take_head` gives it
    body,      ///< in the middle of its body: `take_body` gives what has come
    complete,  ///< the body has been read; after `next` the next request can be
    failed,    ///< `failure` says why; nothing more can be read from this connection
  };

  explicit RequestParser(std::uint32_t header_bytes);
  ~RequestParser();

  /// Answers how many of the bytes it used: none in the states `head`, `complete` and `failed`.
  std::size_t feed(std::string_view bytes);

  State state() const;

  Request take_head();

  /// How large the body may be, or the parser fails with 413; after `take_head`, before the body is fed.
  void limit_body(std::uint64_t bytes);

  /// What has come of the body since the last call.
  std::string take_body();

  /// How much of the body is still to come; nothing if that can't be known.
  std::optional<std::uint64_t> body_left() const;

  void next();

  /// The answer to a request that can't be read; the connection is closed after it.
  const Response& failure() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::http
