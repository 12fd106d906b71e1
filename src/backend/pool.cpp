#include "backend/pool.hpp"

#include "base/log.hpp"

namespace millrace::backend {
namespace {

/// Under a queue, whoever has waited longest is next, also if that means moving a connection between cores; but a
/// connection that is free on this core isn't moved for a client that came only just before.
constexpr auto prefer_own_core_for = std::chrono::milliseconds(5);
/// Enough for thousands of log-ins a second; and while one is slow the other goes on.
constexpr std::size_t own_connections = 2;
constexpr std::chrono::milliseconds no_limit = std::chrono::years(10);

/// A limit of zero is none.
bool is_over(Clock::duration age, std::chrono::milliseconds limit) {
  return limit > std::chrono::milliseconds::zero() && age > limit;
}

/// The server's own word: its max_connections, or a limit of the role or the database.
bool says_too_many(const LoginError& failure) {
  return failure.error.sqlstate == "53300" && !failure.error_response.empty();
}

LoginError nobody_waits() { return {Error{.message = "nobody waits any more", .sqlstate = "57014"}, {}}; }

bool same_settings(const std::shared_ptr<const Settings>& a, const std::shared_ptr<const Settings>& b) {
  return a == b || (a && b && *a == *b);
}

}  // namespace

Pool::Pool(std::string user, std::string database, std::shared_ptr<const ServerAddress> address, PoolLimits limits,
           std::shared_ptr<Places> places)
    : user_(std::move(user)),
      database_(std::move(database)),
      breaker_(address->breaker),
      places_(std::move(places)),
      address_(std::move(address)),
      limits_(limits) {
  places_->set_free(free());
}

std::int64_t Pool::free() const {
  const auto in_use = static_cast<std::int64_t>(open_) - static_cast<std::int64_t>(idle_.size());
  return waiters_.empty() ? static_cast<std::int64_t>(most()) - in_use : 0;
}

Pool::Startup Pool::intern(ParameterList startup) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(startups_, [](const auto& known) { return known.expired(); });
  for (const auto& known : startups_) {
    if (auto alive = known.lock(); alive && *alive == startup) return alive;
  }
  auto made = std::make_shared<const ParameterList>(std::move(startup));
  startups_.push_back(made);
  return made;
}

bool Pool::fits(ServerConnection& connection, const Startup& startup, const PlaceholderNames& known) {
  if (connection.login().startup != startup) return false;
  const auto& there = connection.state().placeholders;
  return !there || there == known || (known && std::ranges::includes(*known, *there));
}

Pool::Connection Pool::try_take(asio::io_context& core, const Startup& startup,
                                const std::shared_ptr<const Settings>& preferred, const PlaceholderNames& known) {
  const Change change(*this);
  if (!waiters_.empty()) return nullptr;
  auto best = idle_.rend();
  for (auto at = idle_.rbegin(); at != idle_.rend(); ++at) {
    if (&(*at)->context() != &core || !fits(**at, startup, known) || !(*at)->is_open()) continue;
    if (best == idle_.rend()) best = at;
    if (same_settings((*at)->state().settings, preferred)) {
      best = at;
      break;
    }
  }
  if (best == idle_.rend()) return nullptr;
  Connection taken = std::move(*best);
  idle_.erase(std::next(best).base());
  return taken;
}

asio::awaitable<std::expected<Pool::Connection, LoginError>> Pool::take(asio::io_context& core, Startup startup,
                                                                        Wanted wanted) {
  const TimePoint since = Clock::now();
  bool gave_up = false;
  for (;;) {
    if (wanted.patience) wanted.patience->give_up = [&gave_up] { gave_up = true; };
    auto taken = co_await take_once(core, startup, wanted, since);
    if (wanted.patience) wanted.patience->give_up = nullptr;
    if (taken || !must_wait(taken.error())) co_return taken;
    if (gave_up) co_return std::unexpected(nobody_waits());
  }
}

