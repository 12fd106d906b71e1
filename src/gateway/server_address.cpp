#include "gateway/server_address.hpp"

namespace millrace::gateway {

Result<std::shared_ptr<const backend::ServerAddress>> server_address(const config::Settings& settings) {
  using config::ServerTlsMode;
  auto address = std::make_shared<backend::ServerAddress>();
  address->endpoint = {settings.database_url.host, settings.database_url.port};
  address->connect_timeout = settings.server_connect_timeout_seconds;
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
