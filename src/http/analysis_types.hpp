#pragma once

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "http/json_types.hpp"

/// What `POST /api/v1/optimization/analyze-query` takes and answers. What this version doesn't know of a statement is
/// null, and `warnings` says so.
namespace millrace::http {

enum class DatabaseType { postgresql, duckdb, hybrid };
BOOST_DESCRIBE_ENUM(DatabaseType, postgresql, duckdb, hybrid)

/// By how many tables and views a statement names: one or none, up to 3, up to 6, more.
enum class QueryComplexity { simple, moderate, complex, very_complex };
BOOST_DESCRIBE_ENUM(QueryComplexity, simple, moderate, complex, very_complex)

struct QueryToAnalyze {
  std::string query;
  std::optional<DatabaseType> database_type;  ///< postgresql unless it is said
  std::optional<std::string> database, user;  ///< of DATABASE_URL unless they are said
};
BOOST_DESCRIBE_STRUCT(QueryToAnalyze, (), (query, database_type, database, user))

/// What an answer is kept under, beside what the client has set and the parameters.
struct CacheKeyFields {
  std::string database;
  std::string user;
  std::optional<std::vector<std::string>> search_path;
  std::string text;
  std::string consistency;
};
BOOST_DESCRIBE_STRUCT(CacheKeyFields, (), (database, user, search_path, text, consistency))

/// What asking memory first has brought of late, for all statements that differ from this one in constants only.
struct CachePayoff {
  double origin_us = 0;      ///< until the server has answered
  double hit_us = 0;         ///< an answer from memory, without what it waits for
  double miss_extra_us = 0;  ///< what asking memory in vain, and keeping the answer, takes more than passing on
  double hit_ratio = 0;      ///< 0 to 1
  double break_even = 0;     ///< the hit ratio over which it pays; over 1: never
};
BOOST_DESCRIBE_STRUCT(CachePayoff, (), (origin_us, hit_us, miss_extra_us, hit_ratio, break_even))

/// Whether the answer to a session that asks for answers from memory, and has set nothing else, may be kept.
struct QueryCacheability {
  bool cacheable = false;
  std::optional<std::string> reason, why_not, what_helps;
  std::optional<std::string> level;
  std::string cache_key;
  std::optional<std::vector<std::string>> dependency_tables;
  std::optional<double> ttl_seconds;
  std::vector<std::string> tags;
  CacheKeyFields key_fields;
  std::optional<CachePayoff> payoff;  ///< null: none of them was to be kept lately
};
BOOST_DESCRIBE_STRUCT(QueryCacheability, (),
                      (cacheable, reason, why_not, what_helps, level, cache_key, dependency_tables, ttl_seconds, tags,
                       key_fields, payoff))

/// How the server would run a statement, by its own estimates; costs in its units, in which reading a page in order is
/// 1.
struct QueryPlanSummary {
  double startup_cost = 0;  ///< until the first row
  double total_cost = 0;
  std::vector<std::string> plan_operations;  ///< what comes last first
  std::vector<std::string> join_operations, scan_operations, sort_operations;
  std::vector<std::string> table_scans;  ///< tables that are read whole
};
BOOST_DESCRIBE_STRUCT(QueryPlanSummary, (),
                      (startup_cost, total_cost, plan_operations, join_operations, scan_operations, sort_operations,
                       table_scans))

struct QueryAnalysis {
  std::string query_hash;
  std::string statement_kind;
  std::optional<double> estimated_cost;
  std::optional<std::uint64_t> estimated_rows;
  std::optional<QueryComplexity> complexity;
  std::optional<std::vector<std::string>> tables_accessed;
  std::optional<std::vector<std::string>> indexes_used, missing_indexes, performance_issues, optimization_suggestions;
  std::optional<QueryPlanSummary> plan;
  std::optional<double> execution_time_estimate_ms = {};  ///< as its client sees it, not answered from memory
  std::optional<double> confidence_score = {};            ///< of what that goes by, the part within a factor of two
  std::optional<std::string> estimated_from = {};         ///< what it goes by
  QueryCacheability cache;
  std::vector<std::string> warnings;
};
BOOST_DESCRIBE_STRUCT(QueryAnalysis, (),
                      (query_hash, statement_kind, estimated_cost, estimated_rows, complexity, tables_accessed,
                       indexes_used, missing_indexes, performance_issues, optimization_suggestions, plan,
                       execution_time_estimate_ms, confidence_score, estimated_from, cache, warnings))

}  // namespace millrace::http
