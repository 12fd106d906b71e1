#pragma once

#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <string>

#include "backend/pool.hpp"
#include "config/settings.hpp"
#include "pgwire/sansio/credentials.hpp"

namespace millrace::gateway {

namespace asio = boost::asio;

/// What is known of a user's password: from the user file, the user of DATABASE_URL, or by asking the server
/// (AUTH_QUERY). Thread-safe.
class Secrets {
 public:
  /// The error names the line of a user file that can't be read.
  static Result<std::shared_ptr<Secrets>> load(const config::Settings& settings);

  struct Found {
    pgwire::StoredSecret secret;  ///< monostate: nobody of that name, or none that may log in with a password
    TimePoint as_of;              ///< it was so at this time, or later
  };
  /// The server is asked each time: a changed password or a revoked right to log in holds from then on. An error: it
  /// could not be asked.
  asio::awaitable<Result<Found>> find(asio::io_context& core, backend::Pools& pools, std::string user);
  /// The same of what is known without asking: the server decides.
  Found known(const std::string& user) const;

 private:
  explicit Secrets(const config::Settings& settings);

  const config::DatabaseUrl url_;
  const std::string auth_query_;
  const std::chrono::milliseconds timeout_;
  const TimePoint loaded_ = Clock::now();
  std::map<std::string, pgwire::StoredSecret> users_;
};

}  // namespace millrace::gateway
