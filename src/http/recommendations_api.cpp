#include "http/recommendations_api.hpp"

#include <utility>

#include "base/clock.hpp"
#include "http/recommendations_report.hpp"
#include "pipeline/judgements.hpp"

namespace millrace::http {
namespace {

constexpr std::size_t most_waiting = 8;
constexpr std::size_t name_bytes = 63, table_bytes = 2 * name_bytes + 1;
constexpr std::uint32_t most_budget_mb = 100'000'000;

using Outcome = Result<KnownRecommendations::Answer>;
using Key = KnownRecommendations::Key;

struct Operations {
  Operations(std::shared_ptr<QueryAnalysts> asked, std::shared_ptr<const QueryPerformanceMonitor> recorded,
             WhatIfOpener opener, std::shared_ptr<KnownRecommendations> last)
      : analysts(std::move(asked)), monitor(std::move(recorded)), open(std::move(opener)), known(std::move(last)) {}

  const std::shared_ptr<QueryAnalysts> analysts;
  const std::shared_ptr<const QueryPerformanceMonitor> monitor;
  const WhatIfOpener open;
  const std::shared_ptr<KnownRecommendations> known;
  Worker worker{most_waiting};  ///< one at a time: each takes seconds, and asks the server for hundreds of plans
};
using Shared = std::shared_ptr<Operations>;

std::vector<ValidationProblem> problems_of(const RecommendationsQuery& asked) {
  std::vector<ValidationProblem> problems;
  const auto check = [&](std::string field, const std::optional<std::string>& name, std::size_t bytes) {
    if (name && (name->empty() || name->size() > bytes || name->contains('\0')))
      problems.push_back(
          {{"query", std::move(field)}, fmt::format("must be a name of 1 to {} bytes", bytes), "value_error"});
  };
  check("table_name", asked.table_name, table_bytes);
  check("database", asked.database, name_bytes);
  if (asked.budget_mb.value_or(0) > most_budget_mb)
    problems.push_back({{"query", "budget_mb"}, fmt::format("must be {} or less", most_budget_mb), "less_than_equal"});
  return problems;
}

Outcome advised(const Operations& shared, optimizer::WhatIf& server, const catalog::Snapshot& snapshot,
                std::vector<std::string> search_path, const Key& key) {
  const auto begun = Clock::now();
  auto recorded = recorded_workload(*shared.monitor, key.first);
  if (recorded.statements.empty())
    return fail("no query of database " + key.first +
                " has reached PostgreSQL yet, as far as was recorded: there is nothing to advise by");
  optimizer::AdviceRequest request{.workload = std::move(recorded.statements),
                                   .seconds = recorded.seconds,
                                   .session = {.search_path = std::move(search_path), .time_zone = ""}};
  if (key.second) request.budget_bytes = static_cast<double>(*key.second) * (1 << 20);
  const auto advice = optimizer::advise(request, snapshot, server);
  if (!advice) return std::unexpected(advice.error());
  auto answer = std::make_shared<RecommendationsAnswer>(recommendations_of(*advice));
  answer->basis.database = key.first;
  answer->basis.window_seconds = recorded.seconds;
  answer->basis.advisor_seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  answer->basis.made_at = std::chrono::system_clock::now();
  return answer;
}

/// What is about a table of this name, with or without its schema.
RecommendationsAnswer about(const RecommendationsAnswer& all, const std::optional<std::string>& table) {
  auto answer = all;
  if (table) {
    std::erase_if(answer.recommendations, [&](const OptimizationRecommendation& one) {
      return one.table_name != *table && !one.table_name.ends_with("." + *table);
    });
  }
  return answer;
}

Response unavailable(const std::string& why) { return problem(503, why); }

asio::awaitable<Reply<RecommendationsAnswer>> recommend(Shared shared, RecommendationsQuery asked) {
  if (const auto problems = problems_of(asked); !problems.empty()) co_return unprocessable(problems);
  if (shared->monitor->history() == nullptr) {
    co_return unavailable(
        "no query is recorded: PERFORMANCE_MONITORING_ENABLED or QUERY_PERFORMANCE_TRACKING_ENABLED is off");
  }
  if (!shared->open) co_return unavailable("there is no server to ask");
  if (shared->analysts->reads == nullptr)
    co_return unavailable("the database's catalogs aren't read: ENABLE_MULTI_LEVEL_CACHING is off");
  const Key key{asked.database.value_or(shared->analysts->usual().database), asked.budget_mb};
  if (const auto known = shared->known->find(key)) co_return about(*known, asked.table_name);
  const auto understood = co_await understand(shared->analysts, "SELECT 1", key.first, std::nullopt);
  if (!understood || !*understood) co_return too_busy();
  const auto& scope = (*understood)->scope;
  const auto snapshot = scope.source ? scope.source->current() : nullptr;
  if (!snapshot) {
    co_return problem(503,
                      "the catalogs of database " + key.first +
                          " aren't known yet; of others than DATABASE_URL's they are read once a client there has "
                          "asked for answers from memory",
                      {{"Retry-After", "2"}});
  }
  const auto search_path = pipeline::search_path_of(scope, *snapshot).value_or(std::vector<std::string>{"public"});
  const auto outcome = co_await shared->worker.run([&]() -> Outcome {
    if (auto known = shared->known->find(key)) return known;
    const auto server = shared->open(key.first);
    if (!server) return fail("PostgreSQL can't be asked: " + server.error().message);
    auto made = advised(*shared, **server, *snapshot, search_path, key);
    if (made) shared->known->keep(key, *made);
    return made;
  });
  if (!outcome) co_return too_busy();
  if (!*outcome) co_return unavailable(outcome->error().message);
  co_return about(***outcome, asked.table_name);
}

}  // namespace

void add_recommendations(ApiTable& table, const std::shared_ptr<QueryAnalysts>& analysts,
                         std::shared_ptr<const QueryPerformanceMonitor> monitor, WhatIfOpener open,
                         std::shared_ptr<KnownRecommendations> known) {
  const auto shared = std::make_shared<Operations>(analysts, std::move(monitor), std::move(open), std::move(known));
  table.add(
      "GET",
      {.path = "/api/v1/optimization/recommendations",
       .summary = "Indexes that the queries seen would gain by, and such as are there in vain",
       .description =
           "By the statements that reached PostgreSQL in the last day, as far as they are remembered; what was "
           "answered from memory needs no index. Nothing is created and nothing is run: plans are asked for with "
           "indexes that aren't there, where the extension HypoPG is in the database (measured), else their cost is "
           "estimated. budget_mb is what all new indexes may take together, by default half of what the tables take. "
           "An answer takes some seconds, ten at most, and is kept for a minute.",
       .also_at = {"/api/v1/optimization/optimization/recommendations"},
       .problems = {{503, "No query was recorded yet, PostgreSQL can't be asked, or too many such requests wait"}}},
      [shared](Query<RecommendationsQuery> asked) { return recommend(shared, std::move(asked.value)); });
}

}  // namespace millrace::http