/// Whether the server has refused one more connection than it grants, and there are others that may come free. Those
/// that are only being opened don't count: clients of an empty pool would wait for each other's refusals.
bool Pool::must_wait(const LoginError& failure) const {
  if (!says_too_many(failure)) return false;
  const std::scoped_lock lock(mutex_);
  return opened_ > closed_;
}

/// The server may grant so many, which is to be tried; with the lock held.
void Pool::grants(std::size_t count) {
  granted_ = std::max(granted_, count);
  while (place_freed()) {
  }
}

/// `since`: it has waited since then.
asio::awaitable<std::expected<Pool::Connection, LoginError>> Pool::take_once(asio::io_context& core, Startup startup,
                                                                             Wanted wanted, TimePoint since) {
  if (wanted.queue == Queue::avoid && (places_->wanted() || !places_->any())) co_return Connection{};
  if (auto connection = try_take(core, startup, nullptr, wanted.known)) co_return connection;
  std::shared_ptr<Waiter> waiter;
  PoolLimits limits;  // as they are now: a reload on another thread may change them
  std::size_t most_then = 0;
  bool is_full = false;
  {
    const Change change(*this);
    // With the lock, as `refuse_waiting` tells only those that are in the queue.
    if (auto refused = refusal()) co_return std::unexpected(std::move(*refused));
    limits = limits_;
    most_then = most();
    if (open_ < most() && waiters_.empty()) {
      ++open_;
    } else if (wanted.queue == Queue::avoid && (idle_.empty() || !waiters_.empty())) {
      co_return Connection{};
    } else {
      waiter = std::make_shared<Waiter>(core, startup, wanted.known, since);
      const auto sooner = std::find_if(waiters_.rbegin(), waiters_.rend(),
                                       [since](const auto& other) { return other->since <= since; });
      waiters_.insert(sooner.base(), waiter);
      place_freed();
      is_full = !waiter->served() && !fetch_from_other_core(waiter);
    }
  }
  if (wanted.when_waits) wanted.when_waits(is_full);
  if (!waiter) co_return co_await open(core, std::move(startup));

  std::function<void()> before;
  if (wanted.patience) {
    before = std::exchange(wanted.patience->give_up, [waiter] {
      waiter->gave_up = true;
      waiter->signal.set();
    });
  }
  co_await waiter->signal.wait(limits.wait > std::chrono::milliseconds::zero() ? since + limits.wait - Clock::now()
                                                                               : no_limit);
  if (wanted.patience) wanted.patience->give_up = std::move(before);
  {
    const Change change(*this);
    std::erase(waiters_, waiter);
    if (waiter->gave_up && waiter->open_one) {
      --open_;
      place_freed();
    }
  }
  if (waiter->gave_up) {
    if (waiter->given) give_back(std::move(waiter->given));
    co_return std::unexpected(nobody_waits());
  }
  if (waiter->given) co_return std::move(waiter->given);
  if (waiter->open_one) co_return co_await open(core, std::move(startup));
  if (waiter->refused) {
    co_return std::unexpected(refusal().value_or(
        LoginError{{.message = "the server could not be reached for a moment", .sqlstate = "57P03"}, {}, true}));
  }
  co_return std::unexpected(
      LoginError{Error{.message = fmt::format("all {} server connections are in use; waited {} s for one", most_then,
                                              std::chrono::duration_cast<std::chrono::seconds>(limits.wait).count()),
                       .sqlstate = "53300",
                       .hint = most_then < limits.size
                                   ? "The server grants no more: it has a limit, or its database or role."
                                   : "Raise POOL_SIZE, shorten transactions, or use POOL_MODE = \"transaction\"."},
                 {}});
}

std::optional<LoginError> Pool::refusal() const {
  if (!breaker_ || !breaker_->refuses()) return std::nullopt;
  return LoginError{breaker_->refuse(now_ns()), {}, true};
}

