#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "backend/duckdb.hpp"
#include "executor/query_job.hpp"

/// Jobs as rows of the embedded store: a table of jobs, and one of their results' blocks, cut in pieces. On the store's
/// thread.
namespace millrace::executor {

struct JobRecord {
  std::string id = {};
  JobRequest request = {};
  QueryJob::View view = {};     ///< but for its result, and what is only of this process
  std::uint64_t row_count = 0;  ///< of its result
  bool may_run_again = false;   ///< `request.sql` is its text, with its parameters; else neither is kept
};

Result<> make_job_tables(backend::DuckDb& database);

/// Puts it in the place of what is there of this job.
Result<> write_job(backend::DuckDb& database, const JobRecord& record);
/// Of one that has completed, before its record says so.
Result<> write_result(backend::DuckDb& database, const std::string& id, const QueryJob::View& view);
Result<> delete_jobs(backend::DuckDb& database, const std::vector<std::string>& ids);

/// The newest first. Times of the monotonic clock are those that people's show.
Result<std::vector<JobRecord>> read_jobs(backend::DuckDb& database, std::int64_t now);

/// Of a result's block, which is known by its first row.
struct JobPiece {
  std::uint64_t block = 0;
  std::uint64_t place = 0;  ///< bytes before it
  std::string bytes = {};
};
/// All results' pieces, in any order.
Result<> read_results(backend::DuckDb& database, const std::function<void(std::string_view id, JobPiece piece)>& take);
/// Of these, which are one result's, the columns; null: it has none. Then the rows are left, in their order.
std::shared_ptr<const QueryJob::Columns> columns_of(std::vector<JobPiece>& pieces);
/// As far as they are whole, and there is room. They are used up.
void add_rows(KeptRows& rows, std::vector<JobPiece>& pieces);

}  // namespace millrace::executor
