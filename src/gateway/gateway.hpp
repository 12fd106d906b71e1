#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/pool.hpp"
#include "base/circuit_breaker.hpp"
#include "cache/intelligent_cache_manager.hpp"
#include "config/settings.hpp"
#include "executor/adaptive_query_executor.hpp"
#include "executor/query_jobs.hpp"
#include "integration/stream_status.hpp"
#include "monitor/query_performance_monitor.hpp"
#include "net/listener.hpp"
#include "optimizer/planned_query.hpp"
#include "optimizer/what_if.hpp"
#include "pipeline/read_cache.hpp"
#include "pipeline/rewrites.hpp"

namespace millrace::gateway {

class Catalogs;
class RewriteProver;
struct Core;
struct Shared;

namespace asio = boost::asio;

/// The wire port: accepts PostgreSQL clients and relays them to the server. All functions are thread-safe but for the
/// destructor, which runs when the io_contexts have stopped.
class Gateway {
 public:
  /// `cores`: an io_context a thread. `cache`: null: nothing is answered from memory, nor rewritten. Errors: the port
  /// can't be bound, a certificate or the user file can't be read.
  static Result<std::unique_ptr<Gateway>> start(std::vector<asio::io_context*> cores,
                                                std::shared_ptr<const config::Settings> settings,
                                                QueryPerformanceMonitor& monitor,
                                                std::shared_ptr<cache::IntelligentCacheManager> cache,
                                                pipeline::RewriteLimits rewriting = {});
  ~Gateway();

  std::uint16_t port() const;

  /// New clients get the new settings; pools get their new limits. On an error nothing has changed.
  Result<> reload(std::shared_ptr<const config::Settings> settings);

  /// Accepts no more, ends clients as they have nothing under way; `done` is called once, on any thread, when the last
  /// is gone.
  void drain(std::function<void()> done);
  /// Ends all clients now.
  void stop();

  backend::Pool::Counts servers() const;
  /// Of all server connections that there may be, how many are used, 0 to 100. Thread-safe.
  double pool_usage() const;
  /// One for each database whose answers are kept.
  std::vector<integration::StreamStatus> change_streams() const;
  /// As of the last reload.
  std::shared_ptr<const config::Settings> settings() const;
  std::shared_ptr<executor::AdaptiveQueryExecutor> executor() const;
  /// Of the servers that queries are for.
  std::vector<CircuitBreaker::Status> breakers() const;
  /// Queries that run as DATABASE_URL's user, for whoever schedules them. `drain` and `stop` end them.
  std::shared_ptr<executor::QueryJobs> jobs() const { return jobs_; }
  /// The server and database that they go to at present, and as whom. Thread-safe.
  std::string jobs_go_to() const;
  /// `pipeline::changes_nothing` of a job's statement. Null: the catalogs aren't known yet; they are read then. Parses;
  /// not for an I/O thread. Thread-safe.
  std::optional<bool> changes_nothing(std::string_view sql) const;
  /// What decides which answers are kept; lives as long as this. Null: none are.
  pipeline::ReadCache* read_cache() const;
  /// What is rewritten on the wire, and on what evidence; lives as long as this. Null: nothing can be.
  pipeline::Rewrites* rewrites() const;
  /// Before the first client. `save` is called with what is to be kept over a restart, on a thread of its own.
  void keep_rewrites(const std::vector<pipeline::RewriteReport>& kept,
                     std::function<void(const std::vector<pipeline::RewriteReport>&)> save);

  /// Whether the server can be reached and logged in to as DATABASE_URL's user. May be awaited on any io_context.
  asio::awaitable<Result<>> probe();
  /// How the server would run a query: `ask_plan`. May be awaited on any io_context.
  asio::awaitable<Result<optimizer::PlannedQuery>> plan(optimizer::PlanRequest request);
  /// See `open_what_if`: it blocks, and is for a thread that isn't a core's.
  Result<std::shared_ptr<optimizer::WhatIf>> what_if(std::string database);

 private:
  Gateway() = default;
  void tick(Core& core);
  void end_streams(std::function<void()> then);
  void watch_server();
  void look_at_server(asio::io_context& io);
  void on_server_change(bool is_in_reach);
  void go_to(const std::shared_ptr<const backend::ServerAddress>& before,
             const std::shared_ptr<const backend::ServerAddress>& address);
  void forget_server();

  std::shared_ptr<Shared> shared_;
  std::unique_ptr<Catalogs> catalogs_;
  std::unique_ptr<RewriteProver> prover_;  ///< null: there is no cache
  std::function<void(const std::vector<pipeline::RewriteReport>&)> save_rewrites_;
  std::size_t attempts_ = 0;                    ///< of its own to connect, that are under way; the first core's
  std::atomic<bool> has_found_server_ = false;  ///< at one of its hosts
  std::mutex moving_;                           ///< to another address
  std::vector<std::unique_ptr<Core>> cores_;
  std::shared_ptr<executor::QueryJobs> jobs_;
  std::atomic<std::size_t> next_core_ = 0;  ///< that a job runs on
  std::vector<std::unique_ptr<net::Listener>> listeners_;
  std::vector<std::unique_ptr<asio::steady_timer>> timers_;
  std::function<void()> drained_;
};

}  // namespace millrace::gateway
