#include "config/database_url.hpp"

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url.hpp>
#include <boost/url/url_view.hpp>
#include <charconv>
#include <ranges>

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

struct TargetName {
  std::string_view name;
  TargetSessionAttrs target;
};
constexpr std::array target_names = {
    TargetName{"any", TargetSessionAttrs::any},
    TargetName{"read-write", TargetSessionAttrs::read_write},
    TargetName{"primary", TargetSessionAttrs::primary},
};
/// As many as libpq's users have, and a few more.
constexpr std::size_t most_hosts = 16;

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> parts;
  for (const auto part : std::views::split(list, ',')) parts.emplace_back(std::string_view(part));
  return parts;
}

Result<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) {
    return fail("the port is not a number from 1 to 65535");
  }
  return port;
}

/// The lists of hosts and ports, as they are among a URL's parameters.
struct HostLists {
  std::optional<std::string> hosts, ports;
};

/// False: it isn't known, or has a value that isn't.
Result<bool> apply_parameter(DatabaseUrl& url, HostLists& lists, std::string_view key, std::string value) {
  if (key == "host") {
    lists.hosts = std::move(value);
  } else if (key == "port") {
    lists.ports = std::move(value);
  } else if (key == "target_session_attrs") {
    const auto target = parse_target_session_attrs(value);
    if (!target) return false;
    url.target = *target;
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
  if (key == "target_session_attrs") {
    return fail(
        "the URL's target_session_attrs is not one of any, read-write, primary (a standby isn't enough: Millrace "
        "passes writes on, and follows changes)");
  }
  return fail(
      fmt::format("the URL's parameter \"{}\" is not known (known: host, port, user, password, dbname, "
                  "sslmode, sslrootcert, target_session_attrs)",
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
  if (!url.more_hosts.empty()) {
    std::string hosts, ports;
    for (const auto& [host, port] : url.hosts()) {
      const std::string_view comma = hosts.empty() ? "" : ",";
      hosts.append(comma).append(host);
      ports.append(comma).append(fmt::format("{}", port));
    }
    out.params().set("host", hosts);
    out.params().set("port", ports);
  } else if (url.host.starts_with('/')) {
    out.params().set("host", url.host);
    if (url.port != 5432) out.params().set("port", fmt::format("{}", url.port));
  } else {
    out.set_host_address(url.host);
    out.set_port_number(url.port);
  }
  for (const ModeName& known : mode_names) {
    if (url.sslmode == known.mode) out.params().set("sslmode", known.name);
  }
  for (const auto& known : target_names) {
    if (url.target == known.target && url.target != TargetSessionAttrs::any)
      out.params().set("target_session_attrs", known.name);
  }
  if (!url.sslrootcert.empty()) out.params().set("sslrootcert", url.sslrootcert);
  return out;
}

/// Of a URL's authority, what the hosts are; empty where it has none.
std::string_view hosts_of(std::string_view text) {
  const auto slashes = text.find("://");
  if (slashes == std::string_view::npos) return {};
  auto authority = text.substr(slashes + 3);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  const auto at = authority.rfind('@');
  return at == std::string_view::npos ? authority : authority.substr(at + 1);
}

/// `takes_lists`: false: it was said before which hosts there are.
Result<DatabaseUrl> parse_with_one_host(std::string_view text, std::vector<std::string>* left_out,
                                        bool takes_lists = true);

/// `hosts`: where they are in `text`.
Result<DatabaseUrl> parse_with_several_hosts(std::string_view text, std::string_view hosts,
                                             std::vector<std::string>* left_out) {
  const auto begin = static_cast<std::size_t>(hosts.data() - text.data());
  const auto path = text.substr(begin + hosts.size());
  if (path.substr(0, path.find('?')).contains('@')) {
    return fail("the URL has an '@' behind its hosts; in a password, write '/' as %2F");
  }
  const auto each = split(hosts);
  auto url = parse_with_one_host(fmt::format("{}{}{}", text.substr(0, begin), each.front(), path), left_out, false);
  if (!url) return url;
  if (std::ranges::find(each, "") != each.end()) return fail("one of the URL's hosts is empty");
  if (each.size() > most_hosts) return fail(fmt::format("the URL names more than {} hosts", most_hosts));
  for (const auto& one : each | std::views::drop(1)) {
    const auto other = parse_with_one_host("postgresql://" + one, nullptr);
    if (!other) return other;
    url->more_hosts.push_back({.host = other->host, .port = other->port});
  }
  return url;
}

}  // namespace

std::vector<ServerHost> DatabaseUrl::hosts() const {
  std::vector<ServerHost> all{{.host = host, .port = port}};
  all.insert(all.end(), more_hosts.begin(), more_hosts.end());
  return all;
}

std::optional<TargetSessionAttrs> parse_target_session_attrs(std::string_view text) {
  const auto* const found = std::ranges::find(target_names, text, &TargetName::name);
  return found == target_names.end() ? std::nullopt : std::optional(found->target);
}

Result<> set_hosts(DatabaseUrl& url, std::string_view hosts, std::string_view ports) {
  const auto names = split(hosts);
  const auto numbers = ports.empty() ? std::vector<std::string>() : split(ports);
  if (numbers.size() > 1 && numbers.size() != names.size()) {
    return fail(fmt::format("there are {} hosts, and {} ports", names.size(), numbers.size()));
  }
  if (names.size() > most_hosts) return fail(fmt::format("there are more than {} hosts", most_hosts));
  std::vector<ServerHost> all;
  for (std::size_t at = 0; at < names.size(); ++at) {
    if (names[at].empty()) return fail("a host is empty");
    std::uint16_t port = url.port;
    if (!numbers.empty()) {
      const auto number = parse_port(numbers[numbers.size() == 1 ? 0 : at]);
      if (!number) return std::unexpected(number.error());
      port = *number;
    }
    all.push_back({.host = names[at], .port = port});
  }
  url.host = all.front().host;
  url.port = all.front().port;
  url.more_hosts.assign(all.begin() + 1, all.end());
  return {};
}

std::optional<ServerTlsMode> parse_tls_mode(std::string_view text) {
  const auto* const found = std::ranges::find(mode_names, text, &ModeName::name);
  return found == mode_names.end() ? std::nullopt : std::optional(found->mode);
}

Result<DatabaseUrl> parse_database_url(std::string_view text, std::vector<std::string>* left_out) {
  const auto hosts = hosts_of(text);
  return hosts.contains(',') ? parse_with_several_hosts(text, hosts, left_out) : parse_with_one_host(text, left_out);
}

namespace {

Result<DatabaseUrl> parse_with_one_host(std::string_view text, std::vector<std::string>* left_out, bool takes_lists) {
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

  // Boost 1.81 lets a path begin right after a port ("host:1x").
  const std::string path = view.path();
  if ((!path.empty() && path[0] != '/') || view.host().find(',') != std::string::npos) {
    return fail("the URL must name a host, and a port from 1 to 65535");
  }

  DatabaseUrl url;
  if (!view.encoded_host_address().empty()) url.host = view.host_address();
  if (view.has_port() && !view.port().empty()) {
    const auto port = parse_port(view.port());
    if (!port) return fail("the URL: " + port.error().message);
    url.port = *port;
  }
  url.user = view.user();
  url.password = view.password();
  if (path.size() > 1) url.database = path.substr(1);
  HostLists lists;
  for (const auto& parameter : view.params()) {
    const auto applied = apply_parameter(url, lists, parameter.key, parameter.value);
    if (!applied) return std::unexpected(applied.error());
    if (*applied) continue;
    if (left_out == nullptr) return not_known(parameter.key);
    left_out->push_back(parameter.key);
  }
  if (url.host.empty() || url.database.empty() || lists.hosts == "") {
    return fail("the URL's host and database must not be empty");
  }
  if (lists.hosts || lists.ports) {
    if (!takes_lists) return fail("the URL must say once which hosts and ports there are");
    if (const auto set = set_hosts(url, lists.hosts.value_or(url.host), lists.ports.value_or("")); !set) {
      return fail("the URL: " + set.error().message);
    }
  }
  return url;
}

}  // namespace

std::string masked(const DatabaseUrl& url) { return written(url, url.password.empty() ? "" : "***").buffer(); }

std::string with_password(const DatabaseUrl& url) { return written(url, url.password).buffer(); }

}  // namespace millrace::config
