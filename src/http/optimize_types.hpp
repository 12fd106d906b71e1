#pragma once

#include <boost/describe/class.hpp>
#include <optional>
#include <string>
#include <vector>

#include "http/analysis_types.hpp"
#include "http/json_types.hpp"

/// What `POST /api/v1/optimization/optimize-query` takes and answers.
namespace millrace::http {

struct QueryToOptimize {
  std::string query;
  std::optional<DatabaseType> database_type;       ///< postgresql unless it is said
  std::optional<std::string> user_id, project_id;  ///< of the application's; only given back
  std::optional<int> optimization_level;           ///< 1 to 5; 3
  std::optional<bool> enable_caching;              ///< whether to say under what the answer is kept; true
  std::optional<std::string> database, user;       ///< of DATABASE_URL unless they are said
  std::optional<std::string> time_zone;            ///< of the session; without it nothing is done that depends on it
};
BOOST_DESCRIBE_STRUCT(QueryToOptimize, (),
                      (query, database_type, user_id, project_id, optimization_level, enable_caching, database, user,
                       time_zone))

struct ResourceUsageEstimate {
  double memory_mb = 0;    ///< what sorts, hashes and the like hold
  double cpu_percent = 0;  ///< of one processor, while it runs: what of the total isn't reading pages
};
BOOST_DESCRIBE_STRUCT(ResourceUsageEstimate, (), (memory_mb, cpu_percent))

/// In PostgreSQL's units; see `optimizer::QueryCost`.
struct QueryCosts {
  double cpu_cost = 0, io_cost = 0, memory_cost = 0, network_cost = 0, total_cost = 0;
  std::optional<double> execution_time_estimate_ms = {};  ///< these three are as in QueryAnalysis
  std::optional<double> confidence_score = {};
  std::optional<std::string> estimated_from = {};
  ResourceUsageEstimate resource_usage_estimate = {};
};
BOOST_DESCRIBE_STRUCT(QueryCosts, (),
                      (cpu_cost, io_cost, memory_cost, network_cost, total_cost, execution_time_estimate_ms,
                       confidence_score, estimated_from, resource_usage_estimate))

struct RewriteStep {
  std::string rule;
  std::string before, after;  ///< the whole statement
};
BOOST_DESCRIBE_STRUCT(RewriteStep, (), (rule, before, after))

/// A rule that would have been used, but for this.
struct RuleNotUsed {
  std::string rule;
  std::string missing;
};
BOOST_DESCRIBE_STRUCT(RuleNotUsed, (), (rule, missing))

struct OptimizedQuery {
  std::string original_query;
  std::string optimized_query;  ///< the original, where nothing was found that is estimated to be better
  std::vector<std::string> optimization_types = {};          ///< each once: see optimizer::OptimizationType
  std::vector<std::string> rules = {};                       ///< that made `optimized_query`, in their order
  std::optional<double> estimated_improvement_percent = {};  ///< of `total_cost`; null: the server estimated nothing
  std::optional<QueryCosts> estimated_cost_before = {}, estimated_cost_after = {};
  std::optional<std::string> cache_key = {};  ///< null: the answer isn't kept, or nobody has asked
  std::vector<RewriteStep> steps = {};        ///< all that could be done, whether it was chosen or not
  std::vector<RuleNotUsed> rules_not_used = {};
  std::vector<std::string> warnings = {};
};
BOOST_DESCRIBE_STRUCT(OptimizedQuery, (),
                      (original_query, optimized_query, optimization_types, rules, estimated_improvement_percent,
                       estimated_cost_before, estimated_cost_after, cache_key, steps, rules_not_used, warnings))

}  // namespace millrace::http
