#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace millrace::config {

/// The parts of a `redis://` or `unix://` URL, decoded.
struct RedisUrl {
  std::string host = "127.0.0.1";  ///< a name, an address, or a Unix socket's path (begins with '/')
  std::uint16_t port = 6379;       ///< unused with a Unix socket
  std::string user = {};           ///< empty: Redis's `default`
  std::string password = {};       ///< empty: no AUTH
  std::uint32_t database = 0;

  bool operator==(const RedisUrl&) const = default;

  bool is_unix() const { return host.starts_with('/'); }
};

/// Reads `redis://[[user]:password@]host[:port][/database]` or `unix://[[user]:password@]/path[?db=database]`. The
/// error never holds the URL, which may hold a password.
Result<RedisUrl> parse_redis_url(std::string_view text);

/// The URL again, with `***` for the password.
std::string masked(const RedisUrl& url);

}  // namespace millrace::config
