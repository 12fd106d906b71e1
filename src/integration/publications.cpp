#include "integration/publications.hpp"

#include <charconv>

#include "base/own_lock_timeout.hpp"

namespace millrace::integration {
namespace {

/// The two numbers of the advisory lock that whoever needs the publications holds, shared.
constexpr std::uint32_t lock_class = 0x4d696c6c, lock_object = 1;
constexpr int oldest_version = 140000;
constexpr std::size_t tables_at_a_time = 500;

/// Its commit waits for no standby, while it holds its locks.
constexpr std::string_view commits_here = "pg_catalog.set_config('synchronous_commit', 'local', true)";

/// t: what rows could change in, and whether that is told.
constexpr std::string_view with_tables = R"(
WITH t AS (
  SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, c.relowner,
         CASE WHEN c.relkind = 'm' THEN 'a materialized view' WHEN c.relpersistence = 'u' THEN 'unlogged' END AS never,
         pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned,
         c.relreplident = 'f' OR EXISTS (
           SELECT FROM pg_catalog.pg_index i
           WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL
             AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
         ) AS identified,
         c.oid IN (SELECT m.prrelid FROM pg_catalog.pg_publication_rel m JOIN pg_catalog.pg_publication p ON p.oid = m.prpubid
                   WHERE p.pubname = 'millrace_changes') AS in_changes,
         c.oid IN (SELECT m.prrelid FROM pg_catalog.pg_publication_rel m JOIN pg_catalog.pg_publication p ON p.oid = m.prpubid
                   WHERE p.pubname = 'millrace_inserts') AS in_inserts
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid >= 16384 AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')
    AND (c.relkind = 'r' AND c.relpersistence IN ('p', 'u') OR c.relkind = 'm')
), todo AS (
  SELECT t.*, CASE
      WHEN in_changes AND NOT identified THEN 'out'
      WHEN never IS NOT NULL OR NOT owned THEN NULL
      WHEN identified AND NOT in_changes THEN 'changes'
      WHEN NOT identified AND NOT in_inserts THEN 'inserts'
    END AS what
  FROM t
) )";

constexpr std::string_view with_publications = R"(
, p AS (
  SELECT p.*, p.xmin AS changed, pg_catalog.pg_has_role(p.pubowner, 'USAGE') AS owned,
         NOT p.puballtables AND NOT p.pubviaroot AND p.pubinsert AND p.pubtruncate
           AND p.pubupdate = (p.pubname = 'millrace_changes') AND p.pubdelete = (p.pubname = 'millrace_changes')
           AND pg_catalog.pg_has_role(p.pubowner, 'USAGE')
           -- From PostgreSQL 15 on: of some rows or columns only.
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel m WHERE m.prpubid = p.oid
                           AND (pg_catalog.to_jsonb(m) ->> 'prqual' IS NOT NULL
                                OR pg_catalog.to_jsonb(m) ->> 'prattrs' IS NOT NULL)) AS usable
  FROM pg_catalog.pg_publication p WHERE p.pubname IN ('millrace_changes', 'millrace_inserts')
) )";

bool is_true(const std::optional<std::string>& value) { return value == "t"; }

std::uint64_t number(const std::optional<std::string>& text) {
  std::uint64_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

std::unexpected<Error> unexpected_answer() {
  return fail("PostgreSQL gave an answer about publications that isn't understood", "08P01");
}

Obstacle waited_for() {
  return {.reason = "synchronous_standby_names stands for Millrace's connection too: commits would wait for it",
          .remedy = "ALTER SYSTEM SET synchronous_standby_names = '...' -- the standbys' names, without *"};
}

}  // namespace

bool may_be_waited_for(std::string_view synchronous_standby_names) {
  return synchronous_standby_names.contains('*') || synchronous_standby_names.contains("millrace");
}

std::string_view tables_cte() {
  constexpr auto end = with_tables.find(", todo AS");
  static_assert(end != std::string_view::npos);
  return with_tables.substr(0, end);
}

std::string requirements_sql() {
  return "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.pg_is_in_recovery(),"
         " pg_catalog.current_setting('wal_level'), r.rolsuper OR r.rolreplication,"
         " pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')"
         " OR 2 = (SELECT pg_catalog.count(*) FROM pg_catalog.pg_publication"
         " WHERE pubname IN ('millrace_changes', 'millrace_inserts')),"
         " pg_catalog.current_setting('synchronous_standby_names'), pg_catalog.quote_ident(current_user),"
         " pg_catalog.quote_ident(pg_catalog.current_database())"
         " FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
}

