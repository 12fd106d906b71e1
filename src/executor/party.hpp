#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <boost/unordered/unordered_flat_map.hpp>

#include "executor/quotas.hpp"

namespace millrace::executor {

/// What one of those who share has of the slots. Any thread may count; in cache lines of its own, so that who counts
/// for one isn't in the way of who reads of another.
struct alignas(64) Share {
  std::atomic<std::uint32_t> running = 0;
  /// For how long it has held slots, in ns. Whoever begins to wait has at least what those have who get their turns at
  /// that time, so nobody is owed for the time in which he asked for nothing; and not much more, so nobody pays for the
  /// time in which he was alone (`WaitingQueue`).
  std::atomic<std::int64_t> used = 0;

  std::atomic<std::size_t> waiting = 0;  ///< the queue counts

  // The queue's.
  std::int64_t reached = 0;  ///< of those who share what it has: `used` of who has had a turn with most
};

/// Whose query it is. Slots are shared out equally between projects and users who name no project, and what a project
/// gets between its users. Who holds one keeps it alive; thread-safe.
class Party {
 public:
  /// `user`, `project`: null: it isn't named, and has no quota.
  Party(std::shared_ptr<Share> group, bool is_of_project, std::shared_ptr<Account> user,
        std::shared_ptr<Account> project)
      : group_(std::move(group)),
        is_of_project_(is_of_project),
        user_account_(std::move(user)),
        project_account_(std::move(project)) {}

  Share& group() { return *group_; }
  /// Its own; of who names no project it is the same.
  Share& user() { return is_of_project_ ? user_ : *group_; }
  bool is_of_project() const { return is_of_project_; }

  const std::shared_ptr<Account>& user_account() const { return user_account_; }
  const std::shared_ptr<Account>& project_account() const { return project_account_; }
  bool has_account() const { return user_account_ || project_account_; }
  /// Of its quotas: the lower of its limits, 0: none; and what is added to its priorities.
  std::uint32_t most_seconds() const { return lower(&Account::most_seconds); }
  std::uint32_t most_memory_mb() const { return lower(&Account::most_memory_mb); }
  int boost() const {
    return (user_account_ ? user_account_->boost() : 0) + (project_account_ ? project_account_->boost() : 0);
  }
  bool user_may_run_more() const { return !user_account_ || user_account_->may_run_more(); }
  bool project_may_run_more() const { return !project_account_ || project_account_->may_run_more(); }

  /// Somebody waits because of these quotas, who comes before what comes now.
  bool is_held_back() const {
    const auto holds_back = [](const std::shared_ptr<Account>& account) {
      return account && account->holds_back.load(std::memory_order::seq_cst);
    };
    return holds_back(user_account_) || holds_back(project_account_);
  }

  void add_running() {
    if (user_account_) user_account_->running.fetch_add(1, std::memory_order::seq_cst);
    if (project_account_) project_account_->running.fetch_add(1, std::memory_order::seq_cst);
    group_->running.fetch_add(1, std::memory_order::relaxed);
    if (is_of_project_) user_.running.fetch_add(1, std::memory_order::relaxed);
  }
  void end_running(std::int64_t held) {
    if (user_account_) user_account_->running.fetch_sub(1, std::memory_order::seq_cst);
    if (project_account_) project_account_->running.fetch_sub(1, std::memory_order::seq_cst);
    group_->used.fetch_add(held, std::memory_order::relaxed);
    group_->running.fetch_sub(1, std::memory_order::relaxed);
    if (!is_of_project_) return;
    user_.used.fetch_add(held, std::memory_order::relaxed);
    user_.running.fetch_sub(1, std::memory_order::relaxed);
  }

 private:
  std::uint32_t lower(std::uint32_t (Account::*limit)() const) const {
    const std::uint32_t users = user_account_ ? (*user_account_.*limit)() : 0;
    const std::uint32_t projects = project_account_ ? (*project_account_.*limit)() : 0;
    return users == 0 || projects == 0 ? std::max(users, projects) : std::min(users, projects);
  }

  const std::shared_ptr<Share> group_;
  Share user_;
  const bool is_of_project_;
  const std::shared_ptr<Account> user_account_, project_account_;
};

/// Everybody who may ask at present. Thread-safe.
class Parties {
 public:
  explicit Parties(Quotas& quotas) : quotas_(quotas) {}

  /// `project`: "": none is named. A user whose name begins with a NUL has no quota.
  std::shared_ptr<Party> find(std::string_view user, std::string_view project);

 private:
  Quotas& quotas_;
  std::mutex mutex_;
  boost::unordered_flat_map<std::string, std::weak_ptr<Party>> parties_;  ///< project, a NUL, user
  boost::unordered_flat_map<std::string, std::weak_ptr<Share>> projects_;
  std::size_t sweep_at_ = 1024;  ///< so many are there: those that are gone are taken out
};

}  // namespace millrace::executor
