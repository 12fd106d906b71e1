#include "catalog/catalog_sql.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>

#include "base/own_lock_timeout.hpp"

namespace millrace::catalog {

namespace {

// Each runs in its own transaction, which ends the settings. pg_temp is named so that it doesn't come first. One
// processor is enough for what runs in the background.
constexpr std::string_view begin =
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"
    "SELECT 'setting', name, reset_val, source FROM pg_catalog.pg_settings"
    " WHERE name OPERATOR(pg_catalog.=) ANY (ARRAY['search_path', "
    "'default_transaction_isolation']::pg_catalog.text[]);";
const std::string settings = fmt::format(
    "SET LOCAL search_path TO pg_catalog, pg_temp;"
    "SET LOCAL lock_timeout TO '{}';"
    "SET LOCAL statement_timeout TO '60s';"
    "SET LOCAL jit TO off;"
    "SET LOCAL max_parallel_workers_per_gather TO 0;",
    own_lock_timeout);

// What is in neither: temporary tables (they are their session's own), TOAST tables and indexes (VACUUM FULL, TRUNCATE
// and REINDEX make new ones).
constexpr std::string_view common = R"(
WITH temporary_schemas AS MATERIALIZED (
  SELECT oid FROM pg_namespace WHERE starts_with(nspname, 'pg_temp_') OR starts_with(nspname, 'pg_toast')),
temporary AS MATERIALIZED (SELECT oid FROM pg_class WHERE relpersistence = 't'),
shown AS MATERIALIZED (
  SELECT oid FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'c', 'S') AND relpersistence <> 't'
    AND relnamespace NOT IN (SELECT oid FROM temporary_schemas))
)";

// Tables of which a default or a check calls a function that may do anything. What is built in isn't depended on;
// those of the extensions only make values.
constexpr std::string_view calling = R"(,
calling AS MATERIALIZED (
  SELECT coalesce(def.adrelid, con.conrelid) AS relation
  FROM pg_depend dep JOIN pg_proc p
    ON p.provolatile = 'v' AND (dep.refclassid = 'pg_proc'::regclass AND dep.refobjid = p.oid
      OR dep.refclassid = 'pg_operator'::regclass
        AND dep.refobjid IN (SELECT oid FROM pg_operator WHERE oprcode = p.oid))
  LEFT JOIN pg_attrdef def ON dep.classid = 'pg_attrdef'::regclass AND dep.objid = def.oid
  LEFT JOIN pg_constraint con ON dep.classid = 'pg_constraint'::regclass AND dep.objid = con.oid AND con.contype = 'c'
  WHERE dep.classid IN ('pg_attrdef'::regclass, 'pg_constraint'::regclass)
    AND NOT EXISTS (SELECT FROM pg_depend own JOIN pg_extension e ON own.refobjid = e.oid
      WHERE own.classid = 'pg_proc'::regclass AND own.objid = p.oid AND own.deptype = 'e'
        AND own.refclassid = 'pg_extension'::regclass AND e.extname IN ('uuid-ossp', 'pgcrypto')))
)";

