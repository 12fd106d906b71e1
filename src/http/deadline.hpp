#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>

#include "base/clock.hpp"

namespace millrace::http {

/// Calls `on_expiry` when the time that was set last is over; at most once a setting. Belongs to one thread.
class Deadline {
 public:
  Deadline(boost::asio::io_context& context, std::function<void()> on_expiry)
      : state_(std::make_shared<State>(context, std::move(on_expiry))) {}
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline() { clear(); }

  void set(std::chrono::milliseconds from_now) {
    state_->armed = true;
    state_->timer.expires_after(from_now);
    state_->timer.async_wait([state = state_](boost::system::error_code) { state->check(); });
  }

  void clear() {
    state_->armed = false;
    state_->timer.cancel();
  }

  /// True from the moment that is set, even before `on_expiry` had its turn.
  bool expired() const { return state_->armed && state_->timer.expiry() <= Clock::now(); }

 private:
  struct State {
    State(boost::asio::io_context& context, std::function<void()> callback)
        : timer(context), on_expiry(std::move(callback)) {}

    // Runs after each wait, also one that a newer setting ended: only the time that now stands counts.
    void check() {
      if (armed && timer.expiry() <= Clock::now()) on_expiry();
    }

    boost::asio::steady_timer timer;
    std::function<void()> on_expiry;
    bool armed = false;
  };
  std::shared_ptr<State> state_;
};

}  // namespace millrace::http
