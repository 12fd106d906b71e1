"""Conversations whose answers must be the same directly and through a proxy, message by message.

Each is a list of steps; a step sends its messages at once and then reads up to the message that it names. A conversation
has a session of its own, and finds the table `t (id int primary key, v text)` with the rows 1..5.
"""

import struct
from dataclasses import dataclass

from wire import (
    COPY_DONE, FLUSH, SYNC, bind, close, copy_data, copy_fail, describe, execute, function_call, parse, query,
)  # fmt: skip

SETUP = """
DROP TABLE IF EXISTS t;
CREATE TABLE t (id int PRIMARY KEY, v text);
INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, 5) n;
"""


@dataclass(frozen=True)
class Step:
    messages: bytes
    until: str = "Z"
    times: int = 1


def say(*messages: bytes, until: str = "Z", times: int = 1) -> Step:
    return Step(b"".join(messages), until, times)


def int4(value: int) -> bytes:
    return struct.pack("!i", value)


INT4PL = 177
INT4, TEXT, NUMERIC, FLOAT8 = 23, 25, 1700, 701
WHOLE = (describe("P"), execute())

CONVERSATIONS: dict[str, list[Step]] = {
    # Simple queries.
    "select": [say(query("SELECT id, v FROM t ORDER BY id"))],
    "empty query": [say(query("")), say(query(" ; ")), say(query("-- only a comment"))],
    "several statements": [say(query("SELECT 1; SELECT 'two'; UPDATE t SET v = v WHERE id = 1; SELECT 3"))],
    "several statements, error in the middle": [
        say(query("INSERT INTO t VALUES (6, 'six'); SELECT 1/0; SELECT 2")),
        say(query("SELECT count(*) FROM t")),
    ],
    "several statements, a transaction across": [
        say(query("INSERT INTO t VALUES (6, 'six'); BEGIN; INSERT INTO t VALUES (7, 'seven'); SELECT 1")),
        say(query("ROLLBACK")),
        say(query("SELECT count(*) FROM t")),
    ],
    "several statements, commit in the middle of an error": [
        say(query("BEGIN; INSERT INTO t VALUES (6, 'six'); COMMIT; SELECT 1/0")),
        say(query("SELECT count(*) FROM t")),
    ],
    "zero columns": [say(query("SELECT")), say(query("SELECT FROM t"))],
    "syntax error": [say(query("SELEC 1")), say(query("SELECT 'unterminated")), say(query("SELECT 1"))],
    "errors with all their fields": [
        say(query("SELECT 1/0")),
        say(query("SELECT * FROM missing")),
        say(query("SELECT missing FROM t")),
        say(query("INSERT INTO t VALUES (1, 'again')")),
        say(query("SELECT 'x'::int")),
        say(query("SELECT length(1, 2, 3)")),
        say(query("DO $$BEGIN RAISE EXCEPTION 'own' USING ERRCODE = 'UE001', DETAIL = 'd', HINT = 'h', TABLE = 't',"
                  " COLUMN = 'c', CONSTRAINT = 'k', SCHEMA = 's', DATATYPE = 'dt'; END$$")),
    ],
    "notices and warnings": [
        say(query("DO $$BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two' USING HINT = 'three'; END$$; SELECT 1")),
        say(query("DROP TABLE IF EXISTS missing")),
        say(query("COMMIT")),
        say(query("SET client_min_messages = error; DO $$BEGIN RAISE WARNING 'unheard'; END$$")),
    ],
    "transaction": [
        say(query("BEGIN")), say(query("INSERT INTO t VALUES (6, 'six')")), say(query("SELECT count(*) FROM t")),
        say(query("ROLLBACK")), say(query("SELECT count(*) FROM t")),
    ],
    "failed transaction": [
        say(query("BEGIN")), say(query("SELECT 1/0")), say(query("SELECT 1")), say(query("COMMIT")), say(query("SELECT 2")),
    ],
    "savepoints": [
        say(query("BEGIN; SAVEPOINT a; INSERT INTO t VALUES (6, 'six'); SAVEPOINT b")), say(query("SELECT 1/0")),
        say(query("ROLLBACK TO a")), say(query("SELECT count(*) FROM t")), say(query("RELEASE a")), say(query("COMMIT")),
    ],
    "commit and chain": [say(query("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1")), say(query("COMMIT AND CHAIN")),
                         say(query("SHOW transaction_isolation")), say(query("ROLLBACK"))],
    "two queries at once": [say(query("SELECT 1"), query("SELECT 2"), times=2)],
    "many queries at once": [say(*(query(f"SELECT {n}") for n in range(50)), times=50)],
    "queries at once, one fails": [say(query("SELECT 1"), query("SELECT 1/0"), query("SELECT 3"), times=3)],
    "a long value": [say(query("SELECT repeat('x', 100000), 1")), say(query("SELECT length('" + "y" * 20000 + "')"))],
    "many rows": [say(query("SELECT n, repeat('z', n % 50) FROM generate_series(1, 3000) n"))],
    "set and show": [
        say(query("SET application_name = 'conversation'")), say(query("SHOW application_name")),
        say(query("SET DateStyle = 'German'")), say(query("SELECT date '2001-02-03'")),
        say(query("SET search_path = pg_catalog")), say(query("SHOW search_path")),
        say(query("RESET ALL")), say(query("SELECT date '2001-02-03'")),
    ],
    "set in a transaction that is rolled back": [
        say(query("BEGIN")), say(query("SET TimeZone = 'Asia/Tokyo'")), say(query("SHOW TimeZone")),
        say(query("ROLLBACK")), say(query("SHOW TimeZone")),
    ],
    "set local": [
        say(query("BEGIN; SET LOCAL work_mem = '2MB'; SHOW work_mem")), say(query("COMMIT")), say(query("SHOW work_mem")),
    ],
    "set_config": [say(query("SELECT set_config('work_mem', '3MB', false)")), say(query("SHOW work_mem"))],
    "a setting of one's own": [say(query("SET my.own = 'kept'")), say(query("SELECT current_setting('my.own')"))],
    "a setting that fails": [say(query("SET work_mem = 'much'")), say(query("SET no_such = 1")), say(query("SHOW work_mem"))],
    "set session characteristics": [
        say(query("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")), say(query("INSERT INTO t VALUES (9, 'x')")),
        say(query("SET default_transaction_read_only = off")), say(query("SELECT 1")),
    ],
    "set role": [
        say(query("SET ROLE pg_monitor")), say(query("SELECT current_user")), say(query("RESET ROLE")),
        say(query("SELECT current_user")),
    ],
    "set session authorization": [
        say(query("SET SESSION AUTHORIZATION pg_read_all_data")), say(query("SELECT session_user, current_user")),
        say(query("RESET SESSION AUTHORIZATION")), say(query("SELECT session_user, current_user")),
    ],
    "prepare and execute in SQL": [
        say(query("PREPARE p (int) AS SELECT v FROM t WHERE id = $1")), say(query("EXECUTE p(2)")),
        say(query("EXECUTE p(3)")), say(query("DEALLOCATE p")), say(query("EXECUTE p(2)")),
    ],
    "cursor in SQL": [
        say(query("BEGIN; DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id")), say(query("FETCH 2 FROM c")),
        say(query("FETCH ALL FROM c")), say(query("MOVE BACKWARD 1 FROM c")), say(query("CLOSE c")), say(query("COMMIT")),
    ],
    "cursor with hold": [
        say(query("DECLARE h CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id")), say(query("FETCH 2 FROM h")),
        say(query("SELECT 1")), say(query("FETCH 2 FROM h")), say(query("CLOSE h")), say(query("FETCH 1 FROM h")),
    ],
    "temporary table": [
        say(query("CREATE TEMP TABLE mine (a int)")), say(query("INSERT INTO mine VALUES (1)")),
        say(query("SELECT * FROM mine")), say(query("DROP TABLE mine")), say(query("SELECT * FROM mine")),
    ],
    "listen and notify": [
        say(query("LISTEN ch")), say(query("NOTIFY ch, 'hello'"), until="A"), say(query("SELECT 1")),
        say(query("UNLISTEN *")), say(query("NOTIFY ch, 'unheard'")), say(query("SELECT 1")),
    ],
    "advisory lock": [
        say(query("SELECT pg_advisory_lock(7)")), say(query("SELECT pg_advisory_unlock(7)")),
        say(query("SELECT pg_advisory_unlock(7)")),
    ],
    "sequence": [
        say(query("CREATE SEQUENCE s")), say(query("SELECT nextval('s')")), say(query("SELECT currval('s'), lastval()")),
        say(query("DROP SEQUENCE s")),
    ],
    "discard all": [
        say(query("SET work_mem = '2MB'; PREPARE d AS SELECT 1")), say(query("DISCARD ALL")), say(query("SHOW work_mem")),
        say(query("EXECUTE d")),
    ],
    "two phases": [say(query("BEGIN; UPDATE t SET v = 'x' WHERE id = 1; PREPARE TRANSACTION 'one'")), say(query("ROLLBACK PREPARED 'one'"))],
    "statement timeout": [say(query("SET statement_timeout = 50")), say(query("SELECT pg_sleep(10)")), say(query("RESET statement_timeout")), say(query("SELECT 1"))],
    "unicode": [say(query("SELECT 'Ünïcödé ☃ 漢字 🐘', U&'\\0441'")), say(query(b"SELECT '\xff'")), say(query("SELECT 1"))],
    "comments": [say(query("/* a */ SELECT /* ; */ 1 -- ;\n")), say(query("/* unterminated"))],
    # Extended queries.
    "extended": [say(parse("SELECT id, v FROM t WHERE id > $1 ORDER BY id"), bind(["2"]), *WHOLE, SYNC)],
    "extended without describe": [say(parse("SELECT id FROM t ORDER BY id"), bind(), execute(), SYNC)],
    "extended, binary": [
        say(parse("SELECT $1::int4, $2::text, $3::float8", types=[INT4, TEXT, FLOAT8]),
            bind([int4(-5), "text", struct.pack("!d", 1.5)], formats=[1, 0, 1], results=[1, 1, 1]), *WHOLE, SYNC),
        say(bind([int4(-5), "text", "1.5"], formats=[1, 0, 0], results=[1, 0, 1]), *WHOLE, SYNC),
        say(bind(["7", "text", "1.5"], results=[1]), *WHOLE, SYNC),
    ],
    "extended, nulls": [say(parse("SELECT $1::text, $2::int"), bind([None, None]), *WHOLE, SYNC)],
    "extended, empty": [say(parse(""), bind(), *WHOLE, SYNC), say(parse(";"), describe("S"), SYNC)],
    "extended, zero columns": [say(parse("SELECT FROM t"), bind(), *WHOLE, SYNC)],
    "extended, no data": [say(parse("UPDATE t SET v = $1 WHERE id = 1"), describe("S"), bind(["new"]), *WHOLE, SYNC)],
    "extended, two statements": [say(parse("SELECT 1; SELECT 2"), bind(), *WHOLE, SYNC), say(query("SELECT 1"))],
    "named statement": [
        say(parse("SELECT v FROM t WHERE id = $1", "s1"), describe("S", "s1"), SYNC),
        say(bind(["1"], statement="s1"), *WHOLE, SYNC), say(bind(["2"], statement="s1"), *WHOLE, SYNC),
        say(close("S", "s1"), SYNC), say(bind(["1"], statement="s1"), *WHOLE, SYNC),
    ],
    "named statement in a transaction": [
        say(query("BEGIN")), say(parse("SELECT v FROM t WHERE id = $1", "s1"), SYNC), say(bind(["1"], statement="s1"), *WHOLE, SYNC),
        say(query("ROLLBACK")), say(bind(["2"], statement="s1"), *WHOLE, SYNC),
    ],
    "named statement twice": [say(parse("SELECT 1", "s1"), SYNC), say(parse("SELECT 2", "s1"), SYNC), say(bind(statement="s1"), *WHOLE, SYNC)],
    "parse, close and parse of one name in a batch": [
        say(parse("SELECT 1", "s1"), bind(statement="s1"), *WHOLE, close("S", "s1"), parse("SELECT 'two'", "s1"),
            bind(statement="s1"), *WHOLE, SYNC),
        say(bind(statement="s1"), *WHOLE, SYNC),
    ],
    "close of what was never there": [say(close("S", "none"), close("P", "none"), SYNC)],
    "close and describe in a batch": [say(parse("SELECT 1", "s1"), close("S", "s1"), describe("S", "s1"), SYNC), say(query("SELECT 1"))],
    "unnamed statement lives across sync": [say(parse("SELECT $1::int"), SYNC), say(bind(["1"]), *WHOLE, SYNC), say(bind(["2"]), *WHOLE, SYNC)],
    "unnamed statement lives across a failed bind": [say(parse("SELECT $1::int"), SYNC), say(bind(["x"]), *WHOLE, SYNC), say(bind(["2"]), *WHOLE, SYNC)],
    "unnamed statement is ended by a simple query": [say(parse("SELECT 1"), SYNC), say(query("SELECT 2")), say(bind(), *WHOLE, SYNC)],
    "unnamed statement is replaced": [say(parse("SELECT 1"), parse("SELECT 'b'"), bind(), *WHOLE, SYNC)],
    "a failed parse leaves no unnamed statement": [say(parse("SELECT 1"), SYNC), say(parse("SELEC"), SYNC), say(bind(), *WHOLE, SYNC)],
    "a failed parse leaves no named statement": [say(parse("SELEC", "s1"), SYNC), say(bind(statement="s1"), *WHOLE, SYNC), say(parse("SELECT 1", "s1"), bind(statement="s1"), *WHOLE, SYNC)],
    "a parse that fails for its table": [
        say(parse("SELECT * FROM missing", "s1"), SYNC), say(query("CREATE TABLE missing (a int)")),
        say(parse("SELECT * FROM missing", "s1"), describe("S", "s1"), SYNC), say(query("DROP TABLE missing")),
        say(bind(statement="s1"), *WHOLE, SYNC),
    ],
    "prepared in SQL, bound in the protocol": [say(query("PREPARE p AS SELECT 5")), say(bind(statement="p"), *WHOLE, SYNC)],
    "prepared in the protocol, executed in SQL": [say(parse("SELECT 6", "s1"), SYNC), say(query("EXECUTE s1")), say(query("DEALLOCATE s1")), say(bind(statement="s1"), *WHOLE, SYNC)],
    "deallocate all": [say(parse("SELECT 1", "a"), parse("SELECT 2", "b"), SYNC), say(query("DEALLOCATE ALL")), say(bind(statement="a"), *WHOLE, SYNC), say(parse("SELECT 3", "a"), bind(statement="a"), *WHOLE, SYNC)],
    "discard all forgets statements": [say(parse("SELECT 1", "a"), SYNC), say(query("DISCARD ALL")), say(bind(statement="a"), *WHOLE, SYNC)],
    "portal with a row limit": [
        say(parse("SELECT id FROM t ORDER BY id"), bind(), describe("P"), execute(rows=2), execute(rows=2), execute(rows=2), SYNC),
    ],
    "portal across flushes": [
        say(parse("SELECT id FROM t ORDER BY id"), bind(portal="p"), execute("p", 2), FLUSH, until="s"),
        say(execute("p", 2), FLUSH, until="s"), say(execute("p", 2), SYNC),
    ],
    "portal across syncs in a transaction": [
        say(query("BEGIN")), say(parse("SELECT id FROM t ORDER BY id"), bind(portal="p"), execute("p", 2), SYNC), say(execute("p"), SYNC),
        say(close("P", "p"), SYNC), say(execute("p"), SYNC), say(query("ROLLBACK")),
    ],
    "portal ends with its transaction": [say(parse("SELECT id FROM t"), bind(portal="p"), execute("p", 2), SYNC), say(execute("p"), SYNC)],
    "two portals": [say(query("BEGIN")), say(parse("SELECT $1::int + id FROM t ORDER BY id", "s"), bind(["10"], portal="a", statement="s"), bind(["20"], portal="b", statement="s"),
        execute("a", 2), execute("b", 1), execute("a", 1), execute("b"), SYNC), say(query("COMMIT"))],
    "portal of that name exists": [say(query("BEGIN")), say(parse("SELECT 1"), bind(portal="p"), bind(portal="p"), SYNC), say(query("ROLLBACK"))],
    "execute of a finished portal": [say(parse("SELECT id FROM t WHERE id = 1"), bind(), execute(), execute(), SYNC)],
    "describe of a missing statement": [say(describe("S", "none"), SYNC), say(describe("P", "none"), SYNC)],
    "bind with too few values": [say(parse("SELECT $1::int, $2::int"), bind(["1"]), *WHOLE, SYNC), say(query("SELECT 1"))],
    "bind with a wrong binary length": [say(parse("SELECT $1::int"), bind([b"\0\0"], formats=[1]), *WHOLE, SYNC), say(query("SELECT 1"))],
    "flush without sync": [say(parse("SELECT 1"), FLUSH, until="1"), say(bind(), FLUSH, until="2"), say(execute(), FLUSH, until="C"), say(SYNC)],
    "flush after an error": [say(parse("SELEC"), FLUSH, until="E"), say(bind(), execute(), FLUSH, SYNC)],
    "syncs alone": [say(SYNC), say(SYNC, SYNC, SYNC, times=3)],
    # Pipelines.
    "pipeline": [say(*(part for n in range(20) for part in (parse("SELECT $1::int"), bind([str(n)]), execute(), SYNC)), times=20)],
    "pipeline of one transaction": [say(*(part for n in range(20, 25) for part in (parse("INSERT INTO t VALUES ($1, 'p')"), bind([str(n)]), execute())), SYNC), say(query("SELECT count(*) FROM t"))],
    "pipeline, error in the middle": [
        say(parse("INSERT INTO t VALUES (8, 'a')"), bind(), execute(), parse("SELECT 1/0"), bind(), execute(),
            parse("SELECT 'skipped'"), bind(), execute(), SYNC, parse("SELECT 'after'"), bind(), execute(), SYNC, times=2),
        say(query("SELECT count(*) FROM t")),
    ],
    "pipeline, error in each": [say(*(part for _ in range(5) for part in (parse("SELECT 1/0"), bind(), execute(), SYNC)), times=5)],
    "pipeline, named statements made and failed": [
        say(parse("SELECT 1", "a"), parse("SELEC", "b"), parse("SELECT 3", "c"), SYNC, bind(statement="a"), execute(), SYNC,
            bind(statement="b"), execute(), SYNC, bind(statement="c"), execute(), SYNC, times=4),
    ],
    "pipeline, close skipped by an error": [
        say(parse("SELECT 1", "a"), SYNC), say(parse("SELEC"), close("S", "a"), SYNC), say(bind(statement="a"), *WHOLE, SYNC),
    ],
    "pipeline, transaction commands": [
        say(parse("BEGIN"), bind(), execute(), parse("INSERT INTO t VALUES (8, 'a')"), bind(), execute(), parse("COMMIT"), bind(), execute(), SYNC),
        say(parse("BEGIN"), bind(), execute(), parse("SELECT 1/0"), bind(), execute(), SYNC),
        say(parse("SELECT 1"), bind(), execute(), SYNC), say(parse("ROLLBACK"), bind(), execute(), SYNC), say(query("SELECT count(*) FROM t")),
    ],
    "pipeline, simple queries between": [say(parse("SELECT 1"), bind(), execute(), SYNC, query("SELECT 2"), parse("SELECT 3"), bind(), execute(), SYNC, times=3)],
    "simple query before sync": [say(parse("SELECT 1"), bind(), execute(), query("SELECT 2"), SYNC, times=2)],
    "simple query after an error before sync": [say(parse("SELEC"), query("SELECT 2"), SYNC)],
    "a large parameter": [say(parse("SELECT length($1::text)"), bind(["x" * 200000]), *WHOLE, SYNC)],
    "plan must not change result type": [
        say(query("CREATE TABLE ddl (a int); INSERT INTO ddl VALUES (1)")), say(parse("SELECT * FROM ddl", "s"), bind(statement="s"), *WHOLE, SYNC),
        say(query("ALTER TABLE ddl ADD b int DEFAULT 2")), say(bind(statement="s"), *WHOLE, SYNC), say(close("S", "s"), SYNC),
        say(parse("SELECT * FROM ddl", "s"), bind(statement="s"), *WHOLE, SYNC), say(query("DROP TABLE ddl")),
    ],
    "many named statements": [
        say(*(parse(f"SELECT {n}", f"s{n}") for n in range(150)), SYNC), say(*(part for n in range(150) for part in (bind(statement=f"s{n}"), execute())), SYNC),
    ],
    "one text under two names": [say(parse("SELECT 1", "a"), parse("SELECT 1", "b"), close("S", "a"), bind(statement="b"), *WHOLE, SYNC), say(bind(statement="a"), SYNC)],
    "one text, two types": [say(parse("SELECT $1", "a", [INT4]), parse("SELECT $1", "b", [NUMERIC]), describe("S", "a"), describe("S", "b"), SYNC), say(bind(["1"], statement="a"), *WHOLE, bind(["1.5"], statement="b"), *WHOLE, SYNC)],
    # Function calls.
    "function call": [say(function_call(INT4PL, [int4(2), int4(3)])), say(function_call(INT4PL, [b"2", b"3"], formats=[0, 0], result=0)), say(function_call(INT4PL, [int4(2), None])), say(query("SELECT 1"))],
    "function call, errors": [say(function_call(4294967, [])), say(function_call(INT4PL, [int4(2147483647), int4(1)])), say(function_call(INT4PL, [int4(1)])), say(query("SELECT 1"))],
    "function call in a failed transaction": [say(query("BEGIN")), say(query("SELECT 1/0")), say(function_call(INT4PL, [int4(1), int4(1)])), say(query("ROLLBACK"))],
    # COPY.
    "copy out": [say(query("COPY t TO STDOUT")), say(query("COPY t TO STDOUT (FORMAT binary)")), say(query("COPY (SELECT 1) TO STDOUT CSV HEADER"))],
    "copy out, fails in the middle": [say(query("COPY (SELECT 10 / (3 - n) FROM generate_series(1, 5) n) TO STDOUT")), say(query("SELECT 1"))],
    "copy in": [say(query("COPY t FROM STDIN"), until="G"), say(copy_data("6\tsix\n7\t"), copy_data("seven\n"), copy_data("8\t\\N\n"), COPY_DONE), say(query("SELECT * FROM t ORDER BY id"))],
    "copy in, all at once": [say(query("COPY t FROM STDIN"), copy_data("6\tsix\n"), COPY_DONE), say(query("SELECT count(*) FROM t"))],
    "copy in, the client gives up": [say(query("COPY t FROM STDIN"), until="G"), say(copy_data("6\tsix\n"), copy_fail("no more")), say(query("SELECT count(*) FROM t"))],
    "copy in, bad data": [say(query("COPY t FROM STDIN"), until="G"), say(copy_data("six\tsix\n"), COPY_DONE), say(query("SELECT count(*) FROM t"))],
    "copy in, bad data and much more": [say(query("COPY t FROM STDIN"), until="G"), say(copy_data("bad\n"), *(copy_data(f"{n}\tx\n") for n in range(100, 400)), COPY_DONE), say(query("SELECT count(*) FROM t"))],
    "copy in, duplicate key": [say(query("COPY t FROM STDIN"), copy_data("1\tagain\n"), COPY_DONE), say(query("SELECT count(*) FROM t"))],
    "copy in, sync and flush are ignored": [say(query("COPY t FROM STDIN"), until="G"), say(copy_data("6\ta\n"), FLUSH, SYNC, copy_data("7\tb\n"), COPY_DONE), say(query("SELECT count(*) FROM t"))],
    "copy in a transaction": [say(query("BEGIN")), say(query("COPY t FROM STDIN"), until="G"), say(copy_data("6\tsix\n"), COPY_DONE), say(query("ROLLBACK")), say(query("SELECT count(*) FROM t"))],
    "copy in, extended": [say(parse("COPY t FROM STDIN"), bind(), execute(), FLUSH, until="G"), say(copy_data("6\tsix\n"), COPY_DONE, SYNC), say(query("SELECT count(*) FROM t"))],
    "copy in, extended, bad data": [say(parse("COPY t FROM STDIN"), bind(), execute(), FLUSH, until="G"), say(copy_data("bad\n"), COPY_DONE, SYNC), say(query("SELECT count(*) FROM t"))],
    "copy in, extended, given up": [say(parse("COPY t FROM STDIN"), bind(), execute(), FLUSH, until="G"), say(copy_fail("no"), SYNC), say(query("SELECT 1"))],
    "copy out, extended": [say(parse("COPY t TO STDOUT"), bind(), describe("P"), execute(), SYNC)],
    "copy in and out in one text": [say(query("COPY t FROM STDIN; COPY t TO STDOUT; SELECT 1"), until="G"), say(copy_data("6\tsix\n"), COPY_DONE)],
    "copy messages outside of a copy": [say(copy_data("x"), COPY_DONE, copy_fail("y"), query("SELECT 1"))],
    # Statements of other kinds.
    "large object": [say(query("BEGIN")), say(query("SELECT lo_from_bytea(4711, 'large'::bytea)")), say(query("SELECT lo_get(4711)")), say(query("SELECT lo_unlink(4711)")), say(query("COMMIT"))],
    "ddl": [say(query("CREATE TABLE d (a int, b text)")), say(query("ALTER TABLE d ADD c int")), say(query("CREATE INDEX ON d (a)")), say(query("COMMENT ON TABLE d IS 'c'")), say(query("TRUNCATE d")), say(query("DROP TABLE d"))],
    "explain and show": [say(query("EXPLAIN (COSTS off) SELECT * FROM t WHERE id = 1")), say(query("SHOW server_version_num")), say(query("VACUUM t"))],
    "vacuum in a pipeline": [say(parse("SELECT 1"), bind(), execute(), parse("VACUUM t"), bind(), execute(), SYNC), say(query("SELECT 1"))],
    "merge": [say(query("MERGE INTO t USING (VALUES (1, 'm'), (9, 'n')) s (id, v) ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v)")), say(query("SELECT * FROM t ORDER BY id"))],
    "returning": [say(parse("INSERT INTO t VALUES (6, $1) RETURNING *"), bind(["x"]), *WHOLE, SYNC), say(parse("DELETE FROM t WHERE id > $1 RETURNING id"), bind(["4"]), describe("P"), execute(rows=1), execute(), SYNC)],
}  # fmt: skip
