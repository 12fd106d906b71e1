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
  const auto exceeds = [&](Counted& counted, Window window, std::optional<std::uint64_t> limit) {
    if (counted.begun == 0 || now - counted.begun >= length(window)) counted = {.begun = now};
    return limit && counted.queries >= *limit;
  };
  if (exceeds(day_, Window::day, quota_.daily_query_limit)) {
    return Exceeded{.window = Window::day, .limit = *quota_.daily_query_limit, .resets_in = day_.begun + day - now};
  }
  if (exceeds(hour_, Window::hour, quota_.hourly_query_limit)) {
    return Exceeded{.window = Window::hour, .limit = *quota_.hourly_query_limit, .resets_in = hour_.begun + hour - now};
  }
  ++hour_.queries;
  ++day_.queries;
  return std::nullopt;
}

void Account::take_back() {
  const std::scoped_lock lock(mutex_);
  for (Counted* counted : {&hour_, &day_}) {
    if (counted->queries > 0) --counted->queries;
  }
}

Account::Used Account::used(Window window, std::int64_t now) const {
  const std::scoped_lock lock(mutex_);
  const Counted& counted = window == Window::hour ? hour_ : day_;
  if (counted.begun == 0 || now - counted.begun >= length(window)) return {};
  return {.queries = counted.queries, .resets_in = counted.begun + length(window) - now};
}

bool Account::is_idle(std::int64_t now) const { return used(Window::day, now).queries == 0; }

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
  auto& known = known_[key(of, name)];
  if (!known.account) known.account = std::make_shared<Account>(standard(of), on());
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

std::vector<Quotas::Set> Quotas::all_set() const {
  const std::scoped_lock lock(mutex_);
  std::vector<Set> all;
  for (const auto& [name, known] : known_) {
    if (!known.is_set) continue;
    all.push_back(
        {.of = name.front() == 'u' ? Of::user : Of::project, .name = name.substr(1), .quota = known.account->quota()});
  }
  std::ranges::sort(all, {}, [](const Set& set) { return std::pair(set.of, set.name); });
  return all;
}

}  // namespace millrace::executor
