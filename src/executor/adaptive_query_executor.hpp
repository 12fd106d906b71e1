#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "executor/concurrency_limit.hpp"
#include "executor/taken_slots.hpp"
#include "executor/waiting_queue.hpp"

namespace millrace::executor {

class AdaptiveQueryExecutor;

/// A query's slot, until it is given back or this goes. Not thread-safe. The party that has it, and the places that it
/// was let in for, must outlive it: it doesn't count as one who holds them, as all cores would write that count.
class Permit {
 public:
  Permit() = default;
  Permit(Permit&& other) noexcept { *this = std::move(other); }
  Permit& operator=(Permit&& other) noexcept {
    if (this == &other) return *this;
    drop();
    executor_ = std::exchange(other.executor_, nullptr);
    party_ = other.party_;
    places_ = std::exchange(other.places_, nullptr);
    round_ = other.round_;
    since_ = other.since_;
    return *this;
  }
  Permit(const Permit&) = delete;
  Permit& operator=(const Permit&) = delete;
  ~Permit() { drop(); }

  explicit operator bool() const { return executor_ != nullptr; }
  std::int64_t since() const { return since_; }
  const Party& party() const { return *party_; }

  /// The connection that it was let in for is its own by now.
  void has_place() {
    if (auto* const places = std::exchange(places_, nullptr)) places->end_promise();
  }

  /// What became of it. Of what runs besides those that the limit allows, nothing is told of how good that is.
  enum class End : std::uint8_t {
    unused,  ///< nothing that tells how much the backend gets done: it was lent, cancelled, or not needed
    failed,  ///< nothing got done, however quickly
  };
  void give_back(std::int64_t now, End end = End::unused);
  /// A query has come to a good end with it. `size`: of `TemplateTimes::note`.
  void give_back(std::int64_t now, int size);

 private:
  friend class AdaptiveQueryExecutor;
  Permit(AdaptiveQueryExecutor& executor, Party& party, Places* places, TakenSlots::Round round, std::int64_t now)
      : executor_(&executor), party_(&party), places_(places), round_(round), since_(now) {}

  void drop();
  void give_back_slot(std::int64_t now, std::uint64_t count);

  AdaptiveQueryExecutor* executor_ = nullptr;
  Party* party_ = nullptr;
  Places* places_ = nullptr;     ///< one of these is promised to it; null: none
  TakenSlots::Round round_ = 0;  ///< of its slot; 0: it has never counted against the limit
  std::int64_t since_ = 0;
};

/// Lets queries run at the backend: as many at a time as it gets most done with (`ConcurrencyLimit`), the others wait
/// their turns in the order of `WaitingQueue`. Where all that run have for a while, and nothing ends, they are set
/// aside: they wait for something themselves, which may be in the queue, or take long, and others aren't to wait for
/// that. From then on they count only against what may run at most; in the end, where nothing goes on otherwise, not
/// against that either. Who needs a connection of a pool is let in only if that has one, which
/// is promised to him. Thread-safe; where a slot is free and nobody waits it costs a few atomic operations, and no lock
/// is held while anybody waits. Outlives its permits.
class AdaptiveQueryExecutor {
 public:
  struct Limits {
    std::size_t most = 100;            ///< queries that run at a time
    bool finds_best = true;            ///< false: `most` may run, whatever is fastest, and never more
    std::size_t most_waiting = 10000;  ///< 0: nobody waits, and `most` may run
    /// How long a query is going to wait at most, which its owner sees to. 0: for ever.
    std::chrono::nanoseconds wait = std::chrono::seconds(30);
    /// Who has got a place keeps it as long as it likes: how long others wait for one tells of no overload.
    bool places_are_kept = false;
  };
  explicit AdaptiveQueryExecutor(Limits limits);
  void set_limits(Limits limits);

  std::shared_ptr<Party> party(std::string_view user, std::string_view project) { return parties_.find(user, project); }

  Quotas& quotas() { return quotas_; }
  /// What quotas allow was changed: who waits may run now.
  void follow_quotas(std::int64_t now);
  /// Counts a query by the quotas of its user and project. Null: it is within them; else it isn't to run.
  std::optional<Exceeded> charge(const Party& party, std::int64_t now);
  /// A query that was counted isn't run after all.
  void take_back(const Party& party);

