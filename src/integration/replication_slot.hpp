#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/server_connection.hpp"
#include "base/result.hpp"

/// The temporary slot that a stream reads from, as texts of SQL and what their answers mean.
namespace millrace::integration {

/// `process_id`: of the stream's connection, in PostgreSQL.
std::string slot_name(std::uint32_t process_id);
std::string create_slot_sql(std::uint32_t process_id);
/// Ends the process that makes the slot: while it waits for transactions it doesn't notice that its client has gone.
std::string end_slot_sql(std::uint32_t process_id);

/// How it is with the slot, also while it is being made.
struct SlotState {
  std::uint64_t retained = 0;  ///< bytes of the log that PostgreSQL keeps for it
  /// The transaction that has been writing for longest, as "process 7 has been writing since ..."; empty: none is
  /// known. A slot begins when those that run are over, and keeps the log from the beginning of the oldest.
  std::string oldest_writer;
  /// ": " and the oldest writer, for the end of a sentence; empty: none is known.
  std::string because() const { return oldest_writer.empty() ? std::string() : ": " + oldest_writer; }
};
std::string slot_sql(std::uint32_t process_id);
/// Error: 08P01.
Result<SlotState> read_slot(const std::vector<backend::ServerConnection::Row>& rows);

}  // namespace millrace::integration
