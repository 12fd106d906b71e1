#include "config/database_url.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url.hpp>
#include <boost/url/url_view.hpp>
#include <charconv>

namespace millrace::config {
namespace {

namespace urls = boost::urls;

struct ModeName {
  std::string_view name;
  ServerTlsMode mode;
};
constexpr std::array mode_names = {
    ModeName{"disable", ServerTlsMode::disable},         ModeName{"prefer", ServerTlsMode::prefer},
    ModeName{"require", ServerTlsMode::require},         ModeName{"verify-ca", ServerTlsMode::verify_ca},
    ModeName{"verify-full", ServerTlsMode::verify_full},
};

Result<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) {
    return fail("the URL's port is not a number from 1 to 65535");
  }
  return port;
}

/// False: it isn't known, or has a value that isn't.
Result<bool> apply_parameter(DatabaseUrl& url, std::string_view key, std::string value) {
  if (key == "host") {
    url.host = std::move(value);
  } else if (key == "port") {
    const auto port = parse_port(value);
    if (!port) return std::unexpected(port.error());
    url.port = *port;
  } else if (key == "user") {
    url.user = std::move(value);
  } else if (key == "password") {
    url.password = std::move(value);
  } else if (key == "dbname") {
    url.database = std::move(value);
  } else if (key == "sslrootcert") {
    url.sslrootcert = std::move(value);
  } else if (key == "sslmode" || key == "ssl") {  // asyncpg's name of it
    const auto mode = parse_tls_mode(value);
    if (!mode) return false;
    url.sslmode = mode;
  } else {
    return false;
  }
  return true;
}

std::unexpected<Error> not_known(std::string_view key) {
  if (key == "sslmode") return fail("the URL's sslmode is not one of disable, prefer, require, verify-ca, verify-full");
  return fail(
      fmt::format("the URL's parameter \"{}\" is not known (known: host, port, user, password, dbname, "
                  "sslmode, sslrootcert)",
                  key));
}

/// "postgresql", "postgres", or, as SQLAlchemy names a driver too, "postgresql+asyncpg".
bool is_postgresql(std::string_view scheme) {
  const auto name = scheme.substr(0, scheme.find('+'));
  return name == "postgresql" || name == "postgres";
}

urls::url written(const DatabaseUrl& url, std::string_view password) {
  urls::url out;
  out.set_scheme("postgresql");
  out.set_encoded_authority("");
  if (!url.user.empty()) out.set_user(url.user);
  if (!password.empty()) out.set_password(password);
  out.set_path("/" + url.database);
  if (url.host.starts_with('/')) {
    out.params().set("host", url.host);
    if (url.port != 5432) out.params().set("port", fmt::format("{}", url.port));
  } else {
    out.set_host_address(url.host);
    out.set_port_number(url.port);
  }
  for (const ModeName& known : mode_names) {
    if (url.sslmode == known.mode) out.params().set("sslmode", known.name);
  }
  if (!url.sslrootcert.empty()) out.params().set("sslrootcert", url.sslrootcert);
  return out;
}

}  // namespace

std::optional<ServerTlsMode> parse_tls_mode(std::string_view text) {
  const auto* const found = std::ranges::find(mode_names, text, &ModeName::name);
  return found == mode_names.end() ? std::nullopt : std::optional(found->mode);
}

Result<DatabaseUrl> parse_database_url(std::string_view text, std::vector<std::string>* left_out) {
  const auto parsed = urls::parse_uri(text);
  if (!parsed) {
    return fail(
        "not a valid URL (expected postgresql://user:password@host:port/database; special characters in a part "
        "are percent-encoded, such as %40 for @)");
  }
  const urls::url_view& view = *parsed;
  if (!is_postgresql(view.scheme())) {
    return fail("the URL must begin with postgresql://");
  }
  if (!view.has_authority()) return fail("the URL must begin with postgresql:// (two slashes)");
  if (view.has_fragment()) {
    return fail("the URL has a '#'; in a password, write it as %23");
  }

  // Boost 1.81 lets a path begin right after a port ("host:1x", "host:1,other:2").
  const std::string path = view.path();
  if ((!path.empty() && path[0] != '/') || view.host().find(',') != std::string::npos) {
    return fail("the URL must name one host, and a port from 1 to 65535");
  }

  DatabaseUrl url;
  if (!view.encoded_host_address().empty()) url.host = view.host_address();
  if (view.has_port() && !view.port().empty()) {
    const auto port = parse_port(view.port());
    if (!port) return std::unexpected(port.error());
    url.port = *port;
  }
  url.user = view.user();
  url.password = view.password();
  if (path.size() > 1) url.database = path.substr(1);
  for (const auto& parameter : view.params()) {
    const auto applied = apply_parameter(url, parameter.key, parameter.value);
    if (!applied) return std::unexpected(applied.error());
    if (*applied) continue;
    if (left_out == nullptr) return not_known(parameter.key);
    left_out->push_back(parameter.key);
  }
  if (url.host.empty() || url.database.empty()) return fail("the URL's host and database must not be empty");
  return url;
}

std::string masked(const DatabaseUrl& url) { return written(url, url.password.empty() ? "" : "***").buffer(); }

std::string with_password(const DatabaseUrl& url) { return written(url, url.password).buffer(); }

}  // namespace millrace::config
