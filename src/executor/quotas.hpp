#pragma once

#include <atomic>
#include <cstdint>
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

/// Of one user or project: its quota, and what it has used of it, on this node. Thread-safe.
///
/// A window begins with the first query that is counted in it, and lasts an hour, or a day.
class Account {
 public:
  struct Used {
    std::uint64_t queries = 0;
    std::int64_t resets_in = 0;  ///< ns; 0: no window has begun
  };

  Account(const Quota& quota, bool holds) { set(quota, holds); }

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

 private:
  struct Counted {
    std::uint64_t queries = 0;
    std::int64_t begun = 0;  ///< 0: it hasn't
  };

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

  struct Set {
    Of of = Of::user;
    std::string name;
    Quota quota;
  };
  /// All that are set.
  std::vector<Set> all_set() const;

 private:
  struct Known {
    std::shared_ptr<Account> account;
    bool is_set = false;
  };
  static std::string key(Of of, std::string_view name) { return std::string(of == Of::user ? "u" : "p").append(name); }
  Quota standard(Of of) const { return of == Of::user ? of_users_ : Quota(); }
  void make_room(std::int64_t now);

  std::atomic<bool> on_ = false;
  mutable std::mutex mutex_;
  Quota of_users_;
  boost::unordered_flat_map<std::string, Known> known_;
};

}  // namespace millrace::executor
