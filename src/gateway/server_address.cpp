#include "gateway/server_address.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace millrace::gateway {

namespace {

std::string name_of(const std::vector<net::Endpoint>& hosts) {
  std::string name;
  for (const auto& [host, port] : hosts) name += fmt::format("{}{}:{}", name.empty() ? "" : ", ", host, port);
  return name;
}

}  // namespace

Result<std::shared_ptr<const backend::ServerAddress>> server_address(
    const config::Settings& settings, const std::shared_ptr<const backend::ServerAddress>& former) {
  using config::ServerTlsMode;
  auto address = std::make_shared<backend::ServerAddress>();
  for (const auto& [host, port] : settings.database_url.hosts()) address->hosts.push_back({host, port});
  const bool is_the_same = former && former->hosts == address->hosts;
  const bool is_among_them = former && std::ranges::find(address->hosts, former->endpoint) != address->hosts.end();
  address->endpoint = is_among_them ? former->endpoint : address->hosts.front();
  address->must_be_primary = settings.database_url.target != config::TargetSessionAttrs::any;
  address->connect_timeout = settings.server_connect_timeout_seconds;
  address->breaker = is_the_same ? former->breaker : std::make_shared<CircuitBreaker>(name_of(address->hosts));
  const auto mode = settings.server_tls_mode;
  if (mode == ServerTlsMode::disable) return address;
  // As libpq: with a root certificate at hand, "require" checks it too.
  const bool checks_authority =
      mode == ServerTlsMode::verify_ca || (mode == ServerTlsMode::require && !settings.server_tls_ca_file.empty());
  const auto verify = mode == ServerTlsMode::verify_full ? net::TlsContext::Verify::full
                      : checks_authority                 ? net::TlsContext::Verify::ca
                                                         : net::TlsContext::Verify::none;
  auto tls = net::TlsContext::client(verify, settings.server_tls_ca_file);
  if (!tls) return std::unexpected(tls.error());
  address->tls = std::move(*tls);
  address->tls_required = mode != ServerTlsMode::prefer;
  return address;
}

}  // namespace millrace::gateway