// A sum of hashes of rows, so their order is nothing to it. A row's xmin is the transaction that wrote it: a row that
// was written again has another, also where it says the same; freezing leaves it as it is. It can't be taken of
// pg_class and pg_index, which TRUNCATE, VACUUM FULL, CLUSTER and REINDEX write; relhasrules and its kin are put right
// by VACUUM. Rows of pg_class that were written are told by themselves (`written`); of pg_index and pg_constraint, what
// was otherwise for a while has made no answer another.
struct Part {
  std::string_view row, from;
};
constexpr Part parts[] = {
    {"oid, relname, relnamespace, relkind, relpersistence, relowner, relrowsecurity, relforcerowsecurity, relreplident,"
     " relispartition, relacl, reltype, reloftype, reloptions",
     "pg_class WHERE oid IN (SELECT oid FROM shown)"},
    {"attrelid, attnum, xmin", "pg_attribute WHERE attnum > 0 AND attrelid IN (SELECT oid FROM shown)"},
    {"adrelid, adnum, xmin", "pg_attrdef WHERE adrelid NOT IN (SELECT oid FROM temporary)"},
    {"indrelid, indkey, indnkeyatts, indimmediate, indisvalid, indisreplident, indclass, indcollation,"
     " indpred IS NULL, indexprs IS NULL",
     "pg_index WHERE indisunique AND indrelid IN (SELECT oid FROM shown)"},
    {"oid, conname, contype, condeferrable, convalidated, conrelid, contypid, confrelid, confupdtype, confdeltype, "
     "conkey,"
     " confkey, conparentid, CASE WHEN contype = 'c' THEN xmin END",
     "pg_constraint WHERE connamespace NOT IN (SELECT oid FROM temporary_schemas)"},
    {"inhrelid, inhparent, xmin", "pg_inherits WHERE inhrelid NOT IN (SELECT oid FROM temporary)"},
    {"partrelid, xmin", "pg_partitioned_table WHERE partrelid NOT IN (SELECT oid FROM temporary)"},
    {"oid, xmin", "pg_trigger WHERE NOT tgisinternal AND tgrelid NOT IN (SELECT oid FROM temporary)"},
    // Those of foreign keys: whether they are enabled.
    {"tgrelid, tgconstraint, tgtype, tgenabled",
     "pg_trigger WHERE tgisinternal AND tgconstraint <> 0 AND tgrelid NOT IN (SELECT oid FROM temporary)"},
    {"subdbid, subname", "pg_subscription"},
    {"oid, xmin", "pg_rewrite WHERE ev_class NOT IN (SELECT oid FROM temporary)"},
    {"oid, xmin", "pg_policy WHERE polrelid NOT IN (SELECT oid FROM temporary)"},
    {"oid, xmin", "pg_type WHERE typnamespace NOT IN (SELECT oid FROM temporary_schemas)"},
    {"oid, xmin", "pg_enum"},
    {"oid, xmin", "pg_proc WHERE pronamespace NOT IN (SELECT oid FROM temporary_schemas)"},
    {"oid, xmin", "pg_operator WHERE oprnamespace NOT IN (SELECT oid FROM temporary_schemas)"},
    {"oid, xmin", "pg_cast"},
    {"oid, xmin", "pg_collation"},
    {"oid, xmin", "pg_namespace WHERE oid NOT IN (SELECT oid FROM temporary_schemas)"},
    {"oid, xmin", "pg_ts_config"},
    {"mapcfg, maptokentype, mapseqno, xmin", "pg_ts_config_map"},
    {"oid, xmin", "pg_ts_dict"},
    {"oid, xmin", "pg_event_trigger"},
    // Shared by all databases; pg_authid itself is hidden from most. What comes and goes shows in `counted`.
    {"r.*", "pg_roles r"},
    {"roleid, member, xmin", "pg_auth_members"},
    {"setdatabase, setrole, xmin",
     "pg_db_role_setting WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"},
    {"oid, xmin", "pg_database WHERE datname = current_database()"},
};

// A member that is taken in and sent away again, or an attribute of a role there and back, leaves nothing to be read,
// but statistics count the rows that were written: PostgreSQL tells them after the transaction, at once or within ten
// seconds. Before PostgreSQL 15 asking for them is slow.
constexpr std::string_view counted = R"(
(SELECT CASE WHEN current_setting('server_version_num')::int >= 150000 THEN
  (SELECT string_agg(concat_ws(',', pg_stat_get_tuples_inserted(oid), pg_stat_get_tuples_updated(oid),
    pg_stat_get_tuples_deleted(oid)), ',' ORDER BY oid)
   FROM unnest(ARRAY['pg_authid'::regclass, 'pg_auth_members'::regclass, 'pg_db_role_setting'::regclass]) oid) END)
)";

// Of what the fingerprint has only the content of, each row that a transaction wrote which wasn't over in the known
// snapshot, or perhaps was. Such a transaction's number is none before the snapshot's first; age() compares as the
// server does, behind 2^32 transactions, too. (A row of more than 2^31 transactions ago counts as well; so it does each
// time.) VACUUM and ANALYZE write in place, which leaves xmin as it is.
constexpr std::string_view written = R"(
(SELECT string_agg(concat(oid, ':', xmin), ' ') FROM pg_class
 WHERE age(xmin) <= age('{}'::xid) AND oid IN (SELECT oid FROM shown))
)";

