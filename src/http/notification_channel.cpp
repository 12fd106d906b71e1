#include "http/notification_channel.hpp"

#include "base/log.hpp"

namespace millrace::http {

NotificationChannel::NotificationChannel(std::string name, Deliver deliver, Limits limits)
    : name_(std::move(name)), deliver_(std::move(deliver)), limits_(limits), thread_([this] { run(); }) {}

void NotificationChannel::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void NotificationChannel::send(std::string text) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= limits_.waiting) {
      waiting_.pop_front();
      ++counts_.lost;
    }
    waiting_.push_back(std::move(text));
  }
  wake_.notify_all();
}

NotificationChannel::Counts NotificationChannel::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void NotificationChannel::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    const std::string text = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    deliver(text);
    lock.lock();
  }
}

void NotificationChannel::deliver(const std::string& text) {
  auto pause = limits_.first_pause;
  for (int attempt = 1; !stopping_; ++attempt, pause *= 2) {
    const Result<> done = deliver_(text, stopping_);
    std::unique_lock lock(mutex_);
    if (done) {
      ++counts_.delivered;
      return;
    }
    ++counts_.failed_attempts;
    const bool is_last = attempt >= limits_.attempts;
    if (is_last) ++counts_.lost;
    log::warn(is_last ? "a notification was given up" : "a notification could not be delivered",
              {{"channel", name_}, {"attempt", attempt}, {"reason", done.error().message}});
    if (is_last) return;
    wake_.wait_for(lock, pause, [this] { return stopping_.load(); });
  }
}

}  // namespace millrace::http
