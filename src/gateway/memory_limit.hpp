#pragma once

#include <cstddef>

#include "backend/server_connection.hpp"
#include "gateway/core.hpp"
#include "gateway/relay.hpp"

namespace millrace::gateway {

/// Once in a while, on the connection's thread: tells `relay` if PostgreSQL's process has more memory of its own than
/// its quotas or `own_limit_mb` (0: none) allow what runs, or MEMORY_LIMIT_PER_QUERY_MB if that is a query. What has
/// just begun isn't looked at.
void note_memory(Relay& relay, backend::ServerConnection& connection, const Shared& shared, std::size_t own_limit_mb,
                 std::int64_t now);

}  // namespace millrace::gateway
