#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/relay_test.hpp"

/// What the tests of turns and limits share: an executor with one slot, and a client who asks at times of its own.
namespace millrace::gateway {

constexpr std::int64_t ms = 1'000'000, second = 1000 * ms;

/// One query may run at a time.
struct Turns {
  World world;
  executor::TemplateTimes times;
  std::shared_ptr<executor::AdaptiveQueryExecutor> executor = std::make_shared<executor::AdaptiveQueryExecutor>(
      executor::AdaptiveQueryExecutor::Limits{.most = 1, .finds_best = false, .most_waiting = 10, .wait = {}});
  std::shared_ptr<executor::Party> eve = executor->party("eve", "");
  executor::Permit others = {};  ///< the only slot, while somebody else has it

  void take() { others = executor->try_take(*eve, nullptr, 1); }
  std::size_t running() const { return executor->figures(1).running; }
};

struct Asker {
  explicit Asker(Turns& turns, Mode mode = Mode::transaction, std::shared_ptr<Places> places = {})
      : relay(turns.world.pipeline, turns.world.texts,
              {.mode = mode,
               .user = "ada",
               .database = "crawl",
               .executor = turns.executor,
               .places = std::move(places),
               .times = &turns.times,
               .query_timeout = std::chrono::seconds(300)}) {
    relay.settings().parameters = Server().parameters;
  }

  Relay::FromClient says(std::string_view bytes) { return relay.from_client(bytes_of(bytes), now += ms); }
  std::string hears(std::string_view bytes) { return string_of(relay.from_server(bytes_of(bytes), now += ms).forward); }
  void asks(std::string_view sql, std::string_view tag, char status = 'I') {
    const std::string message = wire::query(sql);
    const auto step = says(message);
    EXPECT_EQ(step.used, message.size()) << sql;
    EXPECT_EQ(step.next, Relay::Next::more) << sql;
    hears(wire::complete(tag) + wire::ready(status));
  }

  Relay relay;
  std::int64_t now = second;
};

}  // namespace millrace::gateway
