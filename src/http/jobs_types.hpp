#pragma once

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "executor/query_job.hpp"
#include "http/json_types.hpp"

/// What the operations about jobs take and answer, by the names of the spec's Query, QueryExecution and
/// ExecutionStatus.
namespace millrace::http {

using executor::QueryStatus;

struct QueryToSchedule {
  std::string sql;
  std::optional<std::string> query_id = {};
  std::optional<RawJson> parameters = {};  ///< a list; strings, numbers, booleans, nulls, and JSON in itself
  std::optional<std::string> database_type = {};
  std::optional<std::string> user_id = {};
  std::optional<std::string> project_id = {};
  std::optional<RawJson> priority = {};  ///< a name or a number
  std::optional<double> timeout_seconds = {};
  std::optional<std::uint64_t> memory_limit_mb = {};
  std::optional<bool> enable_optimization = {};
  std::optional<bool> enable_caching = {};
};
BOOST_DESCRIBE_STRUCT(QueryToSchedule, (),
                      (sql, query_id, parameters, database_type, user_id, project_id, priority, timeout_seconds,
                       memory_limit_mb, enable_optimization, enable_caching))

struct ExecutionPath {
  std::string execution_id;
};
BOOST_DESCRIBE_STRUCT(ExecutionPath, (), (execution_id))

struct ExecutionError {
  std::string message;
  std::optional<std::string> sqlstate;
  std::optional<std::string> detail;
  std::optional<std::string> hint;
};
BOOST_DESCRIBE_STRUCT(ExecutionError, (), (message, sqlstate, detail, hint))

struct ResultColumn {
  std::string name;
  std::uint32_t type_oid = 0;
};
BOOST_DESCRIBE_STRUCT(ResultColumn, (), (name, type_oid))

/// Null: not yet, or it isn't known.
struct QueryExecution {
  std::string execution_id;
  std::optional<std::string> query_id;
  std::string query;  ///< its beginning
  std::optional<std::string> user_id;
  std::optional<std::string> project_id;
  std::string priority;
  std::optional<double> timeout_seconds;
  QueryStatus status = QueryStatus::queued;
  std::optional<std::uint64_t> queue_position;  ///< from 1, of all that wait for their turns
  std::optional<double> progress_percent;
  std::optional<double> estimated_remaining_ms;
  Timestamp created_at;
  std::optional<Timestamp> started_at;
  std::optional<Timestamp> completed_at;
  std::optional<Timestamp> expires_at;
  double queue_wait_ms = 0;
  std::optional<double> duration_ms;  ///< since it was started
  std::uint64_t row_count = 0;        ///< so far
  std::uint64_t result_bytes = 0;
  std::optional<std::string> command_tag;
  std::vector<ResultColumn> columns;
  std::optional<ExecutionError> error;
  std::uint32_t retry_count = 0;      ///< how often it was begun again, or may have been, after a restart
  bool restored = false;              ///< it is of before a restart
  std::vector<std::string> warnings;  ///< what of the request may have no effect; that it isn't kept over a restart
};
BOOST_DESCRIBE_STRUCT(QueryExecution, (),
                      (execution_id, query_id, query, user_id, project_id, priority, timeout_seconds, status,
                       queue_position, progress_percent, estimated_remaining_ms, created_at, started_at, completed_at,
                       expires_at, queue_wait_ms, duration_ms, row_count, result_bytes, command_tag, columns, error,
                       retry_count, restored, warnings))

struct ExecutionsWanted {
  std::optional<QueryStatus> status;
  std::optional<std::string> user_id;
  std::optional<std::string> project_id;
  std::optional<std::uint32_t> limit;
  std::optional<std::uint32_t> offset;
};
BOOST_DESCRIBE_STRUCT(ExecutionsWanted, (), (status, user_id, project_id, limit, offset))

struct Executions {
  std::vector<QueryExecution> executions;  ///< the newest first
  std::uint64_t total_count = 0;
};
BOOST_DESCRIBE_STRUCT(Executions, (), (executions, total_count))

enum class ResultFormat : std::uint8_t { json, ndjson, csv, parquet };
BOOST_DESCRIBE_ENUM(ResultFormat, json, ndjson, csv, parquet)

struct ResultWanted {
  std::optional<ResultFormat> format;
  std::optional<std::uint64_t> offset;
  std::optional<std::uint64_t> limit;
};
BOOST_DESCRIBE_STRUCT(ResultWanted, (), (format, offset, limit))

/// Of a result as JSON: a page of it.
struct ResultPage {
  std::string execution_id;
  std::uint64_t row_count = 0;  ///< of the whole result
  std::uint64_t offset = 0;
  std::uint64_t limit = 0;
  std::vector<ResultColumn> columns;
  std::vector<std::vector<RawJson>> rows;
};
BOOST_DESCRIBE_STRUCT(ResultPage, (), (execution_id, row_count, offset, limit, columns, rows))

}  // namespace millrace::http
