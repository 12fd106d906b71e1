#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

namespace millrace::executor {

class Party;

/// What a user, or a project, may use. Null: as much as it wants.
struct Quota {
  static constexpr std::uint32_t longest_execution_seconds = 7 * 24 * 3600;
  static constexpr std::int32_t most_boost = 4;  ///< up or down

  std::optional<std::uint32_t> max_concurrent_queries = {};      ///< more of them wait
  std::optional<std::uint64_t> hourly_query_limit = {};          ///< more of them are refused
  std::optional<std::uint64_t> daily_query_limit = {};           ///< likewise
  std::optional<std::uint32_t> max_execution_time_seconds = {};  ///< of one statement
  std::optional<std::uint32_t> max_memory_mb = {};               ///< of PostgreSQL's process in one query
  std::int32_t priority_boost = 0;                               ///< is added to its queries' priorities

  bool operator==(const Quota&) const = default;
};

enum class Window : std::uint8_t { hour, day };

/// A quota is used up.
struct Exceeded {
  Window window = Window::hour;
  std::uint64_t limit = 0;
  std::int64_t resets_in = 0;  ///< ns
  bool is_of_project = false;
};

class Account;

/// Those of whom another node may want to hear, or who want to hear of others. Thread-safe.
class NewsOfAccounts {
 public:
  void add(std::weak_ptr<Account> account);
  /// Those that were added first, `most` at most.
  std::vector<std::shared_ptr<Account>> take(std::size_t most);

 private:
  std::mutex mutex_;
  std::deque<std::weak_ptr<Account>> accounts_;
  std::size_t sweep_at_ = 1024;  ///< so many are there: those that are gone are taken out
};

/// Of one user or project: its quota, and what it has used of it: on this node, and on others as far as this one has
/// heard of it. Thread-safe.
///
/// A window begins with the first query that is counted in it, and lasts an hour, or a day.
class Account : public std::enable_shared_from_this<Account> {
 public:
  struct Used {
    std::uint64_t queries = 0;
    std::int64_t resets_in = 0;  ///< ns; 0: no window has begun
  };

  /// `key`: of whom it is, among all. `news`: null: this node counts alone.
  Account(const Quota& quota, bool holds, std::string key = {}, std::shared_ptr<NewsOfAccounts> news = {})
      : key_(std::move(key)), news_(std::move(news)) {
    set(quota, holds);
  }

  const std::string& key() const { return key_; }

  Quota quota() const;
  /// Of it, without a lock; 0: none.
  std::uint32_t most_seconds() const { return most_seconds_.load(std::memory_order::relaxed); }
  std::uint32_t most_memory_mb() const { return most_memory_mb_.load(std::memory_order::relaxed); }
  std::int32_t boost() const { return boost_.load(std::memory_order::relaxed); }
  /// `holds`: false: it is only remembered.
  void set(const Quota& quota, bool holds);

  std::atomic<std::uint32_t> running = 0;
  /// The queue's: those of this user who wait until one of them has ended.
  std::vector<std::weak_ptr<Party>> left_out;
  bool may_run_more() const {
    return running.load(std::memory_order::seq_cst) < most_running_.load(std::memory_order::seq_cst);
  }
  /// Likewise: somebody waits for that only. Who says so has to ask afterwards whether it may.
  std::atomic<bool> holds_back = false;

  /// Counts a query. Null: it is within the quota; else it isn't counted.
  std::optional<Exceeded> charge(std::int64_t now);
  /// Of a query that was counted and isn't run after all.
  void take_back();
  Used used(Window window, std::int64_t now) const;
  /// Nothing of it need be remembered.
  bool is_idle(std::int64_t now) const;

  /// What other nodes are to hear of a window.
  struct Untold {
    std::uint64_t known = 0;    ///< what all nodes had counted when this one heard of it last
    std::int64_t counted = 0;   ///< here, since; less than 0 where more was taken back
    std::int64_t left = 0;      ///< of the window: ns; at least 1, at most its length
    std::uint32_t ordinal = 0;  ///< of the window
  };
  Untold untold(Window window, std::int64_t now);
  /// All nodes have counted `sum`, with what was `told`, and their window goes on for `left` ns; 0: none has begun.
  void learn(Window window, const Untold& told, std::uint64_t sum, std::int64_t left, std::int64_t now);
  /// Puts it among the news, unless it is there already.
  void is_news();
  /// From then on it may be put there again.
  void is_told() { is_news_ = false; }
  /// What others count matters to it, as long as its window goes on.
  bool follows_others(std::int64_t now) const;

 private:
  struct Counted {
    std::uint64_t told = 0;     ///< by all nodes, as far as this one has heard of it
    std::int64_t untold = 0;    ///< here, and no other node knows of it
    std::int64_t ends = 0;      ///< not later than now: no window has begun
    std::uint32_t ordinal = 0;  ///< which of this node's windows it is

    std::uint64_t queries() const {
      const std::int64_t sum = static_cast<std::int64_t>(told) + untold;
      return sum > 0 ? static_cast<std::uint64_t>(sum) : 0;
    }
    void end_if_over(std::int64_t now) {
      if (now >= ends) *this = {.ordinal = ordinal + 1};
    }
  };
  Counted& counted(Window window) { return window == Window::hour ? hour_ : day_; }
  const Counted& counted(Window window) const { return window == Window::hour ? hour_ : day_; }

  const std::string key_;
  const std::shared_ptr<NewsOfAccounts> news_;
  std::atomic<bool> is_news_ = false;
  mutable std::mutex mutex_;
  Quota quota_;
  Counted hour_, day_;
  std::atomic<std::uint32_t> most_running_ = UINT32_MAX;
  std::atomic<std::uint32_t> most_seconds_ = 0, most_memory_mb_ = 0;
  std::atomic<std::int32_t> boost_ = 0;
};

/// Everybody's. Thread-safe.
class Quotas {
 public:
  /// From now on others count, too: before the first account is asked for.
  std::shared_ptr<NewsOfAccounts> count_with_others();

  /// The most that are remembered; those that were used longest ago are forgotten first where nothing is set for them.
  static constexpr std::size_t most_accounts = 100'000;

  enum class Of : std::uint8_t { user, project };
  /// What holds where nothing is set. `on`: false: no quota holds.
  /// Answers whether that is new.
  bool set_defaults(bool on, const Quota& of_users);
  bool on() const { return on_.load(std::memory_order::relaxed); }

  std::shared_ptr<Account> account(Of of, std::string_view name, std::int64_t now);
  /// Null: nobody of this name has asked for anything, and nothing is set.
  std::shared_ptr<Account> find(Of of, std::string_view name) const;
  /// From now on; null: the default holds again.
  void set(Of of, std::string_view name, const std::optional<Quota>& quota, std::int64_t now);

  /// Of whom it is, among all: a "u" or a "p", and the name.
  static std::string key(Of of, std::string_view name) { return std::string(of == Of::user ? "u" : "p").append(name); }
  /// Null: no key.
  static std::optional<Of> of_key(std::string_view key);

 private:
  struct Known {
    std::shared_ptr<Account> account;
    bool is_set = false;
  };
  Quota standard(Of of) const { return of == Of::user ? of_users_ : Quota(); }
  void make_room(std::int64_t now);

  std::atomic<bool> on_ = false;
  mutable std::mutex mutex_;
  std::shared_ptr<NewsOfAccounts> news_;  ///< null: this node counts alone
  Quota of_users_;
  boost::unordered_flat_map<std::string, Known> known_;
};

}  // namespace millrace::executor
