#include "integration/server_facts.hpp"

#include <charconv>

namespace millrace::integration {
namespace {

constexpr int most_listed = 500;

/// s: t, and why rows of a table are never answered from memory.
constexpr std::string_view with_refused = R"(
, s AS (
  SELECT t.*, c.relkind, c.relreplident, c.relrowsecurity AS row_security,
         c.oid IN (SELECT ev_class FROM pg_catalog.pg_rewrite WHERE rulename <> '_RETURN') AS rules,
         pg_catalog.pg_get_userbyid(c.relowner) AS owner,
         EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = c.relowner AND r.rolsuper) AS of_superuser
  FROM t JOIN pg_catalog.pg_class c ON c.oid = t.oid
) )";

std::unexpected<Error> unexpected_answer() {
  return fail("PostgreSQL gave an answer about itself that isn't understood", "08P01");
}

std::int64_t number(const std::optional<std::string>& text) {
  std::int64_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

std::uint64_t count(const std::optional<std::string>& text) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(number(text), 0));
}

std::optional<TableProblem::Kind> kind_of(const std::optional<std::string>& name) {
  using enum TableProblem::Kind;
  for (const auto& [known, kind] :
       std::initializer_list<std::pair<std::string_view, TableProblem::Kind>>{{"not owned", not_owned},
                                                                              {"no identity", no_identity},
                                                                              {"unlogged", unlogged},
                                                                              {"materialized view", materialized_view},
                                                                              {"row security", row_security},
                                                                              {"rules", rules}}) {
    if (name == known) return kind;
  }
  return std::nullopt;
}

}  // namespace

std::string facts_sql() {
  return R"(
SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_setting('server_version'),
       pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('wal_level'), r.rolsuper OR r.rolreplication,
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
         OR 2 = (SELECT pg_catalog.count(*) FROM pg_catalog.pg_publication
                 WHERE pubname IN ('millrace_changes', 'millrace_inserts')),
       pg_catalog.current_setting('synchronous_standby_names'),
       (SELECT pg_catalog.string_agg(DISTINCT pg_catalog.quote_ident(application_name), ', ')
        FROM pg_catalog.pg_stat_replication WHERE application_name NOT IN ('', 'millrace') AND state = 'streaming'),
       coalesce((SELECT setting FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size'), '-1'),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots),
       pg_catalog.current_setting('max_replication_slots'),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_replication),
       pg_catalog.current_setting('max_wal_senders'),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots
        WHERE slot_name ~ '^millrace_[0-9]+$' AND active AND database = pg_catalog.current_database()),
       pg_catalog.quote_ident(current_user), pg_catalog.quote_ident(pg_catalog.current_database()),
       pg_catalog.current_setting('default_transaction_isolation')
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)";
}

Result<ServerFacts> read_facts(const std::vector<ServerRow>& rows) {
  if (rows.size() != 1 || rows[0].size() != 17) return unexpected_answer();
  const auto& row = rows[0];
  return ServerFacts{.version = count(row[0]),
                     .version_name = row[1].value_or(""),
                     .is_standby = row[2] == "t",
                     .wal_level = row[3].value_or(""),
                     .may_replicate = row[4] == "t",
                     .may_publish = row[5] == "t",
                     .standby_names = row[6].value_or(""),
                     .standbys = row[7].value_or(""),
                     .kept_log_mb = number(row[8]),
                     .slots = count(row[9]),
                     .most_slots = count(row[10]),
                     .senders = count(row[11]),
                     .most_senders = count(row[12]),
                     .own_slots = count(row[13]),
                     .user = row[14].value_or(""),
                     .database = row[15].value_or(""),
                     .isolation = row[16].value_or("")};
}

std::string isolation_sql() {
  return R"(
SELECT CASE WHEN r.rolname IS NULL AND d.datname IS NULL THEN 'ROLE ALL'
            WHEN r.rolname IS NULL THEN pg_catalog.format('DATABASE %I', d.datname)
            WHEN d.datname IS NULL THEN pg_catalog.format('ROLE %I', r.rolname)
            ELSE pg_catalog.format('ROLE %I IN DATABASE %I', r.rolname, d.datname) END, pg_catalog.split_part(one, '=', 2)
FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) one
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
WHERE one ~ '^default_transaction_isolation=(serializable|repeatable read)$'
  AND (s.setdatabase = 0 OR d.datname = pg_catalog.current_database())
ORDER BY 1)";
}

