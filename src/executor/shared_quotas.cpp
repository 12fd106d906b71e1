#include "executor/shared_quotas.hpp"

#include <condition_variable>
#include <random>
#include <ranges>

#include "base/clock.hpp"
#include "base/log.hpp"

namespace millrace::executor {
namespace {

constexpr auto between_exchanges = std::chrono::seconds(1);
constexpr auto limit = std::chrono::seconds(1);  ///< of connecting, and of each command
constexpr auto longest_exchange = std::chrono::seconds(2);
constexpr auto longest_telling = std::chrono::seconds(1);  ///< of counts; the rest is told the next time
constexpr std::size_t most_in_a_call = 500;                ///< accounts, or quotas
constexpr std::size_t most_in_an_exchange = 10'000;

/// For so long Redis remembers that a quota was taken away, by the nodes' clocks; for a day less it gets that back from
/// them where it has lost it, so that nodes whose clocks differ don't forget and remember in turns.
constexpr auto removal_kept = std::chrono::days(7), removal_brought_back = std::chrono::days(6);

std::string new_version() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

/// UNIX time.
std::int64_t now_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

bool is_removal_older(const SetQuota& set, std::chrono::milliseconds age) {
  return !set.quota && set.changed < now_ms() - age.count();
}

using Entries = std::span<const QuotasInRedis::Entry>;

/// Calls `use` with some at a time, up to an error.
template <typename Use>
Result<> in_calls(Entries all, Use use) {
  while (!all.empty()) {
    const auto some = all.first(std::min(most_in_a_call, all.size()));
    if (auto done = use(some); !done) return done;
    all = all.subspan(some.size());
  }
  return {};
}

}  // namespace

SharedQuotas::SharedQuotas(std::shared_ptr<AdaptiveQueryExecutor> executor, backend::RedisAddress redis)
    : executor_(std::move(executor)), address_(std::move(redis)), news_(executor_->quotas().count_with_others()) {}

SharedQuotas::~SharedQuotas() { stop(); }

void SharedQuotas::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void SharedQuotas::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

Result<> SharedQuotas::state() const {
  const std::scoped_lock lock(mutex_);
  return state_;
}

void SharedQuotas::set(Quotas::Of of, std::string_view name, const std::optional<Quota>& quota, std::int64_t now) {
  const std::scoped_lock lock(mutex_);
  untold_.insert_or_assign(Quotas::key(of, name), Untold{.quota = quota});
  // With the lock held, so that no older one that comes from Redis takes its place.
  executor_->quotas().set(of, name, quota, now);
}

void SharedQuotas::run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any pause;
  std::unique_lock lock(mutex);
  while (!stop.stop_requested()) {
    auto done = exchange();
    if (!done) {
      redis_.reset();
      version_.reset();
    }
    found(std::move(done));
    pause.wait_for(lock, stop, between_exchanges, [] { return false; });
  }
  if (redis_) found(exchange());
}

void SharedQuotas::found(Result<> state) {
  const std::scoped_lock lock(mutex_);
  const bool is_other = is_first_ || state.has_value() != state_.has_value();
  is_first_ = false;
  state_ = std::move(state);
  if (!is_other) return;
  if (state_) return log::info("quotas are counted together with other nodes, by Redis");
  log::warn("quotas are counted on this node only: Redis can't be used",
            {{"reason", state_.error().message}, {"detail", state_.error().detail}});
}

Result<> SharedQuotas::exchange() {
  if (!redis_) {
    auto redis = QuotasInRedis::connect(address_, limit);
    if (!redis) return std::unexpected(std::move(redis).error());
    redis_ = *std::move(redis);
  }
  redis_->end_by(Clock::now() + longest_exchange);
  if (auto done = exchange_quotas(); !done) return done;
  return exchange_counts();
}

Result<> SharedQuotas::exchange_quotas() {
  if (auto done = tell_quotas(); !done) return done;
  auto version = redis_->version();
  if (!version) return std::unexpected(std::move(version).error());
  if (*version == version_) return {};
  // What is set meanwhile has another version, and is taken over next time.
  const auto theirs = redis_->all_set();
  if (!theirs) return std::unexpected(theirs.error());
  if (theirs->unreadable > 0)
    log::warn("Redis has quotas that make no sense: they don't hold", {{"quotas", theirs->unreadable}});
  if (theirs->left_out > 0)
    log::warn("Redis has more quotas than can be known: some don't hold here", {{"quotas", theirs->left_out}});
  version_ = *std::move(version);
  return compare(theirs->entries);
}

