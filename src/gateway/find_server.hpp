#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <expected>
#include <memory>

#include "backend/server_connection.hpp"
#include "config/database_url.hpp"

namespace millrace::gateway {

/// Which of an address's hosts is the server that is wanted, by logging in as `url`'s user: its endpoint first, then
/// the others in their order. What is found is `like` with another endpoint, or `like` itself. A host that refuses the
/// log-in is there all the same, but doesn't say what it is: only the endpoint is taken so, if no other is found. Of
/// several, `read-write` wants one where transactions may write by default. Error: none is; why not. It `is_ours` where
/// nothing of a host is known: no name could be resolved, or descriptors are lacking. The breaker isn't told.
boost::asio::awaitable<std::expected<std::shared_ptr<const backend::ServerAddress>, backend::LoginError>> find_server(
    boost::asio::io_context* io, std::shared_ptr<const backend::ServerAddress> like, config::DatabaseUrl url);

}  // namespace millrace::gateway
