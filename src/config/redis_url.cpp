#include "config/redis_url.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url.hpp>
#include <boost/url/url_view.hpp>
#include <charconv>
#include <limits>
#include <optional>

namespace millrace::config {
namespace {

namespace urls = boost::urls;

std::optional<std::uint32_t> number(std::string_view text, std::uint32_t most) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > most) return std::nullopt;
  return value;
}

Result<std::uint32_t> database_of(std::string_view text) {
  // Redis takes it as a C int.
  const auto database = number(text, std::numeric_limits<std::int32_t>::max());
  if (!database) return fail("the URL's database is not a number from 0 on");
  return *database;
}

Result<> read_network(const urls::url_view& view, RedisUrl& url) {
  if (view.has_query()) return fail("the URL takes no parameters (expected redis://host:port/database)");
  url.host = view.host_address();
  if (url.host.empty() || url.host.contains('/')) return fail("the URL must name a host");
  if (view.has_port() && !view.port().empty()) {
    const auto port = number(view.port(), std::numeric_limits<std::uint16_t>::max());
    if (!port || *port == 0) return fail("the URL: the port is not a number from 1 to 65535");
    url.port = static_cast<std::uint16_t>(*port);
  }
  const std::string path = view.path();
  if (path.empty() || path == "/") return {};
  // Boost 1.81 lets a path begin right after a port ("host:1x").
  if (path[0] != '/') return fail("the URL must name a host, and a port from 1 to 65535");
  const auto database = database_of(std::string_view(path).substr(1));
  if (!database) return std::unexpected(database.error());
  url.database = *database;
  return {};
}

Result<> read_unix(const urls::url_view& view, RedisUrl& url) {
  constexpr std::size_t longest_path = 107;  // sockaddr_un has 108 bytes, the last of which is a NUL
  if (!view.encoded_host().empty() || view.has_port()) return fail("the URL must be unix:///path (three slashes)");
  url.host = view.path();
  if (url.host.size() < 2 || !url.is_unix() || url.host.contains('\0') || url.host.size() > longest_path) {
    return fail("the URL must name a socket's absolute path of at most 107 bytes");
  }
  for (const auto& parameter : view.params()) {
    const std::string key = parameter.key;
    if (key != "db") return fail(fmt::format("the URL's parameter \"{}\" is not known (known: db)", key));
    const auto database = database_of(std::string(parameter.value));
    if (!database) return std::unexpected(database.error());
    url.database = *database;
  }
  return {};
}

}  // namespace

Result<RedisUrl> parse_redis_url(std::string_view text) {
  const auto parsed = urls::parse_uri(text);
  if (!parsed) {
    return fail(
        "not a valid URL (expected redis://user:password@host:port/database or unix:///path?db=database; special "
        "characters in a part are percent-encoded, such as %40 for @)");
  }
  const urls::url_view& view = *parsed;
  const std::string_view scheme = view.scheme();
  if (scheme == "rediss") return fail("TLS towards Redis (rediss://) is not supported in this version; use redis://");
  if (scheme != "redis" && scheme != "unix") return fail("the URL must begin with redis:// or unix://");
  if (!view.has_authority()) return fail("the URL must begin with redis:// or unix:// (two slashes)");
  if (view.has_fragment()) return fail("the URL has a '#'; in a password, write it as %23");
  RedisUrl url;
  const auto read = scheme == "unix" ? read_unix(view, url) : read_network(view, url);
  if (!read) return std::unexpected(read.error());
  url.user = view.user();
  url.password = view.password();
  if (!url.user.empty() && url.password.empty()) return fail("the URL names a user without a password");
  return url;
}

std::string masked(const RedisUrl& url) {
  urls::url out;
  out.set_scheme(url.is_unix() ? "unix" : "redis");
  out.set_encoded_authority("");
  if (!url.is_unix()) {
    out.set_host_address(url.host);
    out.set_port_number(url.port);
  }
  if (!url.user.empty()) out.set_user(url.user);
  if (!url.password.empty()) out.set_password("***");
  out.set_path(url.is_unix() ? url.host : fmt::format("/{}", url.database));
  if (url.is_unix() && url.database != 0) out.params().set("db", fmt::format("{}", url.database));
  return out.buffer();
}

}  // namespace millrace::config
