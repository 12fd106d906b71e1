#include "cli/serve.hpp"

#include <sys/resource.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>
#include <csignal>
#include <cstdio>

#include "backend/embedded_store.hpp"
#include "backend/server_connection.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "cache/intelligent_cache_manager.hpp"
#include "cli/built_in_alerts.hpp"
#include "cli/check.hpp"
#include "cli/cores.hpp"
#include "cli/exit_code.hpp"
#include "cli/forget_constants.hpp"
#include "cli/notify.hpp"
#include "cli/redis_address.hpp"
#include "cli/version.hpp"
#include "executor/job_store.hpp"
#include "executor/shared_quotas.hpp"
#include "gateway/gateway.hpp"
#include "http/alert_body.hpp"
#include "http/alert_store.hpp"
#include "http/api.hpp"
#include "http/deliver.hpp"
#include "http/live_feed.hpp"
#include "http/plan_asker.hpp"
#include "http/rewrite_store.hpp"
#include "http/server.hpp"
#include "http/worker.hpp"
#include "monitor/performance_store.hpp"
#include "monitor/performance_watch.hpp"
#include "monitor/query_performance_monitor.hpp"
#include "net/tls.hpp"
#include "pipeline/kept_text.hpp"
#include "pipeline/pipeline.hpp"
#include "pipeline/reported_queries.hpp"
#include "sql/normalized_text.hpp"

namespace millrace::cli {
namespace {

namespace asio = boost::asio;

// In the end, so long for the goodbyes.
constexpr auto time_for_goodbyes = std::chrono::seconds(1);
constexpr auto time_between_looks = std::chrono::milliseconds(10);
// At the end, for whoever reads the log.
constexpr auto patience_for_log = std::chrono::seconds(2);
constexpr auto patience_of_probe = std::chrono::milliseconds(1500);

std::string address(const std::string& host, std::uint16_t port) {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

bool is_loopback(const std::string& host) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  return error ? host == "localhost" : address.is_loopback();
}

/// What `serve` composes, and how it ends. The parts run on the cores' threads; this object on the main thread.
class Service {
 public:
  Service(config::Sources sources, config::Loaded loaded)
      : sources_(std::move(sources)),
        settings_(std::make_shared<const config::Settings>(std::move(loaded.settings))),
        cores_(settings_->io_threads) {}

  /// All ports listen when it is done.
  Result<> start();

  /// Returns when it has ended: nothing runs any more.
  void run();

 private:
  enum class Phase { running, draining, parting, stopping };

  void make_store();
  backend::EmbeddedStore::Part keep_jobs();
  backend::EmbeddedStore::Part keep_figures();
  void share_quotas();
  void make_watch();
  std::function<http::Asker()> usual_asker() const;
  Result<> start_http();
  asio::awaitable<Result<>> probe_postgresql();
  void wait_for_signal();
  void on_signal(int number);
  void reload();
  Result<> try_reload();
  void drain();
  void part();
  void end_without_http_clients(TimePoint latest);
  void stop(std::string_view why);
  void after(std::chrono::milliseconds delay, std::function<void()> then);

  const config::Sources sources_;
  std::shared_ptr<const config::Settings> settings_;
  std::shared_ptr<QueryPerformanceMonitor> monitor_;
  std::shared_ptr<PerformanceStore> kept_;         // null: no queries are recorded, or nothing survives a restart
  std::shared_ptr<executor::JobStore> kept_jobs_;  // null: they don't survive a restart
  std::shared_ptr<backend::EmbeddedStore> store_;  // null: nothing does
  http::NotificationChannels channels_;
  const std::shared_ptr<TemplatePlans> plans_ = std::make_shared<TemplatePlans>();
  std::shared_ptr<pipeline::ReportedQueries> reports_;
  std::shared_ptr<http::LiveUpdates> live_;  // null, too: performance isn't watched
  std::shared_ptr<PerformanceWatch> watch_;  // null: performance isn't watched
  Cores cores_;
  std::shared_ptr<cache::IntelligentCacheManager> cache_;  // null: caching is off
  std::unique_ptr<gateway::Gateway> gateway_;
  std::shared_ptr<executor::SharedQuotas> shared_quotas_;  // null: each node counts alone
  std::unique_ptr<http::Server> http_;

