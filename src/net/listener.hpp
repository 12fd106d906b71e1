#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/stream.hpp"

namespace millrace::net {

/// Accepts connections on one address and gives each to the io_contexts in turn.
///
/// `on_stream` runs on the thread of the io_context that the stream belongs to. Out of file descriptors, it pauses for
/// a moment and goes on; those that wait stay in the kernel's queue.
class Listener {
 public:
  using OnStream = std::function<void(asio::io_context&, Stream)>;

  /// Binds and listens; `host` is an address, or a directory for a Unix socket (`host/.s.PGSQL.port`).
  static Result<std::unique_ptr<Listener>> open(std::vector<asio::io_context*> contexts, const Endpoint& endpoint,
                                                OnStream on_stream);
  ~Listener();

  /// The port in use; of interest when 0 was asked for.
  std::uint16_t port() const;

  /// Stops accepting; what was accepted lives on. Thread-safe.
  void stop();

 private:
  struct State;
  explicit Listener(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace millrace::net
