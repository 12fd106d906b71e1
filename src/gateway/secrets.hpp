#pragma once

#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <mutex>
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

  /// monostate: nobody of that name, or none that may log in with a password. An error: the server could not be asked.
  asio::awaitable<Result<pgwire::StoredSecret>> find(asio::io_context& core, backend::Pools& pools, std::string user);

  /// A log-in failed: what the server said may be out of date.
  void forget(const std::string& user);

 private:
  explicit Secrets(const config::Settings& settings);

  struct Asked {
    pgwire::StoredSecret secret;
    TimePoint at;
  };
  const config::DatabaseUrl url_;
  const std::string auth_query_;
  const std::chrono::milliseconds timeout_;
  std::map<std::string, pgwire::StoredSecret> users_;
  std::mutex mutex_;
  std::map<std::string, Asked> asked_;
};

}  // namespace millrace::gateway
