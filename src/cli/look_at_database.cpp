#include "cli/look_at_database.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "gateway/find_server.hpp"
#include "gateway/server_address.hpp"

namespace millrace::cli {
namespace {

namespace asio = boost::asio;
using backend::ServerConnection;

/// A server with very many tables takes seconds.
constexpr auto patience = std::chrono::seconds(60);

using Connection = std::shared_ptr<ServerConnection>;
using Opened = std::expected<Connection, backend::LoginError>;

asio::awaitable<Opened> open(asio::io_context* io, std::shared_ptr<const backend::ServerAddress> address,
                             const config::DatabaseUrl* url, bool replication) {
  backend::ParameterList startup{{"user", url->user}, {"database", url->database}, {"application_name", "millrace"}};
  if (!replication) startup.emplace_back("client_encoding", "UTF8");
  if (replication) startup.emplace_back("replication", "database");
  backend::LoginRequest login;
  login.startup = std::make_shared<const backend::ParameterList>(std::move(startup));
  if (!url->password.empty()) login.credential = pgwire::PlainPassword{url->password};
  auto opened = co_await ServerConnection::open(*io, std::move(address), std::move(login));
  if (opened) (*opened)->start_reading();
  co_return opened;
}

/// All in one transaction, so that no pooler in between gives a part of it to another connection, and none of it could
/// write.
asio::awaitable<Result<integration::Seen>> read(Connection connection) {
  const auto begun =
      co_await connection->query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", {}, patience);
  if (!begun) co_return std::unexpected(begun.error());
  std::vector<std::vector<integration::ServerRow>> answers;
  for (auto* const sql : {&integration::facts_sql, &integration::rights_sql, &integration::isolation_sql,
                          &integration::table_counts_sql, &integration::table_problems_sql}) {
    auto rows = co_await connection->query(sql(), {}, patience);
    if (!rows) co_return std::unexpected(rows.error());
    answers.push_back(*std::move(rows));
  }
  co_await connection->query("COMMIT", {}, patience);
  auto facts = integration::read_facts(answers[0]);
  if (!facts) co_return std::unexpected(facts.error());
  const auto tables = integration::read_table_counts(answers[3]);
  if (!tables) co_return std::unexpected(tables.error());
  co_return integration::Seen{.server = *std::move(facts),
                              .publications = integration::read_rights(answers[1]),
                              .isolation = integration::read_isolation(answers[2]),
                              .tables = *tables,
                              .problems = integration::read_table_problems(answers[4])};
}

asio::awaitable<Result<integration::Seen>> look(asio::io_context* io,
                                                std::shared_ptr<const backend::ServerAddress> address,
                                                const config::DatabaseUrl* url) {
  if (address->hosts.size() > 1) {
    auto found = co_await gateway::find_server(io, address, *url);
    if (!found) co_return std::unexpected(found.error().error);
    address = *std::move(found);
  }
  const auto connection = co_await open(io, address, url, false);
  if (!connection) co_return std::unexpected(connection.error().error);
  auto seen = co_await read(*connection);
  (*connection)->close();
  if (!seen) co_return seen;
  const auto& server = seen->server;
  // Where no sender is free the attempt would say the same in other words.
  if (server.may_replicate && server.senders < server.most_senders) {
    const auto replication = co_await open(io, address, url, true);
    if (replication) (*replication)->close();
    seen->replication_refused = replication ? std::string() : replication.error().error.message;
  }
  co_return seen;
}

}  // namespace

Result<integration::Seen> look_at_database(const config::Settings& settings) {
  const auto address = gateway::server_address(settings);
  if (!address) return std::unexpected(address.error());
  asio::io_context io(1);
  std::optional<Result<integration::Seen>> seen;
  asio::co_spawn(io, look(&io, *address, &settings.database_url),
                 [&](const std::exception_ptr&, Result<integration::Seen> got) {
                   seen = std::move(got);
                   io.stop();
                 });
  io.run();
  backend::join_slow_logins();
  return seen ? *std::move(seen) : fail("the database could not be asked");
}

}  // namespace millrace::cli
