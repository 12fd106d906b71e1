#include "http/optimize_api.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "base/clock.hpp"
#include "http/optimize_types.hpp"
#include "optimizer/query_cost.hpp"
#include "optimizer/rounds.hpp"
#include "pipeline/explanation.hpp"

namespace millrace::http {
namespace {

using Problems = std::vector<ValidationProblem>;

constexpr int usual_level = 3, highest_level = 5;
/// What is estimated to save less isn't worth another text.
constexpr double least_improvement_percent = 10;
constexpr std::size_t most_plans = 8;

Problems problems_of(const QueryToOptimize& asked) {
  const bool is_for_postgresql = asked.database_type.value_or(DatabaseType::postgresql) == DatabaseType::postgresql;
  auto problems = problems_of_query(asked.query, is_for_postgresql, asked.database, asked.user);
  const int level = asked.optimization_level.value_or(usual_level);
  if (level < 1 || level > highest_level)
    problems.push_back({{"body", "optimization_level"}, "must be 1 to 5", "value_error"});
  return problems;
}

QueryCosts costs_of(const optimizer::PlannedQuery& planned) {
  const auto cost = optimizer::cost_of(planned);
  return {.cpu_cost = cost.cpu_cost,
          .io_cost = cost.io_cost,
          .memory_cost = cost.memory_cost,
          .network_cost = cost.network_cost,
          .total_cost = cost.total_cost,
          .resource_usage_estimate = {.memory_mb = cost.memory_mb(),
                                      .cpu_percent = cost.total_cost > 0 ? 100 * cost.cpu_cost / cost.total_cost : 0}};
}

QueryCosts multiplied(QueryCosts costs, double factor) {
  costs.cpu_cost *= factor;
  costs.io_cost *= factor;
  costs.total_cost *= factor;
  return costs;
}

/// What can be known without asking the server.
struct Rewritten {
  optimizer::Rewrite rewrite;
  std::optional<std::string> cache_key;
  std::optional<std::vector<std::string>> search_path;
};

Rewritten rewritten(pipeline::ReadCache* reads, const UnderstoodQuery& query, const QueryToOptimize& asked,
                    optimizer::Options options) {
  Rewritten done;
  const auto& [statement, scope] = query;
  const pipeline::Question question{.kind = pipeline::Question::Kind::query, .text = asked.query, .parameters = {}};
  auto said = reads == nullptr ? pipeline::explain_without_cache(scope.database, scope.user, asked.query, *statement)
                               : pipeline::explain(*reads, scope, question, *statement, {}, {}, now_ns());
  if (said.refusals.empty() && asked.enable_caching.value_or(true))
    done.cache_key = fmt::format("query:{:016x}", said.fingerprint);
  done.search_path = said.search_path;
  const auto catalog = scope.source ? scope.source->current() : nullptr;
  if (!catalog || !said.search_path) {
    done.rewrite.not_rewritten = "the database's catalogs aren't known";
    return done;
  }
  options.level = asked.optimization_level.value_or(usual_level);
  auto rewrite = optimizer::rewrite(
      asked.query, *catalog, {.search_path = *said.search_path, .time_zone = asked.time_zone.value_or("")}, options);
  if (rewrite) {
    done.rewrite = *std::move(rewrite);
  } else {
    done.rewrite.not_rewritten = rewrite.error().message;
  }
  return done;
}

/// How many of the steps may be done: a step that can be slower needn't be, nor what comes after it. The last first.
std::vector<std::size_t> places_to_stop(const std::vector<optimizer::Step>& steps) {
  std::vector<std::size_t> places;
  if (!steps.empty()) places.push_back(steps.size());
  for (std::size_t i = steps.size(); i-- > 1 && places.size() < most_plans;) {
    if (steps[i].by_cost) places.push_back(i);
  }
  return places;
}

/// Of the original, and of what it was rewritten to.
void add_times(const TimeEstimates& times, std::uint64_t fingerprint, std::int64_t now, OptimizedQuery& answer) {
  if (!answer.estimated_cost_before || !answer.estimated_cost_after) return;
  auto &before = *answer.estimated_cost_before, &after = *answer.estimated_cost_after;
  const auto estimate = times.of(fingerprint, before.total_cost, now);
  say_time(before, estimate);
  const bool is_same = answer.rules.empty();
  if (estimate)
    say_time(after, is_same ? estimate : times.instead(*estimate, before.total_cost, after.total_cost, now));
}

/// Chooses by what the server estimates of the original and of what its steps come to.
asio::awaitable<void> compare(std::shared_ptr<QueryAnalysts> shared, const pipeline::Scope& scope,
                              const Rewritten& found, OptimizedQuery& answer) {
  const auto before = co_await plan_of(shared, scope, found.search_path, answer.original_query);
  if (!before) {
    answer.warnings.push_back(why_no_plan(before.error()));
    co_return;
  }
  answer.estimated_cost_before = answer.estimated_cost_after = costs_of(*before);
  answer.estimated_improvement_percent = 0;
  const auto& steps = found.rewrite.steps;
  std::optional<std::size_t> best;
  QueryCosts costs;
  for (const auto place : places_to_stop(steps)) {
    const auto after = co_await plan_of(shared, scope, found.search_path, steps[place - 1].after);
    if (!after) {
      answer.warnings.push_back("the rewritten text isn't used: " + why_no_plan(after.error()));
      co_return;
    }
    const auto estimated = multiplied(costs_of(*after), optimizer::rounds_factor(before->plan, after->plan));
    if (best && estimated.total_cost >= costs.total_cost) continue;
    best = place;
    costs = estimated;
  }
  if (!best) co_return;
  const double was = answer.estimated_cost_before->total_cost;
  const double improvement = was > 0 ? 100 * (was - costs.total_cost) / was : 0;
  if (improvement < least_improvement_percent) {
    answer.warnings.push_back(fmt::format(
        "the rewritten text (steps) isn't used: by PostgreSQL's estimates it costs {:.2f} instead of {:.2f}",
        costs.total_cost, was));
    co_return;
  }
  answer.optimized_query = steps[*best - 1].after;
  for (const auto& step : std::span(steps).first(*best)) {
    answer.rules.push_back(step.rule);
    const std::string type(name(step.type));
    auto& types = answer.optimization_types;
    if (std::ranges::find(types, type) == types.end()) types.push_back(type);
  }
  answer.estimated_improvement_percent = improvement;
  answer.estimated_cost_after = costs;
}

asio::awaitable<Reply<OptimizedQuery>> optimize(std::shared_ptr<QueryAnalysts> shared,
                                                std::function<optimizer::Options()> options, QueryToOptimize asked) {
  if (const auto problems = problems_of(asked); !problems.empty()) co_return unprocessable(problems);
  const auto understood = co_await understand(shared, asked.query, asked.database, asked.user);
  if (!understood) co_return too_busy();
  if (!*understood) co_return unprocessable(understood->error());
  const auto& query = **understood;
  const auto found = co_await shared->worker.run([&] { return rewritten(shared->reads, query, asked, options()); });
  if (!found) co_return too_busy();
  OptimizedQuery answer{.original_query = asked.query, .optimized_query = asked.query, .cache_key = found->cache_key};
  for (const auto& step : found->rewrite.steps)
    answer.steps.push_back({.rule = step.rule, .before = step.before, .after = step.after});
  for (const auto& miss : found->rewrite.near_misses)
    answer.rules_not_used.push_back({.rule = miss.rule, .missing = miss.missing});
  if (!found->rewrite.not_rewritten.empty())
    answer.warnings.push_back("nothing was rewritten: " + found->rewrite.not_rewritten);
  if (found->rewrite.out_of_time)
    answer.warnings.push_back("MAX_QUERY_OPTIMIZATION_TIME_MS was over before all rules were tried");
  if (can_be_planned(*query.statement)) {
    co_await compare(shared, query.scope, *found, answer);
    const auto done = co_await shared->worker.run([&] {
      add_times(shared->times, query.statement->fingerprint, now_ns(), answer);
      return true;
    });
    if (!done && answer.estimated_cost_before) answer.warnings.emplace_back(too_busy_for_times);
  } else {
    answer.warnings.push_back("PostgreSQL plans no statement of this kind: costs are null");
  }
  co_return answer;
}

}  // namespace

void add_optimization(ApiTable& table, const std::shared_ptr<QueryAnalysts>& shared,
                      std::function<optimizer::Options()> options) {
  table.add("POST",
            {.path = "/api/v1/optimization/optimize-query",
             .summary = "Another way to say a query that PostgreSQL answers sooner, with the same rows",
             .description =
                 "Neither text is run. A rule is used only where the catalogs prove that both give the same rows; the "
                 "result is chosen only if PostgreSQL estimates it (EXPLAIN of both) to cost 10 % less at least. steps "
                 "says what was done, rules_not_used what was missing for more. optimization_level: 1: conditions, 2: "
                 "and sub-queries, 3: and what changes nothing is left out, 4 and 5: and what can be slower, by the "
                 "estimates. What depends on the session's time zone is done only if time_zone is given.",
             .also_at = {"/api/v1/optimization/optimization/optimize-query"},
             .problems = {{503, "Too many such requests wait"}}},
            [shared, options = std::move(options)](Body<QueryToOptimize> body) {
              return optimize(shared, options, std::move(body.value));
            });
}

}  // namespace millrace::http
