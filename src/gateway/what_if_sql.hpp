#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What is asked of pg_catalog about tables and indexes, which everybody may, and how the answers are read.
namespace millrace::gateway::what_if_sql {

/// 0 where it is none.
double number(const std::optional<std::string>& text);
/// Of an array in JSON; empty where it is none.
std::vector<std::string> texts(const std::optional<std::string>& array);

constexpr std::string_view of_users =
    " t.relkind IN ('r', 'm') AND t.relpersistence <> 't' AND n.nspname <> 'information_schema' AND "
    "n.nspname NOT LIKE 'pg\\_%' ";

constexpr std::string_view hypopg =
    "SELECT n.nspname FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace "
    "WHERE e.extname = 'hypopg'";

constexpr std::string_view settings =
    "SELECT pg_catalog.current_setting('seq_page_cost'), pg_catalog.current_setting('random_page_cost'), "
    "pg_catalog.current_setting('cpu_tuple_cost'), pg_catalog.current_setting('cpu_index_tuple_cost'), "
    "pg_catalog.current_setting('cpu_operator_cost'), "
    "pg_catalog.date_part('epoch', pg_catalog.now() - coalesce("
    "pg_catalog.pg_stat_get_db_stat_reset_time((SELECT oid FROM pg_catalog.pg_database WHERE datname = "
    "pg_catalog.current_database())), pg_catalog.pg_postmaster_start_time()))";

constexpr std::string_view tables =
    "SELECT n.nspname, t.relname, t.reltuples, t.relpages, pg_catalog.pg_table_size(t.oid), "
    "pg_catalog.pg_stat_get_tuples_inserted(t.oid), pg_catalog.pg_stat_get_tuples_updated(t.oid), "
    "pg_catalog.pg_stat_get_tuples_hot_updated(t.oid), pg_catalog.pg_stat_get_numscans(t.oid) + coalesce(("
    "SELECT pg_catalog.sum(pg_catalog.pg_stat_get_numscans(i.indexrelid)) FROM pg_catalog.pg_index AS i "
    "WHERE i.indrelid = t.oid), 0) "
    "FROM pg_catalog.pg_class AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace WHERE";

/// Keys with what isn't usual of them, joined by a character that no name of theirs has for certain: so by JSON.
constexpr std::string_view indexes =
    "SELECT n.nspname, t.relname, c.relname, m.amname, "
    "(SELECT pg_catalog.json_agg(pg_catalog.pg_get_indexdef(i.indexrelid, k.place::int, true) || "
    "CASE WHEN k.place > i.indnkeyatts THEN '' ELSE "
    "CASE WHEN a.attcollation NOT IN (0, ty.typcollation) THEN ' COLLATE ' || a.attcollation ELSE '' END || "
    "CASE WHEN o.opcdefault THEN '' ELSE ' ' || o.opcname END || "
    "CASE i.indoption[k.place - 1]::int & 3 WHEN 1 THEN ' DESC NULLS LAST' WHEN 2 THEN ' NULLS FIRST' WHEN 3 THEN ' "
    "DESC' "
    "ELSE '' END END ORDER BY k.place) "
    "FROM pg_catalog.generate_series(1, i.indnatts) AS k(place) "
    "JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indexrelid AND a.attnum = k.place "
    "JOIN pg_catalog.pg_type AS ty ON ty.oid = a.atttypid "
    "LEFT JOIN pg_catalog.pg_opclass AS o ON o.oid = i.indclass[k.place - 1]), "
    "i.indnkeyatts, coalesce(pg_catalog.pg_get_expr(i.indpred, i.indrelid, true), ''), i.indisunique OR "
    "i.indisexclusion, "
    "i.indisprimary OR i.indisreplident OR i.indisclustered OR c.relispartition OR EXISTS ("
    "SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conindid = i.indexrelid), "
    "i.indisvalid AND i.indisready AND i.indislive, "
    "EXISTS (SELECT FROM pg_catalog.pg_locks AS l WHERE l.relation = i.indrelid AND l.database = (SELECT oid FROM "
    "pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AND l.mode = 'ShareUpdateExclusiveLock'), "
    "pg_catalog.pg_relation_size(c.oid), pg_catalog.pg_stat_get_numscans(c.oid) "
    "FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid "
    "JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace "
    "JOIN pg_catalog.pg_am AS m ON m.oid = c.relam WHERE";

/// Of the tables in $1; where statistics may be seen of them, else by their types.
constexpr std::string_view widths =
    "SELECT w.schema, w.name, a.attname, coalesce(s.avg_width, nullif(a.attlen, -1), 32) "
    "FROM pg_catalog.json_to_recordset($1::json) AS w(schema text, name text) "
    "JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema "
    "JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name "
    "JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
    "LEFT JOIN pg_catalog.pg_stats AS s ON s.schemaname = w.schema AND s.tablename = w.name AND s.attname = a.attname "
    "AND NOT s.inherited";

}  // namespace millrace::gateway::what_if_sql
