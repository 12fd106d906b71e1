#include "cli/status.hpp"

#include <boost/json/parse.hpp>

#include "cli/figures.hpp"
#include "cli/running_millrace.hpp"

namespace millrace::cli {
namespace {

constexpr auto path = "/api/v1/optimization/status";

std::string duration(const Figures& figures, const std::string& pointer) {
  const auto* value = figures.find(pointer);
  if (value == nullptr || !value->is_number()) return "-";
  const auto seconds = static_cast<std::int64_t>(value->to_number<double>());
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{} min {} s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{} d {} h", seconds / 86400, seconds / 3600 % 24);
}

}  // namespace

std::string status_summary(std::string_view body) {
  boost::system::error_code error;
  const boost::json::value root = boost::json::parse({body.data(), body.size()}, error);
  if (error) return "the answer is not JSON\n";
  const Figures f(root);
  const std::string w = "/wire";
  std::string out = fmt::format("Millrace {}, {}, up {}\n", f.text(w + "/version"), f.text("/status"),
                                duration(f, w + "/uptime_seconds"));
  const std::string c = w + "/clients/";
  out +=
      fmt::format("  clients  {} connected, {} active, {} waiting; so far {}, of them {} refused, {} log-ins failed\n",
                  f.count(c + "connected"), f.count(c + "active"), f.count(c + "waiting"), f.count(c + "total"),
                  f.count(c + "refused"), f.count(c + "logins_failed"));
  const std::string s = w + "/servers/";
  out += fmt::format("  servers  {} active, {} idle; so far {} opened, {} closed, {} failed\n", f.count(s + "active"),
                     f.count(s + "idle"), f.count(s + "opened"), f.count(s + "closed"), f.count(s + "failed"));
  const std::string q = w + "/queries/";
  out += fmt::format("  queries  {} a second, median {} ms, 99th percentile {} ms (last {}); so far {}, {} failed\n",
                     f.decimal(q + "per_second", 1), f.decimal(q + "p50_ms", 3), f.decimal(q + "p99_ms", 3),
                     duration(f, q + "recent_seconds"), f.count(q + "total"), f.count(q + "failed"));
  if (const auto* warnings = f.find("/warnings"); warnings != nullptr && warnings->is_array()) {
    for (const auto& warning : warnings->get_array()) {
      if (warning.is_string()) out += fmt::format("  note     {}\n", std::string_view(warning.get_string()));
    }
  }
  return out;
}

int status(const config::Sources& sources, bool json) {
  return print(ask_running(sources, {.path = path}, "status"), json, status_summary);
}

}  // namespace millrace::cli
