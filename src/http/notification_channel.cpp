#include "http/notification_channel.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace millrace::http {

NotificationChannel::NotificationChannel(std::string name, Deliver deliver, Limits limits)
    : name_(std::move(name)), deliver_(std::move(deliver)), limits_(limits), thread_([this] { run(); }) {}

void NotificationChannel::stop() {
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
    ends_.wait_for(lock, limits_.patience_at_end, [this] { return ended_; });
    out_of_time_ = true;
  }
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
  auto pause = limits_.first_pause;
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty() || out_of_time_) break;
    std::string text = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    const Result<> done = deliver_(text, out_of_time_);
    lock.lock();
    if (done) {
      ++counts_.delivered;
      pause = limits_.first_pause;
      continue;
    }
    ++counts_.failed_attempts;
    // While it waits for its next attempt it is the oldest in the queue. At the end there is no other attempt.
    const bool is_lost = stopping_ || waiting_.size() >= limits_.waiting;
    if (is_lost) {
      ++counts_.lost;
    } else {
      waiting_.push_front(std::move(text));
    }
    log::warn(is_lost ? "a notification is lost" : "a notification could not be delivered; this is tried again",
              {{"channel", name_}, {"reason", done.error().message}});
    wake_.wait_for(lock, pause, [this] { return stopping_; });
    pause = std::min(2 * pause, limits_.longest_pause);
  }
  if (!waiting_.empty()) {
    log::warn("notifications are lost: there was no time for them at the end",
              {{"channel", name_}, {"count", waiting_.size()}});
  }
  counts_.lost += waiting_.size();
  waiting_.clear();
  ended_ = true;
  ends_.notify_all();
}

}  // namespace millrace::http
