#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <boost/unordered/unordered_flat_map.hpp>

namespace millrace::executor {

/// What one of those who share has of the slots. Any thread may count.
struct Share {
  std::atomic<std::uint32_t> running = 0;
  /// For how long it has held slots, in ns: who comes anew begins with what the least of the others has, so that nobody
  /// is owed for the time in which he asked for nothing.
  std::atomic<std::int64_t> used = 0;
};

/// Whose query it is. Slots are shared out equally between projects and users who name no project, and what a project
/// gets between its users. Who holds one keeps it alive; thread-safe.
class Party {
 public:
  Party(std::shared_ptr<Share> group, bool is_of_project) : group_(std::move(group)), is_of_project_(is_of_project) {}

  const Share& group() const { return *group_; }
  const Share& user() const { return is_of_project_ ? user_ : *group_; }

  void add_running() {
    group_->running.fetch_add(1, std::memory_order::relaxed);
    if (is_of_project_) user_.running.fetch_add(1, std::memory_order::relaxed);
  }
  void end_running(std::int64_t held) {
    group_->running.fetch_sub(1, std::memory_order::relaxed);
    group_->used.fetch_add(held, std::memory_order::relaxed);
    if (!is_of_project_) return;
    user_.running.fetch_sub(1, std::memory_order::relaxed);
    user_.used.fetch_add(held, std::memory_order::relaxed);
  }
  /// It comes anew, while others, of whom the least has so much, wait.
  void begin_with(std::int64_t least_group, std::int64_t least_user) {
    raise(group_->used, least_group);
    if (is_of_project_) raise(user_.used, least_user);
  }

 private:
  static void raise(std::atomic<std::int64_t>& used, std::int64_t least) {
    std::int64_t has = used.load(std::memory_order::relaxed);
    while (has < least && !used.compare_exchange_weak(has, least, std::memory_order::relaxed)) {
    }
  }

  const std::shared_ptr<Share> group_;
  Share user_;
  const bool is_of_project_;
};

/// Everybody who may ask at present. Thread-safe.
class Parties {
 public:
  /// `project`: "": none is named.
  std::shared_ptr<Party> find(std::string_view user, std::string_view project);

 private:
  std::mutex mutex_;
  boost::unordered_flat_map<std::string, std::weak_ptr<Party>> parties_;  ///< project, a NUL, user
  boost::unordered_flat_map<std::string, std::weak_ptr<Share>> projects_;
  std::size_t sweep_at_ = 1024;  ///< so many are there: those that are gone are taken out
};

}  // namespace millrace::executor