Result<std::optional<Obstacle>> read_requirements(const std::vector<ServerRow>& rows) {
  if (rows.size() != 1 || rows[0].size() != 8) return unexpected_answer();
  const auto& row = rows[0];
  const auto& user = row[6].value_or("");
  if (number(row[0]) < oldest_version) return Obstacle{.reason = "the server is older than PostgreSQL 14"};
  if (is_true(row[1])) return Obstacle{.reason = "the server is a standby"};
  if (row[2] != "logical") {
    return Obstacle{.reason = "wal_level is " + row[2].value_or("") + ", not logical",
                    .remedy = "ALTER SYSTEM SET wal_level = logical -- then restart PostgreSQL"};
  }
  if (!is_true(row[3])) {
    return Obstacle{.reason = "Millrace's role has no REPLICATION", .remedy = "ALTER ROLE " + user + " REPLICATION"};
  }
  if (!is_true(row[4])) {
    return Obstacle{.reason = "Millrace's role may not create publications",
                    .remedy = "GRANT CREATE ON DATABASE " + row[7].value_or("") + " TO " + user};
  }
  if (may_be_waited_for(row[5].value_or(""))) return waited_for();
  return std::nullopt;
}

std::string register_sql() {
  return fmt::format("SELECT pg_catalog.pg_advisory_lock_shared({}, {})", lock_class, lock_object);
}

std::string others_sql(std::uint32_t process_id) {
  return fmt::format(
      "SELECT 1 FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database"
      " WHERE d.datname = pg_catalog.current_database() AND l.locktype = 'advisory' AND l.classid = {}"
      " AND l.objid = {} AND l.objsubid = 2 AND l.pid <> {}",
      lock_class, lock_object, process_id);
}

std::string create_sql(std::string_view publication) {
  const bool all = publication == changes_publication;
  return fmt::format("SELECT {}; CREATE PUBLICATION {} WITH (publish = '{}')", commits_here, publication,
                     all ? "insert, update, delete, truncate" : "insert, truncate");
}

std::string drop_sql() {
  return fmt::format("DROP PUBLICATION IF EXISTS {}, {}", changes_publication, inserts_publication);
}

std::string drop_soon_sql() {
  return fmt::format("SELECT pg_catalog.set_config('lock_timeout', '{}', true), {}; {}", own_lock_timeout, commits_here,
                     drop_sql());
}

std::string rights_sql() {
  return "WITH one AS (SELECT 1)" + std::string(with_publications) +
         "SELECT pg_catalog.count(*) > 0, pg_catalog.bool_and(owned), pg_catalog.bool_and(usable) FROM p";
}

Rights read_rights(const std::vector<ServerRow>& rows) {
  if (rows.size() != 1 || rows[0].size() != 3) return {};
  return {.exist = is_true(rows[0][0]), .owned = is_true(rows[0][1]), .usable = is_true(rows[0][2])};
}

std::string overview_sql() {
  return std::string(with_tables) + std::string(with_publications) + R"(
SELECT (SELECT pg_catalog.string_agg(pubname, ',') FROM p),
       (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(':', oid, changed), ',' ORDER BY pubname) FROM p),
       (SELECT pg_catalog.bool_and(usable) FROM p),
       (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(pg_catalog.hashoid(m.oid)))
        FROM pg_catalog.pg_publication_rel m JOIN p ON p.oid = m.prpubid),
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::pg_catalog.int8,
       pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()),
       pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()),
       pg_catalog.current_setting('synchronous_standby_names'),
       pg_catalog.count(*) FILTER (WHERE in_changes AND identified),
       pg_catalog.count(*) FILTER (WHERE NOT (in_changes AND identified)),
       pg_catalog.count(what),
       pg_catalog.count(*) FILTER (WHERE what = 'out'),
       pg_catalog.current_setting('server_version_num')
FROM todo)";
}

std::string contents_sql() {
  return R"(
WITH p AS (SELECT oid, xmin AS changed, pubname FROM pg_catalog.pg_publication
           WHERE pubname IN ('millrace_changes', 'millrace_inserts'))
SELECT (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(':', oid, changed), ',' ORDER BY pubname) FROM p),
       (SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.sum(pg_catalog.hashoid(m.oid)))
        FROM pg_catalog.pg_publication_rel m JOIN p ON p.oid = m.prpubid))";
}

