#pragma once

#include "backend/pool.hpp"
#include "config/database_url.hpp"

namespace millrace::gateway {

/// What DATABASE_URL's user logs in with.
pgwire::ServerCredential credential_of(const config::DatabaseUrl& url);

/// Of an own query's error: the database isn't there.
inline constexpr std::string_view no_such_database = "3D000";

/// Runs a query of Millrace's own as DATABASE_URL's user, on a connection that no client ever has: it works, and takes
/// nothing from the clients, when their pools are full. An error: the server can't be reached, refuses the log-in or
/// the query, or doesn't answer within `timeout`.
boost::asio::awaitable<Result<std::vector<backend::ServerConnection::Row>>> own_query(
    boost::asio::io_context& core, backend::Pools& pools, config::DatabaseUrl url, std::string sql,
    std::vector<std::string> parameters, std::chrono::milliseconds timeout);

}  // namespace millrace::gateway
