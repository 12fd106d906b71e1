#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace millrace::config {

/// How Millrace uses TLS towards PostgreSQL, by libpq's names of `sslmode`.
enum class ServerTlsMode { disable, prefer, require, verify_ca, verify_full };

/// Which of several hosts is wanted, by libpq's names of `target_session_attrs`. Those that ask for a standby aren't
/// known: Millrace is there for writes, too.
enum class TargetSessionAttrs { any, read_write, primary };

struct ServerHost {
  std::string host = "127.0.0.1";  ///< a name, an address, or a Unix socket's directory (begins with '/')
  std::uint16_t port = 5432;

  bool operator==(const ServerHost&) const = default;
};

/// The parts of a `postgresql://` URL, decoded.
struct DatabaseUrl {
  std::string host = "127.0.0.1";  ///< the first, as in ServerHost
  std::uint16_t port = 5432;
  std::vector<ServerHost> more_hosts = {};  ///< to be tried in turn, after the first
  TargetSessionAttrs target = TargetSessionAttrs::any;
  std::string user = {};  ///< as written; `load` fills in the operating system's user, as libpq does
  std::string password = {};
  std::string database = "postgres";
  std::optional<ServerTlsMode> sslmode = {};  ///< `load` copies it to Settings::server_tls_mode
  std::string sslrootcert = {};               ///< `load` copies it to Settings::server_tls_ca_file

  bool operator==(const DatabaseUrl&) const = default;

  /// All of them, in their order.
  std::vector<ServerHost> hosts() const;
};

/// Null: it is none of them.
std::optional<ServerTlsMode> parse_tls_mode(std::string_view text);

/// Reads `postgresql://user:password@host:port/database?sslmode=..&sslrootcert=..`; also with `?host=/directory`, with
/// several hosts as libpq has them (`one:5432,other:5433`, or `?host=one,other&port=5432,5433`) and
/// `target_session_attrs`, and with a driver's name as SQLAlchemy has it (`postgresql+asyncpg://`). What is meant for
/// other programs
/// (`?schema=public`) is an error, or goes to `left_out`, by name. The error never holds the URL, which may hold a
/// password.
Result<DatabaseUrl> parse_database_url(std::string_view text, std::vector<std::string>* left_out = nullptr);

/// Sets the hosts, by lists with commas: `ports` has one for each, one for all, or is empty: the URL's stays for all.
Result<> set_hosts(DatabaseUrl& url, std::string_view hosts, std::string_view ports);
std::optional<TargetSessionAttrs> parse_target_session_attrs(std::string_view text);

/// The URL again, with `***` for the password.
std::string masked(const DatabaseUrl& url);
/// The URL again, as `parse_database_url` reads it. Not to be shown.
std::string with_password(const DatabaseUrl& url);

}  // namespace millrace::config
