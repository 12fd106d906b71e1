#pragma once

#include <sys/epoll.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <functional>
#include <vector>

namespace millrace::net {

/// Tells when descriptors can be read or written: one system call for all that are ready, and none for each.
///
/// Asio tries every read before it waits, which costs a call that finds nothing for each message; here a descriptor is
/// registered once, edge-triggered (epoll(7)). The poller is itself one descriptor of its io_context, and belongs to
/// that io_context's thread.
class Poller final : public boost::asio::execution_context::service {
 public:
  class Watcher {
   public:
    /// `events` as of epoll. The watcher may remove itself or others.
    virtual void on_events(std::uint32_t events) = 0;

   protected:
    ~Watcher() = default;
  };

  static Poller& of(boost::asio::io_context& context) { return boost::asio::use_service<Poller>(context); }

  /// False: the kernel refused.
  bool add(int descriptor, Watcher& watcher);
  /// `watcher` hears nothing more. Before the descriptor is closed.
  void remove(int descriptor, Watcher& watcher);

  /// From any thread: calls `what` on `context`'s, never at once. Where that delivers events at present it is called
  /// before it looks for the next ones, which is sooner, and cheaper, than through the io_context.
  static void soon(boost::asio::io_context& context, std::move_only_function<void()> what);

  // For Asio.
  using key_type = Poller;
  static boost::asio::execution_context::id id;
  explicit Poller(boost::asio::execution_context& context);

 private:
  void shutdown() override;
  void wait();
  void deliver();
  void do_soon();

  boost::asio::io_context& context_;
  boost::asio::posix::stream_descriptor epoll_;
  std::array<epoll_event, 128> batch_{};
  int at_ = 0;     ///< the event of the batch that is being delivered
  int count_ = 0;  ///< in the batch
  bool waiting_ = false;
  std::vector<std::move_only_function<void()>> soon_, now_;
};

}  // namespace millrace::net