void Pool::refuse_waiting() {
  const Change change(*this);
  for (const auto& waiter : waiters_) {
    if (waiter->served()) continue;
    waiter->refused = true;
    asio::post(*waiter->core, [waiter] { waiter->signal.set(); });
  }
}

/// Not to where the server was when it began.
asio::awaitable<std::expected<Pool::Connection, LoginError>> Pool::connect(asio::io_context& core, Startup startup,
                                                                           pgwire::ServerCredential credential) {
  const auto address = [this] {
    const std::scoped_lock lock(mutex_);
    return address_;
  };
  for (;;) {
    const auto to = address();
    auto opened = co_await ServerConnection::open(core, to, {.startup = startup, .credential = credential});
    if (to == address()) co_return opened;
    if (opened) (*opened)->close();
  }
}

asio::awaitable<std::expected<Pool::Connection, LoginError>> Pool::open(asio::io_context& core, Startup startup) {
  if (auto refused = refusal()) {
    const Change change(*this);
    --open_;
    place_freed();
    co_return std::unexpected(std::move(*refused));
  }
  auto opened = co_await connect(core, startup, credential());
  if (!opened) {
    const Change change(*this);
    ++failed_;
    --open_;
    if (says_too_many(opened.error())) granted_ = std::max<std::size_t>(open_, 1);
    place_freed();
    co_return std::unexpected(std::move(opened.error()));
  }
  auto connection = opens(std::move(*opened), startup);
  connection->start_reading();
  co_return connection;
}

/// One more is open.
Pool::Connection Pool::opens(Connection connection, const Startup& startup) {
  const auto self = shared_from_this();
  const Change change(*this);
  ++opened_;
  grants(open_ + 1);
  const auto known =
      std::find_if(welcomes_.begin(), welcomes_.end(), [&](const auto& w) { return w.first == startup; });
  if (known == welcomes_.end()) {
    std::erase_if(welcomes_, [](const auto& w) { return w.first.use_count() == 1; });
    welcomes_.emplace_back(startup, connection->state().parameters);
  } else {
    known->second = connection->state().parameters;
  }
  connection->on_closed = [self](ServerConnection& closed) {
    const Change change(*self);
    if (closed.makes_room) --self->places_coming_;
    std::erase_if(self->idle_, [&](const Connection& idle) { return idle.get() == &closed; });
    --self->open_;
    ++self->closed_;
    self->place_freed();
  };
  return connection;
}

asio::awaitable<std::expected<Pool::Connection, LoginError>> Pool::open_apart(asio::io_context& core, Startup startup,
                                                                              pgwire::ServerCredential credential) {
  const auto self = shared_from_this();
  auto opened = co_await connect(core, startup, std::move(credential));
  if (!opened) {
    const std::scoped_lock lock(mutex_);
    ++failed_;
  }
  co_return opened;
}

bool Pool::place_freed() {
  for (const auto& waiter : waiters_) {
    if (waiter->served()) continue;
    if (open_ >= most()) return false;
    ++open_;
    waiter->open_one = true;
    asio::post(*waiter->core, [waiter] { waiter->signal.set(); });
    return true;
  }
  return false;
}

/// Closes a connection that no client in the queue can use, so that the first may open one; with the lock held.
void Pool::make_room(Connection connection) {
  connection->makes_room = true;
  ++places_coming_;
  close_later(std::move(connection));
}

