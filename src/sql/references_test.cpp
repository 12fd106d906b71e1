#include "sql/references.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "sql/pg_tree.h"
#include "sql/statement.hpp"

namespace millrace::sql {
namespace {

std::string show(const Name& name) { return name.schema.empty() ? name.name : name.schema + "." + name.name; }
std::string show(const std::string& name) { return name.empty() ? "?" : name; }

template <typename T>
void show(std::string& out, std::string_view what, const std::vector<T>& list) {
  if (list.empty()) return;
  if (!out.empty()) out += "; ";
  out += what;
  for (const auto& element : list) out += " " + show(element);
}

std::string describe(const References& references) {
  std::string out;
  if (!references.not_known.empty()) out = "not known: " + references.not_known;
  show(out, "reads", references.reads);
  show(out, "writes", references.writes);
  show(out, "with", references.with);
  show(out, "calls", references.functions);
  show(out, "op", references.operators);
  show(out, "types", references.types);
  show(out, "collations", references.collations);
  show(out, "fields", references.fields);
  show(out, "moments", references.to_moments);
  show(out, "renames", references.renames);
  if (references.who) out += out.empty() ? "who" : "; who";
  return out;
}

struct Case {
  std::string_view text;
  std::string_view names;

  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.text; }
};

class ReferencesTest : public testing::TestWithParam<Case> {};

TEST_P(ReferencesTest, AreNamed) {
  const auto statement = parse(GetParam().text);
  ASSERT_NE(statement->references, nullptr) << GetParam().text << ": " << statement->why_unparsed;
  EXPECT_EQ(describe(*statement->references), GetParam().names) << GetParam().text;
}

constexpr Case kRelations[] = {
    {"SELECT 1", ""},
    {"SELECT * FROM a, s.b, ONLY c, a AS a2", "reads a c s.b"},
    {"TABLE t", "reads t"},
    {"VALUES (1, $1), (2, NULL)", ""},
    {"SELECT x.* FROM d.s.t x", "not known: a relation with its database; reads s.t"},
    {"SELECT 1 FROM a UNION SELECT 2 FROM b EXCEPT SELECT 3 FROM c", "reads a b c"},
    {"SELECT (SELECT x FROM b) FROM a WHERE EXISTS (SELECT FROM c)", "reads a b c"},
    {"WITH RECURSIVE w (x) AS (SELECT 1 UNION ALL SELECT x FROM w JOIN t ON true) SELECT * FROM w",
     "reads t w; with w; renames x"},
    {"SELECT * FROM a NATURAL JOIN b", "reads a b; op ="},
    {"SELECT * FROM a LEFT JOIN b USING (x)", "reads a b; op ="},
    {"SELECT * FROM a CROSS JOIN LATERAL (SELECT * FROM b WHERE x) q (y)", "reads a b; renames y"},
    {"SELECT * FROM \"A b\".\"C\"", "reads A b.C"},
};
INSTANTIATE_TEST_SUITE_P(Relations, ReferencesTest, testing::ValuesIn(kRelations));

constexpr Case kCalls[] = {
    {"SELECT f(), s.g(1), max(x) FILTER (WHERE h(y)) OVER (PARTITION BY i(z))", "calls f h i max s.g"},
    {"SELECT count(*), p(0.5) WITHIN GROUP (ORDER BY q(x))", "calls count p q"},
    {"SELECT a FROM f(1) AS x (a), ROWS FROM (g(), h()) WITH ORDINALITY", "calls f g h; renames ? a"},
    {"SELECT extract(year FROM x), substring(a FROM 1), trim(a), position(a IN b), overlay(a PLACING b FROM 1)",
     "calls pg_catalog.btrim pg_catalog.extract pg_catalog.overlay pg_catalog.position pg_catalog.substring"},
    {"SELECT a AT TIME ZONE 'UTC'", "calls pg_catalog.timezone"},
    {"SELECT d.s.f()", "not known: a function with its database"},
    {"SELECT f(a => g())", "calls f g"},
    {"SELECT 1 FROM t WINDOW w AS (ORDER BY f() ROWS g() PRECEDING)", "reads t; calls f g"},
    {"SELECT 1 LIMIT f() OFFSET g()", "calls f g"},
    {"SELECT DISTINCT ON (f(x)) 1 FROM t GROUP BY ROLLUP (g(x)), GROUPING SETS ((h(x)), ()) HAVING i(x)",
     "reads t; calls f g h i"},
    {"VALUES (f()), (g())", "calls f g"},
};
INSTANTIATE_TEST_SUITE_P(Calls, ReferencesTest, testing::ValuesIn(kCalls));

constexpr Case kOperators[] = {
    {"SELECT a + -b", "op + -"},
    {"SELECT a OPERATOR(s.@@) b", "op s.@@"},
    {"SELECT a BETWEEN 1 AND 2", "op <= >="},
    {"SELECT a NOT BETWEEN SYMMETRIC 1 AND 2", "op < >"},
    {"SELECT a IN (1, 2), b NOT IN (1)", "op <> ="},
    {"SELECT a <= ANY ($1), a > ALL ('{}')", "op <= >"},
    {"SELECT a LIKE 'x', b NOT LIKE 'x', c ILIKE 'x'", "op !~~ ~~ ~~*"},
    {"SELECT a LIKE 'x' ESCAPE '!'", "calls pg_catalog.like_escape; op ~~"},
    {"SELECT a SIMILAR TO 'x'", "calls pg_catalog.similar_to_escape; op ~"},
    {"SELECT NULLIF(a, b)", "op ="},
    {"SELECT a IS NOT DISTINCT FROM b", "op ="},
    {"SELECT CASE a WHEN 1 THEN 2 END", "op ="},
    {"SELECT CASE WHEN a THEN 2 END", ""},
    {"SELECT a IN (SELECT 1)", "op ="},
    {"SELECT a <@ ANY (SELECT 1), (a, b) >= ALL (SELECT 1, 2)", "op <@ >="},
    {"SELECT 1 FROM t ORDER BY a USING OPERATOR(s.~<~)", "reads t; op s.~<~"},
    {"SELECT a AND NOT b OR c IS NULL, d IS TRUE, GREATEST(a, b), COALESCE(a, b), (ARRAY[a])[1:2], ROW(a, b)", ""},
    {"SELECT (a, b) OVERLAPS (c, d)", "calls pg_catalog.overlaps"},
};
INSTANTIATE_TEST_SUITE_P(Operators, ReferencesTest, testing::ValuesIn(kOperators));

constexpr Case kTypes[] = {
    {"SELECT a::int, CAST(b AS s.t), c::numeric(1, 2)[], 'x'::u(f)", "types u pg_catalog.int4 pg_catalog.numeric s.t"},
    {"SELECT inet '1.1.1.1', true, interval '1' day", "types inet pg_catalog.interval"},
    {"SELECT * FROM f() AS x (a int, b text COLLATE \"C\")",
     "calls f; types text pg_catalog.int4; collations C; renames ?"},
    {"SELECT a COLLATE s.\"de\"", "collations s.de"},
    {"SELECT t.f, (t).g, s.t.h, (f(x)).i[1].j, t.*, (t).*", "calls f; fields f g h i j"},
    {"SELECT f, t.a[1]", "fields a"},
    {"SELECT 'now'::date, $1::timestamptz, NULL::time", "types date timestamptz pg_catalog.time"},
    {"SELECT a::date, b.c::date, f(x)::date, (d + e)::date, (g::text)::date, COALESCE(a, b)::date, t.*::timestamp[]",
     "calls f; op +; types date text pg_catalog.timestamp; fields c; moments ? + ::text a c f()"},
    {"SELECT date(a), date(a, b), timestamptz(c)", "calls date timestamptz; moments a c"},
    {"SELECT a::interval, b::tstzrange", "types tstzrange pg_catalog.interval; moments b"},
    {"SELECT * FROM json_to_record(x) AS y (a date)", "calls json_to_record; types date; moments ?; renames ?"},
    {"SELECT a AS b, c d FROM t AS u (e)", "reads t; renames b d e"},
};
INSTANTIATE_TEST_SUITE_P(Types, ReferencesTest, testing::ValuesIn(kTypes));

constexpr Case kWrites[] = {
    {"INSERT INTO t (a) VALUES (f()), (DEFAULT)", "writes t; calls f; renames a"},
    {"INSERT INTO s.t SELECT * FROM u RETURNING g(x)", "reads u; writes s.t; calls g"},
    {"INSERT INTO t SELECT * FROM t", "reads t; writes t"},
    {"INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = f() WHERE t.c = 1",
     "reads t; writes t; calls f; op =; fields c; renames b"},
    {"INSERT INTO t VALUES (1) ON CONFLICT (a text_pattern_ops) DO NOTHING",
     "not known: ON CONFLICT with a collation or an operator class; reads t; writes t"},
    {"UPDATE t SET (a, b) = (SELECT 1, 2), c = DEFAULT FROM u WHERE t.x",
     "reads t u; writes t; fields x; renames a b c"},
    {"DELETE FROM t USING u WHERE f()", "reads t u; writes t; calls f"},
    {"MERGE INTO t USING u ON t.a < u.a WHEN MATCHED AND f() THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (g())",
     "reads t u; writes t; calls f g; op <; fields a"},
    {"WITH w AS (DELETE FROM t RETURNING *) SELECT * FROM w", "reads t w; writes t; with w"},
    {"WITH w AS (INSERT INTO t DEFAULT VALUES RETURNING *) SELECT * FROM w", "reads w; writes t; with w"},
    {"COPY t (a) FROM STDIN WITH (FORMAT csv, FORCE_NULL (a)) WHERE f()", "writes t; calls f"},
    {"COPY t TO STDOUT", "reads t"},
    {"COPY (SELECT * FROM t) TO STDOUT", "reads t"},
    {"COPY t FROM '/f'", "not known: COPY and a file; writes t"},
    {"COPY t TO PROGRAM 'x'", "not known: COPY and a program; reads t"},
};
INSTANTIATE_TEST_SUITE_P(Writes, ReferencesTest, testing::ValuesIn(kWrites));

constexpr Case kNotKnown[] = {
    {"SELECT * FROM t FOR UPDATE", "not known: FOR UPDATE; reads t"},
    {"SELECT * FROM t FOR NO KEY UPDATE", "not known: FOR NO KEY UPDATE; reads t"},
    {"SELECT * FROM t FOR SHARE SKIP LOCKED", "not known: FOR SHARE; reads t"},
    {"SELECT * FROM t FOR KEY SHARE OF t", "not known: FOR KEY SHARE; reads t"},
    {"SELECT (SELECT 1 FROM t FOR UPDATE)", "not known: FOR UPDATE; reads t"},
    {"SELECT * FROM t TABLESAMPLE system (1)", "not known: TABLESAMPLE; reads t"},
    {"COPY (SELECT 1 INTO t) TO STDOUT", "not known: SELECT INTO; reads t"},
    {"SELECT current_date", "not known: CURRENT_DATE"},
    {"SELECT current_time", "not known: CURRENT_TIME"},
    {"SELECT current_time(1)", "not known: CURRENT_TIME"},
    {"SELECT current_timestamp", "not known: CURRENT_TIMESTAMP"},
    {"SELECT current_timestamp(1)", "not known: CURRENT_TIMESTAMP"},
    {"SELECT localtime", "not known: LOCALTIME"},
    {"SELECT localtimestamp(1)", "not known: LOCALTIMESTAMP"},
    {"SELECT f(a, CASE WHEN b THEN localtime END)", "not known: LOCALTIME; calls f"},
    {"SELECT current_user, 1", "who"},
    {"SELECT session_user", "who"},
    {"SELECT user", "who"},
    {"SELECT current_role", "who"},
    {"SELECT current_schema", "who"},
    {"SELECT current_catalog", "who"},
    {"SELECT * FROM current_user", "renames ?; who"},
    {"SELECT xmlelement(name a)", "not known: an XML function"},
    {"SELECT xmlserialize(content a AS text)", "not known: XMLSERIALIZE; types text"},
    {"SELECT * FROM xmltable('/a' PASSING b COLUMNS c int)", "not known: XMLTABLE; types pg_catalog.int4"},
    {"UPDATE t SET a = 1 WHERE CURRENT OF c", "not known: CURRENT OF; reads t; writes t; renames a"},
    {"SELECT CAST(a AS SETOF int)", "not known: SETOF; types pg_catalog.int4"},
    {"VALUES (DEFAULT)", "not known: DEFAULT"},
    {"WITH w AS (SELECT 1) SEARCH DEPTH FIRST BY b SET c SELECT 1", "not known: SEARCH; with w"},
    {"WITH w AS (SELECT 1) CYCLE b SET d USING e SELECT 1", "not known: CYCLE; with w"},
    {"SELECT ctid FROM t", "not known: a system column; reads t"},
    {"SELECT t.xmin FROM t", "not known: a system column; reads t; fields xmin"},
    {"SELECT localtime, current_date", "not known: LOCALTIME"},
};
INSTANTIATE_TEST_SUITE_P(NotKnown, ReferencesTest, testing::ValuesIn(kNotKnown));

TEST(References, AreThereForQueriesAndWritesOnly) {
  for (const char* text : {"", "SELECT 1 INTO t", "CREATE TABLE t AS SELECT 1", "BEGIN", "SELEC", "EXPLAIN SELECT 1",
                           "PREPARE p AS SELECT 1", "DECLARE c CURSOR FOR SELECT 1", "CALL p()"}) {
    EXPECT_EQ(parse(text)->references, nullptr) << text;
  }
  EXPECT_NE(parse("; SELECT 1 ;")->references, nullptr);
}

TEST(References, OfSeveralStatementsAreOfThemTogether) {
  const auto statement = parse("BEGIN; SELECT f(a) FROM t; SET x = 1; DELETE FROM u; CLOSE ALL");
  ASSERT_NE(statement->references, nullptr);
  const auto& references = *statement->references;
  EXPECT_EQ(references.not_known, "");
  EXPECT_EQ(references.functions, (std::vector<Name>{{"", "f"}}));
  EXPECT_EQ(references.writes, (std::vector<Name>{{"", "u"}}));
}

TEST(References, SayWhetherOnlyTheClockIsNotKnown) {
  EXPECT_TRUE(parse("UPDATE t SET a = current_timestamp, b = current_date")->references->only_clock);
  EXPECT_FALSE(parse("UPDATE t SET a = current_timestamp WHERE CURRENT OF c")->references->only_clock);
  EXPECT_FALSE(parse("SELECT * FROM t TABLESAMPLE system (1) WHERE a < current_date")->references->only_clock);
  EXPECT_FALSE(parse("SELECT 1")->references->only_clock);
}

constexpr auto kNodes = std::to_array<std::string_view>({
#define NODE(root, type, fields) #type,
#include "sql/pg_tree_nodes.inc"
#undef NODE
});

/// Whoever adds to these has thought of all that the node names by itself.
constexpr auto kCollected = std::to_array<std::string_view>({
    "A_ArrayExpr",     "A_Expr",         "A_Indices",      "A_Indirection", "A_Star",          "Alias",
    "BitString",       "BoolExpr",       "Boolean",        "BooleanTest",   "CaseExpr",        "CaseWhen",
    "CoalesceExpr",    "CollateClause",  "ColumnDef",      "ColumnRef",     "CommonTableExpr", "CopyStmt",
    "DefElem",         "DeleteStmt",     "Float",          "FuncCall",      "GroupingFunc",    "GroupingSet",
    "IndexElem",       "InferClause",    "InsertStmt",     "Integer",       "JoinExpr",        "MergeStmt",
    "MergeWhenClause", "MinMaxExpr",     "MultiAssignRef", "NamedArgExpr",  "NullTest",        "OnConflictClause",
    "RangeFunction",   "RangeSubselect", "RangeVar",       "ResTarget",     "RowExpr",         "SQLValueFunction",
    "SelectStmt",      "SetToDefault",   "SortBy",         "String",        "SubLink",         "TypeCast",
    "TypeName",        "UpdateStmt",     "WindowDef",      "WithClause",
});

TEST(References, EveryNodeIsCollectedOrNotKnown) {
  std::size_t collected = 0;
  for (const std::string_view node : kNodes) {
    const bool expected = std::ranges::find(kCollected, node) != kCollected.end();
    EXPECT_EQ(pg_tree_collects(std::string(node).c_str()), expected) << node;
    collected += expected;
  }
  EXPECT_EQ(collected, kCollected.size());
}

TEST(References, MentionMoments) {
  for (const char* text :
       {"SELECT 'now'::date", "'NOW'", "'Today 12:00'", "'{yesterday}'", "'[2020-01-01,tomorrow)'", "$$now$$", "'1now'",
        "'now1'", "now", "E'\\x6eow'", "U&'\\006eow'", "u&'n'", "'n'\n'ow'", "'n' --x\n  'ow'", "'n'\r\t'ow'"}) {
    EXPECT_TRUE(mentions_moments(text)) << text;
  }
  for (const char* text : {"", "SELECT 'known', 'nowhere', snow", "'to-day'", "LIKE '%\\_x'", "'a', 'b'", "'it''s'",
                           "'a' || \n'b'", "'a'\nAND b = 'c'", "E'x'", "'a' 'b'", "'", "'a' --", "no w"}) {
    EXPECT_FALSE(mentions_moments(text)) << text;
  }
}

}  // namespace
}  // namespace millrace::sql
