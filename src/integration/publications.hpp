#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backend/server_connection.hpp"
#include "base/result.hpp"
#include "integration/obstacle.hpp"
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

/// What the server and the role allow.
std::string requirements_sql();
Result<std::optional<Obstacle>> read_requirements(const std::vector<ServerRow>& rows);

/// Whether commits may wait for a connection of Millrace's, with this synchronous_standby_names.
bool may_be_waited_for(std::string_view synchronous_standby_names);

/// Begins a statement: `t`, the tables and materialized views that can be read, with (among others) oid, name (with its
/// schema, quoted), relowner, never (why its changes are never told, or null), owned, identified.
std::string_view tables_cte();

/// Holds, for as long as the connection is open, that somebody needs the publications.
std::string register_sql();
/// Whether another connection than that of `process_id` does: a row if so.
std::string others_sql(std::uint32_t process_id);

std::string create_sql(std::string_view publication);
/// They must not stay when nobody is there to take tables out of them that lose their identity.
std::string drop_sql();
/// The same; fails where it would have to wait for long.
std::string drop_soon_sql();

/// What Millrace may do with the publications.
struct Rights {
  bool exist = false;   ///< one of them, at least
  bool owned = false;   ///< they can be changed and dropped
  bool usable = false;  ///< they are as Millrace makes them
};
std::string rights_sql();
Rights read_rights(const std::vector<ServerRow>& rows);

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
  std::uint64_t to_take_out = 0;               ///< of those: UPDATE and DELETE of them fail until then
  bool forgets_added = false;                  ///< see `forgets_added_tables`
};
std::string overview_sql();
/// One row: `Overview::identity` and `members`, at little cost.
std::string contents_sql();
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
/// Only those that are to be taken out.
std::string tables_to_take_out_sql();
std::vector<TableToMend> read_tables(const std::vector<ServerRow>& rows);

/// All of one kind. Fails, and changes nothing, where it would have to wait (55P03), or where a table that is added to
/// `changes` has lost its identity meanwhile (22012).
std::string mend_sql(TableToMend::What what, std::span<const TableToMend> tables);

/// Whether a server of this version (150013 is 15.13) may go on taking a table for unpublished, in a stream that is
/// under way, after it was added while a transaction that had written to it was open: what is done to it is lost until
/// the stream begins anew. Mended in 14.18, 15.13, 16.9 and 17.5.
bool forgets_added_tables(std::uint64_t version);

/// A table that is in one of them; `place` is another after it was out.
struct Member {
  pgoutput::Oid table = 0;
  std::string place;
  std::uint64_t next = 0;  ///< no transaction from it on had begun when it was known to be in it
  bool changes = false;    ///< it is in the one that tells all
};
std::string members_sql();
std::vector<Member> read_members(const std::vector<ServerRow>& rows);

}  // namespace millrace::integration
