#include "gateway/rewrite_guard.hpp"

#include <algorithm>
#include <set>
#include <span>
#include <vector>

#include "base/in_quotes.hpp"
#include "pgwire/protocol/decode.hpp"

namespace millrace::gateway {
namespace {

/// As PostgreSQL reads an array of text.
std::string array_of(const std::set<std::string>& values) {
  std::string out(1, '{');
  for (const auto& value : values) {
    if (out.size() > 1) out += ',';
    out += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out += '}';
}

std::set<std::string> relations_of(const sql::References& one, const sql::References& other) {
  std::set<std::string> relations;
  for (const auto* of : {&one, &other}) {
    for (const auto& name : of->reads) {
      if (name.schema.empty() && std::ranges::binary_search(of->with, name.name)) continue;
      relations.insert((name.schema.empty() ? "" : in_quotes(name.schema, '"') + ".") + in_quotes(name.name, '"'));
    }
  }
  return relations;
}

}  // namespace

// It is asked as any client's user, under its search path: so each name in it has its schema, and each operator is one
// for exactly these types. Every look-up is by an index. What is built in isn't looked at: it comes with the server;
// nor is a schema of temporary tables, which a connection keeps once anybody had one: what is in it stands for its
// names.
const std::string_view guard_sql = R"(SELECT pg_catalog.md5(pg_catalog.concat_ws('|', current_user,
 pg_catalog.current_setting('search_path'), pg_catalog.current_schemas(false), pg_catalog.current_setting('TimeZone'),
 pg_catalog.current_setting('DateStyle'), pg_catalog.current_setting('IntervalStyle'),
 pg_catalog.current_setting('transform_null_equals'), pg_catalog.current_setting('standard_conforming_strings'),
 pg_catalog.current_setting('backslash_quote'), pg_catalog.current_setting('transaction_isolation'),
 (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', n.k, c.oid, c.relname, c.relnamespace, c.relkind,
   c.relpersistence, c.relrowsecurity, c.relhasrules, c.relispartition, c.relowner, c.relacl,
   (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull,
      a.attcollation, a.attacl), ';' ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
      AND NOT a.attisdropped),
   (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', i.indexrelid, i.indisvalid, i.indimmediate, i.indnkeyatts,
      i.indkey, i.indclass, i.indcollation, i.indpred IS NULL, i.indexprs IS NULL), ';' ORDER BY i.indexrelid)
    FROM pg_catalog.pg_index i WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisunique),
   (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', o.oid, o.contype, o.convalidated, o.condeferrable, o.conkey,
      o.confrelid, o.confkey), ';' ORDER BY o.oid)
    FROM pg_catalog.pg_constraint o WHERE o.conrelid OPERATOR(pg_catalog.=) c.oid),
   (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', t.oid, t.tgenabled), ';' ORDER BY t.oid)
    FROM pg_catalog.pg_trigger t WHERE t.tgrelid OPERATOR(pg_catalog.=) c.oid),
   (SELECT pg_catalog.string_agg(h.inhrelid::pg_catalog.text, ';' ORDER BY h.inhrelid)
    FROM pg_catalog.pg_inherits h WHERE h.inhparent OPERATOR(pg_catalog.=) c.oid)), '/' ORDER BY n.k)
  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[])) WITH ORDINALITY AS n(name, k)
  LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(n.name)::pg_catalog.oid),
 (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', p.oid, p.provolatile, p.pronamespace, p.proargtypes), ';'
    ORDER BY p.oid)
  FROM pg_catalog.pg_proc p WHERE p.proname OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.name[]) AND p.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid),
 (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', y.oid, y.typnamespace, y.typtype), ';' ORDER BY y.oid)
  FROM pg_catalog.pg_type y WHERE y.typname OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.name[]) AND y.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid),
 (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.max(q.oid))
  FROM pg_catalog.pg_operator q WHERE q.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid),
 (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.max(s.oid))
  FROM pg_catalog.pg_cast s WHERE s.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid))))";

const std::string_view column_privileges_sql =
    "SELECT pg_catalog.count(*) FROM pg_catalog.unnest($1::pg_catalog.text[]) AS n(name)"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=)"
    " pg_catalog.to_regclass(n.name)::pg_catalog.oid"
    " WHERE a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND a.attacl IS NOT NULL";

std::array<std::string, 3> guard_parameters(const sql::References& one, const sql::References& other) {
  std::set<std::string> functions, types;
  for (const auto* of : {&one, &other}) {
    for (const auto& name : of->functions) functions.insert(name.name);
    functions.insert(of->fields.begin(), of->fields.end());
    for (const auto& name : of->types) types.insert(name.name);
  }
  return {array_of(relations_of(one, other)), array_of(functions), array_of(types)};
}

std::string lock_sql(const sql::References& one, const sql::References& other) {
  std::string sql;
  for (const auto& name : relations_of(one, other))
    sql.append(sql.empty() ? "LOCK TABLE ONLY " : ", ONLY ").append(name);
  return sql += " IN ACCESS SHARE MODE";
}

std::string_view guard_answer(pgwire::Bytes data_row) {
  const auto values = pgwire::decode_data_row(data_row);
  if (!values) return {};
  for (const auto& value : *values) return value ? pgwire::as_text(*value) : std::string_view();
  return {};
}

}  // namespace millrace::gateway