bool Pool::fetch_from_other_core(const std::shared_ptr<Waiter>& waiter) {
  // One that differs for the waiter is of no use, but its place is; unless one is on its way for each who waits.
  Connection other;
  for (auto at = idle_.begin(); at != idle_.end(); ++at) {
    const bool of_use = waiter->may_have(**at);
    if (of_use || !other) other = *at;
    if (of_use) break;
  }
  if (!other) return false;
  const bool of_use = waiter->may_have(*other);
  const auto unserved = std::ranges::count_if(waiters_, [](const auto& one) { return !one->served(); });
  if (!of_use && static_cast<std::size_t>(unserved) <= places_coming_) return false;
  std::erase(idle_, other);
  if (!of_use || &other->context() == waiter->core) {
    if (of_use) {
      waiter->given = other;
      asio::post(*waiter->core, [waiter] { waiter->signal.set(); });
    } else {
      make_room(other);
    }
    return true;
  }
  hand_over(waiter, other);
  return true;
}

/// Moves a connection that nobody else can reach any more to the waiter's core; with the lock held.
void Pool::hand_over(const std::shared_ptr<Waiter>& waiter, Connection connection) {
  waiter->promised = true;
  asio::post(connection->context(), [self = shared_from_this(), waiter, connection] {
    if (!connection->is_open()) {  // it broke on its way: the waiter keeps its turn
      const Change change(*self);
      waiter->promised = false;
      self->place_freed();
      return;
    }
    connection->move_to(*waiter->core, [self, waiter](Connection arrived) {
      bool still_waiting = false;
      {
        const std::scoped_lock lock(self->mutex_);
        still_waiting = std::find(self->waiters_.begin(), self->waiters_.end(), waiter) != self->waiters_.end() &&
                        !waiter->given && !waiter->open_one;
        if (still_waiting && arrived) waiter->given = arrived;
        ++self->moved_;
      }
      if (still_waiting) {
        waiter->signal.set();
      } else if (arrived) {
        self->give_back(std::move(arrived));
      }
    });
  });
}

void Pool::close_later(Connection connection) {
  asio::post(connection->context(), [connection] { connection->close(); });
}

void Pool::give_back(Connection connection) {
  if (!connection->is_open()) return;
  if (connection->cancels_under_way > 0) {
    connection->held_back = true;
    return;
  }
  if (connection->state().tainted) {
    connection->close();
    return;
  }
  const TimePoint now = Clock::now();
  connection->idle_since = now;
  const Change change(*this);
  if (is_retired(*connection) || is_over(now - connection->opened_at, limits_.lifetime) || open_ > limits_.size) {
    close_later(std::move(connection));
    return;
  }
  std::shared_ptr<Waiter> chosen;
  std::size_t coming = places_coming_;
  for (const auto& waiter : waiters_) {
    if (waiter->served()) continue;
    if (!waiter->may_have(*connection)) {
      if (chosen) continue;
      if (coming > 0) {
        --coming;  // a place is on its way already
        continue;
      }
      // The first in the queue needs another kind of connection: this one makes room.
      make_room(std::move(connection));
      return;
    }
    if (!chosen) chosen = waiter;
    if (waiter->core == &connection->context()) {
      chosen = waiter;
      break;
    }
    if (now - chosen->since > prefer_own_core_for) break;
  }
  if (!chosen) {
    idle_.push_back(std::move(connection));
    return;
  }
  if (chosen->core == &connection->context()) {
    chosen->given = std::move(connection);
    asio::post(*chosen->core, [chosen] { chosen->signal.set(); });
  } else {
    hand_over(chosen, std::move(connection));
  }
}

Pool::Connection Pool::take_idle() {
  const Change change(*this);
  if (idle_.empty()) return nullptr;
  Connection taken = std::move(idle_.back());
  idle_.pop_back();
  return taken;
}

void Pool::cancel_done(const Connection& connection) {
  if (connection->cancels_under_way == 0 && std::exchange(connection->held_back, false)) give_back(connection);
}

std::shared_ptr<const ParameterList> Pool::welcome(const Startup& startup) const {
  const std::scoped_lock lock(mutex_);
  for (const auto& [known, parameters] : welcomes_) {
    if (known == startup) return parameters;
  }
  return nullptr;
}

