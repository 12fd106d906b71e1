#pragma once

#include <array>
#include <list>
#include <map>
#include <memory>
#include <set>

#include "executor/by_share.hpp"
#include "executor/turn_rate.hpp"
#include "executor/waiting_query.hpp"

namespace millrace::executor {

/// Queries that wait, in the order in which they get their turns:
///
/// 1. by priority; who has waited for `ageing`, while nobody of the same user and priority got his turn, rises to the
///    next one, so nothing starves;
/// 2. then whose project (or user, who names none) has fewest queries running, and has used least where that is equal;
///    and in a project, likewise of its users;
/// 3. then by when it came, and a query that is predicted to take long goes behind those that come shortly after it.
///
/// What is used is counted as start-time fair queueing does it (Goyal, Vin and Cheng 1996): whoever begins to wait has
/// at least what is reached by those who get their turns, and who begins while nobody waits has reached what he has.
/// What he has used more than they, while he was alone, counts up to `most_debt`.
///
/// Who needs one of a pool's connections, too, waits in that pool's lane; lanes that have none left are passed over, so
/// that nobody who could run waits behind who couldn't.
///
/// All it does is logarithmic in how many wait, and linear in the lanes in which somebody does. Not thread-safe.
class WaitingQueue {
 public:
  static constexpr std::int64_t ageing = 5'000'000'000;     ///< ns
  static constexpr std::int64_t most_debt = 1'000'000'000;  ///< ns

  std::size_t size() const { return arrived_.size(); }
  bool empty() const { return arrived_.empty(); }
  std::array<std::size_t, priority_names.size()> sizes() const;  ///< by what they are at present

  void add(std::shared_ptr<WaitingQuery> query, std::int64_t now);
  struct Next {
    WaitingQuery* query = nullptr;  ///< null: nobody's
    bool lacks_place = false;       ///< it may be the turn of others once their pools have connections
  };
  /// Whose turn it is, but for those whose quotas allow no more at present. Tells accounts and places that somebody
  /// waits for them only.
  Next next(std::int64_t now);
  /// It no longer waits, as it has its turn.
  std::shared_ptr<WaitingQuery> take(WaitingQuery& next, std::int64_t now);
  /// It no longer waits. False: it didn't.
  bool remove(WaitingQuery& query);
  /// It has fewer running than it had.
  void has_less(Party& party);
  /// What quotas allow may have changed. This walks over all who wait.
  void quotas_are_others();

  /// In ns, how long one that has just come is going to wait behind those of its priority: as far as shares have them
  /// go before it, and those of its user at the pace of his turns. 0: nobody knows.
  double wait_of(const WaitingQuery& query);
  /// Who came last of the lowest priority, if that is lower than this; null: nobody.
  std::shared_ptr<WaitingQuery> take_lower_than(Priority priority);
  /// Where one that waits stands, from 1: behind those that are further up and those that came up to its priority
  /// before it. Fair shares, and pools that have no connection, may have it go sooner or later. This
  /// walks over all who wait.
  std::size_t position(const WaitingQuery& query) const;
  /// Of all, since when who has waited longest waits; `now` if nobody does.
  std::int64_t oldest(std::int64_t now) const;

 private:
  struct ByTurn {
    static bool is_before(const WaitingQuery& a, const WaitingQuery& b) {
      return a.turn_ != b.turn_ ? a.turn_ < b.turn_ : a.number_ < b.number_;
    }
    bool operator()(const std::shared_ptr<WaitingQuery>& a, const std::shared_ptr<WaitingQuery>& b) const {
      return is_before(*a, *b);
    }
  };
  struct Line {
    std::set<std::shared_ptr<WaitingQuery>, ByTurn> queries;
    TurnRate rate;
  };
  struct Level {
    ByShare<ByShare<Line>> groups;      ///< and in each its users
    std::list<WaitingQuery*> in_order;  ///< in which they may rise
    TurnRate rate;
  };
  struct Lane {
    std::array<Level, priority_names.size()> levels;
    std::shared_ptr<Places> places;
    std::size_t size = 0;
  };
  /// Whose turn it is in a lane, and what decides between lanes.
  struct First {
    WaitingQuery* query = nullptr;
    ShareRank group, user;
    bool is_before(const First& other) const;
  };

  void put(std::shared_ptr<WaitingQuery> query, std::size_t level, std::int64_t now);
  std::shared_ptr<WaitingQuery> pull(WaitingQuery& query);
  std::shared_ptr<WaitingQuery> leave(WaitingQuery& query);
  static Line& line_of(Level& level, const WaitingQuery& query);
  Lane& lane_of(const WaitingQuery& query) { return lanes_.find(query.wanted().places.get())->second; }
  void let_rise(Lane& lane, std::int64_t now);
  static First first_of(Lane& lane);
  static First first_of(Level& level);
  void begins_to_wait(Party& party);
  void has_turn(Party& party);
  void rank_anew(Party& party);

  std::map<const Places*, Lane> lanes_;  ///< in which somebody waits
  std::list<WaitingQuery*> arrived_;     ///< all, in the order in which they came
  std::int64_t reached_ = 0;             ///< `used` of the group that has had a turn with most
  std::uint64_t next_number_ = 0;
};

}  // namespace millrace::executor
