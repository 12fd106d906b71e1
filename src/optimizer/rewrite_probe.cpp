// rewrite_probe
//
// For the tests of the optimizer and bench/rewrites: reads the catalogs of DATABASE_URL's database (in the environment)
// once, and then a JSON object a line, which it answers with one:
//   {"sql": ..., "level": 3, "time_zone": "UTC", "search_path": ["public"], "pushdown": true, "join": true,
//   "budget_ms": 500}
//   {"text": ..., "steps": [{"rule", "before", "after", "by_cost"}], "near_misses": [{"rule", "missing"}],
//    "not_rewritten": ..., "out_of_time": ..., "ns": ...}, or {"error": ..., "detail": ...}
// `ns` is what the last of "times" rewrites of it took. {"rules": true} is answered with the rules' names. {"print":
// sql} with the statement as the printer says it. It reads the catalogs again when it is told {"reload": true}.
#include <pthread.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json.hpp>
#include <iostream>

#include "backend/server_connection.hpp"
#include "base/clock.hpp"
#include "catalog/catalog_sql.hpp"
#include "catalog/read_snapshot.hpp"
#include "config/database_url.hpp"
#include "optimizer/rewriter.hpp"
#include "optimizer/tree.hpp"

using namespace millrace;
namespace asio = boost::asio;
namespace json = boost::json;

namespace {

asio::awaitable<std::shared_ptr<const catalog::Snapshot>> read(asio::io_context* io, const config::DatabaseUrl* url) {
  auto address = std::make_shared<backend::ServerAddress>();
  address->endpoint = {url->host, url->port};
  backend::LoginRequest login;
  login.startup = std::make_shared<const backend::ParameterList>(
      backend::ParameterList{{"user", url->user}, {"database", url->database}});
  if (!url->password.empty()) login.credential = pgwire::PlainPassword{url->password};
  auto opened = co_await backend::ServerConnection::open(*io, address, login);
  if (!opened) co_return nullptr;
  const auto& connection = *opened;
  connection->start_reading();
  auto rows = co_await connection->query(catalog::read_sql(), {}, std::chrono::seconds(60));
  if (const auto views = rows ? catalog::views_in(*rows) : std::vector<catalog::Oid>{}; !views.empty()) {
    const auto definitions = co_await connection->query(catalog::views_sql(views), {}, std::chrono::seconds(60));
    if (definitions) rows->insert(rows->end(), definitions->begin(), definitions->end());
  }
  connection->close();
  auto reading = catalog::read_snapshot(rows, 1);
  co_return reading ? reading->snapshot : nullptr;
}

std::shared_ptr<const catalog::Snapshot> read_now(const config::DatabaseUrl& url) {
  asio::io_context io;
  std::shared_ptr<const catalog::Snapshot> snapshot;
  asio::co_spawn(io, read(&io, &url), [&](const std::exception_ptr&, std::shared_ptr<const catalog::Snapshot> found) {
    snapshot = std::move(found);
    io.stop();
  });
  io.run();
  return snapshot;
}

template <typename T>
T field(const json::object& line, std::string_view name, T instead) {
  const auto* found = line.if_contains(name);
  return found != nullptr ? json::value_to<T>(*found) : instead;
}

json::object answer(const catalog::Snapshot& snapshot, const json::object& line) {
  optimizer::Session session;
  session.time_zone = field<std::string>(line, "time_zone", "");
  session.search_path = field(line, "search_path", session.search_path);
  optimizer::Options options;
  options.level = field(line, "level", options.level);
  options.predicate_pushdown = field(line, "pushdown", true);
  options.join_optimization = field(line, "join", true);
  options.budget = std::chrono::milliseconds(field<std::int64_t>(line, "budget_ms", 500));
  const auto sql = field<std::string>(line, "sql", "");
  std::int64_t took = 0;
  for (int times = field(line, "times", 1);; --times) {
    const auto began = now_ns();
    const auto rewritten = optimizer::rewrite(sql, snapshot, session, options);
    took = now_ns() - began;
    if (times > 1) continue;
    if (!rewritten) return {{"error", rewritten.error().message}, {"detail", rewritten.error().detail}};
    json::array steps, misses;
    for (const auto& step : rewritten->steps)
      steps.push_back(
          json::object{{"rule", step.rule}, {"before", step.before}, {"after", step.after}, {"by_cost", step.by_cost}});
    for (const auto& miss : rewritten->near_misses)
      misses.push_back(json::object{{"rule", miss.rule}, {"missing", miss.missing}});
    return {{"text", rewritten->text},
            {"steps", steps},
            {"near_misses", misses},
            {"not_rewritten", rewritten->not_rewritten},
            {"out_of_time", rewritten->out_of_time},
            {"ns", took}};
  }
}

void* serve(void* data) {
  const auto& url = *static_cast<const config::DatabaseUrl*>(data);
  auto snapshot = read_now(url);
  for (std::string text; snapshot != nullptr && std::getline(std::cin, text);) {
    const auto line = json::parse(text).as_object();
    if (line.contains("reload")) {
      snapshot = read_now(url);
      std::cout << "true" << std::endl;
    } else if (line.contains("rules")) {
      json::array names;
      for (const auto name : optimizer::rule_names()) names.emplace_back(json::string(name));
      std::cout << json::serialize(names) << std::endl;
    } else if (const auto* print = line.if_contains("print")) {
      const auto tree = optimizer::Tree::parse(json::value_to<std::string>(*print));
      const auto printed = tree ? (*tree)->text() : std::nullopt;
      std::cout << json::serialize(json::value(json::string(printed.value_or("")))) << std::endl;
    } else {
      std::cout << json::serialize(answer(*snapshot, line)) << std::endl;
    }
  }
  return nullptr;
}

}  // namespace

int main() {
  const char* const url_text = std::getenv("DATABASE_URL");
  auto url = url_text != nullptr ? config::parse_database_url(url_text) : config::parse_database_url("");
  if (!url) return 2;
  // As much stack as the threads have that parse long texts.
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, std::size_t{512} * 1024 * 1024);
  pthread_t thread{};
  if (pthread_create(&thread, &attributes, serve, &*url) != 0) return 1;
  pthread_join(thread, nullptr);
  return 0;
}
