#pragma once

#include "backend/pool.hpp"
#include "config/database_url.hpp"

namespace millrace::gateway {

/// Whether the server would let a user log in to a database now, as its catalog says. A client that is let in because
/// a server connection of its user's is open already would otherwise not notice that this has changed.
struct Admission {
  bool likely = false;   ///< false: the server is to say so itself, at a log-in
  std::string identity;  ///< of the role and the database: another one once either was dropped and made again
};

/// Asks as DATABASE_URL's user. If that fails, it isn't `likely`, and `identity` is empty.
boost::asio::awaitable<Admission> ask_admission(boost::asio::io_context& core, backend::Pools& pools,
                                                config::DatabaseUrl url, std::string user, std::string database,
                                                std::chrono::milliseconds timeout);

}  // namespace millrace::gateway
