#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/problem.hpp"
#include "http/worker.hpp"
#include "monitor/time_estimates.hpp"
#include "optimizer/planned_query.hpp"
#include "pipeline/read_cache.hpp"
#include "sql/statement.hpp"

/// What the operations about a query that somebody asks about have in common.
namespace millrace::http {

struct Asker {
  std::string database, user;
};

/// Asks the server how it would run a query; on the io_context of whoever asks.
using Planner = std::function<asio::awaitable<Result<optimizer::PlannedQuery>>(optimizer::PlanRequest)>;

/// What they need. Shared by all of them.
struct QueryAnalysts {
  QueryAnalysts(pipeline::ReadCache* read_cache, std::function<Asker()> asker, Planner planner,
                std::shared_ptr<const QueryPerformanceMonitor> recorded, std::shared_ptr<const TemplatePlans> planned)
      : reads(read_cache),
        usual(std::move(asker)),
        plan(std::move(planner)),
        times(std::move(recorded), std::move(planned)) {}

  pipeline::ReadCache* const reads;
  const std::function<Asker()> usual;
  const Planner plan;         ///< null: nobody can be asked
  const TimeEstimates times;  ///< on the worker's thread
  Worker worker{16};          ///< texts take up to some milliseconds
};

/// Of a request's fields.
std::vector<ValidationProblem> problems_of_query(std::string_view query, bool is_for_postgresql,
                                                 const std::optional<std::string>& database,
                                                 const std::optional<std::string>& user);

/// A statement, understood as a session of a user that has set nothing.
struct UnderstoodQuery {
  std::shared_ptr<const sql::Statement> statement;
  pipeline::Scope scope;
};

/// The text as that user's, in that database. Where the database's catalogs have just begun to be read, it waits for
/// that, a little. Problems: it isn't SQL. Null: too many wait.
asio::awaitable<std::optional<std::expected<UnderstoodQuery, std::vector<ValidationProblem>>>> understand(
    std::shared_ptr<QueryAnalysts> analysts, std::string query, std::optional<std::string> database,
    std::optional<std::string> user);

/// Whether PostgreSQL plans statements of its kind: EXPLAIN takes them, and PREPARE.
bool can_be_planned(const sql::Statement& statement);

/// How the server would run it, as the scope's user. `search_path`: null: the logged-in user's.
asio::awaitable<Result<optimizer::PlannedQuery>> plan_of(std::shared_ptr<QueryAnalysts> analysts,
                                                         const pipeline::Scope& scope,
                                                         const std::optional<std::vector<std::string>>& search_path,
                                                         std::string query);

/// Sets `answer`'s execution_time_estimate_ms, confidence_score and estimated_from.
template <typename Answer>
void say_time(Answer& answer, const std::optional<TimeEstimate>& estimate) {
  if (!estimate) return;
  answer.execution_time_estimate_ms = estimate->ms;
  answer.confidence_score = estimate->confidence;
  answer.estimated_from = estimate->calls > 0
                              ? fmt::format("{} calls of it", estimate->calls)
                              : fmt::format("costs and times of {} other statements", estimate->templates);
}

Response too_busy();
/// For people: why an answer comes without times.
inline constexpr std::string_view too_busy_for_times =
    "too many such requests wait, so how long it takes is null: it is known when they are fewer";

/// For people: why there is no plan.
std::string why_no_plan(const Error& error);

}  // namespace millrace::http