/// As 32 bits, like xmin. No transaction: every row counts.
std::uint32_t first_running(std::string_view moment) {
  std::uint64_t xid = 0;
  std::from_chars(moment.data(), moment.data() + moment.size(), xid);
  return static_cast<std::uint32_t>(xid);
}

std::string fingerprint(std::string_view known_moment) {
  std::string sums;
  for (const auto& part : parts) {
    fmt::format_to(std::back_inserter(sums), ", (SELECT coalesce(sum(hashtextextended(ROW({})::text, 0)), 0) FROM {})",
                   part.row, part.from);
  }
  const auto since = known_moment.empty() ? "NULL" : fmt::format(fmt::runtime(written), first_running(known_moment));
  // A snapshot is a moment of one server; after a restart, or on another server, the same numbers mean another.
  return fmt::format(
      "{0} SELECT 'fingerprint', now.moment, pg_conf_load_time()::text,"
      " CASE WHEN now.moment = '{1}' THEN NULL ELSE concat_ws(' ', now.counted{2}) END,"
      " CASE WHEN now.moment = '{1}' THEN NULL ELSE {3} END"
      " FROM (SELECT counted, concat_ws('@', pg_current_snapshot(), extract(epoch FROM pg_postmaster_start_time()),"
      " counted) AS moment FROM (SELECT {4} AS counted OFFSET 0) statistics OFFSET 0) now;",
      common, known_moment, sums, since, counted);
}