  asio::io_context control_{1};
  asio::signal_set signals_{control_, SIGTERM, SIGINT, SIGHUP};
  asio::steady_timer deadline_{control_};
  Phase phase_ = Phase::running;
};

Result<> Service::start() {
  const auto contexts = cores_.contexts();
  std::optional<RecordingOptions> recording;
  if (settings_->performance_monitoring_enabled && settings_->query_performance_tracking_enabled) {
    recording = {.normalized = sql::normalized, .keep_parameters = settings_->enable_query_parameter_capture};
  }
  // One more than there are cores, for queries that somebody tells of.
  monitor_ = std::make_shared<QueryPerformanceMonitor>(contexts.size() + 1, pipeline::statement_kind_labels(),
                                                       std::move(recording));
  reports_ = std::make_shared<pipeline::ReportedQueries>(monitor_, contexts.size(), settings_->slow_query_threshold_ms);
  monitor_->start();
  if (settings_->enable_multi_level_caching) {
    const auto mib = static_cast<std::size_t>(settings_->l1_cache_size_mb);
    cache_ = std::make_shared<cache::IntelligentCacheManager>(mib << 20);
  }
  auto gateway = gateway::Gateway::start(contexts, settings_, *monitor_, cache_);
  if (!gateway) return std::unexpected(std::move(gateway).error());
  gateway_ = *std::move(gateway);
  // It holds texts with their constants.
  const bool keeps_constants = settings_->enable_query_parameter_capture;
  if (!keeps_constants) forget_constants(settings_->data_dir);
  http::RewriteStore store(keeps_constants ? settings_->data_dir : "");
  const auto rewrites = store.load();
  gateway_->keep_rewrites(rewrites, [store](const std::vector<pipeline::RewriteReport>& rewrites) {
    if (const auto saved = store.save(rewrites); !saved)
      log::error("the ledger of rewrites could not be saved", {{"reason", saved.error().message}});
  });
  make_store();
  share_quotas();
  if (settings_->performance_monitoring_enabled) make_watch();
  if (auto started = start_http(); !started) return started;
  if (auto started = cores_.start(); !started) return started;
  if (watch_) watch_->start();
  if (store_) store_->start();
  if (shared_quotas_) shared_quotas_->start();

  const config::DatabaseUrl& database = settings_->database_url;
  log::info("listening",
            {{"postgresql", address(settings_->listen_host, gateway_->port())},
             {"unix_socket_dir", settings_->unix_socket_dir},
             {"http", address(settings_->http_host, http_->port())},
             {"database", database.host.starts_with('/') ? database.host : address(database.host, database.port)},
             {"threads", contexts.size()}});
  return {};
}

void Service::make_store() {
  if (settings_->data_dir.empty()) return;
  std::vector<backend::EmbeddedStore::Part> parts{keep_jobs()};
  if (monitor_->records()) parts.push_back(keep_figures());
  store_ =
      std::make_shared<backend::EmbeddedStore>(settings_->data_dir, std::move(parts), backend::EmbeddedStore::Times());
}

/// They hold constants, and what they have answered.
backend::EmbeddedStore::Part Service::keep_jobs() {
  backend::EmbeddedStore::Part part{.name = "jobs",
                                    .version = executor::JobStore::version,
                                    .prepare = executor::JobStore::forget,
                                    .write = [](backend::DuckDb&, bool) { return Result<>(); }};
  if (!settings_->enable_query_parameter_capture) return part;
  const auto keeps_constants = [](const std::string& sql) {
    return pipeline::constants_may_be_kept(sql::parse(sql)->kind, sql);
  };
  executor::JobStore::Hooks hooks{
      .may_run_again = [gateway = gateway_.get(), keeps_constants](const std::string& sql) -> std::optional<bool> {
        if (!keeps_constants(sql)) return false;
        return gateway->changes_nothing(sql);
      },
      .without_constants =
          [keeps_constants](const std::string& sql) {
            const auto kind = sql::parse(sql)->kind;
            return executor::JobStore::Shown{.text = pipeline::without_constants(kind, sql, true),
                                             .keeps_error = keeps_constants(sql)};
          },
      .write_soon = [this] { store_->write_soon("jobs"); }};
  kept_jobs_ = std::make_shared<executor::JobStore>(gateway_->jobs(), std::move(hooks));
  gateway_->jobs()->use({.changed = [kept = kept_jobs_] { kept->changed(); },
                         .remind = [kept = kept_jobs_] { kept->remind(); },
                         .server = [gateway = gateway_.get()] { return gateway->jobs_go_to(); }});
  part.prepare = [kept = kept_jobs_](backend::DuckDb& database) { return kept->prepare(database); };
  part.write = [kept = kept_jobs_](backend::DuckDb& database, bool is_last) { return kept->write(database, is_last); };
  return part;
}

backend::EmbeddedStore::Part Service::keep_figures() {
  kept_ = std::make_shared<PerformanceStore>(
      monitor_,
      PerformanceStore::Options{.figures_for = std::chrono::days(settings_->performance_history_retention_days),
                                .slow_queries_for = std::chrono::days(settings_->slow_query_retention_days)},
      Moment::now());
  return {.name = "monitor",
          .version = PerformanceStore::version,
          .prepare = [kept = kept_](backend::DuckDb& database) { return kept->prepare(database); },
          .write = [kept = kept_](backend::DuckDb& database,
                                  bool is_last) { return kept->write(database, Moment::now(), is_last); }};
}

void Service::share_quotas() {
  if (!settings_->redis_url || !settings_->enable_adaptive_executor) return;
  shared_quotas_ = std::make_shared<executor::SharedQuotas>(gateway_->executor(), redis_address(*settings_->redis_url));
}

std::function<http::Asker()> Service::usual_asker() const {
  return [gateway = gateway_.get()] {
    const auto settings = gateway->settings();
    const auto& url = settings->database_url;
    return http::Asker{.database = url.database, .user = url.user};
  };
}

void Service::make_watch() {
  if (!settings_->alert_webhook_url.empty()) {
    channels_.push_back(
        std::make_shared<http::NotificationChannel>("webhook", http::deliver_to_webhook(settings_->alert_webhook_url)));
  }
  if (!settings_->alert_command.empty()) {
    channels_.push_back(
        std::make_shared<http::NotificationChannel>("command", http::deliver_to_command(settings_->alert_command)));
  }
  http::AlertStore store(settings_->data_dir);
  StoredAlerts stored = store.load();
  const std::string url = fmt::format("{}://{}", settings_->tls_cert_file.empty() ? "http" : "https",
                                      address(settings_->http_host, settings_->http_port));
  live_ = std::make_shared<http::LiveUpdates>();
  const auto feed = std::make_shared<http::LiveFeed>(live_, monitor_, plans_);
  const auto asker = std::make_shared<http::PlanAsker>(
      monitor_, plans_,
      [gateway = gateway_.get()](optimizer::PlanRequest request) { return gateway->plan(std::move(request)); },
      *cores_.contexts().front(), http::PlanAsker::Budget());
  PerformanceWatch::Hooks hooks{
      .looked =
          [this, feed, asker, reports = reports_](const IntervalFigures& figures) {
            feed->looked(figures);
            reports->tick();
            asker->look(watch_->templates(), watch_->anomalies().suspects(),
                        [&](const PlanChange& change) { feed->changed(change); });
          },
      .anomaly =
          [feed](const PerformanceAnomaly& anomaly) {
            feed->found(anomaly);
            log::warn("anomaly", {{"id", anomaly.anomaly_id}, {"description", anomaly.description}});
          },
      .alert =
          [channels = channels_, url, feed](const Alert& alert) {
            feed->changed(alert);
            log::warn(alert.resolved ? "alert resolved" : "alert",
                      {{"id", alert.alert_id}, {"description", alert.description}});
            const std::string body = http::alert_body(alert, url);
            for (const auto& channel : channels) channel->send(body);
          },
      .save =
          [store, failed_before = false](const StoredAlerts& stored) mutable {
            const auto saved = store.save(stored);
            // It is tried every second.
            if (!saved && !failed_before) {
              log::error("alerts could not be saved; this is tried again", {{"reason", saved.error().message}});
            }
            failed_before = !saved;
            return saved.has_value();
          }};
  watch_ = std::make_shared<PerformanceWatch>(
      monitor_,
      PerformanceWatch::Options{.detect_anomalies = settings_->enable_anomaly_detection,
                                .profile = static_cast<DetectorProfile>(settings_->anomaly_detection_sensitivity),
                                .slow_query_threshold = settings_->slow_query_threshold_ms},
      std::move(hooks), plans_);
  watch_->alerts().built_in(built_in_alerts(settings_->performance_alert_thresholds));
  watch_->alerts().restore(std::move(stored));
}

Result<> Service::start_http() {
  http::ServerOptions options{.listen = {settings_->http_host, settings_->http_port}};
  if (!settings_->tls_cert_file.empty()) {
    auto tls = net::TlsContext::server(settings_->tls_cert_file, settings_->tls_key_file);
    if (!tls) return std::unexpected(std::move(tls).error());
    options.tls = *std::move(tls);
  }
  const http::Sources sources{
      .version = std::string(version()),
      .monitor = monitor_,
      .probe_postgresql = [this] { return probe_postgresql(); },
      .cache = cache_,
      .executor = settings_->enable_adaptive_executor ? gateway_->executor() : nullptr,
      .shared_quotas = shared_quotas_,
      .jobs = gateway_->jobs(),
      .query_timeout = [gateway = gateway_.get()] { return gateway->settings()->query_timeout_seconds; },
      .pool_usage = [gateway = gateway_.get()] { return std::optional(gateway->pool_usage()); },
      .breakers = [gateway = gateway_.get()] { return gateway->breakers(); },
      .change_streams = [this] { return gateway_->change_streams(); },
      .reads = gateway_->read_cache(),
      .default_asker = usual_asker(),
      .plan = [gateway = gateway_.get()](optimizer::PlanRequest request) { return gateway->plan(std::move(request)); },
      .what_if = [gateway = gateway_.get()](std::string database) { return gateway->what_if(std::move(database)); },
      .rewriting =
          [gateway = gateway_.get()] {
            const auto settings = gateway->settings();
            return optimizer::Options{.rewriting = settings->enable_automatic_query_rewriting,
                                      .predicate_pushdown = settings->enable_predicate_pushdown,
                                      .join_optimization = settings->enable_join_optimization,
                                      .budget = settings->max_query_optimization_time_ms};
          },
      .rewrites = gateway_->rewrites(),
      .shows_constants = settings_->enable_query_parameter_capture,
      .api_keys = {.hashes = http::split_hashes(settings_->api_key_hashes),
                   .only_loopback = is_loopback(settings_->http_host)},
      .watch = watch_,
      .channels = channels_,
      .reports = reports_,
      .plans = watch_ ? plans_ : nullptr,
      .store = store_,
      .kept = kept_,
      .kept_jobs = kept_jobs_,
      .live = live_};
  auto server = http::Server::start(cores_.contexts(), std::move(options), http::api(sources));
  if (!server) return std::unexpected(std::move(server).error());
  http_ = *std::move(server);
  return {};
}

asio::awaitable<Result<>> Service::probe_postgresql() {
  const auto executor = co_await asio::this_coro::executor;
  const auto timer = std::make_shared<asio::steady_timer>(executor, patience_of_probe);
  const auto answer = std::make_shared<std::optional<Result<>>>();
  asio::co_spawn(executor, gateway_->probe(), [timer, answer](const std::exception_ptr&, Result<> got) {
    *answer = std::move(got);
    timer->cancel();
  });
  boost::system::error_code ignored;
  if (!*answer) co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  co_return *answer ? **answer : fail("PostgreSQL gave no answer in time");
}

void Service::run() {
  wait_for_signal();
  notify("READY=1");
  log::info("ready", {{"version", version()}});
  control_.run();
  if (watch_) watch_->stop();
  for (const auto& channel : channels_) channel->stop();
  http::Worker::stop_all(time_for_goodbyes);  // they may wait for the cores
  cores_.stop();
  backend::join_slow_logins();
  if (shared_quotas_) shared_quotas_->stop();
  monitor_->finish(cores_.contexts().size());
  if (store_) store_->stop();
  log::info("stopped");
}

void Service::wait_for_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int number) {
    if (error) return;
    wait_for_signal();
    on_signal(number);
  });
}

