#include <arpa/inet.h>
#include <netinet/in.h>

#include "config/setting.hpp"

namespace millrace::config {
namespace {

using Names = std::span<const std::string_view>;

// In the order of the enumerators.
constexpr std::array<std::string_view, 3> client_tls_modes = {"disable", "allow", "require"};
constexpr std::array<std::string_view, 5> server_tls_modes = {"disable", "prefer", "require", "verify-ca",
                                                              "verify-full"};
constexpr std::array<std::string_view, 3> auth_types = {"scram-sha-256", "md5", "trust"};
constexpr std::array<std::string_view, 2> pool_modes = {"session", "transaction"};
constexpr std::array<std::string_view, 4> log_levels = {"debug", "info", "warn", "error"};
constexpr std::array<std::string_view, 2> log_formats = {"text", "json"};
constexpr std::array<std::string_view, 3> sensitivities = {"low", "medium", "high"};
constexpr std::array<std::string_view, 5> consistency_levels = {"eventual", "bounded", "session", "read_after_write",
                                                                "strong"};
constexpr std::array<std::string_view, 4> sync_strategies = {"real_time", "near_real_time", "batch", "hybrid"};

template <auto Field>
Choice choice(Names names) {
  using Enum = std::remove_cvref_t<decltype(std::declval<Settings>().*Field)>;
  return {.names = names,
          .set = [](Settings& settings, std::size_t index) { settings.*Field = static_cast<Enum>(index); },
          .get = [](const Settings& settings) { return static_cast<std::size_t>(settings.*Field); }};
}

bool is_address(std::string_view text) {
  const std::string address(text);
  in6_addr ignored{};
  return address == "localhost" || inet_pton(AF_INET, address.c_str(), &ignored) == 1 ||
         inet_pton(AF_INET6, address.c_str(), &ignored) == 1;
}

bool is_absolute_or_empty(std::string_view text) { return text.empty() || text.starts_with('/'); }

bool is_web_address_or_empty(std::string_view text) {
  if (text.empty()) return true;
  const std::size_t scheme = text.starts_with("http://") ? 7 : text.starts_with("https://") ? 8 : text.size();
  return text.size() > scheme && text.find_first_of(" \t\r\n") == std::string_view::npos;
}

bool are_hashes(std::string_view text) {
  constexpr std::size_t digits = 64;
  while (!text.empty()) {
    std::string_view one = text.substr(0, text.find(','));
    text.remove_prefix(std::min(one.size() + 1, text.size()));
    one.remove_prefix(std::min(one.find_first_not_of(' '), one.size()));
    one = one.substr(0, one.find_last_not_of(' ') + 1);
    if (one.size() != digits || one.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) return false;
  }
  return true;
}

bool is_size(std::string_view text) {
  const std::size_t digits = text.find_first_not_of("0123456789");
  if (digits == 0 || digits == std::string_view::npos) return false;
  constexpr std::array<std::string_view, 8> units = {"KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"};
  return std::find(units.begin(), units.end(), text.substr(digits)) != units.end();
}

using enum Effect;

struct Group {
  std::string_view title;
  std::vector<Setting> settings;
};

std::vector<Group> groups() {
  return {
      {"The server behind",
       {
           {"DATABASE_URL", Url{&Settings::database_url}, reload,
            "The PostgreSQL server, and the user and database that Millrace itself logs in with; `?host=/directory` "
            "means a Unix socket, and `sslmode` and `sslrootcert` are understood. Several hosts, "
            "`one:5432,other:5432`, "
            "are tried in turn; `target_session_attrs` says which is wanted: `any`, `read-write` or `primary`. A "
            "missing "
            "user is the operating system's, a missing database is `postgres`."},
       }},
      {"What nodes share",
       {
           {"REDIS_URL", OptionalUrl{&Settings::redis_url}, restart,
            "The Redis by which several Millrace nodes count quotas together, and keep those that were set by REST: "
            "see docs/execution.md. Nodes that are to share nothing use another database number. While it is away "
            "each node counts on its own. Empty: each does anyway."},
       }},
      {"Where Millrace listens",
       {
           {"LISTEN_HOST", Text{&Settings::listen_host, "an IP address or localhost", is_address}, restart,
            "The address where database clients connect; 0.0.0.0 or :: is all of them."},
           {"LISTEN_PORT", Port{&Settings::listen_port}, restart,
            "The port where database clients connect; 0 takes any free one."},
           {"UNIX_SOCKET_DIR", Text{&Settings::unix_socket_dir, "an absolute path, or empty", is_absolute_or_empty},
            restart,
            "A directory for a Unix socket with LISTEN_PORT in its name, as PostgreSQL's own; empty means none."},
           {"HTTP_HOST", Text{&Settings::http_host, "an IP address or localhost", is_address}, restart,
            "The address of REST and metrics."},
           {"HTTP_PORT", Port{&Settings::http_port}, restart, "The port of REST and metrics; 0 takes any free one."},
           {"API_KEY_HASHES",
            Text{&Settings::api_key_hashes, "SHA-256 hashes in hexadecimal, with commas between them", are_hashes},
            restart,
            "Of the keys that let programs change things by REST, and read what was cached by hand; `millrace api-key` "
            "makes one. Where it is empty everybody may if HTTP_HOST is this machine's own address, else nobody."},
           {"IO_THREADS", Count{&Settings::io_threads, 0, 256}, restart,
            "Threads that serve connections; 0 means one for each two processors, as the clients and the database want "
            "some too."},
           {"SHUTDOWN_TIMEOUT_SECONDS", Duration{&Settings::shutdown_timeout_seconds, 0, 86400}, reload,
            "How long running statements and open transactions may take to finish after SIGTERM; 0 means not at all."},
       }},
      {"TLS",
       {
           {"TLS_CERT_FILE", Text{&Settings::tls_cert_file, "a file's path", nullptr}, reload,
            "The certificate (PEM, with its chain) that clients of both ports are shown; empty means no TLS. REST "
            "takes a new one at the next start only."},
           {"TLS_KEY_FILE", Text{&Settings::tls_key_file, "a file's path", nullptr}, reload,
            "The private key (PEM) of that certificate."},
           {"CLIENT_TLS_MODE", choice<&Settings::client_tls_mode>(client_tls_modes), reload,
            "Whether database clients may or must use TLS."},
           {"SERVER_TLS_MODE", choice<&Settings::server_tls_mode>(server_tls_modes), reload,
            "Whether Millrace uses TLS towards PostgreSQL, and how it checks the certificate; `sslmode` in "
            "DATABASE_URL wins."},
           {"SERVER_TLS_CA_FILE", Text{&Settings::server_tls_ca_file, "a file's path", nullptr}, reload,
            "The authorities (PEM) that PostgreSQL's certificate is checked against; empty means the system's. "
            "`sslrootcert` in DATABASE_URL wins."},
       }},
      {"Who may log in",
       {
           {"AUTH_TYPE", choice<&Settings::auth_type>(auth_types), reload,
            "How database clients prove who they are; with `trust` they don't, and AUTH_QUERY isn't run."},
           {"AUTH_FILE", Text{&Settings::auth_file, "a file's path", nullptr}, reload,
            "A file with one line per user, `\"name\" \"SCRAM secret, md5 hash or password\"`; it is asked before "
            "AUTH_QUERY."},
           {"AUTH_QUERY", Text{&Settings::auth_query, "a query with $1 for the user's name, or empty", nullptr}, reload,
            "The query that finds a user's secret, run in PostgreSQL at each log-in as the user of DATABASE_URL, who "
            "must "
            "be allowed to read it; no row, or NULL, refuses the user. Empty switches it off."},
       }},
      {"Server connections",
       {
           {"POOL_MODE", choice<&Settings::pool_mode>(pool_modes), reload,
            "Whether a client keeps a server connection for its whole session or for a transaction at a time."},
           {"POOL_SIZE", Count{&Settings::pool_size, 1, 10000}, reload,
            "The most server connections for each user and database; Millrace's own queries have up to two more."},
           {"POOL_WAIT_TIMEOUT_SECONDS", Duration{&Settings::pool_wait_timeout_seconds, 0, 86400}, reload,
            "How long a client waits for a server connection, or its query for its turn, before it gets an error "
            "(SQLSTATE 53300); 0 means for ever."},
           {"POOL_IDLE_TIMEOUT_SECONDS", Duration{&Settings::pool_idle_timeout_seconds, 0, 86400}, reload,
            "How long an unused server connection is kept; 0 means for ever. The change stream of a database that "
            "nobody "
            "uses is kept as long, but for a minute at most."},
           {"SERVER_LIFETIME_SECONDS", Duration{&Settings::server_lifetime_seconds, 0, 864000}, reload,
            "How old a server connection may become before it is replaced, once it is unused; 0 means for ever."},
           {"SERVER_CONNECT_TIMEOUT_SECONDS", Duration{&Settings::server_connect_timeout_seconds, 1, 3600}, reload,
            "How long connecting and logging in to PostgreSQL may take."},
       }},
      {"Limits on clients",
       {
           {"MAX_CLIENT_CONNECTIONS", Count{&Settings::max_client_connections, 1, 1000000}, reload,
            "The most database clients at a time; one more gets an error (SQLSTATE 53300)."},
           {"LOGIN_TIMEOUT_SECONDS", Duration{&Settings::login_timeout_seconds, 1, 3600}, reload,
            "How long a client may take to log in."},
           {"CLIENT_IDLE_TIMEOUT_SECONDS", Duration{&Settings::client_idle_timeout_seconds, 0, 864000}, reload,
            "How long a client may stay connected without asking anything; 0 means for ever."},
           {"CLIENT_MESSAGE_TIMEOUT_SECONDS", Duration{&Settings::client_message_timeout_seconds, 0, 86400}, reload,
            "How long a client may be silent in the middle of a message before its session ends (SQLSTATE 08P01); 0 "
            "means "
            "for ever."},
           {"MAX_HELD_MESSAGES_MB", Count{&Settings::max_held_messages_mb, 1, 1048576}, reload,
            "The most memory for messages over 64 kB that Millrace must have whole and that are half sent or wait, "
            "over all "
            "clients; one more ends its session (SQLSTATE 53200)."},
           {"MAX_MESSAGE_SIZE_MB", Count{&Settings::max_message_size_mb, 1, 1024}, reload,
            "The largest protocol message that is passed on; PostgreSQL's own limit is 1024."},
           {"MAX_PARSED_STATEMENT_KB", Count{&Settings::max_parsed_statement_kb, 0, 65536}, restart,
            "The longest statement that Millrace parses; a longer one passes through unread."},
       }},
      {"Logs",
       {
           {"LOG_LEVEL", choice<&Settings::log_level>(log_levels), reload,
            "The least important events that are logged."},
           {"LOG_FORMAT", choice<&Settings::log_format>(log_formats), reload,
            "A line of text or a JSON object for each event."},
           {"LOG_CONNECTIONS", Switch{&Settings::log_connections}, reload,
            "Log when a client connects and disconnects."},
       }},
      {"Query optimization",
       {
           {"QUERY_OPTIMIZATION_ENABLED", Switch{&Settings::query_optimization_enabled}, optimizer,
            "Optimize queries at all."},
           {"ENABLE_TRAFFIC_REWRITING", Switch{&Settings::enable_traffic_rewriting}, reload,
            "Send what passes in another way where that was proved to be the same and measured to be quicker "
            "(docs/rewriting.md), not only what optimize-query is asked; with ENABLE_AUTOMATIC_QUERY_REWRITING."},
           {"ENABLE_AUTOMATIC_QUERY_REWRITING", Switch{&Settings::enable_automatic_query_rewriting}, reload,
            "Rewrite a query where the result is proved to be the same."},
           {"ENABLE_PREDICATE_PUSHDOWN", Switch{&Settings::enable_predicate_pushdown}, reload,
            "Move conditions towards the tables that they are about."},
           {"ENABLE_JOIN_OPTIMIZATION", Switch{&Settings::enable_join_optimization}, reload,
            "Improve the order and kind of joins."},
           {"MAX_QUERY_OPTIMIZATION_TIME_MS", Duration{&Settings::max_query_optimization_time_ms, 1, 60000}, reload,
            "The most time that optimizing one query may take."},
           {"QUERY_SIMILARITY_THRESHOLD", Ratio{&Settings::query_similarity_threshold, 0, 1}, optimizer,
            "From which similarity on two queries count as the same pattern."},
           {"ENABLE_QUERY_COST_ESTIMATION", Switch{&Settings::enable_query_cost_estimation}, optimizer,
            "Estimate what a query costs before it runs."},
           {"ENABLE_COST_BASED_OPTIMIZATION", Switch{&Settings::enable_cost_based_optimization}, optimizer,
            "Let the estimated cost decide between plans."},
           {"ENABLE_MACHINE_LEARNING_OPTIMIZATION", Switch{&Settings::enable_machine_learning_optimization}, optimizer,
            "Learn from past executions."},
           {"ML_QUERY_PREDICTION_ENABLED", Switch{&Settings::ml_query_prediction_enabled}, optimizer,
            "Predict which queries come next."},
           {"OPTIMIZATION_LEARNING_RATE", Ratio{&Settings::optimization_learning_rate, 0, 1}, optimizer,
            "How fast new executions outweigh old ones."},
       }},
      {"Multi-level caching",
       {
           {"ENABLE_MULTI_LEVEL_CACHING", Switch{&Settings::enable_multi_level_caching}, restart,
            "Cache results at all."},
           {"L1_CACHE_SIZE_MB", Count{&Settings::l1_cache_size_mb, 1, 1048576}, restart,
            "Memory for the first level, in this process."},
           {"L2_REDIS_CACHE_TTL_SECONDS", Duration{&Settings::l2_redis_cache_ttl_seconds, 1, 31536000}, cache,
            "How long the second level, Redis, keeps an entry."},
           {"L3_MATERIALIZED_VIEW_TTL_HOURS", Duration{&Settings::l3_materialized_view_ttl_hours, 1, 8760}, cache,
            "How long the third level, on disk, keeps an entry."},
           {"CACHE_WARM_UP_ENABLED", Switch{&Settings::cache_warm_up_enabled}, cache,
            "Fill the cache with frequent queries at start."},
           {"PREDICTIVE_CACHING_ENABLED", Switch{&Settings::predictive_caching_enabled}, cache,
            "Fetch results that are likely to be asked for."},
           {"ML_CACHE_WARMING_ENABLED", Switch{&Settings::ml_cache_warming_enabled}, cache,
            "Learn what to warm the cache with."},
           {"CACHE_COMPRESSION_ENABLED", Switch{&Settings::cache_compression_enabled}, cache, "Compress entries."},
           {"CACHE_COMPRESSION_THRESHOLD_KB", Count{&Settings::cache_compression_threshold_kb, 0, 1048576}, cache,
            "From which size on an entry is compressed."},
           {"ENABLE_CACHE_ANALYTICS", Switch{&Settings::enable_cache_analytics}, cache,
            "Keep figures about the use of the cache."},
           {"ENABLE_CROSS_DATABASE_CACHING", Switch{&Settings::enable_cross_database_caching}, cache,
            "Cache what comes from more than one database."},
           {"ENABLE_HYBRID_QUERY_CACHING", Switch{&Settings::enable_hybrid_query_caching}, cache,
            "Cache the combined results of hybrid queries."},
           {"CACHE_CONSISTENCY_LEVEL", choice<&Settings::cache_consistency_level>(consistency_levels), reload,
            "How fresh an answer from the cache must be, where a client doesn't say (`millrace.consistency`): see "
            "docs/consistency.md. `session`, `read_after_write` and `strong` need the change stream; without it they "
            "are answered by PostgreSQL."},
           {"CACHE_BOUNDED_STALENESS_MS", Duration{&Settings::cache_bounded_staleness_ms, 1, 86400000}, reload,
            "How long ago what an answer of the level `bounded` doesn't show may have been committed, where a client "
            "doesn't say (`bounded(250)`)."},
           {"CACHE_DEFAULT_TTL_SECONDS", Duration{&Settings::cache_default_ttl_seconds, 1, 31536000}, reload,
            "How long an answer may be given again from the cache, where a statement doesn't say "
            "(`/* millrace: ttl=60 */`)."},
           {"ENABLE_CHANGE_STREAM", Switch{&Settings::enable_change_stream}, restart,
            "Whether Millrace follows what is committed in PostgreSQL, by whomever, so that nothing stays in the cache "
            "that was changed past it. It takes `wal_level = logical`, a temporary replication slot for each database "
            "and two publications; where the server doesn't allow it, the status says what to run. What it may mean "
            "for applications is in docs/cache.md."},
           {"CHANGE_STREAM_MAX_RETAINED_MB", Count{&Settings::change_stream_max_retained_mb, 1, 1048576}, reload,
            "How much of its log PostgreSQL may keep for a change stream's slot; when it is more the slot is given up, "
            "and the stream begins anew later. Should be more than PostgreSQL writes in half a minute."},
           {"CHANGE_STREAM_ROW_VALUES_MB", Count{&Settings::change_stream_row_values_mb, 0, 1048576}, restart,
            "How much memory may hold what PostgreSQL doesn't tell of changed rows: what a column was before, for a "
            "table whose replica identity is its key. A row takes about 40 bytes a column; a table that is too large "
            "isn't followed by value. 0: none is."},
           {"CACHE_INVALIDATION_BATCH_SIZE", Count{&Settings::cache_invalidation_batch_size, 1, 1000000}, cache,
            "How many invalidations are worked off together."},
           {"ENABLE_CACHE_CONSISTENCY_MONITORING", Switch{&Settings::enable_cache_consistency_monitoring}, cache,
            "Compare cached entries with the database from time to time."},
       }},
      {"Performance monitoring",
       {
           {"PERFORMANCE_MONITORING_ENABLED", Switch{&Settings::performance_monitoring_enabled}, restart,
            "Watch performance at all: more than what `/metrics` counts."},
           {"QUERY_PERFORMANCE_TRACKING_ENABLED", Switch{&Settings::query_performance_tracking_enabled}, restart,
            "Record queries by template, user, database, application and project, and keep the slow ones."},
           {"SLOW_QUERY_THRESHOLD_MS", Duration{&Settings::slow_query_threshold_ms, 0, 86400000}, reload,
            "A query that takes so long is slow: it is logged, and kept with its text; 0 switches it off."},
           {"ENABLE_QUERY_PARAMETER_CAPTURE", Switch{&Settings::enable_query_parameter_capture}, restart,
            "Keep slow queries, and one of each template's statements, as they were sent, with constants and "
            "parameters, for who has an API key; where `API_KEY_HASHES` is empty, for everybody on this machine. If "
            "not, `?` stands for constants and parameters are left out, as always where they may be passwords: see "
            "docs/monitor.md."},
           {"ENABLE_ANOMALY_DETECTION", Switch{&Settings::enable_anomaly_detection}, restart,
            "Look for unusual behaviour of load, latency, errors, queue and cache hits: see docs/alerts.md."},
           {"ANOMALY_DETECTION_SENSITIVITY", choice<&Settings::anomaly_detection_sensitivity>(sensitivities), restart,
            "How small a deviation counts as unusual; with `low` there are hardly any false alarms."},
           {"PERFORMANCE_ALERT_THRESHOLDS", Thresholds{&Settings::performance_alert_thresholds}, reload,
            "From which figures on an alert is raised; keys that aren't given keep their defaults. docs/alerts.md says "
            "for how long."},
           {"ALERT_WEBHOOK_URL",
            Text{&Settings::alert_webhook_url, "an http or https URL, or empty", is_web_address_or_empty, true},
            restart, "Where an alert that begins or ends is told, in the body of Alertmanager's webhooks (version 4)."},
           {"ALERT_COMMAND", Text{&Settings::alert_command, "an absolute path, or empty", is_absolute_or_empty},
            restart,
            "A program that is run for an alert that begins or ends, with the same body as its standard input."},
           {"DATA_DIR", Text{&Settings::data_dir, "an absolute path, or empty", is_absolute_or_empty}, restart,
            "The directory for what survives a restart: alerts, and the rules made for them by REST; figures, slow "
            "queries, and jobs with their results, in a DuckDB file. Empty: they don't."},
           {"PERFORMANCE_HISTORY_RETENTION_DAYS", Count{&Settings::performance_history_retention_days, 1, 3650},
            restart, "For how long `DATA_DIR` keeps figures of queries, by the hour."},
           {"SLOW_QUERY_RETENTION_DAYS", Count{&Settings::slow_query_retention_days, 1, 3650}, restart,
            "For how long `DATA_DIR` keeps slow queries, with their texts and parameters unless "
            "`ENABLE_QUERY_PARAMETER_CAPTURE` is off."},
           {"TARGET_QUERY_RESPONSE_TIME_MS", Duration{&Settings::target_query_response_time_ms, 1, 86400000}, monitor,
            "The response time that is aimed at."},
           {"TARGET_CACHE_HIT_RATE_PERCENT", Ratio{&Settings::target_cache_hit_rate_percent, 0, 100}, monitor,
            "The share of cache hits that is aimed at."},
           {"TARGET_SYSTEM_AVAILABILITY_PERCENT", Ratio{&Settings::target_system_availability_percent, 0, 100}, monitor,
            "The availability that is aimed at."},
           {"SLA_VIOLATION_ALERT_THRESHOLD", Count{&Settings::sla_violation_alert_threshold, 1, 1000000}, monitor,
            "How many missed targets raise an alert."},
       }},
      {"Adaptive query executor",
       {
           {"ENABLE_ADAPTIVE_EXECUTOR", Switch{&Settings::enable_adaptive_executor}, restart,
            "Let queries take turns in front of PostgreSQL, by priority and within limits; without it the other "
            "settings of this part, and the quotas', have no effect, unless they say otherwise. See "
            "docs/execution.md."},
           {"MAX_CONCURRENT_QUERIES", Count{&Settings::max_concurrent_queries, 1, 100000}, reload,
            "How many queries, and transactions, may run in PostgreSQL at a time; where nothing has ended for ten "
            "seconds, "
            "what runs no longer counts, unless ENABLE_ADAPTIVE_CONCURRENCY is off. Answers from memory don't count."},
           {"ENABLE_ADAPTIVE_CONCURRENCY", Switch{&Settings::enable_adaptive_concurrency}, reload,
            "While queries wait, find how many at a time PostgreSQL gets most done with, and let no more run but "
            "beside "
            "what takes long. If it is off, MAX_CONCURRENT_QUERIES may."},
           {"QUERY_TIMEOUT_SECONDS", Duration{&Settings::query_timeout_seconds, 0, 604800}, reload,
            "How long a SELECT, INSERT, UPDATE, DELETE or MERGE may take, waiting and all, where its client doesn't "
            "say (`millrace.timeout`): then it is cancelled (SQLSTATE 57014); 0 means for ever, as by default with "
            "PostgreSQL's statement_timeout. Other statements, such as "
            "COPY and CREATE INDEX, may take as long as they want."},
           {"MEMORY_LIMIT_PER_QUERY_MB", Count{&Settings::memory_limit_per_query_mb, 0, 1048576}, reload,
            "How much memory of its own PostgreSQL's process may have, if it is on this machine, in a SELECT, INSERT, "
            "UPDATE, DELETE or MERGE: then that is cancelled (SQLSTATE 53200); 0 means any amount, as with "
            "PostgreSQL."},
           {"ENABLE_QUERY_QUEUEING", Switch{&Settings::enable_query_queueing}, reload,
            "Let queries wait for their turns when as many run as may, for POOL_WAIT_TIMEOUT_SECONDS at most; if not, "
            "they are refused (SQLSTATE 53400), and ENABLE_ADAPTIVE_CONCURRENCY has no effect."},
           {"MAX_QUEUED_QUERIES", Count{&Settings::max_queued_queries, 1, 1000000}, reload,
            "How many queries may wait; one more is refused (SQLSTATE 53400), or one of a lower priority in its "
            "place."},
           {"QUERY_PRIORITY_LEVELS", Count{&Settings::query_priority_levels, 1, 5}, executor,
            "How many priorities are told apart."},
           {"ENABLE_ADAPTIVE_TIMEOUT", Switch{&Settings::enable_adaptive_timeout}, executor,
            "Set time-outs by what a query took before."},
           {"ENABLE_AUTOMATIC_RETRY", Switch{&Settings::enable_automatic_retry}, reload,
            "Try again to get a server connection for a query of which nothing was sent yet, and send reads once more "
            "whose server connection was lost: see docs/execution.md. It needs no ENABLE_ADAPTIVE_EXECUTOR, nor do the "
            "next two."},
           {"MAX_QUERY_RETRIES", Count{&Settings::max_query_retries, 0, 10}, reload,
            "How often that is tried again for a query."},
           {"RETRY_BACKOFF_MULTIPLIER", Ratio{&Settings::retry_backoff_multiplier, 1, 10}, reload,
            "By what factor the pause between attempts grows, which is up to 50 ms at first."},
           {"ENABLE_EMERGENCY_CIRCUIT_BREAKER", Switch{&Settings::enable_emergency_circuit_breaker}, reload,
            "While PostgreSQL can't be reached, refuse at once what needs it (SQLSTATE 55000), and try it now and "
            "then: see docs/execution.md. It needs no ENABLE_ADAPTIVE_EXECUTOR."},
           {"SYSTEM_MEMORY_THRESHOLD_PERCENT", Ratio{&Settings::system_memory_threshold_percent, 1, 100}, executor,
            "From which use of memory on fewer queries run."},
           {"SYSTEM_CPU_THRESHOLD_PERCENT", Ratio{&Settings::system_cpu_threshold_percent, 1, 100}, executor,
            "From which use of the processors on fewer queries run."},
       }},
      {"Resource management",
       {
           {"ENABLE_RESOURCE_QUOTAS", Switch{&Settings::enable_resource_quotas}, reload,
            "Limit what users and projects may use that clients name (`millrace.user_id`, `millrace.project_id`): see "
            "docs/execution.md."},
           {"DEFAULT_USER_QUERY_LIMIT_PER_HOUR", Count{&Settings::default_user_query_limit_per_hour, 0, 1000000000},
            reload,
            "Queries an hour for each such user for whom nothing else is set, but for answers from memory; 0 means no "
            "limit, as whoever is named for a fair share only isn't to be refused."},
           {"DEFAULT_USER_MEMORY_LIMIT_MB", Count{&Settings::default_user_memory_limit_mb, 0, 1048576}, reload,
            "As MEMORY_LIMIT_PER_QUERY_MB, for queries of each user whom clients name and for whom nothing else is "
            "set; 0 means no limit."},
           {"DEFAULT_USER_CONCURRENT_QUERIES", Count{&Settings::default_user_concurrent_queries, 1, 100000}, reload,
            "Queries at a time for each such user for whom nothing else is set; more of them wait."},
       }},
      {"Embedded analytics and synchronization",
       {
           {"DUCKDB_MEMORY_LIMIT", Text{&Settings::duckdb_memory_limit, "a size such as 512MB or 2GB", is_size},
            executor, "Memory for the embedded DuckDB."},
           {"DUCKDB_MAX_THREADS", Count{&Settings::duckdb_max_threads, 1, 1024}, executor,
            "Threads for the embedded DuckDB."},
           {"DATA_SYNC_STRATEGY", choice<&Settings::data_sync_strategy>(sync_strategies), cache,
            "How changes in PostgreSQL reach DuckDB."},
           {"DATA_SYNC_BATCH_SIZE", Count{&Settings::data_sync_batch_size, 1, 10000000}, cache,
            "Rows that are copied together."},
           {"SYNC_LAG_ALERT_THRESHOLD_MINUTES", Duration{&Settings::sync_lag_alert_threshold_minutes, 1, 10080}, cache,
            "From which lag on an alert is raised."},
           {"CONSISTENCY_CHECK_INTERVAL_HOURS", Duration{&Settings::consistency_check_interval_hours, 1, 8760}, cache,
            "How often copies are compared with their originals."},
           {"CONSISTENCY_CHECK_SAMPLE_SIZE", Count{&Settings::consistency_check_sample_size, 1, 10000000}, cache,
            "How many rows are compared."},
       }},

  };
}  // namespace

}  // namespace

std::span<const Setting> settings_table() {
  static const std::vector<Setting> table = [] {
    std::vector<Setting> rows;
    for (const Group& group : groups()) {
      for (Setting setting : group.settings) {
        setting.group = group.title;
        rows.push_back(setting);
      }
    }
    return rows;
  }();
  return table;
}

}  // namespace millrace::config
