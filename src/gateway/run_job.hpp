#pragma once

#include <memory>
#include <string>

#include "config/database_url.hpp"
#include "executor/query_job.hpp"
#include "gateway/core.hpp"

namespace millrace::gateway {

/// Hosts, ports, database and user, by which a job is known to have gone elsewhere.
std::string server_of_jobs(const config::DatabaseUrl& url);

/// Begins to run a job on the core, as DATABASE_URL's user, and sees it to its end. On any thread; `core` outlives it.
void start_job(Core& core, std::shared_ptr<executor::QueryJob> job);

}  // namespace millrace::gateway
