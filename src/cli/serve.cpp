#include "cli/serve.hpp"

#include <sys/resource.h>

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>

#include "base/log.hpp"
#include "cli/check.hpp"
#include "cli/cores.hpp"
#include "cli/exit_code.hpp"
#include "cli/notify.hpp"
#include "cli/version.hpp"

namespace millrace::cli {
namespace {

namespace asio = boost::asio;

/// What `serve` composes, and how it ends. The parts run on the cores' threads; this object on the main thread.
class Service {
 public:
  Service(config::Sources sources, config::Loaded loaded)
      : sources_(std::move(sources)),
        settings_(std::make_shared<const config::Settings>(std::move(loaded.settings))),
        cores_(settings_->io_threads) {}

  Result<> start();

  /// Returns when the last part has ended.
  void run();

 private:
  void wait_for_signal();
  void on_signal(int number);
  void reload();
  void shut_down();
  void shut_down_now(std::string_view why);

  const config::Sources sources_;
  std::shared_ptr<const config::Settings> settings_;
  Cores cores_;
  asio::io_context control_{1};
  asio::signal_set signals_{control_, SIGTERM, SIGINT, SIGHUP};
  asio::steady_timer deadline_{control_};
  bool stopping_ = false;
};

Result<> Service::start() {
  if (auto started = cores_.start(); !started) return started;
  return {};
}

void Service::run() {
  wait_for_signal();
  log::info("millrace is ready", {{"version", version()}});
  notify("READY=1");
  control_.run();
  cores_.stop();
  log::info("millrace has stopped");
}

void Service::wait_for_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int number) {
    if (error) return;
    wait_for_signal();
    on_signal(number);
  });
}

void Service::on_signal(int number) {
  if (number == SIGHUP) return reload();
  if (stopping_) return shut_down_now("a second signal");
  shut_down();
}

void Service::reload() {
  if (stopping_) return;
  notify("RELOADING=1\nMONOTONIC_USEC=" + monotonic_usec());
  auto loaded = config::load(sources_);
  const Result<> files = loaded ? check_files(*loaded) : std::unexpected(loaded.error());
  if (!files) {
    log::error("settings were not reloaded", {{"reason", files.error().message}});
  } else {
    for (const std::string& warning : loaded->warnings) log::warn(warning);
    auto next = std::make_shared<const config::Settings>(config::reloadable(*settings_, loaded->settings));
    for (const std::string_view name : config::changed(*next, loaded->settings)) {
      log::warn("a changed setting takes effect at the next start", {{"setting", name}});
    }
    std::string names;
    for (const std::string_view name : config::changed(*settings_, *next)) {
      names.append(names.empty() ? "" : " ").append(name);
    }
    settings_ = std::move(next);
    log::configure(settings_->log_level, settings_->log_format);
    log::info("settings were reloaded", {{"changed", names}});
  }
  notify("READY=1");
}

void Service::shut_down() {
  stopping_ = true;
  const auto allowed = settings_->shutdown_timeout_seconds;
  log::info("shutting down", {{"timeout_seconds", allowed.count()}});
  // The service manager has a patience of its own, which may be shorter.
  const auto patience = std::chrono::microseconds(allowed + std::chrono::seconds(10));
  notify(fmt::format("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", patience.count()));
  deadline_.expires_after(allowed);
  deadline_.async_wait([this](const boost::system::error_code& error) {
    if (!error) shut_down_now("the time-out");
  });
  shut_down_now("nothing runs");
}

void Service::shut_down_now(std::string_view why) {
  log::warn("stopping at once", {{"reason", why}});
  control_.stop();
}

void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    log::warn("could not raise the limit of open files", {{"reason", std::strerror(errno)}});
  }
}

}  // namespace

int serve(const config::Sources& sources) {
  auto loaded = config::load(sources);
  const Result<> files = loaded ? check_files(*loaded) : std::unexpected(loaded.error());
  if (!files) {
    fmt::print(stderr, "{}\n", files.error().message);
    return bad_usage;
  }
  log::configure(loaded->settings.log_level, loaded->settings.log_format);
  log::info("starting", {{"version", version()}, {"configuration", loaded->file.empty() ? "none" : loaded->file}});
  for (const std::string& warning : loaded->warnings) log::warn(warning);
  std::signal(SIGPIPE, SIG_IGN);
  raise_file_limit();

  Service service(sources, *std::move(loaded));
  if (const auto started = service.start(); !started) {
    log::error("could not start", {{"reason", started.error().message}, {"hint", started.error().hint}});
    return failed;
  }
  service.run();
  return succeeded;
}

}  // namespace millrace::cli
