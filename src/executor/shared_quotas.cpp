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

std::string new_version() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
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

void SharedQuotas::set(const Quotas::Set& quota, std::int64_t now) {
  const std::scoped_lock lock(mutex_);
  untold_.insert_or_assign(quota.key(), quota);
  // With the lock held, so that no older one that comes from Redis takes its place.
  executor_->quotas().set(quota.of, quota.name, quota.quota, now);
}

void SharedQuotas::run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any pause;
  std::unique_lock lock(mutex);
  while (!stop.stop_requested()) {
    auto done = exchange();
    if (!done) redis_.reset();
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
  std::size_t unreadable = 0;
  const auto theirs = redis_->all_set(unreadable);
  if (!theirs) return std::unexpected(theirs.error());
  if (unreadable > 0) log::warn("Redis has quotas that make no sense: they don't hold", {{"quotas", unreadable}});
  if (auto done = take_over(*theirs); !done) return done;
  version_ = *std::move(version);
  return {};
}

Result<> SharedQuotas::tell_quotas() {
  while (true) {
    std::vector<Quotas::Set> batch;
    {
      const std::scoped_lock lock(mutex_);
      for (const auto& [key, quota] : untold_ | std::views::take(most_in_a_call)) batch.push_back(quota);
    }
    if (batch.empty()) return {};
    if (auto done = redis_->set(batch, new_version(), false); !done) return done;
    const std::scoped_lock lock(mutex_);
    for (const auto& quota : batch) {
      const auto found = untold_.find(quota.key());
      if (found != untold_.end() && found->second.quota == quota.quota) untold_.erase(found);
    }
  }
}

Result<> SharedQuotas::take_over(const std::vector<Quotas::Set>& theirs) {
  auto& quotas = executor_->quotas();
  boost::unordered_flat_map<std::string, Quotas::Set> ours;
  for (auto& quota : quotas.all_set()) ours.emplace(quota.key(), std::move(quota));
  const std::int64_t now = now_ns();
  bool is_any_other = false;
  for (const auto& quota : theirs) {
    const std::string key = quota.key();
    const auto before = ours.find(key);
    const bool is_other = before == ours.end() || before->second.quota != quota.quota;
    if (before != ours.end()) ours.erase(before);
    const std::scoped_lock lock(mutex_);
    if (!is_other || untold_.contains(key)) continue;
    quotas.set(quota.of, quota.name, quota.quota, now);
    is_any_other = true;
  }
  if (is_any_other) executor_->follow_quotas(now);
  // Redis has lost them, or is a new one.
  std::vector<Quotas::Set> missing;
  for (auto& [key, quota] : ours) missing.push_back(std::move(quota));
  for (std::size_t at = 0; at < missing.size(); at += most_in_a_call) {
    const auto batch = std::span(missing).subspan(at, std::min(most_in_a_call, missing.size() - at));
    if (auto done = redis_->set(batch, new_version(), true); !done) return done;
  }
  return {};
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
