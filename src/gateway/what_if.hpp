#pragma once

#include <memory>

#include "backend/pool.hpp"
#include "config/database_url.hpp"
#include "optimizer/what_if.hpp"

namespace millrace::gateway {

/// Asks the database. What is there is asked as DATABASE_URL's user; each statement is planned in a session of who sent
/// it, who is logged in as its clients have: nothing that planning calls has other rights. Sessions are opened when
/// they are needed first, `most_other_users` of them at most beside DATABASE_URL's, where the user's pool has room, and
/// end with the object. Where DATABASE_URL's user has HypoPG, nothing is planned for those who haven't.
///
/// Blocks, as does the object; not for `io`'s thread. Errors: DATABASE_URL's user can't log in, or the server's.
Result<std::shared_ptr<optimizer::WhatIf>> open_what_if(boost::asio::io_context& io,
                                                        std::shared_ptr<backend::Pools> pools,
                                                        const config::DatabaseUrl& url);
inline constexpr std::size_t most_other_users = 8;

}  // namespace millrace::gateway