std::vector<IsolationSetting> read_isolation(const std::vector<ServerRow>& rows) {
  std::vector<IsolationSetting> all;
  for (const auto& row : rows) {
    if (row.size() == 2) all.push_back({.whose = row[0].value_or(""), .level = row[1].value_or("")});
  }
  return all;
}

std::string table_counts_sql() {
  return std::string(tables_cte()) + std::string(with_refused) + R"(
SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE NOT row_security AND NOT rules),
       pg_catalog.count(*) FILTER (WHERE NOT row_security AND NOT rules AND never IS NULL AND owned AND identified)
FROM s)";
}

Result<TableCounts> read_table_counts(const std::vector<ServerRow>& rows) {
  if (rows.size() != 1 || rows[0].size() != 3) return unexpected_answer();
  return TableCounts{.all = count(rows[0][0]), .readable = count(rows[0][1]), .tellable = count(rows[0][2])};
}

std::string table_problems_sql() {
  // What is never answered from memory needs nothing mended. An index can only be an identity if none of its columns
  // may be null; it costs less in the log than FULL, and takes no lookup of whole rows by who applies the changes.
  return std::string(tables_cte()) + std::string(with_refused) +
         fmt::format(R"(
, problem (kind, first, number, tables, remedy, of_superuser, all_of_kind) AS (
  SELECT 'not owned', pg_catalog.min(oid::pg_catalog.int8), pg_catalog.count(*),
         pg_catalog.array_to_string((pg_catalog.array_agg(name ORDER BY oid))[1:3], ', ')
           || CASE WHEN pg_catalog.count(*) > 3 THEN ', ...' ELSE '' END,
         CASE WHEN pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 160000
              THEN pg_catalog.format('GRANT %I TO %I WITH INHERIT TRUE', owner, current_user)
              WHEN pg_catalog.pg_has_role(owner, 'MEMBER') THEN pg_catalog.format('ALTER ROLE %I INHERIT', current_user)
              ELSE pg_catalog.format('GRANT %I TO %I', owner, current_user) END, pg_catalog.bool_or(of_superuser),
         pg_catalog.sum(pg_catalog.count(*)) OVER ()
  FROM s WHERE NOT row_security AND NOT rules AND never IS NULL AND NOT owned GROUP BY owner
  UNION ALL
  SELECT kind, oid::pg_catalog.int8, 1, name, remedy, false, pg_catalog.count(*) OVER (PARTITION BY kind)
  FROM s CROSS JOIN LATERAL (
    SELECT 'no identity', pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY ', name) || coalesce(
             (SELECT 'DEFAULT' FROM pg_catalog.pg_index i
              WHERE i.indrelid = s.oid AND i.indisprimary AND i.indisvalid AND i.indimmediate),
             (SELECT pg_catalog.format('USING INDEX %I', n.relname)
              FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class n ON n.oid = i.indexrelid
              WHERE i.indrelid = s.oid AND i.indisvalid AND i.indisunique AND i.indimmediate
                AND i.indpred IS NULL AND i.indexprs IS NULL
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                                WHERE a.attrelid = s.oid AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull)
              ORDER BY i.indnatts, i.indexrelid LIMIT 1),
             'FULL')
    WHERE NOT row_security AND NOT rules AND never IS NULL AND NOT identified
    UNION ALL SELECT 'unlogged', pg_catalog.format('ALTER TABLE %s SET LOGGED', name)
    WHERE NOT row_security AND NOT rules AND never = 'unlogged'
    UNION ALL SELECT 'materialized view', '' WHERE relkind = 'm'
    UNION ALL SELECT 'row security', '' WHERE row_security
    UNION ALL SELECT 'rules', '' WHERE rules
  ) found (kind, remedy)
)
SELECT kind, all_of_kind, number, tables, remedy, of_superuser
FROM (SELECT *, pg_catalog.row_number() OVER (PARTITION BY kind ORDER BY first) AS at FROM problem) p
WHERE at <= {} ORDER BY kind, first)",
                     most_listed);
}

std::vector<TableProblem> read_table_problems(const std::vector<ServerRow>& rows) {
  std::vector<TableProblem> problems;
  for (const auto& row : rows) {
    if (row.size() != 6) continue;
    if (const auto kind = kind_of(row[0])) {
      problems.push_back({.kind = *kind,
                          .all = count(row[1]),
                          .number = count(row[2]),
                          .tables = row[3].value_or(""),
                          .remedy = row[4].value_or(""),
                          .of_superuser = row[5] == "t"});
    }
  }
  return problems;
}

}  // namespace millrace::integration
