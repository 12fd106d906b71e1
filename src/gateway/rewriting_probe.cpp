// rewriting_probe
//
// A Millrace that tries every statement in another way and sends it so, whether that pays or not, for
// rewriting_probe_test.py: the wire port alone, on one core, with the settings of the environment (MILLRACE_NAME).
// Prints the port, and for each line that it reads what the ledger holds, as a JSON object a line:
//   {"rewrites": [{"query": ..., "state": ..., "reason": ..., "rewritten": ..., "uses": ...}],
//    "uses": ..., "guards_failed": ..., "proofs": ..., "mismatches": ...}
#include <boost/asio/steady_timer.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <iostream>
#include <limits>
#include <thread>

#include "backend/server_connection.hpp"
#include "base/log.hpp"
#include "config/load.hpp"
#include "gateway/gateway.hpp"
#include "pipeline/pipeline.hpp"

using namespace millrace;
namespace asio = boost::asio;
namespace json = boost::json;

namespace {

constexpr pipeline::RewriteLimits no_limits{.least_ns = 0,
                                            .least_executions = 1,
                                            .least_total_ns = 0,
                                            .most_share_of_cost = std::numeric_limits<double>::infinity(),
                                            .most_share_of_time = std::numeric_limits<double>::infinity(),
                                            .least_ms_saved = -std::numeric_limits<double>::infinity(),
                                            .least_uses = std::numeric_limits<std::uint64_t>::max(),
                                            .rest = 0,
                                            .pause_ns = 10'000'000,
                                            .try_again_by_catalogs_ns = 0};

constexpr std::chrono::milliseconds time_for_goodbyes{500};

json::object ledger(const pipeline::Rewrites& rewrites) {
  json::array all;
  for (const auto& one : rewrites.report()) {
    all.push_back(json::object{{"query", one.query},
                               {"state", pipeline::name(one.state)},
                               {"reason", one.reason},
                               {"rewritten", one.rewritten},
                               {"uses", one.uses}});
  }
  const auto counts = rewrites.counts();
  return {{"rewrites", std::move(all)},
          {"uses", counts.uses},
          {"guards_failed", counts.guards_failed},
          {"proofs", counts.proofs},
          {"mismatches", counts.mismatches}};
}

}  // namespace

int main() {
  const auto loaded = config::load({.environment = config::process_environment()});
  if (!loaded) {
    std::cerr << loaded.error().message << std::endl;
    return 2;
  }
  log::configure(loaded->settings.log_level, loaded->settings.log_format);
  asio::io_context io{1};
  QueryPerformanceMonitor monitor{1, pipeline::statement_kind_labels()};
  const auto cache = std::make_shared<cache::IntelligentCacheManager>(std::size_t{16} << 20);
  const auto settings = std::make_shared<const config::Settings>(loaded->settings);
  const auto started = gateway::Gateway::start({&io}, settings, monitor, cache, no_limits);
  if (!started) {
    std::cerr << started.error().message << std::endl;
    return 1;
  }
  const auto& gateway = *started;
  const auto work = asio::make_work_guard(io);
  std::thread core([&io] { io.run(); });
  std::cout << gateway->port() << std::endl;
  for (std::string line; std::getline(std::cin, line);)
    std::cout << json::serialize(ledger(*gateway->rewrites())) << std::endl;
  // As the program does: what is under way ends, and those who are told of the end have time to hear it.
  asio::steady_timer goodbyes(io);
  gateway->drain([&] {
    asio::post(io, [&] {
      gateway->stop();
      goodbyes.expires_after(time_for_goodbyes);
      goodbyes.async_wait([&io](const boost::system::error_code&) { io.stop(); });
    });
  });
  core.join();
  backend::join_slow_logins();
  return 0;
}
