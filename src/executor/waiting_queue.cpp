#include "executor/waiting_queue.hpp"

#include <algorithm>

namespace millrace::executor {
namespace {

/// By so many times its predicted duration a query may be overtaken, and by so many ns at most.
constexpr std::int64_t patience = 8, most_patience = 2'500'000'000;
/// So many rise at once: that is more than get their turns.
constexpr int most_rising = 64;

std::int64_t turn_of(const WaitingQuery& query) {
  const std::int64_t predicted = std::min(query.wanted().predicted, most_patience / patience);
  return query.since() + predicted * patience;
}

/// Others count at the same time.
void keep_within(std::atomic<std::int64_t>& used, std::int64_t least, std::int64_t most) {
  std::int64_t has = used.load(std::memory_order::relaxed);
  for (;;) {
    const std::int64_t should = std::clamp(has, least, most);
    if (should == has || used.compare_exchange_weak(has, should, std::memory_order::relaxed)) return;
  }
}

}  // namespace

std::array<std::size_t, priority_names.size()> WaitingQueue::sizes() const {
  std::array<std::size_t, priority_names.size()> sizes{};
  for (const auto& [places, lane] : lanes_) {
    for (std::size_t level = 0; level < sizes.size(); ++level) sizes.at(level) += lane.levels.at(level).in_order.size();
  }
  return sizes;
}

std::size_t WaitingQueue::position(const WaitingQuery& query) const {
  const auto since = [](const WaitingQuery& one) { return std::pair(one.rises_, one.number_); };
  const auto is_before = [&](const WaitingQuery* other) {
    return other->level_ != query.level_ ? other->level_ > query.level_ : since(*other) < since(query);
  };
  return 1 + static_cast<std::size_t>(std::ranges::count_if(arrived_, is_before));
}

void WaitingQueue::add(std::shared_ptr<WaitingQuery> query, std::int64_t now) {
  query->turn_ = turn_of(*query);
  query->number_ = next_number_++;
  begins_to_wait(*query->wanted().party);
  query->arrived_ = arrived_.insert(arrived_.end(), query.get());
  Lane& lane = lanes_[query->wanted().places.get()];
  lane.places = query->wanted().places;
  ++lane.size;
  const auto level = index_of(query->wanted().priority);
  put(std::move(query), level, now);
}

void WaitingQueue::begins_to_wait(Party& party) {
  const auto begins = [](Share& share, bool is_alone, std::int64_t& reached) {
    if (is_alone) reached = std::max(reached, share.used.load(std::memory_order::relaxed));
    if (share.waiting++ == 0) keep_within(share.used, reached, reached + most_debt);
  };
  Share& group = party.group();
  const bool is_first_of_group = group.waiting == 0;
  begins(group, empty(), reached_);
  if (party.is_of_project()) begins(party.user(), is_first_of_group, group.reached);
}

/// Who lags behind the others by more than `most_debt`, though he has waited all the time, isn't owed that.
void WaitingQueue::has_turn(Party& party) {
  const auto reach = [](Share& share, std::int64_t& reached) {
    keep_within(share.used, reached - most_debt, INT64_MAX);
    reached = std::max(reached, share.used.load(std::memory_order::relaxed));
  };
  reach(party.group(), reached_);
  if (party.is_of_project()) reach(party.user(), party.group().reached);
}

void WaitingQueue::put(std::shared_ptr<WaitingQuery> query, std::size_t level, std::int64_t now) {
  Level& to = lane_of(*query).levels.at(level);
  query->level_ = level;
  query->rises_ = now + ageing;
  if (to.in_order.empty()) to.rate.begin(now);
  query->place_ = to.in_order.insert(to.in_order.end(), query.get());
  Party& party = *query->wanted().party;
  const auto came = query->number_;
  Line& line = to.groups.of(party.group(), came).of(party.user(), came);
  if (line.queries.empty()) line.rate.begin(now);
  line.queries.insert(std::move(query));
  to.groups.has_less(party.group());  // it may have been left out for its other users' quotas
}

WaitingQueue::Line& WaitingQueue::line_of(Level& level, const WaitingQuery& query) {
  Party& party = *query.wanted().party;
  return *level.groups.find(party.group())->find(party.user());
}

/// Out of its level.
std::shared_ptr<WaitingQuery> WaitingQueue::pull(WaitingQuery& query) {
  Level& level = lane_of(query).levels.at(query.level_);
  Party& party = *query.wanted().party;
  level.in_order.erase(query.place_);
  auto& users = *level.groups.find(party.group());
  auto& queries = users.find(party.user())->queries;
  // Compared by its turn and number only.
  const auto found = queries.find(std::shared_ptr<WaitingQuery>(std::shared_ptr<void>(), &query));
  auto pulled = *found;
  queries.erase(found);
  if (queries.empty()) users.remove(party.user());
  if (users.empty()) level.groups.remove(party.group());
  return pulled;
}

std::shared_ptr<WaitingQuery> WaitingQueue::leave(WaitingQuery& query) {
  Party& party = *query.wanted().party;
  arrived_.erase(query.arrived_);
  --party.group().waiting;
  if (party.is_of_project()) --party.user().waiting;
  auto pulled = pull(query);
  Lane& lane = lane_of(query);
  if (--lane.size > 0) return pulled;
  if (lane.places) lane.places->set_wanted(false);
  lanes_.erase(query.wanted().places.get());
  return pulled;
}

/// In a level they are in the order in which they rise. Who waits behind others of his user, who get their turns, waits
/// for his share, and isn't put in front of those who ask for less.
void WaitingQueue::let_rise(Lane& lane, std::int64_t now) {
  int left = most_rising;
  for (std::size_t level = lane.levels.size() - 1; level-- > 0;) {
    auto& in_order = lane.levels.at(level).in_order;
    for (; left > 0 && !in_order.empty() && in_order.front()->rises_ <= now; --left) {
      WaitingQuery& first = *in_order.front();
      if (now - line_of(lane.levels.at(level), first).rate.last_turn() >= ageing) {
        put(pull(first), level + 1, now);
      } else {
        first.rises_ = now + ageing;
        in_order.splice(in_order.end(), in_order, first.place_);
      }
    }
  }
}

WaitingQueue::First WaitingQueue::first_of(Lane& lane) {
  for (std::size_t at = lane.levels.size(); at-- > 0;) {
    if (const First first = first_of(lane.levels.at(at)); first.query != nullptr) return first;
  }
  return {};
}

bool WaitingQueue::First::is_before(const First& other) const {
  if (query->level_ != other.query->level_) return query->level_ > other.query->level_;
  Party &ours = *query->wanted().party, &theirs = *other.query->wanted().party;
  if (&ours.group() != &theirs.group()) return group < other.group;
  if (&ours.user() != &theirs.user()) return user < other.user;
  return ByTurn::is_before(*query, *other.query);
}

WaitingQueue::Next WaitingQueue::next(std::int64_t now) {
  First best;
  bool lacks_place = false;
  for (auto& [key, lane] : lanes_) {
    let_rise(lane, now);
    const First first = first_of(lane);
    if (lane.places) {
      lane.places->set_wanted(first.query != nullptr && !lane.places->any());
      // One may have become free before it was said that it is wanted.
      if (lane.places->wanted() && lane.places->any()) lane.places->set_wanted(false);
      if (lane.places->wanted()) {
        lacks_place = true;
        continue;
      }
    }
    if (first.query != nullptr && (best.query == nullptr || first.is_before(best))) best = first;
  }
  return {.query = best.query, .lacks_place = lacks_place};
}

std::shared_ptr<WaitingQuery> WaitingQueue::take(WaitingQuery& next, std::int64_t now) {
  has_turn(*next.wanted().party);
  Level& level = lane_of(next).levels.at(next.level_);
  level.rate.on_turn(now);
  line_of(level, next).rate.on_turn(now);
  return leave(next);
}

double WaitingQueue::wait_of(const WaitingQuery& query) {
  Level& level = lane_of(query).levels.at(query.level_);
  const Line& line = line_of(level, query);
  // Each other user has had as many turns by then.
  const std::size_t users = level.groups.find(query.wanted().party->group())->size();
  const std::size_t turns = level.groups.size() * users * line.queries.size();
  return std::max(level.rate.wait(std::min(turns, level.in_order.size()) - 1), line.rate.wait(line.queries.size() - 1));
}

/// Whose quotas allow no more at present is left out until one of them has ended. It is said first that somebody is, as
/// it isn't told what has ended before.
WaitingQueue::First WaitingQueue::first_of(Level& level) {
  while (auto* const users = level.groups.least()) {
    Line* const line = users->least();
    WaitingQuery* const next = line == nullptr ? nullptr : line->queries.begin()->get();
    if (next == nullptr) {
      level.groups.leave_out(*level.groups.least_share());
      continue;
    }
    Party& party = *next->wanted().party;
    const auto must_wait = [](Account& account) {
      if (account.may_run_more()) return false;
      account.holds_back = true;
      return !account.may_run_more();
    };
    if (party.project_account() && must_wait(*party.project_account())) {
      level.groups.leave_out(party.group());
    } else if (party.user_account() && must_wait(*party.user_account())) {
      users->leave_out(party.user());
      auto& left_out = party.user_account()->left_out;
      std::erase_if(left_out, [&](const auto& other) { return other.expired() || other.lock().get() == &party; });
      left_out.push_back(next->wanted().party);
    } else {
      return {.query = next, .group = level.groups.least_rank(), .user = users->least_rank()};
    }
  }
  return {};
}

bool WaitingQueue::remove(WaitingQuery& query) {
  if (query.state() != WaitingQuery::State::waits) return false;
  leave(query);
  has_less(*query.wanted().party);  // its quotas may hold nobody back any more
  return true;
}

void WaitingQueue::has_less(Party& party) {
  rank_anew(party);
  if (party.project_account()) party.project_account()->holds_back = false;
  if (!party.user_account()) return;
  party.user_account()->holds_back = false;
  // Who is this user in other projects, too.
  for (const auto& left_out : std::exchange(party.user_account()->left_out, {})) {
    if (const auto other = left_out.lock()) rank_anew(*other);
  }
}

void WaitingQueue::quotas_are_others() {
  for (const WaitingQuery* const query : arrived_) has_less(*query->wanted().party);
}

void WaitingQueue::rank_anew(Party& party) {
  if (party.group().waiting == 0) return;
  for (auto& [key, lane] : lanes_) {
    for (auto& level : lane.levels) {
      auto* const users = level.groups.find(party.group());
      if (users == nullptr) continue;
      users->has_less(party.user());
      level.groups.has_less(party.group());
    }
  }
}

std::shared_ptr<WaitingQuery> WaitingQueue::take_lower_than(Priority priority) {
  for (std::size_t level = 0; level < index_of(priority); ++level) {
    WaitingQuery* last = nullptr;
    for (auto& [key, lane] : lanes_) {
      auto& in_order = lane.levels.at(level).in_order;
      if (!in_order.empty() && (last == nullptr || in_order.back()->number_ > last->number_)) last = in_order.back();
    }
    if (last != nullptr) return leave(*last);
  }
  return nullptr;
}

std::int64_t WaitingQueue::oldest(std::int64_t now) const {
  return arrived_.empty() ? now : std::min(now, arrived_.front()->since());
}

}  // namespace millrace::executor
