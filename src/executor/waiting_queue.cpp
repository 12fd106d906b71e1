#include "executor/waiting_queue.hpp"

#include <algorithm>
#include <tuple>

namespace millrace::executor {
namespace {

/// By so many times its predicted duration a query may be overtaken, and by so many ns at most.
constexpr std::int64_t patience = 8, most_patience = 2'500'000'000;

std::int64_t turn_of(const WaitingQuery& query) {
  const std::int64_t predicted = std::min(query.wanted().predicted, most_patience / patience);
  return query.since() + predicted * patience;
}

}  // namespace

std::array<std::size_t, priority_names.size()> WaitingQueue::sizes() const {
  std::array<std::size_t, priority_names.size()> sizes{};
  for (std::size_t level = 0; level < levels_.size(); ++level) sizes.at(level) = levels_.at(level).in_order.size();
  return sizes;
}

void WaitingQueue::add(std::shared_ptr<WaitingQuery> query, std::int64_t now) {
  query->turn_ = turn_of(*query);
  query->number_ = next_number_++;
  begin_with_least(*query->wanted().party);
  ++size_;
  const auto level = index_of(query->wanted().priority);
  put(std::move(query), level, now);
}

/// Nobody has saved up turns while he asked for nothing.
void WaitingQueue::begin_with_least(Party& party) {
  std::optional<std::int64_t> group, user;
  for (const auto& level : levels_) {
    for (const auto& [other, queries] : level.parties) {
      if (other == &party) return;  // he has been waiting all along
      group = std::min(group.value_or(INT64_MAX), other->group().used.load(std::memory_order::relaxed));
      if (&other->group() != &party.group()) continue;
      user = std::min(user.value_or(INT64_MAX), other->user().used.load(std::memory_order::relaxed));
    }
  }
  party.begin_with(group.value_or(0), user.value_or(0));
}

void WaitingQueue::put(std::shared_ptr<WaitingQuery> query, std::size_t level, std::int64_t now) {
  Level& to = levels_.at(level);
  query->level_ = level;
  query->rises_ = now + ageing;
  query->place_ = to.in_order.insert(to.in_order.end(), query.get());
  to.parties[query->wanted().party.get()].insert(std::move(query));
}

std::shared_ptr<WaitingQuery> WaitingQueue::take(WaitingQuery& query) {
  Level& level = levels_.at(query.level_);
  level.in_order.erase(query.place_);
  const auto party = level.parties.find(query.wanted().party.get());
  auto& queries = party->second;
  // Compared by its turn and number only.
  const auto found = queries.find(std::shared_ptr<WaitingQuery>(std::shared_ptr<void>(), &query));
  auto taken = *found;
  queries.erase(found);
  if (queries.empty()) level.parties.erase(party);
  return taken;
}

/// In a level they are in the order in which they rise.
void WaitingQueue::let_rise(std::int64_t now) {
  for (std::size_t level = levels_.size() - 1; level-- > 0;) {
    auto& in_order = levels_.at(level).in_order;
    while (!in_order.empty() && in_order.front()->rises_ <= now) put(take(*in_order.front()), level + 1, now);
  }
}

std::shared_ptr<WaitingQuery> WaitingQueue::take(std::int64_t now) {
  let_rise(now);
  for (std::size_t at = levels_.size(); at-- > 0;) {
    WaitingQuery* next = nullptr;
    const auto rank = [](const Party& party, const WaitingQuery& first) {
      constexpr auto relaxed = std::memory_order::relaxed;
      return std::tuple(party.group().running.load(relaxed), party.group().used.load(relaxed),
                        party.user().running.load(relaxed), party.user().used.load(relaxed), first.turn_,
                        first.number_);
    };
    decltype(rank(std::declval<Party&>(), *next)) best;
    for (const auto& [party, queries] : levels_.at(at).parties) {
      const auto its = rank(*party, **queries.begin());
      if (next != nullptr && !(its < best)) continue;
      best = its;
      next = queries.begin()->get();
    }
    if (next == nullptr) continue;
    --size_;
    return take(*next);
  }
  return nullptr;
}

bool WaitingQueue::remove(const WaitingQuery& query) {
  if (query.state() != WaitingQuery::State::waits) return false;
  --size_;
  take(const_cast<WaitingQuery&>(query));
  return true;
}

std::shared_ptr<WaitingQuery> WaitingQueue::take_lowest() {
  for (auto& level : levels_) {
    if (level.in_order.empty()) continue;
    --size_;
    return take(*level.in_order.front());
  }
  return nullptr;
}

std::shared_ptr<WaitingQuery> WaitingQueue::take_lower_than(Priority priority) {
  for (std::size_t level = 0; level < index_of(priority); ++level) {
    auto& in_order = levels_.at(level).in_order;
    if (in_order.empty()) continue;
    --size_;
    return take(*in_order.back());
  }
  return nullptr;
}

std::int64_t WaitingQueue::oldest(std::int64_t now) const {
  for (const auto& level : levels_) {
    for (const WaitingQuery* query : level.in_order) now = std::min(now, query->since());
  }
  return now;
}

std::size_t WaitingQueue::position(const WaitingQuery& query) const {
  std::size_t before = 0;
  for (std::size_t level = query.level_ + 1; level < levels_.size(); ++level)
    before += levels_.at(level).in_order.size();
  for (const WaitingQuery* other : levels_.at(query.level_).in_order) before += other->turn_ < query.turn_ ? 1 : 0;
  return before;
}

}  // namespace millrace::executor