Result<Overview> read_overview(const std::vector<ServerRow>& rows) {
  if (rows.size() != 1 || rows[0].size() != 13) return unexpected_answer();
  const auto& row = rows[0];
  Overview overview{.obstacle = {},
                    .missing = {},
                    .identity = row[1].value_or(""),
                    .members = row[3].value_or(""),
                    .written = number(row[4]),
                    .oldest_running = number(row[5]),
                    .next = number(row[6]),
                    .followed = number(row[8]),
                    .unfollowed = number(row[9]),
                    .to_mend = number(row[10]),
                    .to_take_out = number(row[11]),
                    .forgets_added = forgets_added_tables(number(row[12]))};
  const std::string names = "," + row[0].value_or("") + ",";
  for (const auto name : {changes_publication, inserts_publication}) {
    if (!names.contains("," + std::string(name) + ",")) overview.missing.push_back(name);
  }
  if (may_be_waited_for(row[7].value_or(""))) {
    overview.obstacle = waited_for();
  } else if (row[2] == "f") {
    overview.obstacle =
        Obstacle{.reason = "the publications are not as Millrace makes them, or another role's", .remedy = drop_sql()};
  }
  return overview;
}

std::string tables_sql() {
  return std::string(with_tables) + fmt::format(R"(
SELECT what, oid, name,
       CASE WHEN never IS NOT NULL THEN never WHEN NOT owned THEN 'not owned' ELSE 'no replica identity' END,
       CASE WHEN never = 'unlogged' THEN pg_catalog.format('ALTER TABLE %s SET LOGGED', name)
            WHEN never IS NOT NULL THEN ''
            WHEN NOT owned THEN pg_catalog.format('GRANT %I TO %I', pg_catalog.pg_get_userbyid(relowner), current_user)
            ELSE pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY FULL', name) END
FROM todo WHERE NOT (in_changes AND identified) OR what IS NOT NULL
ORDER BY what = 'out' DESC NULLS LAST, what IS NULL, oid LIMIT {})",
                                                tables_at_a_time);
}

std::string tables_to_take_out_sql() {
  return std::string(with_tables) +
         fmt::format("SELECT what, oid, name, '', '' FROM todo WHERE what = 'out' ORDER BY oid LIMIT {}",
                     tables_at_a_time);
}

std::vector<TableToMend> read_tables(const std::vector<ServerRow>& rows) {
  using enum TableToMend::What;
  std::vector<TableToMend> tables;
  for (const auto& row : rows) {
    if (row.size() != 5) continue;
    const auto what = row[0] == "out"       ? take_out
                      : row[0] == "changes" ? add_to_changes
                      : row[0] == "inserts" ? add_to_inserts
                                            : nothing;
    const auto name = row[2].value_or("");
    tables.push_back({.what = what,
                      .oid = static_cast<pgoutput::Oid>(number(row[1])),
                      .name = name,
                      .told = {.table = name, .reason = row[3].value_or(""), .remedy = row[4].value_or("")}});
  }
  return tables;
}

std::string mend_sql(TableToMend::What what, std::span<const TableToMend> tables) {
  using enum TableToMend::What;
  std::string names, oids;
  for (const auto& table : tables) {
    names.append(names.empty() ? "ONLY " : ", ONLY ").append(table.name);
    oids.append(oids.empty() ? "" : ",").append(std::to_string(table.oid));
  }
  // One transaction. A lock on the tables is held from the second statement on, so that the third sees what they are.
  auto sql =
      fmt::format("SELECT pg_catalog.set_config('lock_timeout', '{}', true), {}; ALTER PUBLICATION {} {} TABLE {}",
                  own_lock_timeout, commits_here, what == add_to_inserts ? inserts_publication : changes_publication,
                  what == take_out ? "DROP" : "ADD", names);
  if (what != add_to_changes) return sql;
  return sql + ";" + std::string(with_tables) +
         fmt::format("SELECT 1 / CASE WHEN pg_catalog.bool_and(identified) THEN 1 ELSE 0 END FROM t WHERE oid IN ({})",
                     oids);
}

bool forgets_added_tables(std::uint64_t version) {
  constexpr std::uint64_t mended[] = {140018, 150013, 160009, 170005};
  const auto at = std::ranges::find(mended, version / 10000, [](std::uint64_t one) { return one / 10000; });
  return at != std::end(mended) && version < *at;
}

std::string members_sql() {
  return "SELECT m.prrelid, pg_catalog.string_agg(m.oid::pg_catalog.text, ',' ORDER BY m.oid),"
         " pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()),"
         " pg_catalog.bool_or(p.pubname = 'millrace_changes') FROM "
         "pg_catalog.pg_publication_rel m JOIN pg_catalog.pg_publication p"
         " ON p.oid = m.prpubid WHERE p.pubname IN ('millrace_changes', 'millrace_inserts') GROUP BY m.prrelid";
}

std::vector<Member> read_members(const std::vector<ServerRow>& rows) {
  std::vector<Member> members;
  for (const auto& row : rows) {
    if (row.size() != 4) continue;
    members.push_back({.table = static_cast<pgoutput::Oid>(number(row[0])),
                       .place = row[1].value_or(""),
                       .next = number(row[2]),
                       .changes = is_true(row[3])});
  }
  return members;
}

}  // namespace millrace::integration
