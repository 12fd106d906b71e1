#include "gateway/what_if.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <map>

#include "base/own_lock_timeout.hpp"
#include "gateway/what_if_sql.hpp"
#include "gateway/what_if_values.hpp"
#include "optimizer/identifier.hpp"

namespace millrace::gateway {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using backend::ServerConnection;
using optimizer::IndexCandidate;
using optimizer::IndexFacts;
using optimizer::PlanNode;
using optimizer::StatementToPlan;
using Row = ServerConnection::Row;
using Rows = std::vector<Row>;

constexpr auto patience = std::chrono::seconds(4);

// The settings by which PostgreSQL reads a text as it was read here.
const std::string begin_sql = fmt::format(
    "SET default_transaction_read_only = on; SET standard_conforming_strings = on; SET client_encoding = 'UTF8'; "
    "SET lock_timeout = '{}'; SET statement_timeout = '2s'; SET jit = off",
    own_lock_timeout);

double number(const std::optional<std::string>& text) {
  double value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

bool truth(const std::optional<std::string>& text) { return text == "t"; }

std::string text(const std::optional<std::string>& value) { return value.value_or(""); }

std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out.append(c == '\'' ? 2 : 1, c);
  return out += "'";
}

/// What HypoPG is shown in an index's place.
std::string stand_in(const IndexCandidate& index) {
  auto whole = index;
  whole.where.clear();
  if (!index.where.empty()) whole.columns.insert(whole.columns.begin(), index.where_column);
  return "CREATE INDEX ON " + whole.name();
}

std::vector<std::string> texts(const std::optional<std::string>& array) {
  std::vector<std::string> all;
  boost::system::error_code error;
  const auto parsed = json::parse(array.value_or("[]"), error);
  if (error || !parsed.is_array()) return all;
  for (const auto& each : parsed.get_array()) all.emplace_back(each.is_string() ? each.get_string() : json::string());
  return all;
}

class Session final : public optimizer::WhatIf {
 public:
  Session(asio::io_context& io, backend::Pool::Connection server) : io_(io), server_(std::move(server)) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() override {
    asio::post(io_, [server = server_] { server->close(); });
  }

  /// On the thread of `io`.
  asio::awaitable<Result<>> begin() {
    if (const auto begun = co_await server_->query(begin_sql, {}, patience); !begun)
      co_return std::unexpected(begun.error());
    const auto found = co_await server_->query(std::string(what_if_sql::hypopg), {}, patience);
    if (!found) co_return std::unexpected(found.error());
    if (found->empty()) co_return Result<>();
    schema_ = optimizer::quoted_identifier(text(found->front()[0]));
    // It may be there and not be this user's to use, or its library may be gone.
    const auto works = co_await server_->query(fmt::format("SELECT {}.hypopg_reset()", schema_), {}, patience);
    if (!works) schema_.clear();
    co_return Result<>();
  }

  bool measures() const override { return !schema_.empty(); }

  Result<IndexFacts> facts(std::span<const std::pair<std::string, std::string>> widths_of) override {
    IndexFacts facts;
    const auto settings = ask(std::string(what_if_sql::settings));
    if (!settings) return std::unexpected(settings.error());
    if (!settings->empty()) {
      const auto& row = settings->front();
      facts.settings = {.seq_page_cost = number(row[0]),
                        .random_page_cost = number(row[1]),
                        .cpu_tuple_cost = number(row[2]),
                        .cpu_index_tuple_cost = number(row[3]),
                        .cpu_operator_cost = number(row[4])};
      facts.counted_seconds = number(row[5]);
    }
    const auto tables = ask(fmt::format("{}{}", what_if_sql::tables, what_if_sql::of_users));
    if (!tables) return std::unexpected(tables.error());
    for (const auto& row : *tables) {
      facts.tables.push_back({.schema = text(row[0]),
                              .name = text(row[1]),
                              .rows = number(row[2]),
                              .pages = number(row[3]),
                              .bytes = number(row[4]),
                              .inserts = number(row[5]),
                              .updates = number(row[6]),
                              .hot_updates = number(row[7]),
                              .scans = number(row[8])});
    }
    const auto indexes = ask(fmt::format("{}{}ORDER BY 1, 2, 3", what_if_sql::indexes, what_if_sql::of_users));
    if (!indexes) return std::unexpected(indexes.error());
    for (const auto& row : *indexes) facts.indexes.push_back(index_of(row));
    json::array asked;
    for (const auto& [schema, name] : widths_of) asked.push_back(json::object{{"schema", schema}, {"name", name}});
    const auto widths = ask(std::string(what_if_sql::widths), {json::serialize(asked)});
    if (!widths) return std::unexpected(widths.error());
    for (const auto& row : *widths)
      facts.widths.push_back({.schema = text(row[0]),
                              .table = text(row[1]),
                              .column = optimizer::quoted_identifier(text(row[2])),
                              .bytes = number(row[3])});
    return facts;
  }

