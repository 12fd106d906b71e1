#include "executor/quotas.hpp"

#include <algorithm>

namespace millrace::executor {
namespace {

constexpr std::int64_t hour = 3'600'000'000'000, day = 24 * hour;

std::int64_t length(Window window) { return window == Window::hour ? hour : day; }

}  // namespace

Quota Account::quota() const {
  const std::scoped_lock lock(mutex_);
  return quota_;
}

void Account::set(const Quota& quota, bool holds) {
  const std::scoped_lock lock(mutex_);
  quota_ = quota;
  most_running_ = holds ? quota.max_concurrent_queries.value_or(UINT32_MAX) : UINT32_MAX;
  most_seconds_ = holds ? quota.max_execution_time_seconds.value_or(0) : 0;
  most_memory_mb_ = holds ? quota.max_memory_mb.value_or(0) : 0;
  boost_ = holds ? quota.priority_boost : 0;
}

std::optional<Exceeded> Account::charge(std::int64_t now) {
  const std::scoped_lock lock(mutex_);
  const auto exceeded = [&](Window window, std::optional<std::uint64_t> limit) -> std::optional<Exceeded> {
    auto& its = counted(window);
    its.end_if_over(now);
    if (its.ends <= now) its.ends = now + length(window);
    if (!limit || its.queries() < *limit) return std::nullopt;
    return Exceeded{.window = window, .limit = *limit, .resets_in = its.ends - now};
  };
  if (const auto by_day = exceeded(Window::day, quota_.daily_query_limit)) return by_day;
  if (const auto by_hour = exceeded(Window::hour, quota_.hourly_query_limit)) return by_hour;
  ++hour_.untold;
  ++day_.untold;
  is_news();  // afterwards, so that who hears of it finds it counted
  return std::nullopt;
}

void Account::take_back() {
  const std::scoped_lock lock(mutex_);
  for (Counted* its : {&hour_, &day_}) {
    if (its->queries() > 0) --its->untold;
  }
  is_news();
}

Account::Used Account::used(Window window, std::int64_t now) const {
  const std::scoped_lock lock(mutex_);
  const Counted& its = counted(window);
  if (its.ends <= now) return {};
  return {.queries = its.queries(), .resets_in = its.ends - now};
}

Account::Untold Account::untold(Window window, std::int64_t now) {
  const std::scoped_lock lock(mutex_);
  auto& its = counted(window);
  its.end_if_over(now);
  const std::int64_t left = its.ends > now ? its.ends - now : length(window);
  return {.known = its.told, .counted = its.untold, .left = left, .ordinal = its.ordinal};
}

void Account::learn(Window window, const Untold& told, std::uint64_t sum, std::int64_t left, std::int64_t now) {
  const std::scoped_lock lock(mutex_);
  auto& its = counted(window);
  if (its.ordinal != told.ordinal) return;  // that one is over
  its.told = sum;
  its.untold -= told.counted;
  if (left > 0) its.ends = now + std::min(left, length(window));
}

void Account::is_news() {
  if (news_ && !is_news_.exchange(true)) news_->add(weak_from_this());
}

bool Account::follows_others(std::int64_t now) const {
  const std::scoped_lock lock(mutex_);
  const auto follows = [&](const Counted& its, bool is_limited) { return is_limited && its.ends > now; };
  return follows(hour_, quota_.hourly_query_limit.has_value()) || follows(day_, quota_.daily_query_limit.has_value());
}

void NewsOfAccounts::add(std::weak_ptr<Account> account) {
  const std::scoped_lock lock(mutex_);
  accounts_.push_back(std::move(account));
  if (accounts_.size() < sweep_at_) return;
  std::erase_if(accounts_, [](const auto& each) { return each.expired(); });
  sweep_at_ = std::max<std::size_t>(1024, 2 * accounts_.size());
}

std::vector<std::shared_ptr<Account>> NewsOfAccounts::take(std::size_t most) {
  const std::scoped_lock lock(mutex_);
  std::vector<std::shared_ptr<Account>> taken;
  while (taken.size() < most && !accounts_.empty()) {
    if (auto account = accounts_.front().lock()) taken.push_back(std::move(account));
    accounts_.pop_front();
  }
  return taken;
}

std::shared_ptr<NewsOfAccounts> Quotas::count_with_others() {
  const std::scoped_lock lock(mutex_);
  if (!news_) news_ = std::make_shared<NewsOfAccounts>();
  return news_;
}

bool Account::is_idle(std::int64_t now) const { return used(Window::day, now).queries == 0; }

std::optional<Quotas::Of> Quotas::of_key(std::string_view key) {
  if (key.size() < 2 || (key.front() != 'u' && key.front() != 'p')) return std::nullopt;
  return key.front() == 'u' ? Of::user : Of::project;
}

bool Quotas::set_defaults(bool on, const Quota& of_users) {
  const std::scoped_lock lock(mutex_);
  if (on_ == on && of_users_ == of_users) return false;
  on_ = on;
  of_users_ = of_users;
  for (auto& [name, known] : known_) {
    const Quota usual = standard(name.front() == 'u' ? Of::user : Of::project);
    known.account->set(known.is_set ? known.account->quota() : usual, on);
  }
  return true;
}

std::shared_ptr<Account> Quotas::account(Of of, std::string_view name, std::int64_t now) {
  const std::scoped_lock lock(mutex_);
  if (known_.size() >= most_accounts) make_room(now);
  const std::string its_key = key(of, name);
  auto& known = known_[its_key];
  if (!known.account) known.account = std::make_shared<Account>(standard(of), on(), its_key, news_);
  known.account->is_news();  // what others have counted is heard before it is used, or soon after
  return known.account;
}

/// Those who have used nothing for a day; if there are none, all for whom nothing is set, who begin anew.
void Quotas::make_room(std::int64_t now) {
  const auto forget = [&](bool all) {
    boost::unordered::erase_if(known_, [&](const auto& entry) {
      const auto& [account, is_set] = entry.second;
      return !is_set && account.use_count() == 1 && (all || account->is_idle(now));
    });
  };
  forget(false);
  if (known_.size() >= most_accounts) forget(true);
}

std::shared_ptr<Account> Quotas::find(Of of, std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  const auto found = known_.find(key(of, name));
  return found == known_.end() ? nullptr : found->second.account;
}

void Quotas::set(Of of, std::string_view name, const std::optional<Quota>& quota, std::int64_t now) {
  const auto its = account(of, name, now);
  const std::scoped_lock lock(mutex_);
  known_[key(of, name)] = {.account = its, .is_set = quota.has_value()};
  its->set(quota.value_or(standard(of)), on());
}

}  // namespace millrace::executor
