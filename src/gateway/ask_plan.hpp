#pragma once

#include "backend/pool.hpp"
#include "config/database_url.hpp"
#include "optimizer/planned_query.hpp"

namespace millrace::gateway {

/// Asks the server how it would run a query, which isn't run, on a connection of Millrace's own, in a transaction that
/// only reads. Parameters count as unknown. Immutable functions with constant arguments are called, and stable ones for
/// estimates, as by any planning: with the rights of the request's user, and by SET ROLE with those of DATABASE_URL's
/// if they take them. Errors are the server's, or that it can't be reached or takes longer than some seconds; 28000: it
/// isn't known how to log in as the user. On `io`'s thread.
boost::asio::awaitable<Result<optimizer::PlannedQuery>> ask_plan(boost::asio::io_context& io, backend::Pools& pools,
                                                                 config::DatabaseUrl url,
                                                                 optimizer::PlanRequest request);

}  // namespace millrace::gateway