Result<> SharedQuotas::tell_quotas() {
  while (true) {
    std::vector<QuotasInRedis::Entry> batch;
    {
      const std::scoped_lock lock(mutex_);
      for (auto& [key, untold] : untold_ | std::views::take(most_in_a_call)) {
        const auto known = known_.find(key);
        const std::int64_t later = known == known_.end() ? 0 : known->second.changed + 1;
        batch.push_back({.key = key, .set = {.quota = untold.quota, .changed = untold.told_first}});
        if (untold.told_first != 0) continue;
        batch.back().set.changed = -later;
        untold.told_first = std::max(later, now_ms());
      }
    }
    if (batch.empty()) return {};
    version_.reset();  // what came later than these is to be taken over
    if (auto done = tell(batch); !done) return done;
    const std::scoped_lock lock(mutex_);
    for (const auto& [key, set] : batch) {
      const auto found = untold_.find(key);
      const bool is_set_anew = found->second.told_first == 0;  // and to be told as that, even where it is the same
      if (!is_set_anew) untold_.erase(found);
    }
  }
}

/// `most_in_a_call` at most.
Result<> SharedQuotas::tell(std::span<const QuotasInRedis::Entry> entries) {
  const auto told = redis_->set(entries, now_ms(), new_version());
  if (!told) return std::unexpected(told.error());
  // Else nothing was set, as what is there is as late: who read it then would read it again and again.
  if (told->version != version_) version_.reset();
  for (std::size_t at = 0; at < entries.size(); ++at) {
    const std::int64_t changed = told->changed[at];
    if (changed != 0) known_[entries[at].key] = {.quota = entries[at].set.quota, .changed = changed};
  }
  return {};
}

/// What is there but here came earlier, or not at all. Answers whether a quota is another one then.
bool SharedQuotas::take_over(const QuotasInRedis::Entry& theirs, std::int64_t now) {
  const auto& [key, set] = theirs;
  const std::scoped_lock lock(mutex_);
  if (untold_.contains(key)) return false;  // which is later than this
  const auto before = std::exchange(known_[key], set).quota;
  if (before == set.quota) return false;
  executor_->quotas().set(*Quotas::of_key(key), std::string_view(key).substr(1), set.quota, now);
  return true;
}

/// Takes over what others have set since, and tells what Redis doesn't have any more.
Result<> SharedQuotas::compare(const std::vector<QuotasInRedis::Entry>& theirs) {
  const std::int64_t now = now_ns();
  bool is_any_other = false;
  std::vector<QuotasInRedis::Entry> outdated, over;
  auto missing = known_;
  for (const auto& entry : theirs) {
    const auto ours = known_.find(entry.key);
    missing.erase(entry.key);
    if (ours != known_.end() && ours->second.changed > entry.set.changed) {
      outdated.push_back({.key = entry.key, .set = ours->second});
    } else {
      is_any_other |= take_over(entry, now);
      if (is_removal_older(entry.set, removal_kept)) over.push_back(entry);
    }
  }
  if (is_any_other) executor_->follow_quotas(now);
  for (const auto& [key, set] : missing) {
    if (is_removal_older(set, removal_brought_back)) {
      known_.erase(key);
    } else {
      outdated.push_back({.key = key, .set = {.quota = set.quota, .changed = std::max<std::int64_t>(set.changed, 1)}});
    }
  }
  if (auto done = in_calls(outdated, [this](Entries some) { return tell(some); }); !done) return done;
  for (const auto& [key, set] : over) known_.erase(key);
  return in_calls(over, [this](Entries some) { return redis_->forget(some); });
}

Result<> SharedQuotas::exchange_counts() {
  std::vector<std::shared_ptr<Account>> follow;
  Result<> done;
  const TimePoint latest = Clock::now() + longest_telling;
  for (std::size_t told = 0; done && told < most_in_an_exchange && Clock::now() < latest; told += most_in_a_call) {
    const auto accounts = news_->take(most_in_a_call);
    if (accounts.empty()) break;
    for (const auto& account : accounts) account->is_told();
    done = tell(accounts);
    const std::int64_t now = now_ns();
    for (const auto& account : accounts) {
      if (!done || account->follows_others(now)) follow.push_back(account);
    }
  }
  for (const auto& account : follow) account->is_news();
  return done;
}

Result<> SharedQuotas::tell(const std::vector<std::shared_ptr<Account>>& accounts) {
  std::vector<QuotasInRedis::News> news;
  for (const auto& account : accounts) {
    for (const auto window : {Window::hour, Window::day})
      news.push_back({.key = account->key(), .window = window, .untold = account->untold(window, now_ns())});
  }
  const auto heard = redis_->tell(news);
  if (!heard) return std::unexpected(heard.error());
  const std::int64_t now = now_ns();
  for (std::size_t at = 0; at < news.size(); ++at) {
    const auto& [sum, left] = (*heard)[at];
    accounts[at / 2]->learn(news[at].window, news[at].untold, sum, left, now);
  }
  return {};
}

}  // namespace millrace::executor
