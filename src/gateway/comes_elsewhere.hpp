#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>

#include "net/signal.hpp"

namespace millrace::gateway {

/// What another thread is to say, when it has come.
struct ComesElsewhere {
  net::Signal& signal;
  bool is_over = false;
};

/// To be called on another thread, on which a session mustn't end; it may be kept for long, so it keeps nothing alive.
inline std::function<void()> says_when_it_has_come(const std::shared_ptr<ComesElsewhere>& waiting,
                                                   boost::asio::io_context& io) {
  return [weak = std::weak_ptr(waiting), &io] {
    if (weak.expired()) return;
    boost::asio::post(io, [weak] {
      const auto still = weak.lock();
      if (!still) return;
      still->is_over = true;
      still->signal.set();
    });
  };
}

}  // namespace millrace::gateway
