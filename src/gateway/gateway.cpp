#include "gateway/gateway.hpp"

#include <malloc.h>
#include <sys/random.h>

#include <fstream>

#include "base/log.hpp"
#include "gateway/ask_plan.hpp"
#include "gateway/catalogs.hpp"
#include "gateway/core.hpp"
#include "gateway/find_server.hpp"
#include "gateway/own_query.hpp"
#include "gateway/rewrite_prover.hpp"
#include "gateway/run_job.hpp"
#include "gateway/server_address.hpp"
#include "gateway/session.hpp"
#include "gateway/what_if.hpp"
#include "pgwire/sansio/crypto.hpp"
#include "pipeline/judgements.hpp"

namespace millrace::gateway {
namespace {

constexpr auto tick_interval = std::chrono::milliseconds(500);
/// From so much on, what clients have given back goes back to the system.
constexpr std::size_t worth_trimming = std::size_t{1024} * 1024;
constexpr auto longest_end_of_streams = std::chrono::seconds(3);
constexpr auto probe_limit = std::chrono::seconds(5);
constexpr auto ping_limit = std::chrono::seconds(2);
/// Behind clients' attempts that have had their time.
constexpr auto last_attempt_limit = std::chrono::seconds(5);

backend::PoolLimits limits_of(const config::Settings& settings) {
  return {.size = static_cast<std::size_t>(settings.pool_size),
          .wait = settings.pool_wait_timeout_seconds,
          .idle = settings.pool_idle_timeout_seconds,
          .lifetime = settings.server_lifetime_seconds};
}

/// More than the pools have connections can't run, and would wait where priorities don't matter.
executor::AdaptiveQueryExecutor::Limits executor_limits(const config::Settings& settings, std::size_t pools) {
  const std::size_t connections = static_cast<std::size_t>(settings.pool_size) * std::max<std::size_t>(pools, 1);
  return {.most = std::min(static_cast<std::size_t>(settings.max_concurrent_queries), connections),
          .finds_best = settings.enable_adaptive_concurrency,
          .most_waiting = settings.enable_query_queueing ? static_cast<std::size_t>(settings.max_queued_queries) : 0,
          .wait = settings.pool_wait_timeout_seconds,
          .places_are_kept = settings.pool_mode == config::PoolMode::session};
}

executor::Quota usual_quota(const config::Settings& settings) {
  executor::Quota quota{.max_concurrent_queries = static_cast<std::uint32_t>(settings.default_user_concurrent_queries)};
  if (settings.default_user_query_limit_per_hour > 0)
    quota.hourly_query_limit = static_cast<std::uint64_t>(settings.default_user_query_limit_per_hour);
  if (settings.default_user_memory_limit_mb > 0)
    quota.max_memory_mb = static_cast<std::uint32_t>(settings.default_user_memory_limit_mb);
  return quota;
}

void tell_executor(Shared& shared) {
  const auto settings = shared.rules.load()->settings;
  auto& executor = *shared.executor;
  executor.set_limits(executor_limits(*settings, shared.pools.in_use()));
  if (executor.quotas().set_defaults(settings->enable_resource_quotas, usual_quota(*settings)))
    executor.follow_quotas(now_ns());
}

/// Each takes a connection of the pool of DATABASE_URL's user, for long: most are left to clients.
std::size_t jobs_at_once(const config::Settings& settings) { return std::max<std::size_t>(1, settings.pool_size / 4); }

Result<std::shared_ptr<const Rules>> rules_of(std::shared_ptr<const config::Settings> settings) {
  auto rules = std::make_shared<Rules>();
  auto secrets = Secrets::load(*settings);
  if (!secrets) return std::unexpected(secrets.error());
  rules->secrets = std::move(*secrets);
  if (!settings->tls_cert_file.empty()) {
    auto tls = net::TlsContext::server(settings->tls_cert_file, settings->tls_key_file);
    if (!tls) return std::unexpected(tls.error());
    rules->tls = std::move(*tls);
  }
  rules->settings = std::move(settings);
  return rules;
}

/// Of the made-up salts: secret, and the same after a restart, as a salt that changed would tell that there is no such
/// user. The machine's id is both; where there is none (a container) the salts last as long as the process.
std::string mock_seed() {
  std::ifstream file("/etc/machine-id");
  std::string id;
  if (std::getline(file, id) && id.size() >= 32) {
    const auto digest = pgwire::hmac_sha256(std::as_bytes(std::span(id)), "millrace: salts of users that don't exist");
    return {reinterpret_cast<const char*>(digest.data()), digest.size()};
  }
  std::string seed(32, '\0');
  while (getrandom(seed.data(), seed.size(), 0) != static_cast<ssize_t>(seed.size())) {
  }
  return seed;
}

asio::awaitable<Result<>> probe_server(asio::io_context* io, std::shared_ptr<Shared> shared) {
  const auto settings = shared->rules.load()->settings;
  const auto done = co_await own_query(*io, shared->pools, settings->database_url, "SELECT 1", {}, probe_limit);
  if (!done) co_return std::unexpected(done.error());
  co_return Result<>{};
}

std::shared_ptr<const backend::ServerAddress> in_a_hurry(backend::ServerAddress address,
                                                         std::chrono::milliseconds limit) {
  address.connect_timeout = std::min(address.connect_timeout, limit);
  return std::make_shared<const backend::ServerAddress>(std::move(address));
}

std::shared_ptr<const backend::ServerAddress> at_host(backend::ServerAddress address, net::Endpoint host) {
  address.endpoint = std::move(host);
  return std::make_shared<const backend::ServerAddress>(std::move(address));
}

/// Before the first client, who would be told that the first isn't there; nobody runs `io` yet. False: none is found.
bool choose_host(asio::io_context& io, std::shared_ptr<const backend::ServerAddress>& address,
                 const config::DatabaseUrl& url) {
  bool is_found = false, is_over = false;
  const auto hurried = in_a_hurry(*address, last_attempt_limit);
  asio::co_spawn(io, find_server(&io, hurried, url), [&](const std::exception_ptr& error, auto found) {
    is_over = true;
    is_found = !error && found;
    if (is_found) address = at_host(*address, (*found)->endpoint);
  });
  while (!is_over) io.run_one();
  io.restart();
  return is_found;
}

/// On the connection's thread.
asio::awaitable<bool> lives(std::shared_ptr<backend::Pool> pool, backend::Pool::Connection connection) {
  const auto answer = co_await connection->query("", {}, ping_limit);
  pool->give_back(connection);
  co_return answer.has_value();
}

struct Attempt {
  std::shared_ptr<const backend::ServerAddress> used;   ///< when it began
  std::shared_ptr<const backend::ServerAddress> found;  ///< null: nothing is
  bool has_failed = false;                              ///< false: it was answered, or has no outcome
};

/// No client has to wait for it. It fails if the server doesn't answer, on a connection that is open nor on a new one,
/// at any of its hosts. `by_idle`: one that is open will do.
asio::awaitable<Attempt> try_server(asio::io_context* io, std::shared_ptr<Shared> shared,
                                    std::chrono::milliseconds limit, bool by_idle) {
  Attempt attempt{.used = shared->pools.address(), .found = {}};
  const auto& breaker = attempt.used->breaker;
  if (by_idle) {
    if (auto [owner, idle] = shared->pools.take_idle(); idle) {
      asio::io_context& its_core = idle->context();
      if (co_await asio::co_spawn(its_core, lives(std::move(owner), std::move(idle)), asio::use_awaitable)) {
        attempt.found = attempt.used;
        co_return attempt;
      }
    }
  }
  const std::int64_t began = now_ns();
  const auto found =
      co_await find_server(io, in_a_hurry(*attempt.used, limit), shared->rules.load()->settings->database_url);
  const std::int64_t now = now_ns();
  attempt.has_failed = !found && !found.error().is_ours;
  const bool is_still_used = attempt.used == shared->pools.address();
  if (attempt.has_failed && is_still_used) breaker->failed(now, found.error().error.message);
  if (!found) co_return attempt;
  if ((*found)->endpoint == attempt.used->endpoint) {
    if (is_still_used) breaker->answered(now, now - began);
    attempt.found = attempt.used;
  } else {
    attempt.found = at_host(*attempt.used, (*found)->endpoint);
  }
  co_return attempt;
}

}  // namespace

Result<std::unique_ptr<Gateway>> Gateway::start(std::vector<asio::io_context*> cores,
                                                std::shared_ptr<const config::Settings> settings,
                                                QueryPerformanceMonitor& monitor,
                                                std::shared_ptr<cache::IntelligentCacheManager> cache,
                                                pipeline::RewriteLimits rewriting) {
  auto rules = rules_of(settings);
  if (!rules) return std::unexpected(rules.error());
  auto address = server_address(*settings);
  if (!address) return std::unexpected(address.error());
  std::unique_ptr<Gateway> made(new Gateway);
  if ((*address)->hosts.size() > 1) {
    made->has_found_server_ = choose_host(*cores.front(), *address, settings->database_url);
  }
  made->shared_ = std::make_shared<Shared>(std::move(*address), limits_of(*settings), rewriting);
  made->shared_->follow(std::move(*rules));
  made->shared_->mock_seed = mock_seed();
  tell_executor(*made->shared_);
  if (cache) {
    made->shared_->read_cache = std::make_unique<pipeline::ReadCache>(cache, settings->cache_default_ttl_seconds);
    made->catalogs_ = std::make_unique<Catalogs>(*cores.front(), *made->shared_);
    const auto catalogs = made->catalogs_.get();
    made->shared_->read_cache->use(
        [catalogs](const std::string& database, bool starts) { return catalogs->of(database, starts); },
        !settings->enable_change_stream ? std::function<void(const std::string&)>()
                                        : [catalogs](const std::string& database) { catalogs->follow(database); });
    made->shared_->read_cache->use_letting_go(
        [catalogs](const std::vector<std::string>& databases, const std::string& user, std::function<void()> ended) {
          return catalogs->let_go(databases, user, std::move(ended));
        });
    made->shared_->read_cache->set_bound(settings->cache_bounded_staleness_ms);
    cache->set_tables_of([catalogs, reads = made->shared_->read_cache.get()](std::string_view table) {
      reads->begin_use();  // what changes a table is looked for from now on
      return catalogs->tables_of(table);
    });
  }
  if (cache) {
    made->prover_ =
        std::make_unique<RewriteProver>(*cores.front(), *made->shared_, *made->catalogs_, made->shared_->rewrites);
    made->shared_->rewrites.turn(settings->enable_automatic_query_rewriting && settings->enable_traffic_rewriting);
  }
  const sql::ParseLimits parse_limits{.max_bytes = static_cast<std::size_t>(settings->max_parsed_statement_kb) * 1024};
  for (std::size_t index = 0; index < cores.size(); ++index) {
    made->cores_.push_back(std::make_unique<Core>(*cores[index], *made->shared_, index, monitor, parse_limits));
    made->cores_.back()->pipeline.set_slow_threshold(settings->slow_query_threshold_ms);
  }
  made->jobs_ = std::make_shared<executor::QueryJobs>(
      executor::QueryJobs::Limits(), [gateway = made.get()](std::shared_ptr<executor::QueryJob> job) {
        start_job(*gateway->cores_[gateway->next_core_++ % gateway->cores_.size()], std::move(job));
      });
  made->jobs_->set_most_at_once(jobs_at_once(*settings));
  const auto on_stream = [gateway = made.get()](asio::io_context& io, net::Stream stream) {
    for (const auto& core : gateway->cores_) {
      if (&core->io == &io) return Session::start(*core, std::move(stream));
    }
  };
  auto tcp = net::Listener::open(cores, {settings->listen_host, settings->listen_port}, on_stream);
  if (!tcp) return std::unexpected(tcp.error());
  const std::uint16_t port = (*tcp)->port();
  made->listeners_.push_back(std::move(*tcp));
  if (!settings->unix_socket_dir.empty()) {
    auto local = net::Listener::open(cores, {settings->unix_socket_dir, port}, on_stream);
    if (!local) return std::unexpected(local.error());
    made->listeners_.push_back(std::move(*local));
  }
  made->watch_server();
  for (const auto& core : made->cores_) {
    made->timers_.push_back(std::make_unique<asio::steady_timer>(core->io));
    asio::post(core->io, [gateway = made.get(), core = core.get()] { gateway->tick(*core); });
  }
  return made;
}

Gateway::~Gateway() {
  if (shared_) shared_->pools.address()->breaker->on_change({});
  if (shared_ && shared_->read_cache) shared_->read_cache->manager().set_tables_of({});
}

std::shared_ptr<executor::AdaptiveQueryExecutor> Gateway::executor() const { return shared_->executor; }

std::string Gateway::jobs_go_to() const { return server_of_jobs(settings()->database_url); }

std::optional<bool> Gateway::changes_nothing(std::string_view sql) const {
  // What a backslash means is a setting's to say, which a role or the database may have.
  if (!shared_->read_cache || sql.contains('\\')) return false;
  const auto url = settings()->database_url;
  const auto scope = shared_->read_cache->unshared({.database = url.database, .user = url.user}, true);
  const auto catalog = scope.source->current();
  if (!catalog) return std::nullopt;
  const auto path = pipeline::search_path_of(scope, *catalog);
  return path && pipeline::changes_nothing(*sql::parse(sql), *catalog, *path);
}

pipeline::Rewrites* Gateway::rewrites() const { return prover_ ? &shared_->rewrites : nullptr; }

void Gateway::keep_rewrites(const std::vector<pipeline::RewriteReport>& kept,
                            std::function<void(const std::vector<pipeline::RewriteReport>&)> save) {
  shared_->rewrites.restore(kept);
  save_rewrites_ = std::move(save);
}

pipeline::ReadCache* Gateway::read_cache() const { return shared_->read_cache.get(); }

std::shared_ptr<const config::Settings> Gateway::settings() const { return shared_->rules.load()->settings; }

std::uint16_t Gateway::port() const { return listeners_.front()->port(); }

std::vector<CircuitBreaker::Status> Gateway::breakers() const { return {shared_->pools.address()->breaker->status()}; }

void Gateway::watch_server() {
  const auto breaker = shared_->pools.address()->breaker;
  breaker->on_change([this](bool is_in_reach) { on_server_change(is_in_reach); });
  breaker->turn(settings()->enable_emergency_circuit_breaker);
}

/// On the first core's thread.
void Gateway::look_at_server(asio::io_context& io) {
  const auto breaker = shared_->pools.address()->breaker;
  const bool is_due = breaker->begin_attempt(now_ns());
  const bool is_silent = breaker->is_silent(now_ns()) && attempts_ < breaker->status().config.failure_threshold &&
                         (shared_->pools.counts().waiting > 0 || shared_->executor->figures(now_ns()).oldest_wait > 0);
  // Which of the hosts it is, isn't known before the first.
  const bool is_first = !has_found_server_ && attempts_ == 0 && shared_->pools.address()->hosts.size() > 1;
  if (!is_due && !is_silent && !is_first) return;
  ++attempts_;
  const bool may_open = is_due && !breaker->refuses();
  const auto limit = may_open ? std::chrono::milliseconds(last_attempt_limit) : std::chrono::milliseconds::max();
  asio::co_spawn(io, try_server(&io, shared_, limit, !is_first),
                 [=, this](const std::exception_ptr& error, const Attempt& attempt) {
                   --attempts_;
                   if (attempt.found) go_to(attempt.used, attempt.found);
                   // Else one that is due may be under way, and what this one has found was told.
                   if (is_due) breaker->end_attempt(now_ns(), !error && attempt.has_failed);
                 });
}

/// On the first core's thread. What is known of the server before is worth nothing.
void Gateway::go_to(const std::shared_ptr<const backend::ServerAddress>& before,
                    const std::shared_ptr<const backend::ServerAddress>& address) {
  const std::scoped_lock lock(moving_);
  if (before != shared_->pools.address()) return;  // it is another by now, by settings or by an earlier attempt
  has_found_server_ = true;
  if (before == address) return;
  log::warn("the server is at another host now", {{"host", address->endpoint.host},
                                                  {"port", address->endpoint.port},
                                                  {"before", before->endpoint.host},
                                                  {"port_before", before->endpoint.port}});
  shared_->pools.redirect(address);
  forget_server();
  address->breaker->answered(now_ns(), 0);
}

void Gateway::forget_server() {
  if (!shared_->read_cache) return;
  shared_->read_cache->begin_epoch();
  shared_->read_cache->forget_all();
  catalogs_->read_again();
}

void Gateway::on_server_change(bool is_in_reach) {
  const auto status = shared_->pools.address()->breaker->status();
  // Nobody has looked meanwhile.
  if (is_in_reach && catalogs_) asio::post(cores_.front()->io, [this] { catalogs_->read_again(); });
  if (is_in_reach)
    return log::info("the server is in reach again: the circuit breaker is closed", {{"server", status.name}});
  log::warn("the server can't be reached: the circuit breaker is open",
            {{"server", status.name}, {"reason", status.why}});
  asio::post(cores_.front()->io, [this] {
    if (catalogs_) catalogs_->streams().lose();
    shared_->pools.refuse_waiting();
    shared_->pools.close_idle();  // what is silent isn't worth asking
  });
  for (const auto& core : cores_) {
    asio::post(core->io, [core = core.get()] {
      for (Session* session : core->sessions) session->on_server_out_of_reach();
    });
  }
}

void Gateway::tick(Core& core) {
  core.coarse_now = Clock::now();
  const auto sessions = core.sessions;  // a session may end, and leave the set, when it is told to
  for (Session* session : sessions) session->on_tick(core.coarse_now);
  if (core.given_back >= worth_trimming) {
    core.given_back = 0;
    asio::post(shared_->workers, [] { malloc_trim(0); });
  }
  core.pipeline.publish_counts();
  const auto index = static_cast<std::size_t>(
      std::find_if(cores_.begin(), cores_.end(), [&](const auto& other) { return other.get() == &core; }) -
      cores_.begin());
  if (index == 0) {
    shared_->pools.sweep();
    look_at_server(core.io);
    tell_executor(*shared_);
    shared_->executor->tick(now_ns());
    jobs_->tick(now_ns());
    jobs_->remind_keeper();
    if (catalogs_) catalogs_->tick(core.coarse_now);
    if (save_rewrites_ && shared_->rewrites.take_changed())
      asio::post(shared_->workers, [this] { save_rewrites_(shared_->rewrites.report()); });
    const auto counts = shared_->pools.counts();
    auto& counters = core.counters();
    counters.servers_idle.set(counts.idle);
    counters.servers_active.set(counts.in_use);
    counters.servers_opened.set(counts.opened);
    counters.servers_closed.set(counts.closed);
    counters.servers_moved.set(counts.moved);
    counters.servers_failed.set(counts.failed);
    if (shared_->draining && shared_->clients == 0 && shared_->ending == 0 && jobs_->under_way() == 0 && drained_)
      end_streams(std::exchange(drained_, nullptr));
  }
  timers_[index]->expires_after(tick_interval);
  timers_[index]->async_wait([this, &core](boost::system::error_code error) {
    if (!error) tick(core);
  });
}

Result<> Gateway::reload(std::shared_ptr<const config::Settings> settings) {
  auto rules = rules_of(settings);
  if (!rules) return std::unexpected(rules.error());
  const std::scoped_lock lock(moving_);
  const auto former = shared_->pools.address();
  auto address = server_address(*settings, former);
  if (!address) return std::unexpected(address.error());
  const auto before = shared_->rules.load()->settings;
  const auto way = [](const config::Settings& s) {
    return std::tie(s.server_tls_mode, s.server_tls_ca_file, s.server_connect_timeout_seconds);
  };
  const bool is_other = former->hosts != (*address)->hosts || former->must_be_primary != (*address)->must_be_primary ||
                        way(*before) != way(*settings);
  if (former->hosts != (*address)->hosts || before->database_url.target != settings->database_url.target)
    has_found_server_ = false;
  shared_->follow(std::move(*rules));
  shared_->pools.reconfigure(std::move(*address), is_other, limits_of(*settings));
  // Nobody would try whether an address that isn't used any more is in reach again.
  if (former->breaker != shared_->pools.address()->breaker) {
    former->breaker->on_change({});
    former->breaker->turn(false);
  }
  watch_server();
  jobs_->set_most_at_once(jobs_at_once(*settings));
  if (shared_->read_cache) {
    shared_->rewrites.turn(settings->enable_automatic_query_rewriting && settings->enable_traffic_rewriting);
    shared_->read_cache->set_ttl(settings->cache_default_ttl_seconds);
    shared_->read_cache->set_bound(settings->cache_bounded_staleness_ms);
    if (is_other) forget_server();
  }
  for (const auto& core : cores_) {
    asio::post(core->io, [core = core.get(), threshold = settings->slow_query_threshold_ms] {
      core->pipeline.set_slow_threshold(threshold);
    });
  }
  return {};
}

void Gateway::drain(std::function<void()> done) {
  jobs_->stop(now_ns());  // nobody would wait for them
  for (const auto& listener : listeners_) listener->stop();
  asio::post(cores_.front()->io, [this, done = std::move(done)]() mutable {
    drained_ = std::move(done);
    shared_->draining = true;
    for (const auto& core : cores_) {
      asio::post(core->io, [core = core.get()] {
        const auto sessions = core->sessions;
        for (Session* session : sessions) session->shut_down(false);
      });
    }
  });
}

void Gateway::stop() {
  jobs_->stop(now_ns());
  if (prover_) prover_->stop();
  if (catalogs_) catalogs_->stop();
  for (const auto& listener : listeners_) listener->stop();
  for (const auto& core : cores_) {
    asio::post(core->io, [core = core.get()] {
      const auto sessions = core->sessions;
      for (Session* session : sessions) session->shut_down(true);
    });
  }
  shared_->pools.close();
}

/// Where the server doesn't answer, the end isn't waited for any longer.
void Gateway::end_streams(std::function<void()> then) {
  if (!catalogs_) return then();
  auto& io = cores_.front()->io;
  const auto once = std::make_shared<std::function<void()>>(std::move(then));
  const auto limit = std::make_shared<asio::steady_timer>(io, longest_end_of_streams);
  const auto end = [once, limit] {
    if (const auto call = std::exchange(*once, nullptr)) call();
    limit->cancel();
  };
  limit->async_wait([end](boost::system::error_code error) {
    if (!error) end();
  });
  catalogs_->streams().stop([&io, end] { asio::post(io, end); });
}

std::vector<integration::StreamStatus> Gateway::change_streams() const {
  return catalogs_ ? catalogs_->streams().status() : std::vector<integration::StreamStatus>();
}

backend::Pool::Counts Gateway::servers() const { return shared_->pools.counts(); }

double Gateway::pool_usage() const {
  const std::size_t pools = std::max<std::size_t>(shared_->pools.in_use(), 1);
  const double most = static_cast<double>(pools) * settings()->pool_size;
  constexpr double all = 100;
  return all * static_cast<double>(servers().in_use) / most;
}

asio::awaitable<Result<>> Gateway::probe() {
  asio::io_context* const io = &cores_.front()->io;
  co_return co_await asio::co_spawn(*io, probe_server(io, shared_), asio::use_awaitable);
}

asio::awaitable<Result<optimizer::PlannedQuery>> Gateway::plan(optimizer::PlanRequest request) {
  if (catalogs_ && catalogs_->is_wanted_unused(request.database)) co_return fail("somebody wants the database unused");
  asio::io_context& io = cores_.front()->io;
  auto url = shared_->rules.load()->settings->database_url;
  co_return co_await asio::co_spawn(io, ask_plan(io, shared_->pools, std::move(url), std::move(request)),
                                    asio::use_awaitable);
}

Result<std::shared_ptr<optimizer::WhatIf>> Gateway::what_if(std::string database) {
  asio::io_context& io = cores_.front()->io;
  auto url = shared_->rules.load()->settings->database_url;
  url.database = std::move(database);
  return open_what_if(io, {shared_, &shared_->pools}, url);
}

}  // namespace millrace::gateway
