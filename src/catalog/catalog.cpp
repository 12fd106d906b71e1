#include "catalog/catalog.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "catalog/catalog_sql.hpp"

namespace millrace::catalog {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

constexpr std::string_view lock_not_available = "55P03";
constexpr std::string_view changed_meanwhile = "the catalogs have changed while they were read";
constexpr milliseconds longest_pause{300000};
constexpr std::size_t views_at_a_time = 100;
constexpr std::size_t most_configured = 64;  ///< connections come and go
/// Between readings that DDL makes necessary: so many times what the last one took.
constexpr int rest_of_readings = 4;

milliseconds since(TimePoint began) { return std::chrono::duration_cast<milliseconds>(Clock::now() - began); }

}  // namespace

/// A Snapshot being made of rows on another thread.
struct Catalog::Job {
  explicit Job(asio::io_context& io) : done(io) {}
  net::Signal done;
  Result<std::vector<Row>> rows;
  Result<Reading> reading;
};

/// Somebody wants to know whether what is known is so.
struct Catalog::Doubt {
  explicit Doubt(asio::io_context& io) : done(io) {}
  net::Signal done;
  bool sure = false;
};

std::shared_ptr<Catalog> Catalog::start(asio::io_context& io, asio::any_io_executor workers, Query query,
                                        std::function<void()> changed, OnWritten written, std::string name, Pace pace,
                                        std::function<bool()> out_of_reach, OnRead read) {
  if (!out_of_reach) out_of_reach = [] { return false; };
  std::shared_ptr<Catalog> catalog(new Catalog(io, std::move(workers), std::move(query), std::move(changed),
                                               std::move(written), std::move(name), pace, std::move(out_of_reach),
                                               std::move(read)));
  asio::co_spawn(io, catalog->run(), [catalog](const std::exception_ptr&) {});
  return catalog;
}

Catalog::Catalog(asio::io_context& io, asio::any_io_executor workers, Query query, std::function<void()> changed,
                 OnWritten written, std::string name, Pace pace, std::function<bool()> out_of_reach, OnRead read)
    : io_(io),
      workers_(std::move(workers)),
      query_(std::move(query)),
      changed_(std::move(changed)),
      written_(std::move(written)),
      name_(std::move(name)),
      pace_(pace),
      out_of_reach_(std::move(out_of_reach)),
      on_read_(std::move(read)),
      wake_(io),
      expiry_(io),
      interval_(pace.poll),
      retry_(pace.first_retry) {}

void Catalog::ddl_passed() {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    ++doubts_;
    set_current(nullptr);
    asio::post(io_, [self = shared_from_this()] {
      self->read_soon_ = true;
      self->wake_.set();
    });
  }
  changed_();
}

std::shared_ptr<const void> Catalog::hold() {
  {
    const std::lock_guard lock(mutex_);
    ++holds_;
  }
  ddl_passed();
  return {static_cast<const void*>(this), [self = shared_from_this()](const void*) {
            {
              const std::lock_guard lock(self->mutex_);
              --self->holds_;
            }
            self->ddl_passed();
          }};
}

void Catalog::pause() {
  const std::lock_guard lock(mutex_);
  if (paused_.exchange(true)) return;
  ++doubts_;
  set_current(nullptr);
}

void Catalog::resume() {
  const std::lock_guard lock(mutex_);
  if (!paused_.exchange(false)) return;
  ++doubts_;
  asio::post(io_, [self = shared_from_this()] {
    self->retry_ = self->pace_.first_retry;
    self->failures_ = 0;
    self->read_soon_ = true;
    self->wake_.set();
  });
}

void Catalog::stop() {
  const std::lock_guard lock(mutex_);
  if (stopped_.exchange(true)) return;
  set_current(nullptr);
  asio::post(io_, [self = shared_from_this()] {
    self->expiry_.cancel();
    self->wake_.set();
  });
}

asio::awaitable<void> Catalog::run() {
  while (!stopped_) {
    if (paused_) {
      co_await wake_.wait(longest_pause);
      if (paused_ && !asked_.empty()) co_await answer();
      continue;
    }
    const auto time = co_await step();
    if (stopped_ || time == milliseconds::zero() || !co_await rest(Clock::now() + time, true)) continue;
    // DDL seldom comes alone.
    co_await rest(std::max(Clock::now() + pace_.settle, next_reading_), false);
  }
  for (const auto& doubt : std::exchange(asked_, {})) doubt->done.set();
}

