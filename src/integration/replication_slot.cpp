#include "integration/replication_slot.hpp"

#include <charconv>

namespace millrace::integration {

std::string slot_name(std::uint32_t process_id) { return fmt::format("millrace_{}", process_id); }

std::string create_slot_sql(std::uint32_t process_id) {
  return fmt::format("CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT", slot_name(process_id));
}

std::string end_slot_sql(std::uint32_t process_id) {
  // By then the number may be another process's.
  return fmt::format(
      "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
      " WHERE pid = {} AND backend_type = 'walsender' AND application_name = 'millrace'",
      process_id);
}

std::string slot_sql(std::uint32_t process_id) {
  return fmt::format(R"(
SELECT (SELECT GREATEST(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn), 0)::pg_catalog.int8
        FROM pg_catalog.pg_replication_slots WHERE slot_name = '{}'),
       (SELECT pg_catalog.concat_ws(' has been writing since ', who,
                                    pg_catalog.to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC')
        FROM (SELECT 'process ' || pid, xact_start FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL
              UNION ALL SELECT 'a prepared transaction', prepared FROM pg_catalog.pg_prepared_xacts) w (who, since)
        ORDER BY since LIMIT 1))",
                     slot_name(process_id));
}

Result<SlotState> read_slot(const std::vector<backend::ServerConnection::Row>& rows) {
  if (rows.size() != 1 || rows[0].size() != 2) {
    return fail("PostgreSQL gave an answer about the slot that isn't understood", "08P01");
  }
  SlotState slot{.retained = 0, .oldest_writer = rows[0][1].value_or("")};
  if (const auto& text = rows[0][0]) std::from_chars(text->data(), text->data() + text->size(), slot.retained);
  return slot;
}

}  // namespace millrace::integration