  Result<PlanNode> plan(const StatementToPlan& statement, std::span<const IndexCandidate> with) override {
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

  Result<double> bytes_of(const IndexCandidate& index) override {
    const auto rows =
        ask(fmt::format("SELECT {0}.hypopg_reset(); SELECT {0}.hypopg_relation_size(indexrelid) FROM "
                        "{0}.hypopg_create_index({1})",
                        schema_, in_quotes(stand_in(index))));
    if (!rows) return std::unexpected(rows.error());
    return rows->empty() ? 0.0 : number(rows->back()[0]);
  }

 private:
  static optimizer::ExistingIndex index_of(const Row& row) {
    auto keys = texts(row[4]);
    const auto count = std::min(static_cast<std::size_t>(number(row[5])), keys.size());
    std::vector<std::string> include(keys.begin() + static_cast<std::ptrdiff_t>(count), keys.end());
    keys.resize(count);
    return {.schema = text(row[0]),
            .table = text(row[1]),
            .name = text(row[2]),
            .method = text(row[3]),
            .keys = std::move(keys),
            .include = std::move(include),
            .where = text(row[6]),
            .unique = truth(row[7]),
            .needed = truth(row[8]),
            .valid = truth(row[9]),
            .in_work = truth(row[10]),
            .bytes = number(row[11]),
            .scans = number(row[12])};
  }

  Result<Rows> ask(std::string sql, std::vector<std::string> parameters = {}) {
    auto done = asio::co_spawn(io_, server_->query(std::move(sql), std::move(parameters), patience), asio::use_future);
    return done.get();
  }

  static std::string generic(const std::string& name, std::size_t parameters) {
    std::string nulls = parameters == 0 ? "" : "(NULL";
    for (std::size_t i = 1; i < parameters; ++i) nulls += ", NULL";
    return fmt::format(
        "SET plan_cache_mode = force_generic_plan; DISCARD PLANS; EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {}{}", name,
        parameters == 0 ? "" : nulls + ")");
  }

  /// What asks for its plan; with the values, if they are all known.
  Result<std::string> prepare(const std::string& name, const StatementToPlan& statement) {
    if (const auto done = ask(fmt::format("PREPARE {} AS {}", name, statement.text)); !done)
      return std::unexpected(done.error());
    const auto types =
        ask(fmt::format("SELECT coalesce(pg_catalog.json_agg(t.oid::pg_catalog.text ORDER BY t.place), '[]') "
                        "FROM pg_catalog.pg_prepared_statements AS p, pg_catalog.unnest("
                        "p.parameter_types::pg_catalog.oid[]) WITH ORDINALITY AS t(oid, place) "
                        "WHERE p.name = '{}'",
                        name));
    if (!types) return std::unexpected(types.error());
    const auto oids = types->empty() ? std::vector<std::string>() : texts(types->front()[0]);
    parameters_[statement.number] = oids.size();
    std::vector<std::string> values;
    for (std::size_t i = 0; i < oids.size() && oids.size() == statement.parameters.size(); ++i) {
      auto value = literal_of(statement.parameters[i], static_cast<catalog::Oid>(number(oids[i])));
      if (!value) break;
      values.push_back(*std::move(value));
    }
    if (oids.empty() || values.size() != oids.size()) return generic(name, oids.size());
    return fmt::format("SET plan_cache_mode = force_custom_plan; EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {}({})", name,
                       fmt::join(values, ", "));
  }

  Result<PlanNode> explain(const std::string& execute, std::span<const IndexCandidate> with) {
    std::string sql;
    if (measures()) {
      sql = fmt::format("SELECT {}.hypopg_reset(); ", schema_);
      for (const auto& index : with)
        sql += fmt::format("SELECT FROM {}.hypopg_create_index({}); ", schema_, in_quotes(stand_in(index)));
    }
    const auto rows = ask(sql + execute);
    if (!rows) return std::unexpected(rows.error());
    if (rows->empty() || rows->back().empty()) return fail("the server answered no plan");
    return optimizer::read_plan(text(rows->back()[0]));
  }

  asio::io_context& io_;
  const backend::Pool::Connection server_;
  std::string schema_;                           ///< HypoPG's; "": it isn't there
  std::map<std::size_t, std::string> prepared_;  ///< what asks for the plan, by the statement's number
  std::map<std::size_t, std::size_t> parameters_;
};

}  // namespace

asio::awaitable<Result<std::shared_ptr<optimizer::WhatIf>>> open_what_if(asio::io_context& io, backend::Pools& pools,
                                                                         config::DatabaseUrl url) {
  const auto pool = pools.get(url.user, url.database, backend::Pools::Purpose::own);
  pgwire::ServerCredential credential;
  if (!url.password.empty()) credential = pgwire::PlainPassword{url.password};
  const auto startup = pool->intern({{"user", url.user}, {"database", url.database}, {"application_name", "millrace"}});
  const auto opened = co_await pool->open_apart(io, startup, std::move(credential));
  if (!opened) co_return std::unexpected(opened.error().error);
  (*opened)->start_reading();
  const auto session = std::make_shared<Session>(io, *opened);
  if (auto begun = co_await session->begin(); !begun) co_return std::unexpected(std::move(begun).error());
  co_return session;
}

}  // namespace millrace::gateway
