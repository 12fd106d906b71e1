#include "gateway/server_address.hpp"

#include <fmt/format.h>

namespace millrace::gateway {

namespace {

std::shared_ptr<CircuitBreaker> breaker_of(const net::Endpoint& endpoint,
                                           const std::shared_ptr<const backend::ServerAddress>& former) {
  if (former && former->endpoint == endpoint) return former->breaker;
  return std::make_shared<CircuitBreaker>(fmt::format("{}:{}", endpoint.host, endpoint.port));
}

}  // namespace

Result<std::shared_ptr<const backend::ServerAddress>> server_address(
    const config::Settings& settings, const std::shared_ptr<const backend::ServerAddress>& former) {
  using config::ServerTlsMode;
  auto address = std::make_shared<backend::ServerAddress>();
  address->endpoint = {settings.database_url.host, settings.database_url.port};
  address->connect_timeout = settings.server_connect_timeout_seconds;
  address->breaker = breaker_of(address->endpoint, former);
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
