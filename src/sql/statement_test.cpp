#include "sql/statement.hpp"

#include <gtest/gtest.h>

#include "sql/describe.hpp"

namespace millrace::sql {
namespace {

struct Case {
  std::string_view text;
  std::string_view meaning;

  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.text; }
};

class StatementTest : public testing::TestWithParam<Case> {};

TEST_P(StatementTest, Means) { EXPECT_EQ(describe(*parse(GetParam().text)), GetParam().meaning) << GetParam().text; }

TEST(ExplainMillrace, CountsParameters) {
  EXPECT_EQ(parse("EXPLAIN (MILLRACE) SELECT $2 FROM t WHERE a = $1 AND b = (SELECT $11)")->explained_parameters, 11);
  EXPECT_EQ(parse("EXPLAIN (MILLRACE) SELECT '$3'")->explained_parameters, 0);
  EXPECT_EQ(parse("EXPLAIN SELECT $2")->explained_parameters, 0);
}

TEST(ShowToken, IsKnownWhereItIsAlone) {
  for (const auto* shows : {"SHOW millrace.token", "show Millrace.TOKEN ;", "/* a */ SHOW \"millrace\".\"token\""}) {
    EXPECT_TRUE(parse(shows)->shows_token && parse(shows)->asks_millrace()) << shows;
  }
  for (const auto* other : {"SHOW millrace.after", "SHOW ALL", "SHOW token", "SELECT 1; SHOW millrace.token",
                            "SHOW millrace.token; SELECT 1", "SET millrace.token = 'a'", "RESET millrace.token"}) {
    EXPECT_FALSE(parse(other)->asks_millrace()) << other;
  }
}

constexpr Case kKinds[] = {
    {"", "empty"},
    {" ; ;/* nothing */ -- at all", "empty"},
    {"select 1", "select"},
    {"VALUES (1), (2)", "select"},
    {"TABLE t", "select"},
    {"WITH a AS (SELECT 1) SELECT * FROM a", "select"},
    {"(SELECT 1) UNION ALL SELECT 2", "select"},
    {"SELECT 1 INTO t", "ddl writes"},
    {"SELECT 1 INTO t UNION SELECT 2", "ddl writes"},
    {"INSERT INTO t VALUES (1)", "insert writes"},
    {"WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", "insert writes"},
    {"UPDATE t SET a = 1", "update writes"},
    {"DELETE FROM t", "delete writes"},
    {"MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", "merge writes"},
    {"COPY t FROM STDIN", "copy_from writes"},
    {"COPY t FROM PROGRAM 'x'", "copy_from writes"},
    {"COPY t TO STDOUT", "copy_to"},
    {"COPY (SELECT 1) TO STDOUT", "copy_to"},
    {"COPY (DELETE FROM t RETURNING *) TO STDOUT", "copy_to writes"},
    {"COPY t TO '/tmp/t'", "copy_to writes"},
    {"COPY t TO PROGRAM 'x'", "copy_to writes"},
    {"SHOW work_mem", "show"},
    {"SHOW ALL", "show"},
    {"EXECUTE p(1)", "execute writes; execute p"},
    {"DECLARE c CURSOR FOR SELECT 1", "declare_cursor"},
    {"DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE", "declare_cursor writes"},
    {"FETCH 10 FROM c", "fetch writes"},
    {"MOVE c", "fetch writes"},
    {"CLOSE c", "close_cursor"},
    {"CLOSE ALL", "close_cursor"},
    {"UNLISTEN *", "unlisten"},
    {"NOTIFY c, 'x'", "notify writes"},
    {"DISCARD PLANS", "discard"},
    {"DISCARD SEQUENCES", "discard"},
    {"DISCARD TEMP", "discard writes"},
    {"LOCK TABLE t", "lock writes"},
    {"CREATE TABLE t (a int)", "ddl writes"},
    {"CREATE TABLE t AS SELECT 1", "ddl writes"},
    {"CREATE MATERIALIZED VIEW v AS SELECT 1", "ddl writes"},
    {"DROP TABLE t", "ddl writes"},
    {"ALTER TABLE t ADD b int DEFAULT 1", "ddl writes"},
    {"CREATE INDEX ON t (lower(a))", "ddl writes"},
    {"TRUNCATE t", "truncate writes"},
    {"GRANT SELECT ON t TO r", "ddl writes"},
    {"COMMENT ON TABLE t IS 'x'", "ddl writes"},
    {"ALTER ROLE r SET work_mem = '1MB'", "ddl writes new-sessions"},
    {"ALTER ROLE r SUPERUSER", "ddl writes new-sessions"},
    {"ALTER ROLE r RENAME TO s", "ddl writes new-sessions"},
    {"ALTER DATABASE d SET work_mem = '1MB'", "ddl writes new-sessions"},
    {"CREATE ROLE r", "ddl writes"},
    {"DROP ROLE r", "ddl writes"},
    {"CREATE DATABASE d", "ddl writes unused-database {d} {template1}"},
    {"CREATE DATABASE d TEMPLATE DEFAULT OWNER o", "ddl writes unused-database {d} {template1}"},
    {"CREATE DATABASE d WITH OWNER o TEMPLATE = \"E\" ENCODING 'UTF8'", "ddl writes unused-database {d} {E}"},
    {"CREATE DATABASE d TEMPLATE 'e'", "ddl writes unused-database {d} {e}"},
    {"DROP DATABASE d", "ddl writes unused-database {d}"},
    {"DROP DATABASE IF EXISTS \"D d\" WITH (FORCE)", "ddl writes unused-database {D d}"},
    {"ALTER DATABASE d RENAME TO e", "ddl writes unused-database {d} {e}"},
    {"ALTER DATABASE d SET TABLESPACE e", "ddl writes unused-database {d}"},
    {"ALTER DATABASE d ALLOW_CONNECTIONS false", "ddl writes unused-database"},
    {"ALTER SYSTEM SET work_mem = '1MB'", "utility writes new-sessions"},
    {"CREATE FUNCTION f() RETURNS int SET work_mem = '1MB' LANGUAGE sql RETURN 1", "ddl writes"},
    {"VACUUM t", "utility writes"},
    {"ANALYZE", "utility writes"},
    {"REINDEX DATABASE d", "utility writes"},
    {"CHECKPOINT", "utility writes"},
    {"REFRESH MATERIALIZED VIEW v", "utility writes"},
    {"select 1; select 2", "multiple 2"},
    {"select 1; delete from t;", "multiple 2 writes"},
    {";;select 1;;", "select"},
    {"SELEC 1", "unparsed writes"},
    {"SELECT 'x", "unparsed writes"},
};
INSTANTIATE_TEST_SUITE_P(Kinds, StatementTest, testing::ValuesIn(kKinds));

constexpr Case kWrites[] = {
    {"SELECT * FROM t FOR UPDATE", "select writes"},
    {"SELECT * FROM t FOR KEY SHARE SKIP LOCKED", "select writes"},
    {"SELECT * FROM (SELECT * FROM t FOR SHARE) s", "select writes"},
    {"WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", "select writes"},
    {"SELECT (SELECT nextval('s'))", "select writes"},
    {"SELECT pg_catalog.setval('s', 1)", "select writes"},
    {"SELECT * FROM generate_series(1, nextval('s'))", "select writes"},
    {"SELECT pg_notify('c', 'x')", "select writes"},
    {"SELECT lo_unlink(1)", "select writes"},
    {"SELECT now(), count(*), lower('X'), my_function(1)", "select"},
    {"SELECT 1 ORDER BY nextval('s')", "select writes"},
    {"SELECT currval('s')", "select sequence-state"},
    {"SELECT 1 WHERE lastval() > 0", "select sequence-state"},
    {"INSERT INTO t VALUES (currval('s')) RETURNING id", "insert writes sequence-state"},
    {"EXPLAIN DELETE FROM t", "explain"},
    {"EXPLAIN (MILLRACE) SELECT 1;", "explain millrace (select)"},
    {"/* a */ explain -- (\n( /* b */ \"millrace\" -- c\n) /* d */ DELETE FROM t", "explain millrace (delete writes)"},
    {"EXPLAIN (MILLRACE) EXECUTE p", "explain millrace (execute writes; execute p); execute p"},
    {"EXPLAIN (MILLRACE on) SELECT 1", "explain"},
    {"EXPLAIN (MILLRACE, VERBOSE) SELECT 1", "explain"},
    {"EXPLAIN (\"MILLRACE\") SELECT 1", "explain"},
    {"EXPLAIN (MILLRACE) SELECT 1; SELECT 2", "multiple 2"},
    {"SELECT 2; EXPLAIN (MILLRACE) SELECT 1", "multiple 2"},
    {"EXPLAIN ANALYZE DELETE FROM t", "explain writes"},
    {"EXPLAIN (ANALYZE false) DELETE FROM t", "explain"},
    {"EXPLAIN (ANALYZE 0, VERBOSE) DELETE FROM t", "explain"},
    {"EXPLAIN (ANALYZE off, ANALYZE) DELETE FROM t", "explain writes"},
    {"EXPLAIN (ANALYZE on) SELECT nextval('s')", "explain writes"},
    {"EXPLAIN ANALYZE SELECT 1", "explain"},
    {"EXPLAIN ANALYZE EXECUTE p", "explain writes; execute p"},
    {"EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1", "explain writes"},
};
INSTANTIATE_TEST_SUITE_P(Writes, StatementTest, testing::ValuesIn(kWrites));

constexpr Case kTransactions[] = {
    {"BEGIN", "transaction, begin = BEGIN"},
    {"START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", "transaction, begin"},
    {"COMMIT", "transaction writes, commit = COMMIT"},
    {"END", "transaction writes, commit = COMMIT"},
    {"ROLLBACK", "transaction, rollback = ROLLBACK"},
    {"ABORT", "transaction, rollback = ROLLBACK"},
    {"start /* now */ TRANSACTION; -- here", "transaction, begin = START TRANSACTION"},
    {"BEGIN ISOLATION LEVEL READ COMMITTED", "transaction, begin = BEGIN ISOLATION LEVEL READ COMMITTED"},
    {"begin read only;", "transaction, begin = BEGIN READ ONLY"},
    {"START TRANSACTION READ ONLY, ISOLATION LEVEL READ COMMITTED",
     "transaction, begin = START TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY"},
    {"BEGIN READ WRITE", "transaction, begin"},
    {"BEGIN READ ONLY READ ONLY", "transaction, begin"},
    {"BEGIN ISOLATION LEVEL REPEATABLE READ", "transaction, begin"},
    {"BEGIN READ ONLY DEFERRABLE", "transaction, begin"},
    {"BEGIN READ ONLY; SELECT 1", "multiple 2, begin"},
    {"COMMIT AND CHAIN", "transaction writes, commit, begin"},
    {"ROLLBACK AND CHAIN", "transaction, rollback, begin"},
    {"SAVEPOINT s", "transaction, savepoint"},
    {"ROLLBACK TO s", "transaction, rollback to"},
    {"RELEASE s", "transaction, release"},
    {"PREPARE TRANSACTION 'x'", "transaction writes, prepare"},
    {"COMMIT PREPARED 'x'", "transaction writes, other"},
    {"ROLLBACK PREPARED 'x'", "transaction writes, other"},
    {"BEGIN; SELECT 1; COMMIT; BEGIN", "multiple 4 writes, begin, commit, begin"},
};
INSTANTIATE_TEST_SUITE_P(Transactions, StatementTest, testing::ValuesIn(kTransactions));

constexpr Case kChanges[] = {
    {"SET work_mem = '1MB'", "set; set work_mem {SET work_mem = '1MB'}"},
    {"  set Work_Mem to 1000 ; ", "set; set work_mem {set Work_Mem to 1000}"},
    {"SET SESSION \"App\".\"User\" = 'x'", "set; set app.user {SET SESSION \"App\".\"User\" = 'x'}"},
    {"SET search_path = a, b -- c", "set; set search_path {SET search_path = a, b -- c\n}"},
    {"SET x.y = '--'; SELECT 1", "multiple 2; set x.y {SET x.y = '--'\n}"},
    {"SET TIME ZONE 'UTC'", "set; set timezone {SET TIME ZONE 'UTC'}"},
    {"SET TIME ZONE INTERVAL '1' HOUR TO MINUTE", "set; set timezone {SET TIME ZONE INTERVAL '1' HOUR TO MINUTE}"},
    {"SET TIME ZONE LOCAL", "set; reset timezone"},
    {"SET NAMES 'LATIN1'", "set; set client_encoding {SET NAMES 'LATIN1'}"},
    {"SET SCHEMA 'a'", "set; set search_path {SET SCHEMA 'a'}"},
    {"SET ROLE r", "set; set role {SET ROLE r}"},
    {"RESET ROLE", "set; reset role"},
    {"SET XML OPTION DOCUMENT", "set; set xmloption {SET XML OPTION DOCUMENT}"},
    {"SET a TO DEFAULT", "set; reset a"},
    {"RESET Work_Mem", "set; reset work_mem"},
    {"RESET ALL", "set; reset all"},
    {"RESET TIME ZONE", "set; reset timezone"},
    {"RESET SESSION AUTHORIZATION", "set; reset session_authorization"},
    {"SET LOCAL a = 1", "set local; sets a"},
    {"SET TRANSACTION READ ONLY", "set local"},
    {"SET TRANSACTION SNAPSHOT 'x'", "set local"},
    {"SET transaction_isolation = 'serializable'", "set local"},
    {"SET CONSTRAINTS ALL DEFERRED", "set local"},
    {"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY, NOT DEFERRABLE",
     "set; set default_transaction_isolation {SET default_transaction_isolation = 'repeatable read'}"
     "; set default_transaction_read_only {SET default_transaction_read_only = 'on'}"
     "; set default_transaction_deferrable {SET default_transaction_deferrable = 'off'}"},
    {"DISCARD ALL", "discard writes; discard all"},
    {"DEALLOCATE p", "deallocate; deallocate p"},
    {"DEALLOCATE PREPARE \"P\"", "deallocate; deallocate P"},
    {"DEALLOCATE ALL", "deallocate; deallocate all"},
    {"SET a = 1; RESET b; SELECT 1; SET c = 2", "multiple 4; set a {SET a = 1}; reset b; set c {SET c = 2}"},
    {"BEGIN; SET a = 1; ROLLBACK", "multiple 3; set a {SET a = 1}, begin, rollback"},
};
INSTANTIATE_TEST_SUITE_P(Changes, StatementTest, testing::ValuesIn(kChanges));

constexpr Case kPins[] = {
    {"CREATE TEMP TABLE t (a int)", "ddl writes; pin temporary table"},
    {"CREATE GLOBAL TEMPORARY TABLE t (a int)", "ddl writes; pin temporary table"},
    {"CREATE TEMP TABLE t (a int) ON COMMIT DROP", "ddl writes"},
    {"CREATE TEMP TABLE t (a int) ON COMMIT DELETE ROWS", "ddl writes; pin temporary table"},
    {"CREATE TEMP TABLE t AS SELECT 1", "ddl writes; pin temporary table"},
    {"CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1", "ddl writes"},
    {"CREATE TABLE pg_temp.t (a int)", "ddl writes; pin temporary schema"},
    {"SELECT * FROM pg_temp_3.t", "select; pin temporary schema"},
    {"CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql RETURN 1", "ddl writes; pin temporary schema"},
    {"CREATE TYPE pg_temp.e AS ENUM ('a')", "ddl writes; pin temporary schema"},
    {"ALTER TYPE e SET SCHEMA pg_temp", "ddl writes; pin temporary schema"},
    {"SELECT pg_temp.f()", "select; pin temporary schema"},
    {"SELECT 'pg_temp', pg_template, pg_temp_x FROM t", "select"},
    {"SET search_path = pg_temp, public",
     "set; pin temporary schema; set search_path {SET search_path = pg_temp, public}"},
    {"SET LOCAL search_path = 'PG_TEMP'", "set local; pin temporary schema; sets search_path"},
    {"SELECT 1 INTO TEMP t", "ddl writes; pin temporary table"},
    {"CREATE TEMP VIEW v AS SELECT 1", "ddl writes; pin temporary view"},
    {"CREATE TEMP SEQUENCE s", "ddl writes; pin temporary sequence"},
    {"LISTEN c", "listen; pin listen"},
    {"SELECT pg_advisory_lock(1)", "select writes; pin advisory lock"},
    {"SELECT pg_catalog.pg_try_advisory_lock_shared(1, 2)", "select writes; pin advisory lock"},
    {"SELECT pg_advisory_lock(1), pg_advisory_lock(2)", "select writes; pin advisory lock"},
    {"SELECT pg_advisory_xact_lock(1)", "select writes"},
    {"SELECT pg_advisory_unlock(1)", "select writes"},
    {"DELETE FROM t WHERE pg_try_advisory_lock(id)", "delete writes; pin advisory lock"},
    {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "declare_cursor; pin cursor with hold"},
    {"PREPARE p AS SELECT $1", "prepare; prepare p"},
    {"PREPARE p AS SELECT pg_advisory_lock($1)", "prepare; prepare p; pin advisory lock"},
    {"EXPLAIN ANALYZE SELECT pg_advisory_lock(1)", "explain writes; pin advisory lock"},
    {"COPY (SELECT pg_advisory_lock(1)) TO STDOUT", "copy_to writes; pin advisory lock"},
    {"CREATE TABLE t AS SELECT pg_advisory_lock(1)", "ddl writes; pin advisory lock"},
    {"LOAD 'x'", "utility writes; pin loaded library"},
    {"SELECT set_config('a', 'b', false)", "select writes; pin set_config(); sets a"},
    {"SELECT set_config('A', 'b', true)", "select writes; sets a"},
    {"SELECT set_config($1, 'b', true), set_config('a.b', $2, true)", "select writes; sets ?; sets a.b"},
    {"SELECT set_config('a', 'b', x)", "select writes; pin set_config(); sets a"},
    {"SELECT set_config(setting_name => 'a', is_local => true, new_value => 'b')", "select writes; sets a"},
    {"SELECT set_config(setting_name => 'a', is_local => false, new_value => 'b')",
     "select writes; pin set_config(); sets a"},
    {"SET SESSION AUTHORIZATION r", "set; pin session authorization"},
    {"SET a FROM CURRENT", "set; pin set from current"},
    {"SET seed = 0.5", "set; pin random seed"},
    {"SELECT setseed(0.5)", "select writes; pin random seed"},
    {"DO $$ BEGIN END $$", "do_block writes; pin do block"},
    {"CALL p(1)", "call writes; pin procedure"},
    {"CALL p(pg_advisory_lock(1))", "call writes; pin procedure; pin advisory lock"},
};
INSTANTIATE_TEST_SUITE_P(Pins, StatementTest, testing::ValuesIn(kPins));

TEST(Statement, UnparsedSaysWhy) {
  EXPECT_EQ(parse("SELECT FROM WHERE")->why_unparsed, "syntax error at or near \"WHERE\"");
  EXPECT_EQ(parse(std::string_view("SELECT 1\0", 9))->why_unparsed, "the text holds a NUL byte");
}

}  // namespace
}  // namespace millrace::sql
