#include "integration/freshness.hpp"

#include <algorithm>
#include <charconv>

#include "base/clock.hpp"
#include "base/raise_to.hpp"

namespace millrace::integration {
namespace {

constexpr std::size_t most_waiting = 100'000;
constexpr std::int64_t first_guess_ns = 500'000;
constexpr std::int64_t no_proof_ns = 1'000'000'000;
constexpr std::size_t most_unseen = 10'000;
/// Of one transaction; of what has changed more, the tables are remembered.
constexpr std::size_t most_told = 64;
/// A proof takes PostgreSQL some tenth of a millisecond. What takes it several times as much is worth one.
constexpr std::int64_t between_proofs_in_passing = 20'000'000, least_between_proofs = 1'000'000;
constexpr std::int64_t worth_a_proof_ns = 500'000;
/// So long after somebody has wanted to keep an answer, it is found out what is visible without being asked for.
constexpr std::int64_t looks_on_ns = 1'000'000'000;

bool take_number(std::string_view& text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::optional<XidSnapshot> XidSnapshot::parse(std::string_view text) {
  XidSnapshot snapshot;
  if (!take_number(text, snapshot.xmin) || !take(text, ':') || !take_number(text, snapshot.xmax) || !take(text, ':')) {
    return std::nullopt;
  }
  while (!text.empty()) {
    if (!snapshot.running.empty() && !take(text, ',')) return std::nullopt;
    if (!take_number(text, snapshot.running.emplace_back())) return std::nullopt;
  }
  std::ranges::sort(snapshot.running);
  return snapshot;
}

bool XidSnapshot::sees(Xid xid) const {
  const auto distance = static_cast<std::int32_t>(xid - static_cast<Xid>(xmax));
  if (distance >= 0) return false;
  const auto full = xmax - static_cast<std::uint64_t>(-std::int64_t{distance});
  return full < xmin || !std::ranges::binary_search(running, full);
}

bool XidSnapshot::sees_up_to(Xid xid) const {
  const auto distance = static_cast<std::int32_t>(xid - static_cast<Xid>(xmax));
  return distance < 0 && xmax - static_cast<std::uint64_t>(-std::int64_t{distance}) < xmin;
}

Freshness::Freshness() : usual_wait_ns_{first_guess_ns, first_guess_ns}, followed_(std::make_shared<const Tables>()) {}

bool Freshness::want(Moments moments, std::function<void()> then) {
  const std::lock_guard lock(mutex_);
  if (!is_followed() || waiting_.size() >= most_waiting) return false;
  if (is_proved(moments)) {
    then();
    return true;
  }
  waiting_.push_back(
      {.moments = moments, .catalogs = certain_until() < moments.catalogs, .since = now_ns(), .then = std::move(then)});
  if (wake_) wake_();
  return true;
}

bool Freshness::all_visible(const Parts& parts) const {
  if (all_is_visible()) return true;
  const std::lock_guard lock(mutex_);
  const auto is_unseen = [this](auto dependency) { return unseen_by_dependency_.contains(dependency); };
  if (!unseen_others_) {
    if (std::ranges::none_of(parts.tables, is_unseen)) return true;
    const bool are_told = unseen_by_table_ == 0 && !unseen_.empty() && parts.columns <= *unseen_.front().columns;
    if (are_told && std::ranges::none_of(parts.seen, is_unseen)) return true;
  }
  if (wake_) wake_();
  return false;
}

void Freshness::want_in_passing(Moments moments, std::int64_t cost, std::int64_t now) {
  const auto lacked = lacked_ns_.fetch_add(cost, std::memory_order_relaxed) + cost;
  auto asked = asked_in_passing_.load(std::memory_order_relaxed);
  const auto between = lacked < worth_a_proof_ns ? between_proofs_in_passing : least_between_proofs;
  if (now - asked < between || !asked_in_passing_.compare_exchange_strong(asked, now)) return;
  lacked_ns_.store(0, std::memory_order_relaxed);
  want(moments, [] {});
}

void Freshness::waited_in_vain(std::int64_t ns, bool catalogs) {
  const std::lock_guard lock(mutex_);
  usual_wait_ns_[catalogs ? 1 : 0].store(std::max(usual_wait_ns(catalogs), ns), std::memory_order_relaxed);
}

void Freshness::leave(std::span<const cache::Dependency> dependencies, std::int64_t moment) {
  for (const auto dependency : dependencies) raise_to(left_[dependency % left_.size()], moment);
  raise_to(last_left_, moment);
}

void Freshness::release(std::vector<Waiting>& all) {
  for (const auto& waiting : all) waiting.then();
}

void Freshness::follow(std::shared_ptr<const Tables> tables) {
  std::vector<Waiting> released;
  {
    const std::lock_guard lock(mutex_);
    const bool follows = tables != nullptr;
    if (!follows) {
      waiting_.swap(released);
      unseen_.clear();
      unseen_by_dependency_.clear();
      unseen_by_table_ = 0;
      unseen_others_.reset();
      unseen_count_.store(0, std::memory_order_seq_cst);
    }
    followed_.store(follows ? std::move(tables) : std::make_shared<const Tables>());
    followed_now_.store(follows, std::memory_order_release);
  }
  release(released);
}

void Freshness::committed(Xid xid, std::vector<cache::Dependency> tables) {
  const std::lock_guard lock(mutex_);
  if (unseen_.size() < most_unseen) {
    for (const auto table : tables) ++unseen_by_dependency_[table];
    unseen_.push_back({.xid = xid, .dependencies = std::move(tables)});
    ++unseen_by_table_;
  } else if (!unseen_others_ || static_cast<std::int32_t>(xid - *unseen_others_) > 0) {
    unseen_others_ = xid;
  }
  unseen_count_.store(unseen_.size(), std::memory_order_seq_cst);
  if (wake_) wake_();
}

void Freshness::told(Xid xid, std::span<const cache::Dependency> dependencies, std::size_t columns) {
  const std::lock_guard lock(mutex_);
  if (unseen_.empty() || unseen_.back().xid != xid || unseen_.back().columns) return;
  if (dependencies.size() > most_told) return;
  auto& last = unseen_.back();
  last.columns = columns;
  --unseen_by_table_;
  last.dependencies.insert(last.dependencies.end(), dependencies.begin(), dependencies.end());
  for (const auto dependency : dependencies) ++unseen_by_dependency_[dependency];
}

void Freshness::on_wanted(std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  wake_ = std::move(wake);
}

Freshness::Wanted Freshness::wanted(std::int64_t now) {
  const std::lock_guard lock(mutex_);
  if (looked_.exchange(false)) looked_at_ = now;
  Wanted wanted{.moments = {},
                .first_catalogs = 0,
                .snapshot = unseen_count_ > 0 && looked_at_ != 0 && now - looked_at_ < looks_on_ns};
  for (const auto& waiting : waiting_) {
    wanted.moments.rows = std::max(wanted.moments.rows, waiting.moments.rows);
    wanted.moments.catalogs = std::max(wanted.moments.catalogs, waiting.moments.catalogs);
    if (waiting.moments.catalogs <= certain_until()) continue;
    wanted.first_catalogs = wanted.first_catalogs == 0 ? waiting.moments.catalogs
                                                       : std::min(wanted.first_catalogs, waiting.moments.catalogs);
  }
  return wanted;
}

bool Freshness::settle(const XidSnapshot& snapshot) {
  const std::lock_guard lock(mutex_);
  const auto settled = std::erase_if(unseen_, [&](const Committed& committed) {
    if (!snapshot.sees(committed.xid)) return false;
    if (!committed.columns) --unseen_by_table_;
    for (const auto dependency : committed.dependencies) {
      const auto found = unseen_by_dependency_.find(dependency);
      if (--found->second == 0) unseen_by_dependency_.erase(found);
    }
    return true;
  });
  if (unseen_others_ && snapshot.sees_up_to(*unseen_others_)) unseen_others_.reset();
  unseen_count_.store(unseen_.size() + (unseen_others_ ? 1 : 0), std::memory_order_seq_cst);
  return settled > 0 || unseen_count_ == 0;
}

/// With the lock held.
std::vector<Freshness::Waiting> Freshness::take_proved(std::int64_t now) {
  const auto still = std::ranges::partition(waiting_, [&](const auto& one) { return !is_proved(one.moments); });
  std::vector<Waiting> proved(std::make_move_iterator(still.begin()), std::make_move_iterator(still.end()));
  waiting_.erase(still.begin(), still.end());
  for (const bool catalogs : {false, true}) {
    std::int64_t longest = 0;
    for (const auto& one : proved) {
      if (one.catalogs == catalogs) longest = std::max(longest, now - one.since);
    }
    const auto usual = usual_wait_ns(catalogs);
    // What takes long once may be an accident; that it doesn't any more is worth knowing soon.
    const std::int64_t part = longest < usual ? 2 : 8;
    if (longest > 0) {
      usual_wait_ns_[catalogs ? 1 : 0].store(usual + (longest - usual) / part, std::memory_order_relaxed);
    }
  }
  return proved;
}

void Freshness::prove(std::int64_t moment, std::int64_t now) {
  std::vector<Waiting> released;
  {
    const std::lock_guard lock(mutex_);
    if (moment <= proved_until()) return;
    proved_until_.store(moment, std::memory_order_release);
    released = take_proved(now);
  }
  release(released);
}

void Freshness::certify(std::int64_t moment, std::int64_t now) {
  std::vector<Waiting> released;
  {
    const std::lock_guard lock(mutex_);
    if (moment <= certain_until()) return;
    certain_until_.store(moment, std::memory_order_release);
    released = take_proved(now);
  }
  release(released);
}

void Freshness::fail_to_prove() {
  std::vector<Waiting> released;
  {
    const std::lock_guard lock(mutex_);
    waiting_.swap(released);
    for (auto& usual : usual_wait_ns_) usual.store(no_proof_ns, std::memory_order_relaxed);
  }
  release(released);
}

}  // namespace millrace::integration
