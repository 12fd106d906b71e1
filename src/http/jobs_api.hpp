#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "backend/embedded_store.hpp"
#include "executor/adaptive_query_executor.hpp"
#include "executor/job_store.hpp"
#include "executor/query_jobs.hpp"
#include "http/api_table.hpp"

namespace millrace::http {

/// How jobs are kept over a restart. Null: they aren't.
struct KeptJobs {
  std::shared_ptr<executor::JobStore> jobs = {};
  std::shared_ptr<backend::EmbeddedStore> store = {};
};

/// Queries as jobs: scheduled, looked at, cancelled, and their results. `jobs` may be null: then its operations answer
/// 503; so may be `executor`: nothing waits for a turn. `query_timeout`: of jobs that say nothing; 0: none.
void add_jobs(ApiTable& table, std::shared_ptr<executor::QueryJobs> jobs,
              std::shared_ptr<executor::AdaptiveQueryExecutor> executor,
              std::function<std::chrono::seconds()> query_timeout, KeptJobs kept);

}  // namespace millrace::http
