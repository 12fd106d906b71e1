"""What each level of consistency shows of what is done to the catalogs past Millrace.

In one mode: proofs know nothing of modes.
"""

import time
from collections.abc import Iterator

import pytest
import test_consistency
from test_change_stream import LOGICAL, hits
from test_consistency import SETTINGS, at, begin, is_kept
from wire import SYNC, Client, bind, close, connect, describe, eventually, execute, parse, query

from harness import Millrace, PostgreSQL

POSTGRESQL, SCHEMA = LOGICAL, test_consistency.SCHEMA


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres, SETTINGS) as server:
        begin(server)
        yield server


# What changes the meaning of a statement without a changed row: what is done directly, before a `strong` read, is seen by
# it. The statement, what there is before, what is done, and the answer then.
REDEFINED = {
    "a column's type": ("SELECT x FROM typed", "CREATE TABLE typed (id int PRIMARY KEY, x int); INSERT INTO typed VALUES (1, 7)",
                        "ALTER TABLE typed ALTER COLUMN x TYPE numeric(5, 2)", "7.00"),
    "a column's name": ("SELECT a FROM named", "CREATE TABLE named (id int PRIMARY KEY, a int, b int); INSERT INTO named VALUES (1, 2, 3)",
                        "BEGIN; ALTER TABLE named RENAME a TO c; ALTER TABLE named RENAME b TO a; COMMIT", "3"),
    "a view": ("SELECT v FROM seen", "CREATE VIEW seen AS SELECT 1 AS v", "CREATE OR REPLACE VIEW seen AS SELECT 2 AS v", "2"),
    "a view, with a row that is told": (
        "SELECT w FROM beside", "CREATE VIEW beside AS SELECT v - v + 1 AS w FROM t WHERE id = 20",
        "BEGIN; UPDATE u SET v = v + 1 WHERE id = 20; CREATE OR REPLACE VIEW beside AS SELECT v - v + 2 AS w FROM t WHERE id = 20; COMMIT", "2"),
    "a function": ("SELECT twice(v - v + 3) FROM t WHERE id = 20",
                   "CREATE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2'",
                   "CREATE OR REPLACE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 20'", "60"),
    "a function of constants": ("SELECT thrice(3)",
                                "CREATE FUNCTION thrice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 3'",
                                "CREATE OR REPLACE FUNCTION thrice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 30'", "90"),
    "two tables' names": (
        "SELECT v FROM swapped",
        "CREATE TABLE swapped (id int PRIMARY KEY, v int); INSERT INTO swapped VALUES (1, 1);"
        "CREATE TABLE other (id int PRIMARY KEY, v int); INSERT INTO other VALUES (1, 2)",
        "BEGIN; ALTER TABLE swapped RENAME TO third; ALTER TABLE other RENAME TO swapped; ALTER TABLE third RENAME TO other; COMMIT", "2"),
    "a partition with rows": (
        "SELECT sum(v) FROM whole",
        "CREATE TABLE whole (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);"
        "CREATE TABLE first PARTITION OF whole FOR VALUES FROM (0) TO (10); INSERT INTO whole VALUES (1, 1);"
        "CREATE TABLE second (id int PRIMARY KEY, v int); INSERT INTO second VALUES (11, 10)",
        "ALTER TABLE whole ATTACH PARTITION second FOR VALUES FROM (10) TO (20)", "11"),
    "a partition, and a row after": (
        "SELECT sum(v) FROM all_of",
        "CREATE TABLE all_of (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);"
        "CREATE TABLE part PARTITION OF all_of FOR VALUES FROM (0) TO (10); INSERT INTO all_of VALUES (1, 1);"
        "CREATE TABLE late (id int PRIMARY KEY, v int)",
        "ALTER TABLE all_of ATTACH PARTITION late FOR VALUES FROM (10) TO (20); INSERT INTO late VALUES (11, 100)", "101"),
    "a child": ("SELECT sum(v) FROM parent",
                "CREATE TABLE parent (id int PRIMARY KEY, v int); INSERT INTO parent VALUES (1, 1);"
                "CREATE TABLE child (id int PRIMARY KEY, v int); INSERT INTO child VALUES (2, 5)",
                "ALTER TABLE child INHERIT parent", "6"),
    "a table in an earlier schema": (
        "SELECT v FROM shadowed", "CREATE TABLE shadowed (id int PRIMARY KEY, v int); INSERT INTO shadowed VALUES (1, 1)",
        "CREATE TABLE early.shadowed AS SELECT 1 AS id, 2 AS v", "2"),
    "a table that another has taken out": (
        "SELECT v FROM taken", "CREATE TABLE taken (id int PRIMARY KEY, v int); INSERT INTO taken VALUES (1, 1)",
        "ALTER PUBLICATION millrace_changes DROP TABLE taken; UPDATE taken SET v = 2", "2"),
    "a table that is taken out meanwhile": (
        "SELECT v FROM gone", "CREATE TABLE gone (id int PRIMARY KEY, v int); INSERT INTO gone VALUES (1, 1)",
        "BEGIN; ALTER PUBLICATION millrace_changes DROP TABLE gone; UPDATE gone SET v = 2; UPDATE u SET v = v + 1 WHERE id = 21; COMMIT", "2"),
}


PLACES = ["alone", "among"]  # in a database at rest, and while others write