void Service::on_signal(int number) {
  if (number != SIGHUP) return phase_ == Phase::running ? drain() : stop("a second signal");
  if (phase_ == Phase::running) reload();
}

void Service::reload() {
  notify("RELOADING=1\nMONOTONIC_USEC=" + monotonic_usec());
  if (const auto done = try_reload(); !done) {
    log::error("settings were not reloaded", {{"reason", done.error().message}});
  }
  notify("READY=1");
}

Result<> Service::try_reload() {
  const auto loaded = config::load(sources_);
  if (!loaded) return std::unexpected(loaded.error());
  if (auto usable = check_files(*loaded); !usable) return usable;
  const auto next = std::make_shared<const config::Settings>(config::reloadable(*settings_, loaded->settings));
  if (auto done = gateway_->reload(next); !done) return done;

  std::string names;
  for (const std::string_view name : config::changed(*settings_, *next)) {
    names.append(names.empty() ? "" : " ").append(name);
  }
  settings_ = next;
  if (watch_) {
    watch_->alerts().built_in(built_in_alerts(settings_->performance_alert_thresholds));
    watch_->slow_from(settings_->slow_query_threshold_ms);
  }
  reports_->slow_from(settings_->slow_query_threshold_ms);
  log::configure(settings_->log_level, settings_->log_format);
  for (const std::string& warning : loaded->warnings) log::warn(warning);
  for (const std::string_view name : config::changed(*next, loaded->settings)) {
    log::warn("a changed setting takes effect at the next start", {{"setting", name}});
  }
  log::info("settings were reloaded", {{"changed", names}});
  return {};
}

