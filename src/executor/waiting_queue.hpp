#pragma once

#include <array>
#include <list>
#include <map>
#include <memory>
#include <set>

#include "executor/waiting_query.hpp"

namespace millrace::executor {

/// Queries that wait, in the order in which they get their turns:
///
/// 1. by priority; who has waited for `ageing` rises to the next one, so nothing starves;
/// 2. then whose project (or user, who names none) has fewest queries running, and has used least where that is equal;
///    and in a project, likewise of its users;
/// 3. then by when it came, and a query that is predicted to take long goes behind those that come shortly after it.
///
/// Taking one looks at each user who waits, once. Not thread-safe.
class WaitingQueue {
 public:
  static constexpr std::int64_t ageing = 5'000'000'000;  ///< ns

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::array<std::size_t, priority_names.size()> sizes() const;  ///< by what they are at present

  void add(std::shared_ptr<WaitingQuery> query, std::int64_t now);
  /// Whose turn it is; null: nobody waits.
  std::shared_ptr<WaitingQuery> take(std::int64_t now);
  /// It no longer waits. False: it didn't.
  bool remove(const WaitingQuery& query);

  /// Of the lowest priority that somebody waits at, who has waited longest; null: nobody does.
  std::shared_ptr<WaitingQuery> take_lowest();
  /// Who came last of the lowest priority, if that is lower than this; null: nobody.
  std::shared_ptr<WaitingQuery> take_lower_than(Priority priority);
  /// Of all, since when who has waited longest waits; `now` if nobody does.
  std::int64_t oldest(std::int64_t now) const;
  /// How many get their turn before it, about: those of higher priorities, and those of its own that came before.
  std::size_t position(const WaitingQuery& query) const;

 private:
  struct ByTurn {
    bool operator()(const std::shared_ptr<WaitingQuery>& a, const std::shared_ptr<WaitingQuery>& b) const {
      return a->turn_ != b->turn_ ? a->turn_ < b->turn_ : a->number_ < b->number_;
    }
  };
  struct Level {
    std::map<Party*, std::set<std::shared_ptr<WaitingQuery>, ByTurn>> parties;
    std::list<WaitingQuery*> in_order;  ///< in which they came to this level
  };

  void put(std::shared_ptr<WaitingQuery> query, std::size_t level, std::int64_t now);
  std::shared_ptr<WaitingQuery> take(WaitingQuery& query);
  void let_rise(std::int64_t now);
  void begin_with_least(Party& party);

  std::array<Level, priority_names.size()> levels_;
  std::size_t size_ = 0;
  std::uint64_t next_number_ = 0;
};

}  // namespace millrace::executor
