// runner_probe POOL_SIZE POOL_WAIT_MS [POOL_MODE]
//
// Statements run by run_query on one core, for runner_probe_test.py. The server is DATABASE_URL's, in the environment.
// Reads a JSON object a line, begins with it at once, and prints a JSON object a line:
//   {"run": 1, "sql": ..., "parameters": [...], "timeout": ms, "application": ...,
//    "stop_after": rows, "pause": ms after each batch, "drop_after": ms, "user": ...}
//     {"run": 1, "columns": [[name, type], ...]}
//     {"run": 1, "rows": [[...], ...]} for each batch
//     {"run": 1, "tag": ..., "count": ..., "stopped": ...} or {"run": 1, "sqlstate": ..., "message": ..., ...}
//   {"give_up": 1} as the one who asked for that run
//   {"ask": "counts"}
//     {"queries": ..., "failed": ..., "held": ..., "idle": ..., "in_use": ..., "opened": ...}
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/json.hpp>
#include <charconv>
#include <iostream>
#include <map>
#include <thread>

#include "backend/server_connection.hpp"
#include "config/database_url.hpp"
#include "gateway/query_runner.hpp"

using namespace millrace;
using namespace millrace::gateway;
namespace json = boost::json;
using std::chrono::milliseconds;

namespace {

/// At once: what isn't read holds the core up, as a client that doesn't read holds up nobody but itself would not.
void print(const json::object& line) { std::cout << json::serialize(line) << std::endl; }

json::value value_of(const pgwire::Value& value) {
  return value ? json::value(json::string(*value)) : json::value(nullptr);
}

std::int64_t number(const json::object& from, std::string_view name, std::int64_t otherwise = 0) {
  const auto* found = from.if_contains(name);
  return found != nullptr ? found->as_int64() : otherwise;
}

std::string text(const json::object& from, std::string_view name, std::string_view otherwise = "") {
  const auto* found = from.if_contains(name);
  return std::string(found != nullptr ? std::string_view(found->as_string()) : otherwise);
}

class Printer final : public RowSink {
 public:
  explicit Printer(const json::object& asked)
      : run_(number(asked, "run")), stop_after_(number(asked, "stop_after", -1)), pause_(number(asked, "pause")) {}

  void on_columns(std::span<const pgwire::FieldDescription> columns) override {
    json::array out;
    for (const auto& column : columns) out.push_back(json::array{column.name, column.type_oid});
    print({{"run", run_}, {"columns", std::move(out)}});
  }
  bool on_row(std::span<const pgwire::Value> row) override {
    json::array out;
    for (const auto& value : row) out.push_back(value_of(value));
    rows_.push_back(std::move(out));
    return ++given_ != stop_after_;
  }
  asio::awaitable<void> ready() override {
    flush();
    if (pause_ == milliseconds::zero()) co_return;
    asio::steady_timer timer(co_await asio::this_coro::executor, pause_);
    co_await timer.async_wait(asio::use_awaitable);
  }
  void flush() {
    if (!rows_.empty()) print({{"run", run_}, {"rows", std::exchange(rows_, {})}});
  }

 private:
  const std::int64_t run_, stop_after_;
  const milliseconds pause_;
  std::int64_t given_ = 0;
  json::array rows_;
};

struct Probe {
  Probe(const config::DatabaseUrl& database_url, backend::PoolLimits limits, config::PoolMode mode)
      : url(database_url), shared(address_of(url), limits), core(io, shared, 0, monitor, {}) {
    config::Settings settings;
    settings.database_url = url;
    settings.pool_mode = mode;
    auto rules = std::make_shared<Rules>();
    rules->settings = std::make_shared<const config::Settings>(settings);
    shared.follow(std::move(rules));
    core.pipeline.set_slow_threshold({});
  }

  static std::shared_ptr<const backend::ServerAddress> address_of(const config::DatabaseUrl& url) {
    auto address = std::make_shared<backend::ServerAddress>();
    address->endpoint = {url.host, url.port};
    return address;
  }

  void counts() {
    const auto seen = monitor.snapshot();
    const auto pools = shared.pools.counts();
    print({{"queries", seen.queries()},
           {"failed", seen.failed_queries()},
           {"held", shared.held.now.load()},
           {"idle", pools.idle},
           {"in_use", pools.in_use},
           {"opened", pools.opened}});
  }