constexpr std::string_view content[] = {
    // What a login trigger sets can't be known.
    "SELECT 'server', current_setting('server_version'),"
    " EXISTS (SELECT FROM pg_event_trigger WHERE evtevent = 'login' AND evtenabled <> 'D');",

    "SELECT 'schema', n.nspname, EXISTS (SELECT FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a"
    " WHERE a.grantee = 0 AND a.privilege_type = 'USAGE') FROM pg_namespace n"
    " WHERE n.oid NOT IN (SELECT oid FROM temporary_schemas);",

    // Aggregated in the order of the subquery, which an index gives. From PostgreSQL 18 on NOT NULL may be NOT VALID:
    // then there may be NULLs.
    "SELECT 'relation', c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relrowsecurity, c.relreplident,"
    " c.oid IN (SELECT ev_class FROM pg_rewrite WHERE rulename <> '_RETURN'),"
    " c.oid IN (SELECT tgrelid FROM pg_trigger WHERE NOT tgisinternal UNION ALL SELECT relation FROM calling),"
    " a.numbers, a.names, a.types, a.not_null, a.collations, a.modifiers"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN ("
    "SELECT attrelid, array_agg(attnum) AS numbers, array_agg(attname) AS names, array_agg(atttypid) AS types,"
    " array_agg(attnotnull AND (attrelid, attnum) NOT IN (SELECT conrelid, unnest(conkey) FROM pg_constraint"
    " WHERE contype = 'n' AND NOT convalidated)) AS not_null, array_agg(attcollation) AS collations,"
    " array_agg(atttypmod) AS modifiers"
    " FROM (SELECT * FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum) columns"
    " GROUP BY attrelid) a ON a.attrelid = c.oid"
    " WHERE c.oid IN (SELECT oid FROM shown);",

    "SELECT 'key', indrelid, indkey, indnkeyatts FROM pg_index"
    " WHERE indisunique AND NOT indisexclusion AND indimmediate AND indisvalid AND indpred IS NULL AND indexprs IS NULL"
    // It must tell apart what the columns' own `=` does: by their collations, and their types' default operators.
    " AND NOT EXISTS (SELECT FROM generate_series(0, indnkeyatts - 1) k"
    " LEFT JOIN pg_attribute a ON a.attrelid = indrelid AND a.attnum = indkey[k]"
    " LEFT JOIN pg_opclass o ON o.oid = indclass[k]"
    " WHERE a.attcollation IS DISTINCT FROM indcollation[k] OR o.opcdefault IS NOT TRUE)"
    " AND indrelid IN (SELECT oid FROM shown);",

    "SELECT 'inherits', inhrelid, inhparent FROM pg_inherits WHERE inhrelid IN (SELECT oid FROM shown);",

    "SELECT DISTINCT 'cascade', confrelid, conrelid FROM pg_constraint WHERE contype = 'f'"
    " AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'))"
    " AND conrelid IN (SELECT oid FROM shown);",

    // What certainly holds: see ForeignKey. Subscriptions write as replicas do, which check none. A row whose parent is
    // another's, and refers to another table than that, is of a partition of the table that is referred to, and no key
    // of its own. Its triggers, also those of its partitions, must be enabled; and where a change in the table that is
    // referred to changes rows, nothing may change that again: no trigger or rule of the table, those above and below.
    "SELECT 'foreign_key', conrelid, conkey, confrelid, confkey FROM pg_constraint f WHERE contype = 'f'"
    // With PERIOD (PostgreSQL 18) the one is contained in the other.
    " AND convalidated AND NOT condeferrable AND (pg_catalog.to_jsonb(f) ->> 'conperiod') IS DISTINCT FROM 'true'"
    " AND conrelid IN (SELECT oid FROM shown) AND confrelid IN (SELECT oid FROM shown)"
    " AND NOT EXISTS (SELECT FROM pg_constraint q WHERE q.oid = f.conparentid AND q.confrelid <> f.confrelid)"
    " AND f.oid NOT IN (WITH RECURSIVE off AS (SELECT tgconstraint AS oid FROM pg_trigger"
    " WHERE tgconstraint <> 0 AND tgenabled NOT IN ('O', 'A') UNION SELECT c.conparentid FROM off d"
    " JOIN pg_constraint c ON c.oid = d.oid WHERE c.conparentid <> 0) SELECT oid FROM off)"
    " AND (confdeltype NOT IN ('c', 'n', 'd') AND confupdtype NOT IN ('c', 'n', 'd')"
    " OR conrelid NOT IN (WITH RECURSIVE above AS (SELECT oid FROM ("
    "SELECT tgrelid FROM pg_trigger WHERE NOT tgisinternal UNION ALL"
    " SELECT ev_class FROM pg_rewrite WHERE rulename <> '_RETURN') acts (oid)"
    " UNION SELECT i.inhparent FROM above a JOIN pg_inherits i ON i.inhrelid = a.oid),"
    " family AS (SELECT oid FROM above UNION SELECT i.inhrelid FROM family m JOIN pg_inherits i ON i.inhparent = m.oid)"
    " SELECT oid FROM family))"
    " AND NOT EXISTS (SELECT subname FROM pg_subscription);",

    // i, s, v: the last is the worst. What may be called as `row.name`: with defaults or VARIADIC it still is.
    "SELECT 'function', p.proname, max(w.volatility COLLATE \"C\"), bool_and(b.built_in),"
    " bool_and(b.built_in OR w.volatility = 'i'),"
    " bool_or(NOT b.built_in AND p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1"
    " AND (p.provariadic <> 0 OR t.typtype IN ('c', 'p') OR t.typtype = 'd' AND d.typtype IN ('c', 'd')))"
    " FROM pg_proc p CROSS JOIN LATERAL"
    " (SELECT p.oid < 16384 AND p.pronamespace = 'pg_catalog'::regnamespace AS built_in) b"
    // An aggregate is what the functions behind it are, whatever it is declared as.
    " LEFT JOIN pg_aggregate g ON g.aggfnoid = p.oid AND NOT b.built_in CROSS JOIN LATERAL"
    " (SELECT max(s.provolatile::text COLLATE \"C\") AS volatility FROM pg_proc s WHERE s.oid IN (p.oid, g.aggtransfn,"
    " g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn)) w"
    " LEFT JOIN pg_type t ON t.oid = p.proargtypes[0] LEFT JOIN pg_type d ON d.oid = t.typbasetype"
    " WHERE p.pronamespace NOT IN (SELECT oid FROM temporary_schemas) GROUP BY p.proname;",

    "SELECT 'operator', o.oprname, max(p.provolatile::text COLLATE \"C\"), bool_and(b.built_in),"
    " bool_and(b.built_in OR p.provolatile = 'i'), false,"
    " bool_and(b.built_in OR o.oprleft >= 16384 AND o.oprright >= 16384)"
    " FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode CROSS JOIN LATERAL"
    " (SELECT o.oid < 16384 AND o.oprnamespace = 'pg_catalog'::regnamespace AS built_in) b"
    " WHERE o.oprnamespace NOT IN (SELECT oid FROM temporary_schemas) GROUP BY o.oprname;",

    "SELECT 'type', t.oid, n.nspname, t.typname, t.typtype, t.typcategory,"
    " CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END,"
    " t.oid < 16384 AND t.typnamespace = 'pg_catalog'::regnamespace"
    " FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace"
    " WHERE t.typnamespace NOT IN (SELECT oid FROM temporary_schemas);",

    // One without a function that isn't binary goes by the types' own functions for text.
    "SELECT 'unsafe_cast' FROM pg_cast c LEFT JOIN pg_type s ON s.oid = c.castsource"
    " LEFT JOIN pg_type t ON t.oid = c.casttarget"
    " JOIN pg_proc p ON p.oid = c.castfunc OR c.castmethod = 'i' AND p.oid IN (s.typoutput, t.typinput)"
    " WHERE c.oid >= 16384 AND p.provolatile <> 'i' LIMIT 1;",

    "SELECT 'own_cast' FROM pg_cast WHERE oid >= 16384 AND castsource < 16384 AND casttarget < 16384 LIMIT 1;",

    "SELECT 'role', oid, rolname FROM pg_roles;",

    // Whose they are; apart, those that no answer depends on.
    "SELECT 'role_settings', coalesce(r.rolname::text, CASE WHEN s.setrole <> 0 THEN s.setrole::text ELSE '' END),"
    " name ~ '^(log_.*|.*_timeout|track_.*|enable_.*|.*_cost|jit.*|auto_explain\\..*|pg_stat_statements\\..*|.*work_mem"
    "|temp_buffers|temp_file_limit|temp_tablespaces|.*_io_concurrency|max_parallel_.*|.*_collapse_limit|geqo.*"
    "|plan_cache_mode|effective_cache_size|synchronous_commit|tcp_.*|application_name|deadlock_.*|commit_.*)$' AS "
    "besides,"
    " md5(string_agg(concat_ws(' ', s.setdatabase, setting), ' ' ORDER BY s.setdatabase, setting))"
    " FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole CROSS JOIN LATERAL unnest(s.setconfig) "
    "setting"
    " CROSS JOIN LATERAL split_part(setting, '=', 1) name"
    " WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"
    " GROUP BY s.setrole, r.rolname, besides;",

    "SELECT 'role_setting', s.setrole, s.setdatabase <> 0, setting FROM pg_db_role_setting s"
    " CROSS JOIN LATERAL unnest(s.setconfig) setting"
    " WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"
    " AND (starts_with(setting, 'search_path=') OR starts_with(setting, 'role=') OR starts_with(setting, "
    "'default_transaction_isolation='));",
};

}  // namespace

std::string read_sql() {
  std::string sql;
  sql.append(begin).append(settings).append(fingerprint(""));
  for (const auto part : content) sql.append(common).append(calling).append(part);
  return sql;
}

// All names in a definition have their schemas but for what the search path shows: pg_catalog's. OFFSET 0: each is made
// once. A message of more than a megabyte would end the connection.
std::string views_sql(std::span<const Oid> views) {
  std::string sql;
  sql.append(begin).append(settings);
  fmt::format_to(std::back_inserter(sql),
                 "SELECT 'view', oid, CASE WHEN length(definition) < 250000 THEN definition END FROM ("
                 "SELECT oid, pg_get_viewdef(oid) AS definition FROM pg_class"
                 " WHERE relkind IN ('v', 'm') AND oid IN ({}) OFFSET 0) views;",
                 fmt::join(views, ", "));
  return sql;
}

std::string poll_sql(std::string_view known_moment) {
  // What a server said, and nothing else: digits and marks.
  if (known_moment.find_first_not_of("0123456789:,@.") != std::string_view::npos) known_moment = "";
  std::string sql(begin);
  return sql.append(settings).append(fingerprint(known_moment));
}

}  // namespace millrace::catalog