/// Whether it ends early, as DDL was noticed. Answers who asks meanwhile.
asio::awaitable<bool> Catalog::rest(TimePoint until, bool up_to_ddl) {
  while (!stopped_ && Clock::now() < until) {
    co_await wake_.wait(until - Clock::now());
    if (!asked_.empty()) co_await answer();
    if (up_to_ddl && std::exchange(read_soon_, false)) co_return true;
  }
  co_return false;
}

asio::awaitable<bool> Catalog::confirm() {
  if (stopped_) co_return false;
  const auto doubt = asked_.emplace_back(std::make_shared<Doubt>(io_));
  wake_.set();
  co_await doubt->done.wait(std::chrono::hours(24));
  co_return doubt->sure;
}

/// While nothing is being read.
asio::awaitable<void> Catalog::answer() {
  const auto asked = std::exchange(asked_, {});
  bool sure = !paused_;  // where nothing is known, `changed` was called when it was forgotten
  if (known_ != nullptr && sure) {
    sure = (co_await check()).has_value();
    if (sure) expire_later();
    if (known_ == nullptr) read_soon_ = true;
  }
  for (const auto& doubt : asked) {
    doubt->sure = sure && !stopped_ && !paused_;
    doubt->done.set();
  }
}

asio::awaitable<milliseconds> Catalog::step() {
  std::uint64_t doubts = 0;
  bool held = false;
  read_soon_ = false;
  {
    const std::lock_guard lock(mutex_);
    doubts = doubts_;
    held = holds_ > 0;
  }
  const bool must_read = known_ == nullptr || known_at_ != doubts;
  if (must_read && held) co_return pace_.poll;  // nobody sees yet what it will be
  const auto began = Clock::now();
  const auto outcome = must_read ? co_await read(doubts) : co_await poll();
  if (stopped_ || paused_) co_return milliseconds::zero();
  if (must_read) next_reading_ = Clock::now() + since(began) * rest_of_readings;
  if (outcome) {
    retry_ = pace_.first_retry;
    failures_ = 0;
    expire_later();
    co_return known_ != nullptr ? interval_ : milliseconds::zero();
  }
  if (outcome.error().message == changed_meanwhile) {
    co_return std::max(pace_.settle, since(began) * rest_of_readings);
  }
  if (++failures_ >= 2 && current() && !out_of_reach_()) {
    log::warn("catalog not known", {{"database", name_}, {"reason", outcome.error().message}});
    forget();
  }
  co_return std::exchange(retry_, std::min(retry_ * 2, pace_.last_retry));
}

asio::awaitable<Result<>> Catalog::read(std::uint64_t doubts) {
  const auto began = Clock::now();
  auto reading = co_await read_once();
  if (!reading) co_return std::unexpected(std::move(reading).error());
  // The definitions of views are of later moments: if nothing has changed since the first, they are of that as well.
  const auto checking = Clock::now();
  const auto seen = read_seen(co_await query_(poll_sql(reading->seen.moment), {}));
  if (!seen) co_return std::unexpected(seen.error());
  if (seen->fingerprint) rest_after(since(checking));
  const bool same = !seen->fingerprint || seen->fingerprint == reading->seen.fingerprint;
  remember_configured(reading->seen.configured);
  if (!same || remember_configured(seen->configured)) co_return fail(std::string(changed_meanwhile));
  // Answers are kept meanwhile, if only some views weren't known.
  bool goes_on = known_ != nullptr && known_at_ == doubts;
  if (seen_.fingerprint && seen_.fingerprint != reading->seen.fingerprint) {
    // Also where DDL has passed: its transaction may have ended after that was told.
    forget();
    changed_();
    goes_on = false;
  }
  if (on_read_ && last_ != nullptr) on_read_(*last_, *reading->snapshot);
  last_ = known_ = std::move(reading->snapshot);
  known_at_ = doubts;
  whole_ = reading->whole;
  // Else what is written is told since the last check, by the next one.
  if (!goes_on) {
    seen_ = std::move(reading->seen);
    seen_.moment = seen->moment;
  }
  log::debug("catalog read",
             {{"database", name_}, {"relations", known_->relations().size()}, {"ms", since(began).count()}});
  publish();
  co_return Result<>{};
}

