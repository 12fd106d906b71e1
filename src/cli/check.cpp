#include "cli/check.hpp"

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "cli/exit_code.hpp"
#include "net/tls.hpp"
#include "pgwire/sansio/user_list.hpp"

namespace millrace::cli {
namespace {

net::TlsContext::Verify verification(config::ServerTlsMode mode) {
  switch (mode) {
    case config::ServerTlsMode::verify_ca:
      return net::TlsContext::Verify::ca;
    case config::ServerTlsMode::verify_full:
      return net::TlsContext::Verify::full;
    case config::ServerTlsMode::disable:
    case config::ServerTlsMode::prefer:
    case config::ServerTlsMode::require:
      break;
  }
  return net::TlsContext::Verify::none;
}

Result<> check_user_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  std::ostringstream content;
  content << file.rdbuf();
  const auto users = pgwire::parse_user_list(content.str());
  if (!users) return fail(fmt::format("{}: {}", path, users.error().message));
  return {};
}

}  // namespace

Result<> check_files(const config::Loaded& loaded) {
  const config::Settings& settings = loaded.settings;
  const auto because = [&](std::string_view name, const Error& error) {
    const auto origin = loaded.origins.find(name);
    return fail(
        fmt::format("{}: {}: {}", origin == loaded.origins.end() ? "default" : origin->second, name, error.message));
  };
  if (!settings.tls_cert_file.empty()) {
    const auto context = net::TlsContext::server(settings.tls_cert_file, settings.tls_key_file);
    if (!context) return because("TLS_CERT_FILE", context.error());
  }
  if (settings.server_tls_mode != config::ServerTlsMode::disable) {
    const auto context = net::TlsContext::client(verification(settings.server_tls_mode), settings.server_tls_ca_file);
    if (!context) return because("SERVER_TLS_CA_FILE", context.error());
  }
  if (!settings.auth_file.empty()) {
    if (const auto read = check_user_file(settings.auth_file); !read) return because("AUTH_FILE", read.error());
  }
  std::error_code ignored;
  if (!settings.unix_socket_dir.empty() && !std::filesystem::is_directory(settings.unix_socket_dir, ignored)) {
    return because("UNIX_SOCKET_DIR", Error::because(settings.unix_socket_dir + " is not a directory"));
  }
  if (!settings.data_dir.empty()) {
    if (!std::filesystem::is_directory(settings.data_dir, ignored)) {
      return because("DATA_DIR", Error::because(settings.data_dir + " is not a directory"));
    }
    if (access(settings.data_dir.c_str(), R_OK | W_OK | X_OK) != 0) {
      return because("DATA_DIR", Error::because(settings.data_dir + " can't be written to"));
    }
  }
  if (!settings.alert_command.empty() && access(settings.alert_command.c_str(), X_OK) != 0) {
    return because("ALERT_COMMAND", Error::because(settings.alert_command + " can't be run"));
  }
  return {};
}

int check(const config::Sources& sources) {
  const auto loaded = config::load(sources);
  if (!loaded) {
    fmt::print(stderr, "{}\n", loaded.error().message);
    return bad_usage;
  }
  for (const std::string& warning : loaded->warnings) fmt::print(stderr, "warning: {}\n", warning);
  if (const auto files = check_files(*loaded); !files) {
    fmt::print(stderr, "{}\n", files.error().message);
    return bad_usage;
  }
  fmt::print("configuration is valid\n");
  return succeeded;
}

}  // namespace millrace::cli
