#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>

#include "base/places.hpp"
#include "executor/party.hpp"
#include "executor/priority.hpp"
#include "executor/taken_slots.hpp"

namespace millrace::executor {

/// Why a query isn't let in.
enum class Refused : std::uint8_t {
  queue_full,  ///< as many wait as may
  overload,    ///< it would wait longer than it may
  no_queue,    ///< as many run as may, and nobody may wait
  quota,       ///< of its user or project it is used up
};
inline constexpr std::array<std::string_view, 4> refused_names = {"queue_full", "overload", "no_queue", "quota"};

/// A query that waits for its turn. Its owner and the executor share it.
class WaitingQuery {
 public:
  struct Wanted {
    std::shared_ptr<Party> party;
    Priority priority = Priority::normal;
    std::int64_t predicted = 0;           ///< how long it will take, in ns; 0: nobody knows
    std::shared_ptr<Places> places = {};  ///< of these it needs one, too; null: none
    /// In ns, in which it is to be done, as its client says. 0: nobody said so.
    std::int64_t time = 0;
    bool is_patient = false;  ///< it waits for as long as it has to, but for `time`
  };

  enum class State : std::uint8_t { waits, let_in, refused };

  WaitingQuery(Wanted wanted, std::function<void()> wake, std::int64_t now)
      : wanted_(std::move(wanted)), wake_(std::move(wake)), since_(now) {}

  /// Any thread may ask; the rest is to be read once it no longer waits.
  State state() const { return state_.load(std::memory_order::acquire); }
  Refused why() const { return why_; }
  std::int64_t since() const { return since_; }
  const Wanted& wanted() const { return wanted_; }

 private:
  friend class WaitingQueue;
  friend class AdaptiveQueryExecutor;

  const Wanted wanted_;
  const std::function<void()> wake_;  ///< on any thread, once, when it no longer waits
  const std::int64_t since_;
  std::atomic<State> state_ = State::waits;
  Refused why_ = Refused::queue_full;
  TakenSlots::Round round_ = 0;  ///< of its slot
  bool is_taken_ = false;        ///< its permit, by its owner

  // The queue's.
  std::size_t level_ = 0;
  std::int64_t rises_ = 0;
  std::int64_t turn_ = 0;
  std::uint64_t number_ = 0;
  std::list<WaitingQuery*>::iterator place_, arrived_;
};

}  // namespace millrace::executor