  const config::DatabaseUrl url;
  asio::io_context io;
  QueryPerformanceMonitor monitor{1, pipeline::statement_kind_labels()};
  Shared shared;
  Core core;
  std::map<std::int64_t, std::shared_ptr<backend::Pool::Patience>> patience;
};

asio::awaitable<void> run(Probe* probe, json::object asked) {
  const std::int64_t id = number(asked, "run");
  RunRequest request{.user = text(asked, "user", probe->url.user),
                     .database = probe->url.database,
                     .application = text(asked, "application"),
                     .sql = text(asked, "sql"),
                     .timeout = milliseconds(number(asked, "timeout"))};
  if (const auto* parameters = asked.if_contains("parameters")) {
    for (const auto& value : parameters->as_array()) {
      request.parameters.emplace_back();
      if (value.is_string()) request.parameters.back() = std::string(value.as_string());
    }
  }
  const auto pool = probe->shared.pools.get(request.user, request.database);
  if (!probe->url.password.empty()) pool->set_credential(pgwire::PlainPassword{probe->url.password});
  request.patience = std::make_shared<backend::Pool::Patience>();
  probe->patience[id] = request.patience;
  Printer sink(asked);
  std::optional<Result<RunOutcome>> outcome;
  if (const auto drop_after = number(asked, "drop_after"); drop_after > 0) {
    using namespace asio::experimental::awaitable_operators;
    asio::steady_timer timer(probe->io, milliseconds(drop_after));
    auto first = co_await (run_query(probe->core, std::move(request), sink) || timer.async_wait(asio::use_awaitable));
    if (first.index() == 0) outcome = std::get<0>(std::move(first));
  } else {
    outcome = co_await run_query(probe->core, std::move(request), sink);
  }
  probe->patience.erase(id);
  sink.flush();
  if (!outcome) {
    print({{"run", id}, {"dropped", true}});
  } else if (*outcome) {
    const auto& done = **outcome;
    print({{"run", id}, {"tag", done.tag}, {"count", done.rows}, {"stopped", done.stopped}});
  } else {
    const auto& error = outcome->error();
    print({{"run", id},
           {"sqlstate", error.sqlstate},
           {"message", error.message},
           {"hint", error.hint},
           {"detail", error.detail}});
  }
}

void on_line(Probe* probe, const std::string& line) {
  const auto asked = json::parse(line).as_object();
  if (asked.contains("ask")) return probe->counts();
  if (asked.contains("run")) return asio::co_spawn(probe->io, run(probe, asked), asio::detached);
  const auto found = probe->patience.find(number(asked, "give_up"));
  if (found != probe->patience.end() && found->second->give_up) found->second->give_up();
}

/// What runs ends first.
asio::awaitable<void> end(Probe* probe) {
  asio::steady_timer timer(probe->io);
  while (!probe->patience.empty() || probe->shared.pools.counts().in_use > 0) {
    timer.expires_after(milliseconds(10));
    co_await timer.async_wait(asio::use_awaitable);
  }
  probe->shared.pools.close_idle();
  asio::post(probe->io, [probe] { probe->io.stop(); });
}

}  // namespace

int main(int argc, char** argv) {
  const char* const url_text = std::getenv("DATABASE_URL");
  if (argc < 3 || url_text == nullptr) return 2;
  const auto url = config::parse_database_url(url_text);
  if (!url) return 2;
  const backend::PoolLimits limits{.size = std::stoul(argv[1]), .wait = milliseconds(std::stol(argv[2]))};
  const bool session = argc > 3 && std::string_view(argv[3]) == "session";
  Probe probe(*url, limits, session ? config::PoolMode::session : config::PoolMode::transaction);
  const auto more_to_come = asio::make_work_guard(probe.io);
  std::thread core([&probe] { probe.io.run(); });
  for (std::string line; std::getline(std::cin, line);) {
    asio::post(probe.io, [&probe, line] { on_line(&probe, line); });
  }
  asio::co_spawn(probe.io, end(&probe), asio::detached);
  core.join();
  backend::join_slow_logins();
  return 0;
}
