#include "cli/running_millrace.hpp"

#include <cstdio>
#include <cstdlib>

#include "cli/answer_text.hpp"
#include "cli/exit_code.hpp"

namespace millrace::cli {
namespace {

constexpr auto patience = std::chrono::seconds(20);

/// Whoever listens on all addresses is asked on this machine.
std::string reachable(const std::string& listen_host) {
  if (listen_host == "0.0.0.0") return "127.0.0.1";
  return listen_host == "::" ? "::1" : listen_host;
}

}  // namespace

Answer ask_running(const config::Sources& sources, HttpCall call, std::string_view what) {
  const auto loaded = config::load(sources);
  if (!loaded) {
    fmt::print(stderr, "{}\n", loaded.error().message);
    return {.exit_code = bad_usage};
  }
  const auto& settings = loaded->settings;
  const net::Endpoint endpoint{reachable(settings.http_host), settings.http_port};
  if (const char* const key = std::getenv("MILLRACE_API_KEY")) call.api_key = key;
  auto answer = http_call(endpoint, call, !settings.tls_cert_file.empty(), patience);
  if (answer && (answer->status == 200 || answer->status == 204))
    return {.exit_code = succeeded, .body = std::move(answer->body)};
  std::string why = answer ? reason_of(*answer) : answer.error().message;
  if (answer && answer->status == 401) why += "; the key is taken from MILLRACE_API_KEY";
  fmt::print(stderr, "Millrace at {}:{} gives no {}: {}\n", endpoint.host, endpoint.port, what, why);
  return {.exit_code = failed};
}

}  // namespace millrace::cli
