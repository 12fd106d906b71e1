#include "sql/known_functions.hpp"

#include <algorithm>
#include <array>

namespace millrace::sql {

namespace {

struct Known {
  std::string_view name;
  FunctionEffect effect;
};

constexpr FunctionEffect kWrites{.writes = true};
constexpr FunctionEffect kReadsSequenceState{.uses_sequence_state = true};
constexpr FunctionEffect kAdvisoryLock{.writes = true, .pin = "advisory lock"};
constexpr FunctionEffect kRemoteConnection{.writes = true, .pin = "dblink connection"};

// Sorted by name.
constexpr auto kFunctions = std::to_array<Known>({
    {"brin_desummarize_range", kWrites},
    {"brin_summarize_new_values", kWrites},
    {"brin_summarize_range", kWrites},
    {"currval", kReadsSequenceState},
    {"cursor_to_xml", kWrites},
    {"cursor_to_xmlschema", kWrites},
    {"dblink", kWrites},
    {"dblink_connect", kRemoteConnection},
    {"dblink_connect_u", kRemoteConnection},
    {"gin_clean_pending_list", kWrites},
    {"lastval", kReadsSequenceState},
    {"loread", kWrites},
    {"lowrite", kWrites},
    {"nextval", kWrites},
    {"pg_backup_start", {.writes = true, .pin = "backup"}},
    {"pg_backup_stop", kWrites},
    {"pg_cancel_backend", kWrites},
    {"pg_copy_logical_replication_slot", kWrites},
    {"pg_copy_physical_replication_slot", kWrites},
    {"pg_create_logical_replication_slot", kWrites},
    {"pg_create_physical_replication_slot", kWrites},
    {"pg_create_restore_point", kWrites},
    {"pg_current_xact_id", kWrites},
    {"pg_drop_replication_slot", kWrites},
    {"pg_export_snapshot", kWrites},
    {"pg_file_rename", kWrites},
    {"pg_file_sync", kWrites},
    {"pg_file_unlink", kWrites},
    {"pg_file_write", kWrites},
    {"pg_import_system_collations", kWrites},
    {"pg_log_backend_memory_contexts", kWrites},
    {"pg_logical_emit_message", kWrites},
    {"pg_logical_slot_get_binary_changes", kWrites},
    {"pg_logical_slot_get_changes", kWrites},
    {"pg_notify", kWrites},
    {"pg_promote", kWrites},
    {"pg_reload_conf", kWrites},
    {"pg_replication_origin_advance", kWrites},
    {"pg_replication_origin_create", kWrites},
    {"pg_replication_origin_drop", kWrites},
    {"pg_replication_origin_session_reset", kWrites},
    {"pg_replication_origin_session_setup", {.writes = true, .pin = "replication origin"}},
    {"pg_replication_origin_xact_reset", kWrites},
    {"pg_replication_origin_xact_setup", kWrites},
    {"pg_replication_slot_advance", kWrites},
    {"pg_rotate_logfile", kWrites},
    {"pg_switch_wal", kWrites},
    {"pg_terminate_backend", kWrites},
    {"pg_wal_replay_pause", kWrites},
    {"pg_wal_replay_resume", kWrites},
    {"query_to_xml", kWrites},
    {"query_to_xml_and_xmlschema", kWrites},
    {"query_to_xmlschema", kWrites},
    {"set_config", {.writes = true, .pin = "set_config()"}},
    {"setseed", {.writes = true, .pin = "random seed"}},
    {"setval", kWrites},
    {"ts_rewrite", kWrites},
    {"ts_stat", kWrites},
    {"txid_current", kWrites},
});
static_assert(std::ranges::is_sorted(kFunctions, {}, &Known::name));

FunctionEffect effect_of_advisory_lock(std::string_view name) {
  // The session's locks; those with "xact" in their names end with the transaction.
  const bool held_by_session = name == "pg_advisory_lock" || name == "pg_advisory_lock_shared" ||
                               name == "pg_try_advisory_lock" || name == "pg_try_advisory_lock_shared";
  return held_by_session ? kAdvisoryLock : kWrites;
}

}  // namespace

FunctionEffect effect_of_function(std::string_view name) {
  if (name.starts_with("pg_advisory_") || name.starts_with("pg_try_advisory_")) return effect_of_advisory_lock(name);
  const auto* found = std::ranges::lower_bound(kFunctions, name, {}, &Known::name);
  if (found != kFunctions.end() && found->name == name) return found->effect;
  if (name.starts_with("lo_") || name.starts_with("dblink_") || name.starts_with("pg_stat_reset")) return kWrites;
  return {};
}

}  // namespace millrace::sql
