#include "integration/obstacle.hpp"

namespace millrace::integration {

Obstacle obstacle_of(const Error& error) {
  if (error.sqlstate == "53400") {
    return {.reason = "all replication slots are taken",
            .remedy = "ALTER SYSTEM SET max_replication_slots = ... -- more, then restart PostgreSQL"};
  }
  if (error.sqlstate == "53300") {
    return {.reason = "PostgreSQL has no connection to spare",
            .remedy = "ALTER SYSTEM SET max_wal_senders = ... -- more, or max_connections, then restart PostgreSQL"};
  }
  if (error.sqlstate == "28000") return {.reason = "pg_hba.conf doesn't let Millrace's role in"};
  if (error.sqlstate == "42501") return {.reason = "Millrace's role may not use the publications"};
  if (error.sqlstate.empty() || error.sqlstate.starts_with("08") || error.sqlstate.starts_with("57P")) {
    return {.reason = "the connection to PostgreSQL was lost, or can't be had", .lost = true};
  }
  return {.reason = "PostgreSQL refused, with SQLSTATE " + error.sqlstate};
}

}  // namespace millrace::integration
