#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "executor/adaptive_query_executor.hpp"
#include "executor/quotas_in_redis.hpp"

namespace millrace::executor {

/// Quotas that hold on all nodes of one Redis together. A thread of its own tells Redis, each second, what this node
/// has counted, and hears what all have; no query waits for it. Thread-safe.
///
/// Nodes hear of each other a second late, so together they let in more than a quota by what the others let in within
/// that time. Where an answer of Redis is lost, what was told is told again, and may be counted twice: rather that than
/// to let in more. While Redis can't be used each node counts on its own, with what it had heard, and tells it later; a
/// Redis that has lost everything gets of each account what the first node that tells of it knew.
///
/// A quota that is set, or taken away, is so on this node at once, on others when they hear of it. Of two that are set
/// for one user the one holds that came to Redis later, also where a node, or a Redis that was restarted, has the
/// earlier one still: what Redis doesn't have gets there from the nodes. Where its answer was lost, it came when it was
/// told first. That a quota was taken away is remembered for a week, and brought back to a Redis that has lost it for
/// six days: a node that has been without Redis for longer would bring the quota back.
class SharedQuotas {
 public:
  /// Before the first account is asked for.
  SharedQuotas(std::shared_ptr<AdaptiveQueryExecutor> executor, backend::RedisAddress redis);
  /// Stops.
  ~SharedQuotas();
  SharedQuotas(const SharedQuotas&) = delete;
  SharedQuotas& operator=(const SharedQuotas&) = delete;

  void start();
  /// Tells what is left, if Redis was there, and ends the thread. Not from an I/O thread.
  void stop();

  /// As `Quotas::set`, on all nodes. Who waits for it isn't woken here: `AdaptiveQueryExecutor::follow_quotas`.
  void set(Quotas::Of of, std::string_view name, const std::optional<Quota>& quota, std::int64_t now);

  /// Whether all nodes count together at present, or why not.
  Result<> state() const;

 private:
  void run(const std::stop_token& stop);
  Result<> exchange();
  Result<> exchange_quotas();
  Result<> tell_quotas();
  Result<> tell(std::span<const QuotasInRedis::Entry> entries);
  bool take_over(const QuotasInRedis::Entry& theirs, std::int64_t now);
  Result<> compare(const std::vector<QuotasInRedis::Entry>& theirs);
  Result<> exchange_counts();
  Result<> tell(const std::vector<std::shared_ptr<Account>>& accounts);
  void found(Result<> state);

  const std::shared_ptr<AdaptiveQueryExecutor> executor_;
  const backend::RedisAddress address_;
  const std::shared_ptr<NewsOfAccounts> news_;

  // The thread's.
  std::optional<QuotasInRedis> redis_;  ///< null: it isn't connected
  std::optional<std::string> version_;  ///< of the quotas that are taken over; null: none are, or Redis was told others
  /// What Redis had, or was told, last; by the accounts' keys.
  boost::unordered_flat_map<std::string, SetQuota> known_;

  mutable std::mutex mutex_;  ///< of what follows
  struct Untold {
    std::optional<Quota> quota;   ///< null: it was taken away
    std::int64_t told_first = 0;  ///< when Redis was first told, as it may have heard that; 0: it wasn't yet
  };
  /// Were set here, and Redis isn't known to have them yet; by the accounts' keys.
  std::map<std::string, Untold> untold_;
  Result<> state_ = fail("Redis hasn't answered yet");
  bool is_first_ = true;  ///< of the states

  std::jthread thread_;
};

}  // namespace millrace::executor
