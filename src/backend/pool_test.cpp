#include "backend/pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <boost/asio/co_spawn.hpp>
#include <thread>

namespace millrace::backend {
namespace {

using std::chrono::milliseconds;

/// No server is needed: a pool of size 0 opens nothing.
std::shared_ptr<Pool> pool_of(PoolLimits limits) {
  return std::make_shared<Pool>("user", "database", std::make_shared<const ServerAddress>(), limits);
}

// Found by ThreadSanitizer: a client in the queue read the limits while a reload changed them.
TEST(Pool, TakesNewLimitsWhileClientsWait) {
  const auto pool = pool_of({.size = 0, .wait = milliseconds(1)});
  std::vector<std::string> refusals;
  asio::io_context core;
  asio::co_spawn(
      core,
      [](std::shared_ptr<Pool> from, asio::io_context* io, std::vector<std::string>* told) -> asio::awaitable<void> {
        const auto startup = from->intern({{"user", "user"}});
        for (int i = 0; i < 50; ++i) told->push_back((co_await from->take(*io, startup, {})).error().error.sqlstate);
      }(pool, &core, &refusals),
      asio::detached);
  std::thread reloads([&] {
    for (int i = 0; i < 1000; ++i) {
      pool->set_limits({.size = 0, .wait = milliseconds(1 + i % 2)});
      std::this_thread::yield();
    }
  });
  core.run();
  reloads.join();
  EXPECT_EQ(refusals, std::vector<std::string>(50, "53300"));
}

// What tries again by itself, such as the proof of a rewrite, tells by the SQLSTATE that this passes.
TEST(Pool, RefusesAsAServerDoesThatIsNotReady) {
  const auto address = std::make_shared<ServerAddress>();
  address->breaker = std::make_shared<CircuitBreaker>("db:5432");
  const auto pool = std::make_shared<Pool>("user", "database", address, PoolLimits{});
  for (int i = 0; i < 5; ++i) address->breaker->failed(1, "refused");
  ASSERT_TRUE(address->breaker->begin_attempt(1));
  address->breaker->end_attempt(1, true);
  asio::io_context core;
  std::optional<LoginError> told;
  asio::co_spawn(
      core,
      [](std::shared_ptr<Pool> from, asio::io_context* io, std::optional<LoginError>* why) -> asio::awaitable<void> {
        const auto taken = co_await from->take(*io, from->intern({{"user", "user"}}), {});
        if (!taken) *why = taken.error();
      }(pool, &core, &told),
      asio::detached);
  core.run();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->error.sqlstate, "57P03");
  EXPECT_TRUE(told->unavailable);
}

// Who came just as the breaker opened, and had seen it closed, waited for ever: once in some thousand rounds.
TEST(Pool, RefusesWhoComesWhileTheBreakerOpens) {
  for (int round = 0; round < 2000; ++round) {
    ServerAddress address;
    const auto breaker = address.breaker = std::make_shared<CircuitBreaker>("db:5432");
    const auto pool = std::make_shared<Pool>("user", "database", std::make_shared<const ServerAddress>(address),
                                             PoolLimits{.size = 0, .wait = std::chrono::seconds(20)});
    for (int i = 0; i < 5; ++i) breaker->failed(1, "refused");
    ASSERT_TRUE(breaker->begin_attempt(1));
    std::string refusal;
    std::barrier both(2);
    asio::io_context core;
    asio::co_spawn(
        core,
        [](std::shared_ptr<Pool> from, asio::io_context* io, std::barrier<>* begin, int later,
           std::string* told) -> asio::awaitable<void> {
          const auto startup = from->intern({{"user", "user"}});
          begin->arrive_and_wait();
          for (std::atomic<int> spun = 0; spun < later; ++spun) {
          }
          *told = (co_await from->take(*io, startup, {})).error().error.sqlstate;
        }(pool, &core, &both, round % 200, &refusal),
        asio::detached);
    std::thread opens([&] {
      both.arrive_and_wait();
      breaker->end_attempt(1, true);
      pool->refuse_waiting();
    });
    core.run();
    opens.join();
    ASSERT_EQ(refusal, "57P03");
  }
}

// Of two log-ins at the same time, the one with the old password may be the last to end.
TEST(Pool, KeepsTheCredentialThatIsRightAtTheLaterTime) {
  const auto pool = pool_of({});
  const TimePoint now = Clock::now();
  const auto password = [&] { return std::get<pgwire::PlainPassword>(pool->credential()).text; };
  pool->set_credential(pgwire::PlainPassword{"old"}, now);
  pool->set_credential(pgwire::PlainPassword{"new"}, now + milliseconds(2));
  pool->set_credential(pgwire::PlainPassword{"old"}, now + milliseconds(1));
  EXPECT_EQ(password(), "new");
  pool->set_credential(pgwire::PlainPassword{"newer"}, now + milliseconds(3));
  EXPECT_EQ(password(), "newer");
}

}  // namespace
}  // namespace millrace::backend