void Pool::set_credential(pgwire::ServerCredential credential, TimePoint as_of) {
  const std::scoped_lock lock(mutex_);
  if (as_of < credential_as_of_) return;
  credential_ = std::move(credential);
  credential_as_of_ = as_of;
}

pgwire::ServerCredential Pool::credential() const {
  const std::scoped_lock lock(mutex_);
  return credential_;
}

void Pool::set_limits(PoolLimits limits) {
  const Change change(*this);
  limits_ = limits;
  while (place_freed()) {
  }
}

void Pool::sweep(bool all) {
  const TimePoint now = Clock::now();
  const Change change(*this);
  std::erase_if(idle_, [&](const Connection& connection) {
    const bool old = all || is_over(now - connection->idle_since, limits_.idle) ||
                     is_over(now - connection->opened_at, limits_.lifetime);
    if (old) close_later(connection);
    return old;
  });
  grants(open_ + 1);
}

void Pool::retire(TimePoint opened_before) {
  {
    const std::scoped_lock lock(mutex_);
    epoch_ = std::max(epoch_.load(), opened_before);
    welcomes_.clear();
  }
  sweep(true);
}

void Pool::redirect(std::shared_ptr<const ServerAddress> address) {
  {
    const std::scoped_lock lock(mutex_);
    address_ = std::move(address);
    granted_ = SIZE_MAX;  // there it may be another
  }
  retire();
}

void Pool::identify(const std::string& identity) {
  {
    const std::scoped_lock lock(mutex_);
    const std::string before = std::exchange(identity_, identity);
    if (before.empty() || before == identity) return;
  }
  retire();
}

Pool::Counts Pool::counts() const {
  const std::scoped_lock lock(mutex_);
  return {.idle = idle_.size(),
          .in_use = open_ - std::min(open_, idle_.size()),
          .waiting = waiters_.size(),
          .opened = opened_,
          .closed = closed_,
          .moved = moved_,
          .failed = failed_};
}

Pool::Counts& Pool::Counts::operator+=(const Counts& other) {
  idle += other.idle;
  in_use += other.in_use;
  waiting += other.waiting;
  opened += other.opened;
  closed += other.closed;
  moved += other.moved;
  failed += other.failed;
  return *this;
}

bool Pool::has_room() const {
  const std::scoped_lock lock(mutex_);
  return open_ < most() + idle_.size() && waiters_.empty();
}

bool Pool::unused() const {
  const std::scoped_lock lock(mutex_);
  return open_ == 0 && waiters_.empty();
}

Pools::Pools(std::shared_ptr<const ServerAddress> address, PoolLimits limits, std::function<void()> on_free_place)
    : on_free_place_(std::move(on_free_place)), address_(std::move(address)), limits_(limits) {}

std::shared_ptr<Pool> Pools::get(const std::string& user, const std::string& database, Purpose purpose) {
  const std::scoped_lock lock(mutex_);
  auto& pool = pools_[{purpose, user, database}];
  if (!pool) {
    auto places = std::make_shared<Places>(purpose == Purpose::clients ? on_free_place_ : std::function<void()>());
    pool = std::make_shared<Pool>(user, database, address_, limits_for(purpose), std::move(places));
    if (closed_) pool->retire(TimePoint::max());
  }
  return pool;
}

std::optional<pgwire::ServerCredential> Pools::clients_credential(const std::string& user,
                                                                  const std::string& database) const {
  const std::scoped_lock lock(mutex_);
  const auto found = pools_.find({Purpose::clients, user, database});
  if (found == pools_.end() || found->second->counts().opened == 0) return std::nullopt;
  return found->second->credential();
}

bool Pools::has_room(const std::string& user, const std::string& database) const {
  const std::scoped_lock lock(mutex_);
  const auto found = pools_.find({Purpose::clients, user, database});
  return found == pools_.end() || found->second->has_room();
}

