#pragma once

#include <memory>

#include "backend/pool.hpp"
#include "config/database_url.hpp"
#include "optimizer/what_if.hpp"

namespace millrace::gateway {

/// Asks the database, as DATABASE_URL's user, on a connection that no pool has and that ends with the object. With it
/// ends what HypoPG holds, which keeps its indexes in the session's memory. The session can only read, each question is
/// a transaction of its own, so no lock outlives it, and planning has two seconds. Partial indexes are shown to HypoPG
/// as whole ones that begin with the column that their condition is about: in HypoPG up to 1.4 partial ones can bring
/// the server down (its issue 116).
///
/// The coroutine is for any thread; the object blocks, and mustn't be used on `io`'s.
boost::asio::awaitable<Result<std::shared_ptr<optimizer::WhatIf>>> open_what_if(boost::asio::io_context& io,
                                                                                backend::Pools& pools,
                                                                                config::DatabaseUrl url);

}  // namespace millrace::gateway
