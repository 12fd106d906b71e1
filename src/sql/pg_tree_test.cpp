#include "sql/pg_tree.h"

#include <gtest/gtest.h>

namespace millrace::sql {
namespace {

struct Seen {
  int statements = 0;
  int unknown = 0;
};

/// Whether the text parses to one statement whose nodes are all in the table of nodes.
void expect_known(const char* text) {
  Seen seen;
  const pg_tree_visitor visitor = {
      .context = &seen,
      .statement =
          [](void* context, pg_tree_root root, std::size_t, std::size_t) noexcept {
            auto& to = *static_cast<Seen*>(context);
            ++to.statements;
            to.unknown += root == PG_TREE_NONE;
          },
      .fact = [](void* context, pg_tree_fact fact, const char*,
                 const char*) noexcept { static_cast<Seen*>(context)->unknown += fact == PG_TREE_UNKNOWN; },
      .restrictions = false,
  };
  pg_tree_result result;
  pg_tree_visit(text, &visitor, &result);
  EXPECT_STREQ(result.error, "") << text;
  EXPECT_EQ(seen.statements, 1) << text;
  EXPECT_EQ(seen.unknown, 0) << text;
}

// The library that is installed has the trees that the table of nodes was written for.
TEST(PgTree, KnowsTheNodesOfTheInstalledLibrary) {
  for (const char* text : {
           "SELECT DISTINCT ON (a) a.*, b[1:2], ROW(1, 2), ARRAY[1], CASE a WHEN 1 THEN 2 END, COALESCE(a, 1) FROM t",
           "SELECT GREATEST(a, b), current_date, a IS TRUE, a COLLATE \"C\", (b).c, a AT TIME ZONE 'x', count(*) OVER "
           "w "
           "FROM t WINDOW w AS (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
           "SELECT * FROM t TABLESAMPLE system (1) REPEATABLE (2), LATERAL (SELECT 1) s, ROWS FROM (f(), g()) "
           "WITH ORDINALITY AS x (a, b)",
           "SELECT a, GROUPING(a) FROM t GROUP BY GROUPING SETS ((a), ROLLUP (b), ()) HAVING a > ALL (SELECT 1)",
           "SELECT xmlelement(name a, xmlattributes(1 AS b)), xmlserialize(content a AS text)",
           "SELECT * FROM xmltable('/a' PASSING b COLUMNS c int PATH 'd' DEFAULT 1, e FOR ORDINALITY)",
           "WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT 2) SEARCH DEPTH FIRST BY b SET c CYCLE b SET d USING e "
           "SELECT * FROM a",
           "INSERT INTO t (a) VALUES (DEFAULT) ON CONFLICT (a) WHERE b DO UPDATE SET (a, b) = (SELECT 1, 2)",
           "UPDATE t SET a = 1 WHERE CURRENT OF c",
           "MERGE INTO t USING s ON true WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
           "SELECT f(a => 1, VARIADIC b), percentile_cont(0.5) WITHIN GROUP (ORDER BY a)",
           "CREATE TABLE t (LIKE u INCLUDING ALL, a int GENERATED ALWAYS AS IDENTITY, b text COLLATE \"C\" CHECK (b <> "
           "''), "
           "FOREIGN KEY (a) REFERENCES v, EXCLUDE USING gist (a WITH =)) PARTITION BY RANGE (a)",
           "CREATE TABLE t PARTITION OF u FOR VALUES FROM (1) TO (MAXVALUE)",
           "ALTER TABLE t ATTACH PARTITION u DEFAULT",
           "ALTER TABLE t ALTER a TYPE int USING b, REPLICA IDENTITY FULL",
           "CREATE INDEX CONCURRENTLY i ON t USING gin (a opclass (x = 1) DESC NULLS LAST) INCLUDE (b) WHERE c",
           "CREATE TRIGGER r AFTER UPDATE OF a ON t REFERENCING OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION "
           "f('x')",
           "CREATE FUNCTION f(a int DEFAULT 1, OUT b int) LANGUAGE sql BEGIN ATOMIC SELECT 1; RETURN 2; END",
           "CREATE AGGREGATE a (int) (sfunc = f, stype = int)",
           "CREATE OPERATOR CLASS c FOR TYPE int USING btree AS OPERATOR 1 <, FUNCTION 1 f(int)",
           "CREATE RULE r AS ON INSERT TO t DO INSTEAD (SELECT 1; NOTIFY x)",
           "CREATE POLICY p ON t FOR SELECT TO r, PUBLIC USING (a) WITH CHECK (b)",
           "CREATE PUBLICATION p FOR TABLE t (a) WHERE (b), TABLES IN SCHEMA s",
           "CREATE STATISTICS s (ndistinct) ON a, (b + 1) FROM t",
           "CREATE TRANSFORM FOR t LANGUAGE l (FROM SQL WITH FUNCTION f(int))",
           "CREATE CAST (a AS b) WITH FUNCTION f(a) AS IMPLICIT",
           "CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (a 'b')",
           "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO r WITH GRANT OPTION",
           "GRANT a TO b WITH ADMIN OPTION",
           "VACUUM (ANALYZE, PARALLEL 2) t (a), u",
           "REINDEX SCHEMA s",
           "REINDEX (VERBOSE) TABLE CONCURRENTLY t",
           "FETCH ABSOLUTE -1000 FROM c",
           "LOCK TABLE ONLY t IN SHARE MODE NOWAIT",
           "COPY t (a) FROM STDIN WITH (FORMAT csv, FORCE_NULL (a)) WHERE b",
           "SET x = 1, 'a', on",
           "IMPORT FOREIGN SCHEMA s LIMIT TO (t) FROM SERVER v INTO w",
           "COMMENT ON FUNCTION f(int) IS 'x'",
       }) {
    expect_known(text);
  }
}

}  // namespace
}  // namespace millrace::sql
