// catalog_probe POLL_MS
//
// A Catalog of DATABASE_URL's database (in the environment), for catalog_probe_test.py. Reads a JSON object a line and
// answers each with one:
//   {"tell": "ddl" | "hold" | "release"}
//   {"ask": "confirm"}
//   {"delay": ms} from now on between the server's answer and the catalog
//   {"ask": "state"}: version (0: nothing is known), changed (calls of the hook), written (names), readings, polls, and
//   what the last took
//   {"ask": "relation", "schema": ..., "name": ...}: null, or all of it
//   {"ask": "functions" | "operators" | "types" | "defaults" | "schema", "name": ...}
//   {"ask": "unsafe_casts"}
//   {"ask": "changed_with" | "read_with", "schema": ..., "name": ...}: names
//   {"ask": "resolve", "name": ..., "path": [...]}: its schema
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/json.hpp>
#include <charconv>
#include <iostream>
#include <thread>

#include "base/clock.hpp"
#include "catalog/catalog.hpp"
#include "config/database_url.hpp"

using namespace millrace;
using namespace millrace::catalog;
namespace asio = boost::asio;
namespace json = boost::json;
using std::chrono::milliseconds;

namespace {

struct Probe {
  config::DatabaseUrl url;
  asio::io_context io;
  asio::thread_pool workers{1};
  std::shared_ptr<backend::ServerConnection> connection;
  std::shared_ptr<Catalog> catalog;
  std::shared_ptr<const void> held;
  std::atomic<int> changed = 0;
  std::vector<std::string> written = {};
  int readings = 0, polls = 0;
  milliseconds delay{0};
  std::int64_t query_ms = 0;
};

asio::awaitable<Result<std::vector<Row>>> ask(Probe* probe, std::string sql) {
  const bool reading = sql.contains("'relation'");
  if (sql.contains("'fingerprint'")) ++(reading ? probe->readings : probe->polls);
  if (!probe->connection || !probe->connection->is_open()) {
    auto address = std::make_shared<backend::ServerAddress>();
    address->endpoint = {probe->url.host, probe->url.port};
    backend::LoginRequest login;
    login.startup = std::make_shared<const backend::ParameterList>(
        backend::ParameterList{{"user", probe->url.user}, {"database", probe->url.database}});
    if (!probe->url.password.empty()) login.credential = pgwire::PlainPassword{probe->url.password};
    auto opened = co_await backend::ServerConnection::open(probe->io, address, login);
    if (!opened) co_return std::unexpected(opened.error().error);
    probe->connection = *opened;
    probe->connection->start_reading();
  }
  const auto began = now_ns();
  auto rows = co_await probe->connection->query(std::move(sql), {}, std::chrono::seconds(60));
  if (reading) probe->query_ms = (now_ns() - began) / 1'000'000;
  if (probe->delay > milliseconds::zero()) {
    asio::steady_timer timer(probe->io, probe->delay);
    co_await timer.async_wait(asio::use_awaitable);
  }
  co_return rows;
}

template <typename Range>
json::array texts(const Range& range) {
  json::array all;
  for (const auto& each : range) all.push_back(json::value_from(each));
  return all;
}

json::array names(const std::vector<sql::Name>& from) {
  json::array all;
  for (const auto& name : from) all.push_back(json::array{name.schema, name.name});
  return all;
}

json::array names(const Snapshot& snapshot, const std::vector<Oid>& oids) {
  json::array all;
  for (const Oid oid : oids) {
    const auto* relation = snapshot.find(oid);
    all.push_back(relation != nullptr ? json::value(json::string(relation->name)) : json::value(oid));
  }
  return all;
}

json::value definition_of(const Relation& relation) {
  if (relation.definition == nullptr) return nullptr;
  return json::object{{"not_known", relation.definition->not_known},
                      {"reads", names(relation.definition->reads)},
                      {"functions", names(relation.definition->functions)}};
}

json::value describe(const Snapshot& snapshot, const Relation* relation) {
  if (relation == nullptr) return nullptr;
  json::array columns;
  json::array collations;
  for (const auto& column : relation->columns) {
    columns.push_back(json::array{column.name, column.type, column.not_null});
    collations.push_back(column.collation);
  }
  return json::object{{"kind", std::string(1, relation->kind)},
                      {"persistence", std::string(1, relation->persistence)},
                      {"row_security", relation->row_security},
                      {"rules", relation->has_rules},
                      {"triggers", relation->has_triggers},
                      {"replica_identity", std::string(1, relation->replica_identity)},
                      {"columns", columns},
                      {"collations", collations},
                      {"keys", texts(relation->keys)},
                      {"parents", names(snapshot, relation->parents)},
                      {"children", names(snapshot, relation->children)},
                      {"cascades", names(snapshot, relation->cascades)},
                      {"definition", definition_of(*relation)}};
}

json::value describe(const Functions* functions) {
  if (functions == nullptr) return nullptr;
  return json::object{{"volatility", std::string(1, functions->volatility)},
                      {"built_in", functions->built_in},
                      {"all_immutable_or_built_in", functions->all_immutable_or_built_in},
                      {"of_rows", functions->of_rows},
                      {"apart", functions->apart}};
}

json::value describe(std::span<const Type> types) {
  json::array all;
  for (const auto& type : types) {
    all.push_back(json::object{{"schema", type.schema},
                               {"kind", std::string(1, type.kind)},
                               {"category", std::string(1, type.category)},
                               {"element", type.element},
                               {"oid", type.oid},
                               {"built_in", type.built_in}});
  }
  return all;
}

json::value describe(const std::optional<Defaults>& defaults) {
  if (!defaults) return nullptr;
  return json::array{defaults->search_path, defaults->isolation};
}

std::string text(const json::object& from, std::string_view name) {
  const auto* found = from.if_contains(name);
  return found != nullptr ? std::string(found->as_string()) : "";
}

json::value state(const Probe& probe) {
  const auto snapshot = probe.catalog->current();
  return json::object{{"version", snapshot != nullptr ? snapshot->version : 0},
                      {"server_version", snapshot != nullptr ? snapshot->server_version : ""},
                      {"relations", snapshot != nullptr ? snapshot->relations().size() : 0},
                      {"changed", probe.changed.load()},
                      {"written", texts(probe.written)},
                      {"readings", probe.readings},
                      {"polls", probe.polls},
                      {"query_ms", probe.query_ms}};
}

json::value answer(const Snapshot& snapshot, const json::object& line) {
  const auto what = text(line, "ask");
  const auto name = text(line, "name");
  if (what == "functions") return describe(snapshot.functions(name));
  if (what == "operators") return describe(snapshot.operators(name));
  if (what == "types") return describe(snapshot.types(name));
  if (what == "defaults") return describe(snapshot.defaults(name));
  if (what == "schema") return snapshot.has_schema(name);
  if (what == "unsafe_casts") return snapshot.has_unsafe_casts;
  if (what == "resolve") {
    const auto path = json::value_to<std::vector<std::string>>(line.at("path"));
    const auto* relation = snapshot.resolve({"", name}, path);
    return relation != nullptr ? json::value(json::string(relation->schema)) : json::value(nullptr);
  }
  const auto* relation = snapshot.find(text(line, "schema"), name);
  if (what == "relation" || relation == nullptr) return describe(snapshot, relation);
  if (what == "read_with") return names(snapshot, snapshot.read_with(relation->oid));
  const auto changed = snapshot.changed_with(relation->oid);
  return changed ? json::value(names(snapshot, *changed)) : json::value(nullptr);
}

json::value on_line(Probe& probe, const json::object& line) {
  if (const auto* delay = line.if_contains("delay")) {
    probe.delay = milliseconds(delay->as_int64());
    return true;
  }
  const auto told = text(line, "tell");
  if (told == "ddl") probe.catalog->ddl_passed();
  if (told == "hold") probe.held = probe.catalog->hold();
  if (told == "release") probe.held.reset();
  if (!told.empty()) return true;
  if (text(line, "ask") == "state") return state(probe);
  const auto snapshot = probe.catalog->current();
  return snapshot != nullptr ? answer(*snapshot, line) : json::value("unknown");
}

asio::awaitable<void> respond(Probe* probe, json::object line) {
  const bool confirms = text(line, "ask") == "confirm";
  const auto said = confirms ? json::value(co_await probe->catalog->confirm()) : on_line(*probe, line);
  std::cout << json::serialize(said) << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  const char* const url_text = std::getenv("DATABASE_URL");
  if (argc < 2 || url_text == nullptr) return 2;
  const auto url = config::parse_database_url(url_text);
  if (!url) return 2;
  Probe probe;
  probe.url = *url;
  const Pace pace{.poll = milliseconds(std::stol(argv[1])), .settle = milliseconds(20), .rest = 1};
  const auto more_to_come = asio::make_work_guard(probe.io);
  probe.catalog = Catalog::start(
      probe.io, probe.workers.get_executor(),
      [&probe](std::string sql, const std::vector<std::string>&) { return ask(&probe, std::move(sql)); },
      [&probe] { ++probe.changed; },
      [&probe](std::span<const Oid> relations, const Snapshot& known) {
        for (const Oid oid : relations)
          probe.written.push_back(known.find(oid) == nullptr ? "?" : known.find(oid)->name);
      },
      url->database, pace);
  std::thread core([&probe] { probe.io.run(); });
  for (std::string line; std::getline(std::cin, line);) {
    asio::co_spawn(probe.io, respond(&probe, json::parse(line).as_object()), asio::detached);
  }
  probe.catalog->stop();
  probe.workers.join();
  asio::post(probe.io, [&probe] {
    if (probe.connection) probe.connection->close();
    probe.io.stop();
  });
  core.join();
  backend::join_slow_logins();
  return 0;
}
