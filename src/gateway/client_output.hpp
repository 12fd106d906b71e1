#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "net/stream.hpp"

namespace millrace::gateway {

/// What is written to a client. What it doesn't take at once is kept and written as it does. Belongs to one thread.
class ClientOutput {
 public:
  /// `stream` must outlive it.
  ClientOutput(boost::asio::io_context& io, net::Stream& stream);

  /// False: the client is gone.
  bool send(net::Bytes bytes);
  /// Something was kept that nobody writes on yet: whoever is told so calls `flush`.
  bool begin_flush() { return !kept_.empty() && !std::exchange(flushing_, true); }
  /// Writes on until the client has taken all, or is gone (false).
  boost::asio::awaitable<bool> flush();

  /// How many bytes wait for the client.
  std::size_t waiting() const { return kept_.size(); }
  bool flushing() const { return flushing_; }
  /// Waits until the client has taken all.
  boost::asio::awaitable<void> drained();

 private:
  net::Stream& stream_;
  std::string kept_;
  bool flushing_ = false;
  boost::asio::steady_timer flushed_;  ///< never expires; cancelled when all is written
};

}  // namespace millrace::gateway
