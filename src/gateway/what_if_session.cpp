#include "gateway/what_if_session.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>

#include "base/in_quotes.hpp"
#include "base/own_lock_timeout.hpp"
#include "gateway/what_if_sql.hpp"
#include "gateway/what_if_values.hpp"
#include "optimizer/identifier.hpp"

namespace millrace::gateway {
namespace {

namespace asio = boost::asio;
using backend::ServerConnection;
using optimizer::IndexCandidate;
using optimizer::PlanNode;
using optimizer::StatementToPlan;

constexpr auto patience = std::chrono::seconds(4);

// The settings by which PostgreSQL reads a text as it was read here.
const std::string begin_sql = fmt::format(
    "BEGIN READ ONLY; SET LOCAL standard_conforming_strings = on; SET LOCAL client_encoding = 'UTF8'; "
    "SET LOCAL lock_timeout = '{}'; SET LOCAL statement_timeout = '2s'; SET LOCAL jit = off; ",
    own_lock_timeout);

asio::awaitable<Result<WhatIfSession::Rows>> in_transaction(std::shared_ptr<ServerConnection> server, std::string begin,
                                                            std::string sql, std::vector<std::string> parameters) {
  if (const auto begun = co_await server->query(std::move(begin), {}, patience); !begun)
    co_return std::unexpected(begun.error());
  auto rows = co_await server->query(std::move(sql), std::move(parameters), patience);
  if (const auto ended = co_await server->query("ROLLBACK", {}, patience); !ended && rows)
    co_return std::unexpected(ended.error());
  co_return rows;
}

asio::awaitable<std::expected<backend::Pool::Connection, backend::LoginError>> log_in(
    asio::io_context& io, std::shared_ptr<backend::Pool> pool, pgwire::ServerCredential credential) {
  auto startup =
      pool->intern({{"user", pool->user()}, {"database", pool->database()}, {"application_name", "millrace"}});
  auto opened = co_await pool->open_apart(io, std::move(startup), std::move(credential));
  if (opened) (*opened)->start_reading();
  co_return opened;
}

/// What HypoPG is shown in an index's place. With its type, so that no other function of that name is called.
std::string stand_in(const IndexCandidate& index) {
  auto whole = index;
  whole.where.clear();
  if (!index.where.empty()) whole.columns.insert(whole.columns.begin(), index.where_column);
  return in_quotes("CREATE INDEX ON " + whole.name(), '\'') + "::pg_catalog.text";
}

std::string generic(const std::string& name, std::size_t parameters) {
  std::string nulls = parameters == 0 ? "" : "(NULL";
  for (std::size_t i = 1; i < parameters; ++i) nulls += ", NULL";
  return fmt::format(
      "SET LOCAL plan_cache_mode = force_generic_plan; DISCARD PLANS; EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {}{}",
      name, parameters == 0 ? "" : nulls + ")");
}

}  // namespace

Result<std::unique_ptr<WhatIfSession>> WhatIfSession::open(asio::io_context& io,
                                                           const std::shared_ptr<backend::Pool>& pool,
                                                           pgwire::ServerCredential credential) {
  auto opened = asio::co_spawn(io, log_in(io, pool, std::move(credential)), asio::use_future).get();
  if (!opened) return std::unexpected(std::move(opened).error().error);
  auto session = std::make_unique<WhatIfSession>(io, *std::move(opened));
  if (auto found = session->look_for_hypopg(); !found) return std::unexpected(std::move(found).error());
  return session;
}

WhatIfSession::WhatIfSession(asio::io_context& io, backend::Pool::Connection server)
    : io_(io), server_(std::move(server)) {}

WhatIfSession::~WhatIfSession() {
  asio::post(io_, [server = server_] { server->close(); });
}

Result<> WhatIfSession::look_for_hypopg() {
  const auto found = ask_catalog(std::string(what_if_sql::hypopg));
  if (!found) return std::unexpected(found.error());
  if (found->empty()) return {};
  schema_ = optimizer::quoted_identifier(found->front()[0].value_or(""));
  // It may be there and not be this user's to use, or its library may be gone.
  if (!ask_catalog(fmt::format("SELECT {}.hypopg_reset()", schema_))) schema_.clear();
  return {};
}

Result<WhatIfSession::Rows> WhatIfSession::ask(std::string settings, std::string sql,
                                               std::vector<std::string> parameters) {
  auto question = in_transaction(server_, begin_sql + settings, std::move(sql), std::move(parameters));
  return asio::co_spawn(io_, std::move(question), asio::use_future).get();
}

Result<WhatIfSession::Rows> WhatIfSession::ask_catalog(std::string sql, std::vector<std::string> parameters) {
  return ask("SET LOCAL search_path = pg_catalog", std::move(sql), std::move(parameters));
}

Result<PlanNode> WhatIfSession::plan(const StatementToPlan& statement, std::span<const IndexCandidate> with) {
  const auto name = fmt::format("millrace_{}", statement.number);
  auto& execute = prepared_[statement.number];
  if (execute.empty()) {
    auto prepared = prepare(name, statement);
    if (!prepared) return std::unexpected(std::move(prepared).error());
    execute = *std::move(prepared);
  }
  auto planned = explain(execute, with);
  const bool by_values = execute.contains("force_custom_plan");
  if (!planned && by_values) {  // the values may not be what the types want
    execute = generic(name, parameters_[statement.number]);
    planned = explain(execute, with);
  }
  return planned;
}

Result<double> WhatIfSession::bytes_of(const IndexCandidate& index) {
  const auto rows = ask("", fmt::format("SELECT {0}.hypopg_reset(); SELECT {0}.hypopg_relation_size(indexrelid) FROM "
                                        "{0}.hypopg_create_index({1})",
                                        schema_, stand_in(index)));
  if (!rows) return std::unexpected(rows.error());
  return rows->empty() ? 0.0 : what_if_sql::number(rows->back()[0]);
}

/// What asks for its plan; with the values, if they are all known.
Result<std::string> WhatIfSession::prepare(const std::string& name, const StatementToPlan& statement) {
  if (const auto done = ask("", fmt::format("PREPARE {} AS {}", name, statement.text)); !done)
    return std::unexpected(done.error());
  const auto types =
      ask_catalog(fmt::format("SELECT coalesce(pg_catalog.json_agg(t.oid::pg_catalog.text ORDER BY t.place), '[]') "
                              "FROM pg_catalog.pg_prepared_statements AS p, pg_catalog.unnest("
                              "p.parameter_types::pg_catalog.oid[]) WITH ORDINALITY AS t(oid, place) "
                              "WHERE p.name = '{}'",
                              name));
  if (!types) return std::unexpected(types.error());
  const auto oids = types->empty() ? std::vector<std::string>() : what_if_sql::texts(types->front()[0]);
  parameters_[statement.number] = oids.size();
  std::vector<std::string> values;
  for (std::size_t i = 0; i < oids.size() && oids.size() == statement.parameters.size(); ++i) {
    auto value = literal_of(statement.parameters[i], static_cast<catalog::Oid>(what_if_sql::number(oids[i])));
    if (!value) break;
    values.push_back(*std::move(value));
  }
  if (oids.empty() || values.size() != oids.size()) return generic(name, oids.size());
  return fmt::format("SET LOCAL plan_cache_mode = force_custom_plan; EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {}({})",
                     name, fmt::join(values, ", "));
}

Result<PlanNode> WhatIfSession::explain(const std::string& execute, std::span<const IndexCandidate> with) {
  std::string sql;
  if (measures()) {
    sql = fmt::format("SELECT {}.hypopg_reset(); ", schema_);
    for (const auto& index : with)
      sql += fmt::format("SELECT FROM {}.hypopg_create_index({}); ", schema_, stand_in(index));
  }
  const auto rows = ask("", sql + execute);
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty() || rows->back().empty()) return fail("the server answered no plan");
  return optimizer::read_plan(rows->back()[0].value_or(""));
}

}  // namespace millrace::gateway
