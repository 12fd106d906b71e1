#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <deque>
#include <memory>

#include "net/signal.hpp"

namespace millrace::gateway {

namespace asio = boost::asio;

/// Who carries a cancel request to the server, which starts a process for each: a few at a time, in turn. Belongs to
/// one thread.
class CancelTurns {
 public:
  static constexpr std::size_t at_once = 4;

  explicit CancelTurns(asio::io_context& io) : io_(io) {}

  asio::awaitable<void> take() {
    if (taken_ < at_once) {
      ++taken_;
      co_return;
    }
    const auto turn = std::make_shared<net::Signal>(io_);
    waiting_.push_back(turn);
    co_await turn->wait(std::chrono::hours(24));
  }
  void give() {
    if (waiting_.empty()) {
      --taken_;
      return;
    }
    waiting_.front()->set();  // whose turn it is now
    waiting_.pop_front();
  }

 private:
  asio::io_context& io_;
  std::size_t taken_ = 0;
  std::deque<std::shared_ptr<net::Signal>> waiting_;
};

/// The cancel requests for one session: however many ask, the server is told once at a time. Belongs to one thread.
class CancelsInTurn {
 public:
  CancelsInTurn(asio::io_context& io, CancelTurns& turns)
      : turns_(turns), carried_one_(io, asio::steady_timer::time_point::max()) {}

  /// Waits until what `carry` starts, now or at a request that came at the same time or later, has told the server.
  template <typename Carry>
  asio::awaitable<void> ask(Carry carry) {
    const std::uint64_t mine = ++asked_;
    while (carried_ < mine) {
      if (carrying_) {
        boost::system::error_code woken;
        co_await carried_one_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        continue;
      }
      // It may have come too early for what was asked after it began, so those wait for one more, all for the same.
      carrying_ = true;
      co_await turns_.take();
      const std::uint64_t asked = asked_;
      co_await carry();
      turns_.give();
      carrying_ = false;
      carried_ = asked;
      carried_one_.cancel();
    }
  }

 private:
  CancelTurns& turns_;
  std::uint64_t asked_ = 0;
  std::uint64_t carried_ = 0;  ///< of them: those that the server has heard of
  bool carrying_ = false;
  asio::steady_timer carried_one_;  ///< never expires; cancelled when one is carried
};

}  // namespace millrace::gateway
