#include "net/poller.hpp"

#include <sched.h>

#include <boost/asio/post.hpp>
#include <utility>

namespace millrace::net {
namespace {

/// Events come in bursts: while there are more, going back to the io_context would only cost calls. But its other work
/// waits.
constexpr int rounds_at_once = 16;

/// What is to be done soon may itself want something soon.
constexpr int soon_at_once = 4;

/// Of this thread, while it delivers.
thread_local Poller* delivers = nullptr;

}  // namespace

boost::asio::execution_context::id Poller::id;

Poller::Poller(boost::asio::execution_context& context)
    : service(context),
      context_(static_cast<boost::asio::io_context&>(context)),
      epoll_(context_, epoll_create1(EPOLL_CLOEXEC)) {}

void Poller::shutdown() {
  boost::system::error_code ignored;
  epoll_.close(ignored);
}

bool Poller::add(int descriptor, Watcher& watcher) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &watcher;
  if (epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, descriptor, &event) != 0) return false;
  if (!waiting_) wait();
  return true;
}

void Poller::remove(int descriptor, Watcher& watcher) {
  epoll_event unused{};
  epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, descriptor, &unused);
  for (int i = at_ + 1; i < count_; ++i) {
    if (batch_[static_cast<std::size_t>(i)].data.ptr == &watcher)
      batch_[static_cast<std::size_t>(i)].data.ptr = nullptr;
  }
}

void Poller::wait() {
  waiting_ = true;
  epoll_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code error) {
    if (error) return;
    deliver();
    wait();
  });
}

void Poller::soon(boost::asio::io_context& context, std::move_only_function<void()> what) {
  if (delivers != nullptr && &delivers->context_ == &context) {
    delivers->soon_.push_back(std::move(what));
  } else {
    boost::asio::post(context, std::move(what));
  }
}

void Poller::do_soon() {
  for (int times = 0; times < soon_at_once && !soon_.empty(); ++times) {
    std::swap(soon_, now_);
    for (auto& what : now_) what();
    now_.clear();
  }
}

void Poller::deliver() {
  delivers = this;
  for (int round = 0; round < rounds_at_once; ++round) {
    count_ = epoll_wait(epoll_.native_handle(), batch_.data(), static_cast<int>(batch_.size()), 0);
    for (at_ = 0; at_ < count_; ++at_) {
      const epoll_event& event = batch_[static_cast<std::size_t>(at_)];
      if (event.data.ptr != nullptr) static_cast<Watcher*>(event.data.ptr)->on_events(event.events);
    }
    do_soon();
    if (count_ <= 0 && soon_.empty()) break;
    // Whoever was just sent something and waits for this processor answers now, so that the next round has more to do.
    if (count_ > 0) sched_yield();
  }
  at_ = count_ = 0;
  delivers = nullptr;
  for (auto& what : soon_) boost::asio::post(context_, std::move(what));
  soon_.clear();
}

}  // namespace millrace::net
