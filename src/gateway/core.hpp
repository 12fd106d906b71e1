#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <random>
#include <string>
#include <unordered_set>
#include <vector>

#include "backend/pool.hpp"
#include "base/clock.hpp"
#include "base/published.hpp"
#include "config/settings.hpp"
#include "executor/adaptive_query_executor.hpp"
#include "executor/retries.hpp"
#include "executor/template_times.hpp"
#include "gateway/cancel_keys.hpp"
#include "gateway/cancel_turns.hpp"
#include "gateway/client_input.hpp"
#include "gateway/database_users.hpp"
#include "gateway/prepared_texts.hpp"
#include "gateway/secrets.hpp"
#include "net/tls.hpp"
#include "pipeline/pipeline.hpp"
#include "pipeline/read_cache.hpp"
#include "pipeline/rewrites.hpp"
#include "sql/parse_pool.hpp"

namespace millrace::gateway {

namespace asio = boost::asio;

class Session;

/// What a reload replaces as a whole. A client keeps what it logged in with.
struct Rules {
  std::shared_ptr<const config::Settings> settings;
  std::shared_ptr<Secrets> secrets;
  std::shared_ptr<const net::TlsContext> tls;  ///< null: no TLS for clients
};

/// What all cores share. Each member is thread-safe by itself.
struct Shared {
  Shared(std::shared_ptr<const backend::ServerAddress> address, backend::PoolLimits limits,
         pipeline::RewriteLimits rewriting = {})
      : pools(std::move(address), limits, [to = executor] { to->look_again(now_ns()); }), rewrites(rewriting) {}

  void follow(std::shared_ptr<const Rules> latest) {
    held.most = static_cast<std::size_t>(latest->settings->max_held_messages_mb) << 20;
    rules.store(std::move(latest));
  }

  Published<Rules> rules;
  /// Shared by who holds a slot, and may be the last to go.
  const std::shared_ptr<executor::AdaptiveQueryExecutor> executor =
      std::make_shared<executor::AdaptiveQueryExecutor>(executor::AdaptiveQueryExecutor::Limits());
  backend::Pools pools;
  DatabaseUsers database_users;
  CancelKeys cancel_keys;
  PreparedTexts prepared_texts;
  sql::ParsePool parse_pool;
  boost::asio::thread_pool workers{1};  ///< for what takes a millisecond of CPU, such as deriving a SCRAM verifier
  std::atomic<std::size_t> clients = 0;
  std::atomic<std::size_t> ending = 0;    ///< their client is gone, and what it left half done is being ended
  std::atomic<std::size_t> starting = 0;  ///< connections whose start-up packet hasn't come; not in `clients`
  HeldBytes held;
  std::unique_ptr<pipeline::ReadCache> read_cache;  ///< null: nothing is answered from memory
  pipeline::Rewrites rewrites;                      ///< off without `read_cache`
  std::atomic<bool> draining = false;
  std::atomic<bool> sequences_asked = false;  ///< some client has used currval() or lastval(): they must tell the truth
  std::string mock_seed;  ///< of the answers to users that don't exist; secret, and the same after a restart
};

/// One I/O thread: its sessions and its pipeline. Everything in it belongs to that thread.
struct Core {
  Core(asio::io_context& context, Shared& common, std::size_t index, QueryPerformanceMonitor& monitor,
       sql::ParseLimits limits)
      : io(context),
        shared(common),
        pipeline(index, monitor, limits, common.read_cache.get(), &common.rewrites),
        cancel_turns(context) {}

  asio::io_context& io;
  Shared& shared;
  pipeline::Pipeline pipeline;
  CancelTurns cancel_turns;
  executor::TemplateTimes times;
  executor::RetryBudget retries;
  std::minstd_rand random{std::random_device()()};
  std::unordered_set<Session*> sessions;
  TimePoint coarse_now = Clock::now();  ///< of the last tick: for limits in seconds
  std::size_t given_back = 0;           ///< bytes that clients no longer need, and that the C library may still keep

  WireCounters& counters() { return pipeline.counters(); }
};

}  // namespace millrace::gateway
