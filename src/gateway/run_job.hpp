#pragma once

#include <memory>

#include "executor/query_job.hpp"
#include "gateway/core.hpp"

namespace millrace::gateway {

/// Begins to run a job on the core, as DATABASE_URL's user, and sees it to its end. On any thread; `core` outlives it.
void start_job(Core& core, std::shared_ptr<executor::QueryJob> job);

}  // namespace millrace::gateway