  /// For a slot, and for nothing else.
  bool anybody_waits() const { return slot_wanted_.load(std::memory_order::relaxed); }
  /// Where a slot is free, and one of `places` if it needs one (null: it doesn't), and nobody waits for either; else
  /// null.
  Permit try_take(Party& party, Places* places, std::int64_t now);
  /// In any case: for what goes on with something that was let in, and what others may wait for. Where somebody waits
  /// for a slot it has one besides those that the limit allows, so a crowd of such leaves the others theirs.
  Permit take_anyway(Party& party, std::int64_t now);

  /// Joins the queue. `wake` is called once, on any thread and maybe at once, when it no longer waits, unless it is
  /// `stop_waiting` before.
  std::shared_ptr<WaitingQuery> wait(WaitingQuery::Wanted wanted, std::function<void()> wake, std::int64_t now);
  /// Of one that is let in, once; its owner must take it, or call `stop_waiting`.
  Permit take(WaitingQuery& query, std::int64_t now);
  /// Its owner doesn't want it any more, whatever has become of it.
  void stop_waiting(WaitingQuery& query, std::int64_t now);
  /// See WaitingQueue::position; null: it doesn't wait any more.
  std::optional<std::size_t> position(const WaitingQuery& query) const;
  /// A pool that somebody waits for has a connection to spare (`Places`).
  void look_again(std::int64_t now);
  /// Once in a while: for what has to go on where nothing ends.
  void tick(std::int64_t now);

  struct Figures {
    std::size_t running = 0, limit = 0, most = 0;
    std::array<std::size_t, priority_names.size()> waiting = {};
    std::int64_t oldest_wait = 0;  ///< ns
    std::uint64_t waited = 0;      ///< queries that were let in after they waited
    std::uint64_t left = 0;        ///< that stopped waiting: cancelled, timed out, their client gone
    std::array<std::uint64_t, refused_names.size()> refused = {};
  };
  Figures figures(std::int64_t now) const;
  /// So many may count at present.
  std::size_t limit() const { return limit_.load(std::memory_order::relaxed); }
  Limits limits() const;

 private:
  friend class Permit;
  using Woken = std::vector<std::shared_ptr<WaitingQuery>>;

  void ended(Permit& permit, std::int64_t now, std::uint64_t count);
  void end_window(std::int64_t now);
  void end_standstill(std::int64_t now);
  void let_in(Woken& woken, std::int64_t now);
  bool has_slots_to_spare() const;
  bool is_too_late(const WaitingQuery& query);
  void refuse(Woken& woken, std::shared_ptr<WaitingQuery> query, Refused why);
  static void wake(const Woken& woken);
  void apply_limits();
  std::size_t found_limit() const;
  void apply_limit();

  Quotas quotas_;
  Parties parties_{quotas_};

  // In one cache line, as all cores write it.
  alignas(64) TakenSlots slots_;
  /// Somebody could run if there was a slot. Who says so looks for one afterwards, and who gives one back looks at this
  /// afterwards.
  std::atomic<bool> slot_wanted_ = false;
  std::atomic<std::size_t> limit_ = 1;
  /// Of this window: how many have come to a good end, and the sum of their sizes.
  std::atomic<std::uint64_t> ended_ = 0;
  /// Of this window: how many have failed.
  std::atomic<std::uint64_t> in_vain_ = 0;
  std::atomic<std::int64_t> besides_ = 0;  ///< that run, and don't count against the limit

  alignas(64) mutable std::mutex mutex_;  ///< of what follows
  Limits limits_;
  ConcurrencyLimit best_;
  std::int64_t window_begun_ = 0;
  bool saturated_ = false;  ///< since then somebody has waited all the time
  /// When a slot was given to somebody or given back last, or somebody began to wait for one.
  std::int64_t stirred_ = 0;
  std::size_t aside_ = 0;            ///< of `besides_`, those that were set aside, and count against `most`
  TakenSlots::Round forgotten_ = 0;  ///< those of rounds up to this one don't
  WaitingQueue queue_;
  Figures counted_;
};

}  // namespace millrace::executor
