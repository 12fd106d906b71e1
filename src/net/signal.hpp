#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

namespace millrace::net {

/// One coroutine waits until another says so, on one io_context's thread. What is set before the wait is not lost.
class Signal {
 public:
  explicit Signal(boost::asio::io_context& context) : timer_(context) {}

  /// True when it was set, false when `limit` passed first. Clears it.
  boost::asio::awaitable<bool> wait(std::chrono::steady_clock::duration limit) {
    if (!set_) {
      timer_.expires_after(limit);
      boost::system::error_code ignored;
      co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    }
    co_return std::exchange(set_, false);
  }

  void clear() { set_ = false; }

  void set() {
    set_ = true;
    timer_.cancel();
  }

 private:
  boost::asio::steady_timer timer_;
  bool set_ = false;
};

}  // namespace millrace::net