PoolLimits Pools::limits_for(Purpose purpose) const {
  if (purpose == Purpose::clients) return limits_;
  return {
      .size = own_connections, .wait = address_->connect_timeout, .idle = limits_.idle, .lifetime = limits_.lifetime};
}

void Pools::redirect(std::shared_ptr<const ServerAddress> address) {
  const std::scoped_lock lock(mutex_);
  address_ = std::move(address);
  for (const auto& [key, pool] : pools_) pool->redirect(address_);
  for (const auto& [key, pool] : former_) {
    if (pool->breaker() == address_->breaker) pool->redirect(address_);
  }
}

void Pools::reconfigure(std::shared_ptr<const ServerAddress> address, bool moved, PoolLimits limits) {
  const std::scoped_lock lock(mutex_);
  limits_ = limits;
  address_ = std::move(address);
  for (const auto& [key, pool] : pools_) pool->set_limits(limits_for(std::get<Purpose>(key)));
  if (!moved) return;
  for (auto& [key, pool] : pools_) {
    pool->retire();
    former_.emplace_back(key, std::move(pool));  // clients that are connected keep theirs until they go
  }
  pools_.clear();
}

void Pools::sweep() {
  const std::scoped_lock lock(mutex_);
  const auto sweep = [this](auto& entry) {
    entry.second->sweep();
    const bool abandoned = entry.second.use_count() == 1 && entry.second->unused();
    if (abandoned) count(entry.first, *entry.second, gone_);
    return abandoned;
  };
  std::erase_if(pools_, sweep);
  std::erase_if(former_, sweep);
}

std::pair<std::shared_ptr<Pool>, Pool::Connection> Pools::take_idle() {
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, pool] : pools_) {
    if (auto connection = pool->take_idle()) return {pool, std::move(connection)};
  }
  return {};
}

void Pools::close_idle() {
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, pool] : pools_) pool->sweep(true);
}

void Pools::refuse_waiting() {
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, pool] : pools_) pool->refuse_waiting();
  for (const auto& [key, pool] : former_) pool->refuse_waiting();
}

void Pools::retire(const std::string& database) {
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, pool] : pools_) {
    if (pool->database() == database) pool->retire();
  }
}

void Pools::retire_own(const std::string& database) {
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, pool] : pools_) {
    if (std::get<Purpose>(key) == Purpose::own && pool->database() == database) pool->retire();
  }
}

void Pools::retire_of(const std::string& user) {
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, pool] : pools_) {
    if (pool->user() == user) pool->retire();
  }
}

bool Pools::own_unused(const std::string& database) const {
  const std::scoped_lock lock(mutex_);
  return std::ranges::all_of(pools_, [&](const auto& entry) {
    const auto& [key, pool] = entry;
    return std::get<Purpose>(key) != Purpose::own || pool->database() != database || pool->unused();
  });
}

void Pools::retire() {
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, pool] : pools_) pool->retire();
}

void Pools::close() {
  const std::scoped_lock lock(mutex_);
  closed_ = true;
  for (const auto& [key, pool] : pools_) pool->retire(TimePoint::max());
}

Pool::Counts Pools::counts() const {
  const std::scoped_lock lock(mutex_);
  Pool::Counts all = gone_;
  for (const auto& [key, pool] : pools_) count(key, *pool, all);
  for (const auto& [key, pool] : former_) count(key, *pool, all);
  return all;
}

std::size_t Pools::in_use() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<std::size_t>(std::ranges::count_if(
      pools_, [](const auto& entry) { return std::get<Purpose>(entry.first) == Purpose::clients; }));
}

void Pools::count(const Key& key, const Pool& pool, Pool::Counts& into) const {
  const auto counts = pool.counts();
  if (std::get<Purpose>(key) == Purpose::own) {
    into.failed += counts.failed;
  } else {
    into += counts;
  }
}

std::shared_ptr<const ServerAddress> Pools::address() const {
  const std::scoped_lock lock(mutex_);
  return address_;
}

}  // namespace millrace::backend
