#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backend/server_connection.hpp"
#include "base/result.hpp"
#include "integration/pgoutput.hpp"
#include "integration/stream_status.hpp"

/// The two publications that make PostgreSQL send changes, as texts of SQL and what their answers mean.
///
/// A publication that publishes updates makes UPDATE and DELETE fail on a table without a replica identity. So tables
/// that have one are in `changes`; of the others only what can't fail is told, by `inserts`. Tables are named one by
/// one, partitions as well: what comes later is added later, and never by a rule that may be wrong for it.
namespace millrace::integration {

using ServerRow = backend::ServerConnection::Row;

inline constexpr std::string_view changes_publication = "millrace_changes", inserts_publication = "millrace_inserts";

/// Why changes can't be followed, and the statement that lets them be.
struct Obstacle {
  std::string reason;
  std::optional<std::string> remedy = {};
};

/// What the server and the role allow.
std::string requirements_sql();
Result<std::optional<Obstacle>> read_requirements(const std::vector<ServerRow>& rows);

/// Holds, for as long as the connection is open, that somebody needs the publications.
std::string register_sql();
/// Whether another connection than that of `process_id` does: a row if so.
std::string others_sql(std::uint32_t process_id);

std::string create_sql(std::string_view publication);
/// They must not stay when nobody is there to take tables out of them that lose their identity.
std::string drop_sql();

/// How it is with the publications now.
struct Overview {
  std::optional<Obstacle> obstacle;  ///< they can't be used as they are
  std::vector<std::string_view> missing;
  std::string identity;                        ///< other publications, or other properties of them: another identity
  std::string members;                         ///< other tables in them: another text
  pgoutput::Lsn written = 0;                   ///< the end of the server's log
  std::uint64_t oldest_running = 0;            ///< transactions before it have ended, and everybody sees what they did
  std::uint64_t next = 0;                      ///< no transaction from it on has begun
  std::uint64_t followed = 0, unfollowed = 0;  ///< tables
  std::uint64_t to_mend = 0;                   ///< of them
};
std::string overview_sql();
Result<Overview> read_overview(const std::vector<ServerRow>& rows);

/// A table some of whose changes aren't told, and what is to be done about it.
struct TableToMend {
  enum class What { take_out, add_to_changes, add_to_inserts, nothing };
  What what = What::nothing;
  pgoutput::Oid oid = 0;
  std::string name;  ///< with its schema, quoted where it must be
  UnfollowedTable told;
};
/// So many of each kind at most; those that are to be mended come first.
std::string tables_sql();
std::vector<TableToMend> read_tables(const std::vector<ServerRow>& rows);

/// All of one kind. Fails, and changes nothing, where it would have to wait (55P03), or where a table that is added to
/// `changes` has lost its identity meanwhile (22012).
std::string mend_sql(TableToMend::What what, std::span<const TableToMend> tables);

/// A table that is in one of them; `place` is another after it was out.
struct Member {
  pgoutput::Oid table = 0;
  std::string place;
  std::uint64_t next = 0;  ///< no transaction from it on had begun when it was known to be in it
};
std::string members_sql();
std::vector<Member> read_members(const std::vector<ServerRow>& rows);

}  // namespace millrace::integration
