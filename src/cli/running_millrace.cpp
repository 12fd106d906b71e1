#include "cli/running_millrace.hpp"

#include <cstdlib>

namespace millrace::cli {
namespace {

/// Whoever listens on all addresses is asked on this machine.
std::string reachable(const std::string& listen_host) {
  if (listen_host == "0.0.0.0") return "127.0.0.1";
  return listen_host == "::" ? "::1" : listen_host;
}

}  // namespace

RunningMillrace::RunningMillrace(const config::Settings& settings)
    : endpoint_{reachable(settings.http_host), settings.http_port}, tls_(!settings.tls_cert_file.empty()) {}

Result<HttpAnswer> RunningMillrace::call(HttpCall call, std::chrono::milliseconds timeout) const {
  if (const char* const key = std::getenv("MILLRACE_API_KEY")) call.api_key = key;
  return http_call(endpoint_, call, tls_, timeout);
}

std::string RunningMillrace::address() const { return fmt::format("{}:{}", endpoint_.host, endpoint_.port); }

}  // namespace millrace::cli
