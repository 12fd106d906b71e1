#include "http/analysis_api.hpp"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "base/clock.hpp"
#include "http/analysis_types.hpp"
#include "http/worker.hpp"
#include "optimizer/plan_findings.hpp"
#include "pipeline/explanation.hpp"
#include "pipeline/tables_named.hpp"
#include "sql/statement.hpp"

namespace millrace::http {
namespace {

using Problems = std::vector<ValidationProblem>;

constexpr std::size_t query_bytes = 64 * 1024;
constexpr std::size_t name_bytes = 63;  // PostgreSQL's names are no longer
constexpr std::size_t most_waiting = 16;
// Until a database's catalogs have been read for the first time.
constexpr auto patience = std::chrono::seconds(3);
constexpr auto between_looks = std::chrono::milliseconds(50);

/// What the operation needs.
struct Analysis {
  Analysis(pipeline::ReadCache* read_cache, std::function<Asker()> asker, Planner planner)
      : reads(read_cache), usual(std::move(asker)), plan(std::move(planner)) {}

  pipeline::ReadCache* const reads;
  const std::function<Asker()> usual;
  const Planner plan;
  Worker worker{most_waiting};  ///< texts take up to some milliseconds
};
using Shared = std::shared_ptr<Analysis>;

void check_name(std::string_view field, const std::optional<std::string>& name, Problems& problems) {
  if (!name) return;
  if (name->empty() || name->size() > name_bytes || name->contains('\0')) {
    problems.push_back(
        {{"body", std::string(field)}, fmt::format("must be a name of 1 to {} bytes", name_bytes), "value_error"});
  }
}

Problems problems_of(const QueryToAnalyze& asked) {
  Problems problems;
  if (asked.query.size() > query_bytes) {
    problems.push_back({{"body", "query"}, fmt::format("must have {} bytes at most", query_bytes), "string_too_long"});
  }
  if (asked.database_type.value_or(DatabaseType::postgresql) != DatabaseType::postgresql) {
    problems.push_back({{"body", "database_type"}, "only postgresql is in this version", "value_error"});
  }
  check_name("database", asked.database, problems);
  check_name("user", asked.user, problems);
  return problems;
}

QueryComplexity complexity_of(std::size_t tables) {
  if (tables <= 1) return QueryComplexity::simple;
  if (tables <= 3) return QueryComplexity::moderate;
  return tables <= 6 ? QueryComplexity::complex : QueryComplexity::very_complex;
}

QueryCacheability cacheability_of(pipeline::Explanation said) {
  QueryCacheability cache;
  cache.cacheable = said.refusals.empty();
  cache.cache_key = fmt::format("query:{:016x}", said.fingerprint);
  cache.dependency_tables = std::move(said.reads);
  if (cache.cacheable) {
    cache.level = "memory";
    cache.ttl_seconds = std::chrono::duration<double>(said.ttl).count();
    cache.tags = std::move(said.tags);
  } else {
    auto& refusal = said.refusals.front();
    const auto helps = pipeline::what_helps(refusal.code);
    if (!helps.empty()) cache.what_helps = helps;
    cache.reason = std::move(refusal.code);
    cache.why_not = std::move(refusal.why);
  }
  if (said.payoff) {
    const auto us = [](double ns) { return ns / 1000; };
    cache.payoff = CachePayoff{.origin_us = us(said.payoff->origin_ns),
                               .hit_us = us(said.payoff->hit_ns),
                               .miss_extra_us = us(said.payoff->miss_extra_ns),
                               .hit_ratio = said.payoff->hit_ratio,
                               .break_even = said.payoff->break_even()};
  }
  cache.key_fields = {.database = std::move(said.database),
                      .user = std::move(said.user),
                      .search_path = std::move(said.search_path),
                      .text = std::move(said.text),
                      .consistency = "eventual"};
  return cache;
}

QueryAnalysis analysis_of(pipeline::ReadCache* reads, const pipeline::Scope& scope, std::string_view text,
                          const sql::Statement& statement) {
  const pipeline::Question question{.kind = pipeline::Question::Kind::query, .text = text, .parameters = {}};
  QueryAnalysis analysis;
  analysis.query_hash = fmt::format("{:016x}", statement.fingerprint);
  analysis.statement_kind = sql::name(statement.kind);
  if (statement.references) {
    analysis.tables_accessed = pipeline::tables_named(statement, scope);
    analysis.complexity = complexity_of(analysis.tables_accessed->size());
  }
  analysis.cache =
      cacheability_of(reads == nullptr ? pipeline::explain_without_cache(scope.database, scope.user, text, statement)
                                       : pipeline::explain(*reads, scope, question, statement, {}, {}, now_ns()));
  return analysis;
}

bool can_be_planned(const sql::Statement& statement) {
  using enum sql::StatementKind;
  switch (statement.kind) {
    case select:
    case insert:
    case update:
    case delete_:
    case merge:
      return statement.statements == 1;
    default:
      return false;
  }
}

void add_plan(QueryAnalysis& analysis, const optimizer::PlannedQuery& planned, std::string_view query) {
  auto summary = optimizer::summary_of(planned.plan);
  auto found = optimizer::findings_of(planned.plan, query, planned.tables, planned.work_mem_bytes);
  analysis.estimated_cost = summary.estimated_cost;
  analysis.estimated_rows = static_cast<std::uint64_t>(std::max(0.0, summary.estimated_rows));
  analysis.indexes_used = std::move(summary.index_usage);
  analysis.performance_issues = std::move(found.issues);
  analysis.optimization_suggestions = std::move(found.suggestions);
  auto& missing = analysis.missing_indexes.emplace();
  for (const auto& index : found.missing_indexes) missing.push_back(index.name());
  analysis.plan = QueryPlanSummary{.startup_cost = planned.plan.startup_cost,
                                   .total_cost = planned.plan.total_cost,
                                   .plan_operations = std::move(summary.plan_operations),
                                   .join_operations = std::move(summary.join_operations),
                                   .scan_operations = std::move(summary.scan_operations),
                                   .sort_operations = std::move(summary.sort_operations),
                                   .table_scans = std::move(summary.table_scans)};
}

/// Why there is no plan.
void add_failure(QueryAnalysis& analysis, const Error& error) {
  analysis.warnings.push_back(fmt::format("the server planned nothing, so costs, rows and indexes are null: {}{}",
                                          error.message, error.sqlstate.empty() ? "" : " (" + error.sqlstate + ")"));
}

/// Where the database's catalogs have just begun to be read, it waits for that, a little.
asio::awaitable<void> wait_for_catalog(const pipeline::Scope& scope) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  const auto latest = Clock::now() + patience;
  while (scope.source && !scope.source->current() && Clock::now() < latest) {
    timer.expires_after(between_looks);
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

asio::awaitable<Reply<QueryAnalysis>> analyze(Shared shared, QueryToAnalyze asked) {
  if (const Problems problems = problems_of(asked); !problems.empty()) co_return unprocessable(problems);
  const auto statement = co_await shared->worker.run([&asked] { return sql::parse(asked.query); });
  if (!statement) co_return problem(503, "too many such requests wait already", {{"Retry-After", "1"}});
  if ((*statement)->kind == sql::StatementKind::unparsed) {
    const Problems problems = {{{"body", "query"}, (*statement)->why_unparsed, "value_error"}};
    co_return unprocessable(problems);
  }
  const Asker usual = shared->usual();
  pipeline::Scope scope{
      .wanted = true, .database = asked.database.value_or(usual.database), .user = asked.user.value_or(usual.user)};
  if (shared->reads != nullptr) {
    // Whoever names other databases can't have them all read.
    const bool starts = scope.database == usual.database;
    scope = shared->reads->unshared(std::move(scope), starts);
    if (starts) co_await wait_for_catalog(scope);
  }
  auto analysis =
      co_await shared->worker.run([&] { return analysis_of(shared->reads, scope, asked.query, **statement); });
  if (!analysis) co_return problem(503, "too many such requests wait already", {{"Retry-After", "1"}});
  if (!can_be_planned(**statement)) {
    analysis->warnings.push_back("PostgreSQL plans no statement of this kind: costs, rows and indexes are null");
    co_return *std::move(analysis);
  }
  if (!shared->plan) {
    add_failure(*analysis, Error::because("there is none"));
    co_return *std::move(analysis);
  }
  const auto planned =
      co_await shared->plan({.database = scope.database,
                             .user = scope.user,
                             .search_path = analysis->cache.key_fields.search_path.value_or(std::vector<std::string>()),
                             .query = asked.query});
  if (planned) {
    const auto done = co_await shared->worker.run([&] {
      add_plan(*analysis, *planned, asked.query);
      return true;
    });
    if (!done) co_return problem(503, "too many such requests wait already", {{"Retry-After", "1"}});
  } else {
    add_failure(*analysis, planned.error());
  }
  co_return *std::move(analysis);
}

}  // namespace

void add_analysis(ApiTable& table, pipeline::ReadCache* reads, std::function<Asker()> usual, Planner plan) {
  const auto shared = std::make_shared<Analysis>(reads, std::move(usual), std::move(plan));
  table.add(
      "POST",
      {.path = "/api/v1/optimization/analyze-query",
       .summary = "What a statement is, how the server would run it, and whether its answer may be kept in memory",
       .description =
           "It isn't run. Costs, rows and indexes are the server's estimates (EXPLAIN as the user, parameters "
           "unknown); performance_issues, missing_indexes and optimization_suggestions are what these and the "
           "tables' statistics let expect, nothing of which was measured; all are null where the server gives "
           "no plan, and warnings says why. cache is about a session of the user in the database that asks for "
           "answers from memory and has set nothing else; they are DATABASE_URL's unless they are said. Of "
           "other databases the catalogs are known once a client there has asked for answers from memory. "
           "complexity goes by the number of tables and views that the statement names: one or none, up to 3, "
           "up to 6, more.",
       .also_at = {"/api/v1/optimization/optimization/analyze-query"},
       .problems = {{503, "Too many such requests wait"}}},
      [shared](Body<QueryToAnalyze> body) { return analyze(shared, std::move(body.value)); });
}

}  // namespace millrace::http
