#include "http/analysis_api.hpp"

#include <algorithm>
#include <utility>

#include "base/clock.hpp"
#include "http/analysis_types.hpp"
#include "optimizer/plan_findings.hpp"
#include "pipeline/explanation.hpp"
#include "pipeline/tables_named.hpp"

namespace millrace::http {
namespace {

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

void add_plan(QueryAnalysis& analysis, const optimizer::PlannedQuery& planned, std::string_view query) {
  auto summary = optimizer::summary_of(planned.plan);
  auto found = optimizer::findings_of(planned.plan, query, planned.tables, planned.settings.work_mem_bytes);
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

asio::awaitable<Reply<QueryAnalysis>> analyze(std::shared_ptr<QueryAnalysts> shared, QueryToAnalyze asked) {
  const bool is_for_postgresql = asked.database_type.value_or(DatabaseType::postgresql) == DatabaseType::postgresql;
  const auto problems = problems_of_query(asked.query, is_for_postgresql, asked.database, asked.user);
  if (!problems.empty()) co_return unprocessable(problems);
  const auto understood = co_await understand(shared, asked.query, asked.database, asked.user);
  if (!understood) co_return too_busy();
  if (!*understood) co_return unprocessable(understood->error());
  const auto& [statement, scope] = **understood;
  auto analysis =
      co_await shared->worker.run([&] { return analysis_of(shared->reads, scope, asked.query, *statement); });
  if (!analysis) co_return too_busy();
  const auto add_time = [&] {
    say_time(*analysis, shared->times.of(statement->fingerprint, analysis->estimated_cost, now_ns()));
    return true;
  };
  if (!can_be_planned(*statement)) {
    if (!co_await shared->worker.run(add_time)) analysis->warnings.emplace_back(too_busy_for_times);
    analysis->warnings.push_back("PostgreSQL plans no statement of this kind: costs, rows and indexes are null");
    co_return *std::move(analysis);
  }
  const auto planned = co_await plan_of(shared, scope, analysis->cache.key_fields.search_path, asked.query);
  const auto done = co_await shared->worker.run([&] {
    if (planned) add_plan(*analysis, *planned, asked.query);
    return add_time();
  });
  if (!done && planned) co_return too_busy();
  if (!done) analysis->warnings.emplace_back(too_busy_for_times);
  if (!planned) analysis->warnings.push_back(why_no_plan(planned.error()));
  co_return *std::move(analysis);
}

}  // namespace

void add_analysis(ApiTable& table, const std::shared_ptr<QueryAnalysts>& shared) {
  table.add(
      "POST",
      {.path = "/api/v1/optimization/analyze-query",
       .summary = "What a statement is, how the server would run it, and whether its answer may be kept in memory",
       .description =
           "It isn't run. Costs, rows and indexes are the server's estimates (EXPLAIN as the user, parameters "
           "unknown); performance_issues, missing_indexes and optimization_suggestions are what these and the "
           "tables' statistics let expect, nothing of which was measured; all are null where the server gives "
           "no plan, and warnings says why. execution_time_estimate_ms goes by the statement's own calls, or, if there "
           "are none, by what other statements have taken for their costs; confidence_score is the part of these that "
           "was within a factor of two. cache is about a session of the user in the database that asks for "
           "answers from memory and has set nothing else; they are DATABASE_URL's unless they are said. Of "
           "other databases the catalogs are known once a client there has asked for answers from memory. "
           "complexity goes by the number of tables and views that the statement names: one or none, up to 3, "
           "up to 6, more.",
       .also_at = {"/api/v1/optimization/optimization/analyze-query"},
       .problems = {{503, "Too many such requests wait"}}},
      [shared](Body<QueryToAnalyze> body) { return analyze(shared, std::move(body.value)); });
}

}  // namespace millrace::http