void Service::drain() {
  phase_ = Phase::draining;
  const auto allowed = settings_->shutdown_timeout_seconds;
  // The service manager has a patience of its own, which may be shorter.
  const auto patience = std::chrono::microseconds(allowed + std::chrono::seconds(10));
  notify(fmt::format("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", patience.count()));
  log::info("shutting down when what runs has finished", {{"timeout_seconds", allowed.count()}});
  after(allowed, [this] { stop("the time-out"); });
  // Until then HTTP goes on: who asks for our health hears of the end from it.
  gateway_->drain([this] { asio::post(control_, [this] { part(); }); });
}

/// After the last PostgreSQL client.
void Service::part() {
  if (phase_ == Phase::draining) phase_ = Phase::parting;
  http_->stop();
  end_without_http_clients(Clock::now() + time_for_goodbyes);
}

void Service::end_without_http_clients(TimePoint latest) {
  if (http_->connections() == 0 || Clock::now() >= latest) return control_.stop();
  after(time_between_looks, [this, latest] { end_without_http_clients(latest); });
}

void Service::stop(std::string_view why) {
  if (phase_ == Phase::parting || phase_ == Phase::stopping) return control_.stop();
  phase_ = Phase::stopping;
  log::warn("stopping at once", {{"because_of", why}});
  after(time_for_goodbyes, [this] { control_.stop(); });
  gateway_->stop();
  http_->stop();
}

void Service::after(std::chrono::milliseconds delay, std::function<void()> then) {
  deadline_.expires_after(delay);
  deadline_.async_wait([then = std::move(then)](const boost::system::error_code& error) {
    if (!error) then();
  });
}

void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    log::warn("could not raise the limit of open files", {{"reason", std::strerror(errno)}});
  }
}

int run_service(const config::Sources& sources) {
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
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error, as a full disk is
  raise_file_limit();

  // Never destroyed: what was under way on the cores refers to the parts in all directions, and the process ends here.
  static Service* const service = new Service(sources, *std::move(loaded));
  if (const auto started = service->start(); !started) {
    const Error& error = started.error();
    log::error("could not start", {{"reason", error.hint.empty() ? error.message : error.message + ". " + error.hint}});
    return failed;
  }
  service->run();
  return succeeded;
}

}  // namespace

int serve(const config::Sources& sources) {
  const int code = run_service(sources);
  log::flush(patience_for_log);
  return code;
}

}  // namespace millrace::cli
