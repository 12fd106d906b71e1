#include "gateway/ask_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "base/in_quotes.hpp"
#include "base/own_lock_timeout.hpp"
#include "gateway/own_query.hpp"

namespace millrace::gateway {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using backend::ServerConnection;
using optimizer::PlannedQuery;
using optimizer::PlanRequest;
using Rows = std::vector<ServerConnection::Row>;

constexpr auto longest_planning = std::chrono::seconds(2);
constexpr auto patience = std::chrono::seconds(4);

constexpr std::string_view prepared = "millrace_plan";

// The settings by which PostgreSQL reads the text as it was read here.
const std::string begin_sql = fmt::format(
    "BEGIN READ ONLY; SET LOCAL standard_conforming_strings = on; SET LOCAL client_encoding = 'UTF8'; "
    "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL lock_timeout = '{}'; SET LOCAL statement_timeout = "
    "'{}s'",
    own_lock_timeout, longest_planning.count());

constexpr std::string_view parameters_sql =
    "SELECT pg_catalog.cardinality(parameter_types) FROM pg_catalog.pg_prepared_statements WHERE name = ";

constexpr std::string_view settings_sql =
    "SELECT current_setting('seq_page_cost'), current_setting('random_page_cost'), current_setting('cpu_tuple_cost'), "
    "current_setting('cpu_index_tuple_cost'), current_setting('cpu_operator_cost'), "
    "pg_size_bytes(current_setting('work_mem'))";

/// A row for each column of each index of the tables in $1; one at least for each table.
constexpr std::string_view facts_sql =
    "SELECT w.schema, w.name, c.reltuples, i.indexrelid, coalesce(a.attname, ''), c.relpages "
    "FROM json_to_recordset($1::json) AS w(schema text, name text) "
    "JOIN pg_namespace AS n ON n.nspname = w.schema "
    "JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name "
    "LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL "
    "LEFT JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) ON k.place <= i.indnkeyatts "
    "LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum AND k.attnum > 0 "
    "ORDER BY 1, 2, 4, k.place";

double number(const std::optional<std::string>& text) {
  double value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

std::string begin(const PlanRequest& request, std::string_view logged_in) {
  std::string sql(begin_sql);
  if (request.user != logged_in) sql += "; SET LOCAL ROLE " + in_quotes(request.user, '"');
  for (std::string_view before = "; SET LOCAL search_path = "; const auto& schema : request.search_path) {
    sql.append(before).append(in_quotes(schema, '"'));
    before = ", ";
  }
  return sql;
}

std::string explain(std::size_t parameters) {
  std::string sql = fmt::format("EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {}", prepared);
  for (std::size_t i = 0; i < parameters; ++i) sql += i == 0 ? "(NULL" : ", NULL";
  return parameters == 0 ? sql : sql + ")";
}

std::string tables_of(const optimizer::PlanNode& plan) {
  json::array tables;
  optimizer::walk(plan, [&](const optimizer::PlanNode& node, const optimizer::PlanNode*) {
    json::value table = json::object{{"schema", node.schema}, {"name", node.relation}};
    if (!node.relation.empty() && std::ranges::find(tables, table) == tables.end()) tables.push_back(std::move(table));
  });
  return json::serialize(tables);
}

void add_facts(PlannedQuery& answer, const Rows& rows) {
  const std::optional<std::string>* last_index = nullptr;
  for (const auto& row : rows) {
    const auto &schema = row[0].value_or(""), &name = row[1].value_or("");
    auto& tables = answer.tables;
    if (tables.empty() || tables.back().schema != schema || tables.back().name != name) {
      tables.push_back(
          {.schema = schema, .name = name, .rows = number(row[2]), .pages = number(row[5]), .indexes = {}});
      last_index = nullptr;
    }
    if (!row[3]) continue;
    auto& indexes = tables.back().indexes;
    if (last_index == nullptr || *last_index != row[3]) indexes.emplace_back();
    indexes.back().push_back(row[4].value_or(""));
    last_index = &row[3];
  }
}

asio::awaitable<Result<PlannedQuery>> ask(ServerConnection& server, PlanRequest request, std::string logged_in) {
  if (const auto begun = co_await server.query(begin(request, logged_in), {}, patience); !begun)
    co_return std::unexpected(begun.error());
  const auto prepare = fmt::format("PREPARE {} AS {}", prepared, request.query);
  if (const auto done = co_await server.query(prepare, {}, patience); !done) co_return std::unexpected(done.error());
  const auto parameters = co_await server.query(std::string(parameters_sql) + in_quotes(prepared, '\''), {}, patience);
  if (!parameters) co_return std::unexpected(parameters.error());
  const auto count = parameters->empty() ? 0 : static_cast<std::size_t>(number(parameters->front()[0]));
  const auto explained = co_await server.query(explain(count), {}, patience);
  if (!explained) co_return std::unexpected(explained.error());
  auto plan = optimizer::read_plan(explained->empty() ? "" : explained->front()[0].value_or(""));
  if (!plan) co_return std::unexpected(std::move(plan).error());
  PlannedQuery answer{.plan = *std::move(plan)};
  if (const auto done = co_await server.query("SET LOCAL ROLE NONE; SET LOCAL search_path = pg_catalog", {}, patience);
      !done)
    co_return std::unexpected(done.error());
  const auto settings = co_await server.query(std::string(settings_sql), {}, patience);
  if (!settings || settings->empty())
    co_return std::unexpected(settings ? Error::because("no settings") : settings.error());
  const auto& row = settings->front();
  answer.settings = {.seq_page_cost = number(row[0]),
                     .random_page_cost = number(row[1]),
                     .cpu_tuple_cost = number(row[2]),
                     .cpu_index_tuple_cost = number(row[3]),
                     .cpu_operator_cost = number(row[4]),
                     .work_mem_bytes = number(row[5])};
  const auto facts = co_await server.query(std::string(facts_sql), {tables_of(answer.plan)}, patience);
  if (!facts) co_return std::unexpected(facts.error());
  add_facts(answer, *facts);
  co_return answer;
}

asio::awaitable<Result<PlannedQuery>> ask_as(asio::io_context& io, backend::Pools& pools, const std::string& user,
                                             pgwire::ServerCredential credential, bool is_kept, PlanRequest request) {
  const auto pool = pools.get(user, request.database, backend::Pools::Purpose::own);
  if (!std::holds_alternative<std::monostate>(credential)) pool->set_credential(std::move(credential));
  const auto startup = pool->intern({{"user", user}, {"database", request.database}, {"application_name", "millrace"}});
  const auto taken = co_await pool->take(io, startup, {});
  if (!taken) co_return std::unexpected(taken.error().error);
  auto answer = co_await ask(**taken, std::move(request), user);
  // Nothing of it stays.
  const bool is_clean = is_kept && co_await (*taken)->query("ROLLBACK", {}, patience) &&
                        co_await (*taken)->query("DEALLOCATE ALL", {}, patience);
  if (!is_clean) (*taken)->close();
  pool->give_back(*taken);
  co_return answer;
}

}  // namespace

asio::awaitable<Result<PlannedQuery>> ask_plan(asio::io_context& io, backend::Pools& pools, config::DatabaseUrl url,
                                               PlanRequest request) {
  if (request.user != url.user) {
    // Not kept open: it counts for the user's CONNECTION LIMIT, and each user would have one.
    if (request.only_by_its_log_in && !pools.has_room(request.user, request.database))
      co_return fail("its user's connections are all in use");
    if (auto credential = pools.clients_credential(request.user, request.database)) {
      const std::string user = request.user;
      co_return co_await ask_as(io, pools, user, *std::move(credential), false, std::move(request));
    }
    if (request.only_by_its_log_in)
      co_return fail(fmt::format("no client has logged in as \"{}\" lately", request.user), "28000");
  }
  co_return co_await ask_as(io, pools, url.user, credential_of(url), true, std::move(request));
}

}  // namespace millrace::gateway
