#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

namespace millrace::http {

namespace asio = boost::asio;

/// A thread for what takes too long for an I/O thread, one thing after the other. Thread-safe. Its end waits for what
/// is under way.
class Worker {
 public:
  explicit Worker(std::size_t most_waiting) : most_waiting_(most_waiting) {}

  /// What `work()` answers; nothing if as many wait already as may. What it refers to must live until then.
  template <typename F>
  asio::awaitable<std::optional<std::invoke_result_t<F&>>> run(F work) {
    const Place place(waiting_);
    if (place.number > most_waiting_) co_return std::nullopt;
    co_return co_await asio::co_spawn(thread_.get_executor(), on_thread(std::move(work)), asio::use_awaitable);
  }

 private:
  struct Place {
    explicit Place(std::atomic<std::size_t>& waiting) : waiting(waiting), number(waiting.fetch_add(1) + 1) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { waiting.fetch_sub(1); }

    std::atomic<std::size_t>& waiting;
    const std::size_t number;
  };

  template <typename F>
  static asio::awaitable<std::invoke_result_t<F&>> on_thread(F work) {
    co_return work();
  }

  const std::size_t most_waiting_;
  std::atomic<std::size_t> waiting_ = 0;
  asio::thread_pool thread_{1};
};

}  // namespace millrace::http
