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

/// Delivers texts one after the other, on a thread of its own. What fails is tried again, and what came later waits for
/// it, until the queue is full: then the oldest is lost. Who gives it something never waits. Thread-safe.
class NotificationChannel {
 public:
  /// Returns when it is delivered, or this attempt has failed; soon once `stopping` is set.
  using Deliver = std::function<Result<>(const std::string& text, const std::atomic<bool>& stopping)>;

  struct Limits {
    std::size_t waiting = 256;
    std::chrono::milliseconds first_pause{1000};  ///< doubles with each attempt that fails
    std::chrono::milliseconds longest_pause{60'000};
    std::chrono::milliseconds patience_at_end{1000};
  };

  struct Counts {
    std::uint64_t delivered = 0;
    std::uint64_t failed_attempts = 0;
    std::uint64_t lost = 0;  ///< the queue was full, or it was the end
  };

  NotificationChannel(std::string name, Deliver deliver, Limits limits);
  NotificationChannel(std::string name, Deliver deliver)
      : NotificationChannel(std::move(name), std::move(deliver), Limits()) {}
  ~NotificationChannel() { stop(); }
  NotificationChannel(const NotificationChannel&) = delete;
  NotificationChannel& operator=(const NotificationChannel&) = delete;

  void send(std::string text);

  /// Tries once more to deliver what waits, as long as there is patience, and ends the thread. May be called twice.
  void stop();

  const std::string& name() const { return name_; }
  Counts counts() const;

 private:
  void run();

  const std::string name_;
  const Deliver deliver_;
  const Limits limits_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable ends_;
  std::deque<std::string> waiting_;
  Counts counts_;
  bool stopping_ = false;
  bool ended_ = false;
  std::atomic<bool> out_of_time_ = false;
  std::thread thread_;
};

}  // namespace millrace::http
