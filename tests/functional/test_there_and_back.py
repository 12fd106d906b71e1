"""What is otherwise in the catalogs for a moment, between two looks, isn't answered from memory afterwards."""

import itertools
import time
from collections.abc import Iterator

import pytest
from test_change_stream import LOGICAL, hits
from wire import Client, connect, eventually, query

from harness import Millrace, PostgreSQL

POSTGRESQL = LOGICAL
# Rights that a table has had before: else its row in the catalogs says so.
SCHEMA = """
CREATE ROLE bob LOGIN; CREATE ROLE team;
CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'open'); GRANT SELECT ON t TO bob;
CREATE TABLE secret (id int PRIMARY KEY, owner text, v text); INSERT INTO secret VALUES (1, 'bob', 'b'), (2, 'ada', 'a');
GRANT SELECT ON secret TO team, bob; REVOKE SELECT ON secret FROM bob; GRANT SELECT (v) ON secret TO bob; REVOKE SELECT (v) ON secret FROM bob;
CREATE TABLE rows (id int PRIMARY KEY, owner text, v text); INSERT INTO rows VALUES (1, 'bob', 'b'), (2, 'ada', 'a'); GRANT SELECT ON rows TO bob;
CREATE POLICY mine ON rows USING (owner = current_user);
CREATE SCHEMA shut; GRANT USAGE ON SCHEMA shut TO bob; REVOKE USAGE ON SCHEMA shut FROM bob;
CREATE TABLE shut.box (id int PRIMARY KEY, v text); INSERT INTO shut.box VALUES (1, 'x'); GRANT SELECT ON shut.box TO bob;
CREATE TABLE first (id int PRIMARY KEY, v text); INSERT INTO first VALUES (1, 'first');
CREATE TABLE second (id int PRIMARY KEY, v text); INSERT INTO second VALUES (1, 'second'); GRANT SELECT ON first, second TO bob;
CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (9);
INSERT INTO parts VALUES (1, 'part'); GRANT SELECT ON parts TO bob;
CREATE VIEW seen AS SELECT 1 AS v; GRANT SELECT ON seen TO bob; CREATE VIEW hidden AS SELECT v FROM secret;
GRANT SELECT ON hidden TO bob; REVOKE SELECT ON hidden FROM bob;
CREATE FUNCTION made() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
"""
# What bob reads, what is done, and what is done to have all as before.
CASES = {
    "right to a table": ("SELECT v FROM secret WHERE id = 1", "GRANT SELECT ON secret TO bob", "REVOKE SELECT ON secret FROM bob"),
    "right to a column": ("SELECT v FROM secret", "GRANT SELECT (v) ON secret TO bob", "REVOKE SELECT (v) ON secret FROM bob"),
    "right to a view": ("SELECT v FROM hidden", "GRANT SELECT ON hidden TO bob", "REVOKE SELECT ON hidden FROM bob"),
    "right to a schema": ("SELECT v FROM shut.box", "GRANT USAGE ON SCHEMA shut TO bob", "REVOKE USAGE ON SCHEMA shut FROM bob"),
    "owner": ("SELECT count(*) FROM secret", "ALTER TABLE secret OWNER TO bob", "ALTER TABLE secret OWNER TO postgres"),
    "member": ("SELECT owner FROM secret", "GRANT team TO bob", "REVOKE team FROM bob"),
    "superuser": ("SELECT id FROM secret", "ALTER ROLE bob SUPERUSER", "ALTER ROLE bob NOSUPERUSER"),
    "row security": ("SELECT v FROM rows", "ALTER TABLE rows ENABLE ROW LEVEL SECURITY", "ALTER TABLE rows DISABLE ROW LEVEL SECURITY"),
    "names": (
        "SELECT v FROM first",
        "BEGIN; ALTER TABLE first RENAME TO third; ALTER TABLE second RENAME TO first; COMMIT",
        "BEGIN; ALTER TABLE first RENAME TO second; ALTER TABLE third RENAME TO first; COMMIT",
    ),
    "partition": (
        "SELECT count(*) FROM parts",
        "ALTER TABLE parts DETACH PARTITION part",
        "ALTER TABLE parts ATTACH PARTITION part FOR VALUES FROM (0) TO (9)",
    ),
    "view": ("SELECT v FROM seen", "CREATE OR REPLACE VIEW seen AS SELECT 2 AS v", "CREATE OR REPLACE VIEW seen AS SELECT 1 AS v"),
    "function": (
        "SELECT made(), v FROM t",
        "CREATE OR REPLACE FUNCTION made() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2'",
        "CREATE OR REPLACE FUNCTION made() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres, {"AUTH_TYPE": "trust", "CACHE_DEFAULT_TTL_SECONDS": 3600}) as server:

        def begins() -> bool:
            with connect(server, user="bob") as bob:
                return is_kept(bob, "/* millrace: cache=on */ SELECT v FROM t")

        eventually(begins)
        yield server


def answer(client: Client, sql: str) -> list[str]:
    return [str(one) for one in client.ask(query(sql)) if one.kind in "DE"]


def is_kept(client: Client, sql: str) -> bool:
    answer(client, sql)
    return ["decision", "hit"] in client.rows(f"EXPLAIN (MILLRACE) {sql}")


@pytest.mark.parametrize("what", CASES)
def test_what_was_otherwise_for_a_moment(millrace: Millrace, postgres: PostgreSQL, what: str) -> None:
    sql, there, back = CASES[what]
    with (
        connect(millrace, user="bob") as bob,
        connect(millrace, user="bob", options="-c millrace.consistency=eventual") as eventual,
        connect(postgres, user="bob") as direct,
        connect(postgres) as admin,
    ):
        deadline = time.monotonic() + 60
        for attempt in itertools.count():
            assert time.monotonic() < deadline, "never kept: this tests nothing"
            # No answer of it is kept from before.
            text = f"/* millrace: cache=on */ SELECT * FROM ({sql}) q WHERE {attempt} = {attempt}"
            admin.ask(query(there))
            was_kept = is_kept(bob, text)
            meanwhile = answer(direct, text)
            admin.ask(query(back))
            right = answer(direct, text)
            assert meanwhile != right
            if was_kept and answer(eventual, text) == meanwhile:
                break  # it may be: this level shows the catalogs as they were some seconds ago
            time.sleep(0.7)

        def is_right() -> bool:
            answer(bob, "SELECT random()")  # the session sees time go on
            return answer(bob, text) == answer(eventual, text) == right

        eventually(is_right)  # how often rows of roles were written is told within ten
        assert is_right()


def test_what_others_write_leaves_answers_as_they_are(millrace: Millrace, postgres: PostgreSQL) -> None:
    postgres.admin("CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other SELECT generate_series(1, 1000)")
    kept = "/* millrace: cache=on */ SELECT v FROM t WHERE id = 1"
    with connect(millrace, user="bob") as bob, connect(postgres) as admin:
        time.sleep(3)  # the new table is known
        eventually(lambda: is_kept(bob, kept))
        for round_ in range(8):
            for done in ("TRUNCATE other", "VACUUM FULL other", "ANALYZE t", "VACUUM (FREEZE) t", f"CREATE TEMP TABLE mine{round_} AS SELECT * FROM t"):
                admin.ask(query(done))
            time.sleep(0.8)
            before = hits(millrace)
            eventually(lambda: answer(bob, kept) != [] and hits(millrace) > before)
        assert postgres.admin("SELECT 1") == "1"