@pytest.fixture(scope="module")
def defined(millrace: Millrace, postgres: PostgreSQL) -> None:
    """All at once, as it takes a while until tables that come later are followed."""
    for place in PLACES:
        postgres.admin(f"DROP SCHEMA IF EXISTS early_{place}, {place} CASCADE; CREATE SCHEMA early_{place}; CREATE SCHEMA {place}")
        for _, before, _, _ in REDEFINED.values():
            postgres.admin(f"SET search_path TO {place}, public; {before}; RESET search_path")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("what", REDEFINED)
def test_strong_shows_what_is_done_to_the_catalogs(
    millrace: Millrace, postgres: PostgreSQL, defined: None, what: str, place: str
) -> None:
    sql, _, done, after = REDEFINED[what]
    options = f"-c search_path=early_{place},{place},public -c millrace.consistency=strong"
    with connect(millrace, options=options) as client, connect(postgres) as other:
        is_kept(millrace, client, sql)
        assert client.one(sql) != after
        if place == "among":
            other.ask(query("UPDATE u SET v = v + 1 WHERE id = 22"))
        postgres.admin(f"SET search_path TO {place}, public; {done.replace('early.', f'early_{place}.')}; RESET search_path")
        if place == "among":
            other.ask(query("UPDATE u SET v = v + 1 WHERE id = 23"))
        for _ in range(3):
            assert client.one(sql) == after


# So long that a proof is waited for.
LONG = "(SELECT count(*) FROM generate_series(1, 300000)) > 0"


def test_what_a_statement_answers_is_described_as_it_is(millrace: Millrace, postgres: PostgreSQL) -> None:
    sql = f"SELECT x FROM shaped WHERE {LONG}"

    def described(client: Client) -> list[str]:
        prepared = client.ask(parse(sql, "s"), describe("S", "s"), SYNC)
        rows = client.ask(bind(statement="s"), execute(), SYNC)
        client.ask(close("S", "s"), SYNC)
        return [str(one.body) for one in prepared + rows if one.kind in "TD"]

    def is_answered() -> bool:
        before = hits(millrace)
        described(client)
        return hits(millrace) > before

    postgres.admin("DROP TABLE IF EXISTS shaped; CREATE TABLE shaped (id int PRIMARY KEY, x int); INSERT INTO shaped VALUES (1, 7)")
    with at(millrace, "strong") as client, connect(postgres) as direct:
        eventually(is_answered)
        was = described(client)
        postgres.admin("ALTER TABLE shaped ALTER COLUMN x TYPE text")
        assert described(client) == described(direct) != was


@pytest.mark.parametrize("done", ["REVOKE SELECT ON owned FROM reader", "ALTER TABLE owned ENABLE ROW LEVEL SECURITY"])
def test_strong_shows_who_may_read(millrace: Millrace, postgres: PostgreSQL, done: str) -> None:
    postgres.admin(
        "DROP TABLE IF EXISTS owned; CREATE TABLE owned (id int PRIMARY KEY, v int); INSERT INTO owned VALUES (1, 1);"
        "DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT SELECT ON owned TO reader"
    )
    sql = f"SELECT v FROM owned WHERE {LONG}"
    with at(millrace, "strong", user="reader") as client:
        is_kept(millrace, client, sql)
        postgres.admin(done)
        kinds = [one.kind for one in client.ask(query(sql))]
        assert ("E" in kinds) if done.startswith("REVOKE") else ("D" not in kinds and "E" not in kinds)


@pytest.mark.parametrize("level", ["session", "bounded(30)"])
def test_other_levels_show_the_catalogs_as_they_show_rows(millrace: Millrace, postgres: PostgreSQL, level: str) -> None:
    postgres.admin("DROP VIEW IF EXISTS turned; CREATE VIEW turned AS SELECT 0 AS v")
    sql = "SELECT v FROM turned"
    with at(millrace, level) as client:
        for step in range(1, 6):
            is_kept(millrace, client, sql)
            postgres.admin(f"CREATE OR REPLACE VIEW turned AS SELECT {step} AS v")
            if level == "session":
                eventually(lambda: goes_on(client) and client.one(sql) == str(step))
            else:
                time.sleep(0.031)
                assert client.one(sql) == str(step)


@pytest.mark.parametrize("level", ["eventual", "session", "read_after_write"])
def test_own_writes_are_seen_where_the_stream_is_kept_from_telling_them(
    millrace: Millrace, postgres: PostgreSQL, level: str
) -> None:
    """Whether it tells of a table is in the catalogs, of which these levels need to know no sooner otherwise."""
    postgres.admin("DROP TABLE IF EXISTS hushed; CREATE TABLE hushed (id int PRIMARY KEY, v int); INSERT INTO hushed VALUES (1, 0)")
    sql = f"SELECT v FROM hushed WHERE {LONG}"
    with at(millrace, "strong") as client:
        is_kept(millrace, client, sql)  # so it is followed
    with at(millrace, level) as client:
        is_kept(millrace, client, sql)
        postgres.admin("ALTER PUBLICATION millrace_changes DROP TABLE hushed")
        client.ask(query("UPDATE hushed SET v = 1"))
        for _ in range(20):
            assert client.one(sql) == "1"


def goes_on(client: Client) -> bool:
    """The session sees time go on."""
    return client.one("SELECT random()") is not None
