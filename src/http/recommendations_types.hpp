#pragma once

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "http/json_types.hpp"

/// What `GET /api/v1/optimization/recommendations` takes and answers.
namespace millrace::http {

struct RecommendationsQuery {
  std::optional<std::string> table_name;   ///< "pages" or "public.pages"; of all tables unless it is said
  std::optional<std::string> database;     ///< of DATABASE_URL unless it is said
  std::optional<std::uint32_t> budget_mb;  ///< of new indexes together; half of what the tables take unless it is said
};
BOOST_DESCRIBE_STRUCT(RecommendationsQuery, (), (table_name, database, budget_mb))

enum class RecommendationType { query_optimization, resource_optimization, cache_optimization };
BOOST_DESCRIBE_ENUM(RecommendationType, query_optimization, resource_optimization, cache_optimization)

enum class ImplementationEffort { Low, Medium, High };
BOOST_DESCRIBE_ENUM(ImplementationEffort, Low, Medium, High)

/// Costs are PostgreSQL's: of one execution, with and without the index beside the others that are recommended.
struct QueryGain {
  std::string query_hash;
  std::string query;  ///< with ? in place of constants; 500 characters of it
  double executions = 0;
  double cost_before = 0, cost_after = 0;
};
BOOST_DESCRIBE_STRUCT(QueryGain, (), (query_hash, query, executions, cost_before, cost_after))

struct IndexRecommendation {
  std::string table_name;            ///< with its schema
  std::vector<std::string> columns;  ///< as CREATE INDEX has them
  std::vector<std::string> include;
  std::optional<std::string> where;
  std::string index_type = "btree";
  double estimated_size_mb = 0;
  double estimated_improvement_percent = 0;  ///< of what the queries that it serves take
  double workload_improvement_percent = 0;   ///< of what all of them take, its writes counted
  double usage_frequency = 0;                ///< executions an hour that it serves
  double creation_cost = 0;                  ///< in PostgreSQL's units
  double maintenance_cost = 0;               ///< of an hour's writes, likewise
  std::string sql_statement;
  int priority = 1;                     ///< 1 to 5; 5: do it first
  bool measured = false;                ///< planned by PostgreSQL with HypoPG; else by formulas of Millrace's
  std::vector<std::string> supersedes;  ///< indexes that aren't needed beside it
  std::vector<QueryGain> queries;       ///< those that gain most come first
};
BOOST_DESCRIBE_STRUCT(IndexRecommendation, (),
                      (table_name, columns, include, where, index_type, estimated_size_mb,
                       estimated_improvement_percent, workload_improvement_percent, usage_frequency, creation_cost,
                       maintenance_cost, sql_statement, priority, measured, supersedes, queries))

struct OptimizationRecommendation {
  std::string recommendation_id;  ///< the same for the same advice
  RecommendationType type = RecommendationType::query_optimization;
  std::string description;
  std::vector<std::string> affected_queries;
  std::optional<double> estimated_improvement_percent;  ///< null: it isn't about time
  ImplementationEffort implementation_effort = ImplementationEffort::Low;
  int priority = 1;
  std::vector<std::string> sql_changes;  ///< each does it; where there are several, the first is what is meant
  std::vector<std::string> configuration_changes;
  std::vector<std::string> monitoring_metrics;  ///< where to look afterwards
  std::string table_name;
  std::optional<IndexRecommendation> index;  ///< a new one
};
BOOST_DESCRIBE_STRUCT(OptimizationRecommendation, (),
                      (recommendation_id, type, description, affected_queries, estimated_improvement_percent,
                       implementation_effort, priority, sql_changes, configuration_changes, monitoring_metrics,
                       table_name, index))

/// What the recommendations are by.
struct RecommendationBasis {
  std::string database;
  double window_seconds = 0;
  std::uint64_t queries = 0;  ///< templates that indexes could serve
  double executions = 0;      ///< of these, that reached PostgreSQL
  bool measured = false;
  double budget_mb = 0, size_mb = 0;        ///< of new indexes
  double workload_improvement_percent = 0;  ///< of what these queries take, by all new indexes together
  std::uint64_t plans = 0;                  ///< that PostgreSQL was asked for
  double advisor_seconds = 0;
  Timestamp made_at = {};
};
BOOST_DESCRIBE_STRUCT(RecommendationBasis, (),
                      (database, window_seconds, queries, executions, measured, budget_mb, size_mb,
                       workload_improvement_percent, plans, advisor_seconds, made_at))

struct RecommendationsAnswer {
  std::vector<OptimizationRecommendation> recommendations;
  RecommendationBasis basis;
  std::vector<std::string> warnings;
};
BOOST_DESCRIBE_STRUCT(RecommendationsAnswer, (), (recommendations, basis, warnings))

}  // namespace millrace::http
