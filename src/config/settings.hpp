#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/log.hpp"
#include "config/database_url.hpp"
#include "config/redis_url.hpp"

/// The settings of Millrace. What each means, its range and whether it takes effect yet: settings_table.cpp, from which
/// docs/settings.md is written.
namespace millrace::config {

enum class ClientTlsMode { disable, allow, require };
enum class AuthType { scram_sha_256, md5, trust };
enum class PoolMode { session, transaction };
enum class Sensitivity { low, medium, high };
enum class ConsistencyLevel { eventual, bounded, session, read_after_write, strong };
enum class SyncStrategy { real_time, near_real_time, batch, hybrid };

/// PERFORMANCE_ALERT_THRESHOLDS
struct AlertThresholds {
  double slow_query_percentage = 5;
  double error_rate_percentage = 1;
  double memory_usage_percentage = 80;
  double cpu_usage_percentage = 75;
  double cache_hit_rate_minimum = 70;
  double queue_depth_threshold = 50;

  bool operator==(const AlertThresholds&) const = default;
};

/// Plain values; what `load` answers is checked. Durations carry their unit, so the name's unit is a reminder only.
struct Settings {
  // The server behind
  DatabaseUrl database_url = {};

  // What nodes share
  std::optional<RedisUrl> redis_url = {};

  // Where Millrace listens
  std::string listen_host = "127.0.0.1";
  std::uint16_t listen_port = 6432;
  std::string unix_socket_dir = {};
  std::string http_host = "127.0.0.1";
  std::uint16_t http_port = 8642;
  std::string api_key_hashes;
  int io_threads = 0;
  std::chrono::seconds shutdown_timeout_seconds{30};

  // TLS
  std::string tls_cert_file = {};
  std::string tls_key_file = {};
  ClientTlsMode client_tls_mode = ClientTlsMode::allow;
  ServerTlsMode server_tls_mode = ServerTlsMode::prefer;
  std::string server_tls_ca_file = {};

  // Who may log in
  AuthType auth_type = AuthType::scram_sha_256;
  std::string auth_file = {};
  std::string auth_query =
      "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END "
      "FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin";

  // Server connections
  PoolMode pool_mode = PoolMode::session;
  int pool_size = 20;
  std::chrono::seconds pool_wait_timeout_seconds{30};
  std::chrono::seconds pool_idle_timeout_seconds{600};
  std::chrono::seconds server_lifetime_seconds{3600};
  std::chrono::seconds server_connect_timeout_seconds{15};

  // Limits on clients
  int max_client_connections = 10000;
  std::chrono::seconds login_timeout_seconds{15};
  std::chrono::seconds client_idle_timeout_seconds{0};
  std::chrono::seconds client_message_timeout_seconds{60};
  int max_message_size_mb = 1024;
  int max_held_messages_mb = 256;
  int max_parsed_statement_kb = 1024;

  // Logs
  log::Level log_level = log::Level::info;
  log::Format log_format = log::Format::text;
  bool log_connections = true;

  // Query optimization
  bool query_optimization_enabled = true;
  bool enable_traffic_rewriting = false;
  bool enable_automatic_query_rewriting = true;
  bool enable_predicate_pushdown = true;
  bool enable_join_optimization = true;
  std::chrono::milliseconds max_query_optimization_time_ms{500};
  double query_similarity_threshold = 0.8;
  bool enable_query_cost_estimation = true;
  bool enable_cost_based_optimization = true;
  bool enable_machine_learning_optimization = false;
  bool ml_query_prediction_enabled = false;
  double optimization_learning_rate = 0.1;

  // Multi-level caching
  bool enable_multi_level_caching = true;
  int l1_cache_size_mb = 512;
  std::chrono::seconds l2_redis_cache_ttl_seconds{3600};
  std::chrono::hours l3_materialized_view_ttl_hours{24};
  bool cache_warm_up_enabled = true;
  bool predictive_caching_enabled = true;
  bool ml_cache_warming_enabled = false;
  bool cache_compression_enabled = true;
  int cache_compression_threshold_kb = 1;
  bool enable_cache_analytics = true;
  bool enable_cross_database_caching = true;
  bool enable_hybrid_query_caching = true;
  ConsistencyLevel cache_consistency_level = ConsistencyLevel::session;
  std::chrono::milliseconds cache_bounded_staleness_ms{1000};
  std::chrono::seconds cache_default_ttl_seconds{60};
  bool enable_change_stream = true;
  int change_stream_max_retained_mb = 1024;
  int change_stream_row_values_mb = 64;
  int cache_invalidation_batch_size = 100;
  bool enable_cache_consistency_monitoring = true;

  // Performance monitoring
  bool performance_monitoring_enabled = true;
  bool query_performance_tracking_enabled = true;
  std::chrono::milliseconds slow_query_threshold_ms{1000};
  bool enable_query_parameter_capture = true;
  bool enable_anomaly_detection = true;
  Sensitivity anomaly_detection_sensitivity = Sensitivity::medium;
  AlertThresholds performance_alert_thresholds = {};
  std::chrono::milliseconds target_query_response_time_ms{500};
  double target_cache_hit_rate_percent = 80;
  double target_system_availability_percent = 99.9;
  int sla_violation_alert_threshold = 3;
  std::string alert_webhook_url = {};
  std::string alert_command = {};
  std::string data_dir = {};
  int performance_history_retention_days = 30;
  int slow_query_retention_days = 30;

  // Adaptive query executor
  bool enable_adaptive_executor = true;
  int max_concurrent_queries = 100;
  std::chrono::seconds query_timeout_seconds{0};
  int memory_limit_per_query_mb = 0;
  bool enable_query_queueing = true;
  int max_queued_queries = 10000;
  bool enable_adaptive_concurrency = true;
  int query_priority_levels = 5;
  bool enable_adaptive_timeout = true;
  bool enable_automatic_retry = true;
  int max_query_retries = 3;
  double retry_backoff_multiplier = 2;
  bool enable_emergency_circuit_breaker = true;
  double system_memory_threshold_percent = 85;
  double system_cpu_threshold_percent = 80;

  // Resource management
  bool enable_resource_quotas = true;
  int default_user_query_limit_per_hour = 0;
  int default_user_memory_limit_mb = 0;
  int default_user_concurrent_queries = 10;

  // Embedded analytics and synchronization
  std::string duckdb_memory_limit = "2GB";
  int duckdb_max_threads = 4;
  SyncStrategy data_sync_strategy = SyncStrategy::hybrid;
  int data_sync_batch_size = 10000;
  std::chrono::minutes sync_lag_alert_threshold_minutes{15};
  std::chrono::hours consistency_check_interval_hours{6};
  int consistency_check_sample_size = 1000;
};

}  // namespace millrace::config