asio::awaitable<Result<>> Catalog::poll() {
  auto outcome = co_await check();
  // What was locked may be free by now. What is known stays known until then.
  if (outcome && known_ != nullptr && !whole_) co_return co_await read(known_at_);
  co_return outcome;
}

/// Whether it could be asked if all is as it was, and was so in between.
asio::awaitable<Result<>> Catalog::check() {
  const auto began = Clock::now();
  auto seen = read_seen(co_await query_(poll_sql(seen_.moment), {}));
  if (!seen) co_return std::unexpected(seen.error());
  if (seen->fingerprint) rest_after(since(began));
  const bool same = !seen->fingerprint || seen->fingerprint == seen_.fingerprint;
  if (remember_configured(seen->configured) || !same) {
    known_ = nullptr;
    seen_ = {};
    forget();
    changed_();
    co_return Result<>{};
  }
  if (seen->fingerprint) tell_written(std::move(seen->written));
  seen_.moment = std::move(seen->moment);
  publish();
  co_return Result<>{};
}

/// What was there at the known moment, and may count as written since, was among those that were told then.
void Catalog::tell_written(std::vector<Written> written) {
  std::vector<Oid> relations;
  for (const auto& one : written) {
    if (!std::ranges::binary_search(seen_.written, one)) relations.push_back(one.first);
  }
  seen_.written = std::move(written);
  if (!relations.empty()) written_(relations, *known_);
}

/// Whether it is new.
bool Catalog::remember_configured(const std::string& configured) {
  if (configured_.size() >= most_configured && !configured_.contains(configured)) configured_.clear();
  return configured_.insert(configured).second;
}

void Catalog::rest_after(milliseconds poll) { interval_ = std::clamp(poll * pace_.rest, pace_.poll, longest_pause); }

void Catalog::publish() {
  const std::lock_guard lock(mutex_);
  if (!stopped_ && !paused_ && holds_ == 0 && known_at_ == doubts_) set_current(known_);
}

void Catalog::forget() {
  const std::lock_guard lock(mutex_);
  set_current(nullptr);
}

void Catalog::set_current(std::shared_ptr<const Snapshot> snapshot) {
  if (current_.exchange(snapshot) != snapshot) changes_.fetch_add(1, std::memory_order_acq_rel);
}

void Catalog::expire_later() {
  expiry_.expires_after(interval_ * pace_.expires);
  expiry_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self) return;
    if (self->out_of_reach_()) return self->expire_later();
    self->forget();
  });
}

asio::awaitable<Result<Reading>> Catalog::read_once() {
  auto job = std::make_shared<Job>(io_);
  job->rows = co_await query_(read_sql(), {});
  if (!job->rows) co_return std::unexpected(job->rows.error());
  bool whole = true;
  const auto views = views_in(*job->rows);
  for (std::size_t at = 0; at < views.size() && !stopped_ && !paused_; at += views_at_a_time) {
    const auto some = std::span(views).subspan(at, std::min(views_at_a_time, views.size() - at));
    auto rows = co_await query_(views_sql(some), {});
    if (rows) {
      std::ranges::move(*rows, std::back_inserter(*job->rows));
    } else if (rows.error().sqlstate == lock_not_available) {
      // Somebody changes a table that a view reads. The rest is worth to be known meanwhile.
      whole = false;
    } else {
      co_return std::unexpected(std::move(rows).error());
    }
  }
  // Also one of a database that was forgotten, and is used again, grows.
  static std::atomic<std::uint64_t> versions = 0;
  asio::post(workers_, [job, &io = io_, version = ++versions] {
    job->reading = read_snapshot(job->rows, version);
    job->rows->clear();
    asio::post(io, [job] { job->done.set(); });
  });
  co_await job->done.wait(std::chrono::hours(24));
  if (job->reading) job->reading->whole = whole;
  co_return std::move(job->reading);
}

}  // namespace millrace::catalog
