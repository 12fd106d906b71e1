#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.hpp"

namespace millrace::http {

/// Delivers texts one after the other, on a thread of its own, and tries again where that fails. Who gives it something
/// never waits: what waits already when the queue is full is lost, the oldest first. Thread-safe.
class NotificationChannel {
 public:
  /// Returns when it is delivered, or can't be; soon once `stopping` is set.
  using Deliver = std::function<Result<>(const std::string& text, const std::atomic<bool>& stopping)>;

  struct Limits {
    std::size_t waiting = 256;
    int attempts = 5;
    std::chrono::milliseconds first_pause{1000};  ///< doubles with each attempt
  };

  struct Counts {
    std::uint64_t delivered = 0;
    std::uint64_t failed_attempts = 0;
    std::uint64_t lost = 0;  ///< given up, or the queue was full
  };

  NotificationChannel(std::string name, Deliver deliver, Limits limits);
  NotificationChannel(std::string name, Deliver deliver)
      : NotificationChannel(std::move(name), std::move(deliver), Limits()) {}
  ~NotificationChannel() { stop(); }
  NotificationChannel(const NotificationChannel&) = delete;
  NotificationChannel& operator=(const NotificationChannel&) = delete;

  void send(std::string text);

  /// Ends the thread; what waits is lost. May be called twice.
  void stop();

  const std::string& name() const { return name_; }
  Counts counts() const;

 private:
  void run();
  void deliver(const std::string& text);

  const std::string name_;
  const Deliver deliver_;
  const Limits limits_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::string> waiting_;
  Counts counts_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace millrace::http
