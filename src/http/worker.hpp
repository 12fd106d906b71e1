#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

namespace millrace::http {

namespace asio = boost::asio;

/// Of all workers together.
struct WorkersOfProcess {
  std::mutex mutex;
  std::condition_variable idle;
  std::size_t running = 0;
  std::atomic<bool> stopping = false;
};

/// A thread for what takes too long for an I/O thread, one thing after the other. Thread-safe. Its end waits for what
/// is under way; but whoever waits for that keeps it, so a process that ends calls `stop_all` first.
class Worker {
 public:
  /// Of the process's workers nothing more is begun; waits for what is under way, so long at most. Before the threads
  /// stop that what is under way may wait for. For good.
  static void stop_all(std::chrono::milliseconds patience) {
    std::unique_lock lock(process_.mutex);
    process_.stopping = true;
    process_.idle.wait_for(lock, patience, [] { return process_.running == 0; });
  }
  /// For what takes long: it is to end soon.
  static bool is_stopping() { return process_.stopping.load(std::memory_order::relaxed); }

  explicit Worker(std::size_t most_waiting) : most_waiting_(most_waiting) {}

  /// What `work()` answers; nothing if as many wait already as may, or the process ends. What it refers to must live
  /// until then.
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

  static inline WorkersOfProcess process_;

  struct Running {
    Running() {
      const std::lock_guard lock(process_.mutex);
      ++process_.running;
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() {
      const std::lock_guard lock(process_.mutex);
      if (--process_.running == 0) process_.idle.notify_all();
    }
  };

  template <typename F>
  static asio::awaitable<std::optional<std::invoke_result_t<F&>>> on_thread(F work) {
    const Running running;
    if (is_stopping()) co_return std::nullopt;
    co_return work();
  }

  const std::size_t most_waiting_;
  std::atomic<std::size_t> waiting_ = 0;
  asio::thread_pool thread_{1};
};

}  // namespace millrace::http
