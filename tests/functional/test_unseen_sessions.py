"""What can't be seen through, as a function or a trigger can't, costs a session its answers from memory only if it left something.

Sessions at random, seeded and bounded: PostgreSQL itself says what is right. MILLRACE_WALKS makes it longer.
"""

import os
import random
from collections.abc import Iterator

import pytest
from test_change_stream import LOGICAL, SETTINGS, hits
from wire import SYNC, Client, bind, connect, eventually, execute, parse, query

from harness import Millrace, PostgreSQL
from harness.wire import Wire

POSTGRESQL = LOGICAL
TABLES = """
CREATE SCHEMA other;
CREATE TABLE words (id int PRIMARY KEY, word text, changed timestamptz);
INSERT INTO words SELECT i, 'w' || i, '2024-05-06 07:08:09+00' FROM generate_series(1, 40) i;
CREATE TABLE other.words AS SELECT id, 'other' AS word, changed FROM words WHERE id < 10;
CREATE TABLE facts (id int PRIMARY KEY, at timestamptz, score float8, raw bytea, note text, takes interval);
INSERT INTO facts SELECT i, '2024-12-31 23:30:00+00', 1.0 / i, '\\x00ff41', nullif('n' || i, 'n3'), i * interval '25 hours' FROM generate_series(1, 7) i;
CREATE TABLE hidden (secret text);
INSERT INTO hidden VALUES ('s');
CREATE ROLE reader;
GRANT SELECT ON words, facts TO reader;
GRANT reader TO postgres;
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed = '2024-01-01'; RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE UPDATE ON words FOR EACH ROW EXECUTE FUNCTION touched();
CREATE FUNCTION nothing() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
CREATE FUNCTION change_a_word() RETURNS int LANGUAGE plpgsql AS $$ BEGIN UPDATE public.words SET word = 'changed' WHERE id = 3; RETURN 1; END $$;
CREATE FUNCTION said(sql text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE sql; RETURN 1; END $$;
CREATE FUNCTION sets() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN SET search_path = other; RETURN NULL; END $$;
CREATE TABLE calls (a int);
CREATE TRIGGER sets AFTER TRUNCATE ON calls EXECUTE FUNCTION sets();
CREATE PROCEDURE nothing_at_all() LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
"""
LEAVES_NOTHING = [
    "UPDATE words SET word = 'again' WHERE id = 2",
    "SELECT nothing()",
    "SELECT change_a_word()",
    "DO $$ BEGIN PERFORM nothing(); END $$",
    "CALL nothing_at_all()",
    "SELECT said('SELECT 1')",
    "SELECT said('SET LOCAL search_path = other')",
    "SELECT set_config('app.tenant', '7', false)",
    "LISTEN something",
    "SELECT pg_advisory_lock(7), pg_advisory_unlock(7)",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1; CLOSE c",
]
LEFT = [
    "SET search_path = other",
    "SET search_path = other, public",
    "CREATE TEMP TABLE words (id int, word text, changed timestamptz)",
    "DROP TABLE IF EXISTS pg_temp.words",
    "SET DateStyle = 'SQL, DMY'",
    "SET IntervalStyle = iso_8601",
    "SET TimeZone = 'Asia/Tokyo'",
    "SET extra_float_digits = 0",
    "SET bytea_output = escape",
    "SET transform_null_equals = on",
    "SET ROLE reader",
    "SET default_transaction_isolation = 'repeatable read'",
    "RESET search_path",
    "RESET ROLE",
    "RESET DateStyle",
    "RESET TimeZone",
    "RESET ALL",
]
READS = [
    "SELECT count(*), min(word) FROM words",
    "SELECT word, changed FROM words WHERE id = 3",
    "SELECT count(*) FROM public.words WHERE word = 'again'",
    "SELECT id, at, score, raw, takes FROM facts ORDER BY id",
    "SELECT count(*) FROM facts WHERE note = NULL",
    "SELECT secret FROM hidden",
]


@pytest.fixture(scope="module")
def databases(postgres: PostgreSQL) -> None:
    """The same tables twice, so that neither session waits for the other."""
    postgres.admin("CREATE DATABASE words")
    postgres.admin(TABLES, database="words")
    postgres.admin("CREATE DATABASE twin TEMPLATE words")


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL, databases: None) -> Iterator[Millrace]:
    with Millrace(postgres, {"POOL_MODE": "session", **SETTINGS}) as server:
        warm(server)
        yield server


@pytest.fixture(scope="module")
def pooled(postgres: PostgreSQL, databases: None) -> Iterator[Millrace]:
    with Millrace(postgres, {"POOL_MODE": "transaction", **SETTINGS}) as server:
        warm(server)
        yield server


def warm(millrace: Millrace) -> None:
    """Until what ran when its stream began is over, what can't be seen through makes all that is kept stale."""
    with quiet(millrace) as client:
        eventually(lambda: is_hit(millrace, client, READS[0]))
        eventually(lambda: millrace.change_stream("words").get("settled"))


def quiet(server: Wire, database: str = "words") -> Client:
    """Whether a connection has had temporary tables before is told by notices."""
    return connect(server, database=database, options="-c client_min_messages=warning")


def kept(sql: str) -> str:
    return f"/* millrace: cache=on */ {sql}"


def is_hit(millrace: Millrace, client: Client, sql: str) -> bool:
    before = hits(millrace)
    client.ask(query(kept(sql)))
    return hits(millrace) > before


@pytest.mark.parametrize("statement", LEAVES_NOTHING)
def test_what_leaves_nothing_behind_costs_no_answers(millrace: Millrace, statement: str) -> None:
    with quiet(millrace) as client:
        eventually(lambda: is_hit(millrace, client, READS[0]))
        for _ in range(2):
            assert all(message.kind != "E" for message in client.ask(query(statement)))
            eventually(lambda: is_hit(millrace, client, READS[0]))
        client.ask(query("BEGIN"))
        client.ask(query(statement))
        client.ask(query("COMMIT"))
        eventually(lambda: is_hit(millrace, client, READS[0]))
        # As an ORM says it.
        eventually(lambda: (client.ask(query("BEGIN")), is_hit(millrace, client, READS[0]), client.ask(query("COMMIT")))[1])


@pytest.mark.parametrize("statement", ["UPDATE words SET word = 'again' WHERE id = 2", "SELECT nothing()", "LISTEN something", "SELECT pg_advisory_lock(7), pg_advisory_unlock(7)"])
def test_nor_where_connections_are_shared(pooled: Millrace, statement: str) -> None:
    with quiet(pooled) as client:
        client.ask(query(statement))
        eventually(lambda: is_hit(pooled, client, READS[0]))


@pytest.mark.parametrize("statement", LEAVES_NOTHING[:3])
def test_others_keep_their_answers(millrace: Millrace, statement: str) -> None:
    """The stream tells what it has changed, row by row."""
    stale = lambda: millrace.metric("cache_misses_total", reason="stale")
    with quiet(millrace) as writer, quiet(millrace) as reader:
        eventually(lambda: is_hit(millrace, reader, READS[3]))

        def costs_none() -> bool:
            before = stale()
            for _ in range(3):
                writer.ask(query(statement))
                eventually(lambda: is_hit(millrace, reader, READS[3]))
                eventually(lambda: is_hit(millrace, writer, READS[3]))
            return stale() == before

        eventually(costs_none)


@pytest.mark.parametrize("level", ["eventual", "bounded(60000)", "session", "read_after_write", "strong"])
def test_whatever_a_function_has_done_is_seen_by_who_called_it(millrace: Millrace, postgres: PostgreSQL, level: str) -> None:
    with quiet(millrace) as client, quiet(postgres) as direct:
        client.ask(query("CREATE TABLE done (id int PRIMARY KEY, v int); INSERT INTO done VALUES (1, 0); CREATE UNLOGGED TABLE untold (v int);"
                         "INSERT INTO untold VALUES (1); CREATE VIEW seen AS SELECT v FROM done"))  # fmt: skip
        client.ask(query(f"SET millrace.consistency = '{level}'"))
        reads = ["SELECT * FROM done", "SELECT count(*) FROM untold", "SELECT v FROM seen"]
        for change in [
            "UPDATE done SET v = v + 1",
            "ALTER TABLE done ADD more int DEFAULT 5",
            "TRUNCATE untold",
            "UPDATE done SET more = 6",
            "INSERT INTO untold VALUES (1), (2)",
            "CREATE OR REPLACE VIEW seen AS SELECT v + 100 AS v FROM done",
            "ALTER TABLE done RENAME TO gone; ALTER TABLE untold RENAME TO done; ALTER TABLE gone RENAME TO untold",
        ]:
            for _ in range(3):
                for read in reads:
                    client.ask(query(kept(read)))
            client.ask(query(f"SELECT said('{change}')"))
            with quiet(millrace) as other:
                other.ask(query("SET millrace.consistency = 'strong'"))
                other.ask(query(kept(READS[0])))  # so that there is a proof of a later moment
            assert [client.rows(kept(read)) for read in reads] == [direct.rows(read) for read in reads], change
        client.ask(query("DROP VIEW seen; DROP TABLE done, untold"))


def test_what_follows_ddl_in_a_function_is_what_it_is_since(millrace: Millrace, postgres: PostgreSQL) -> None:
    with quiet(millrace) as client, quiet(postgres) as direct:
        client.ask(query("CREATE TABLE one (v int); CREATE TABLE two (v int); CREATE TABLE three (v int); INSERT INTO one VALUES (1); INSERT INTO two VALUES (2);"
                         "INSERT INTO three VALUES (3); CREATE VIEW seen AS SELECT v FROM one;"
                         "CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE three SET v = v + 1; RETURN NEW; END $$"))  # fmt: skip
        reads = ["SELECT v FROM seen", "SELECT v FROM three"]
        look = lambda: [client.rows(kept(read)) for read in reads]
        for table, ddl in [
            ("two", "CREATE OR REPLACE VIEW seen AS SELECT v FROM two"),
            ("one", "CREATE TRIGGER also BEFORE UPDATE ON one FOR EACH ROW EXECUTE FUNCTION also()"),
        ]:
            eventually(lambda: is_hit(millrace, client, reads[0]) and is_hit(millrace, client, reads[1]))
            client.ask(query(f"SELECT said('{ddl}')"))
            for _ in range(20):
                look()
                client.ask(query(f"UPDATE {table} SET v = v + 1"))
                assert look() == [direct.rows(read) for read in reads]
        client.ask(query("DROP VIEW seen; DROP TABLE one, two, three; DROP FUNCTION also"))


@pytest.mark.parametrize("statement", [*LEAVES_NOTHING, "SELEC 1"])
def test_it_costs_others_none_that_it_has_not_changed(millrace: Millrace, statement: str) -> None:
    with quiet(millrace) as client, quiet(millrace) as other:

        def goes_on() -> bool:
            kept_before = is_hit(millrace, other, READS[4])
            client.ask(query(statement))
            return is_hit(millrace, other, READS[4]) and kept_before

        eventually(goes_on)


def test_a_name_that_is_nobodys_costs_no_answers(millrace: Millrace) -> None:
    with quiet(millrace) as client:
        eventually(lambda: is_hit(millrace, client, READS[0]))
        assert [message.kind for message in client.ask(query("SELECT 1 FROM nobodys"))] == ["E", "Z"]
        eventually(lambda: is_hit(millrace, client, READS[0]))


def test_what_millrace_asks_with_is_not_seen(millrace: Millrace) -> None:
    """Nor does it cost the next question."""
    with quiet(millrace) as client:
        for batch in ([query("TABLE pg_prepared_statements")], [parse("SELECT name FROM pg_prepared_statement()"), bind(), execute(), SYNC]):
            for _ in range(2):
                client.ask(query("SELECT nothing()"))
                eventually(lambda: is_hit(millrace, client, READS[0]))
                assert not [message for message in client.ask(*batch) if message.kind in "DE"]


CALL = "SELECT said('SET search_path = other')"


@pytest.mark.parametrize(
    "batch",
    [
        ["DISCARD ALL", CALL],
        [f"EXPLAIN ANALYZE {CALL}"],
        ["BEGIN", f"DECLARE c CURSOR FOR {CALL}", "FETCH c", "COMMIT"],
        ["BEGIN", f"DECLARE c CURSOR WITH HOLD FOR {CALL}", "COMMIT"],
        [f"CREATE TABLE called AS {CALL}"],
        ["TRUNCATE calls"],
        ["CREATE TEMP TABLE words AS SELECT 1 AS id, 't' AS word", "DISCARD ALL"],
    ],
)
def test_wherever_a_function_is_called_it_counts(millrace: Millrace, postgres: PostgreSQL, batch: list[str]) -> None:
    """Also for others, who would be told what the session has read."""
    answers = []
    for server in (postgres, millrace):
        with quiet(server) as client, quiet(server) as other:
            client.ask(*(query(one) for one in batch), times=len(batch))
            if server is postgres:
                client.ask(query("DROP TABLE IF EXISTS public.called"))
            answers.append([[str(message) for message in one.ask(query(kept(READS[0])))] for one in (client, client, other)])
    assert answers[1] == answers[0]
    postgres.admin("DROP TABLE IF EXISTS called", database="words")


@pytest.mark.parametrize("statement", LEFT[:12])
def test_what_is_left_behind_is_seen(millrace: Millrace, postgres: PostgreSQL, statement: str) -> None:
    answers = []
    for server in (postgres, millrace):
        with quiet(server) as client:
            said = [client.ask(query(kept(read))) for read in READS for _ in range(3)]
            quoted = statement.replace("'", "''")
            said.append(client.ask(query(f"SELECT said('{quoted}')")))
            said += [client.ask(query(kept(read))) for read in READS for _ in range(3)]
            answers.append([[str(message) for message in one] for one in said])
    assert answers[1] == answers[0]


class Walk:
    """One session's life, the same in each of the two."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.prepared: set[str] = set()
        self.read = READS[0]

    def step(self) -> list[bytes]:
        """The messages of a batch."""
        draw = self.random.random()
        if draw < 0.7:
            if self.random.random() < 0.4:
                self.read = self.random.choice(READS)
            read = self.read
            if self.random.random() < 0.5:
                return [query(kept(read))]
            if self.random.random() < 0.5:
                return [parse(kept(read)), bind(), execute(), SYNC]
            name = f"s{READS.index(read)}"
            first = [] if name in self.prepared else [parse(kept(read), name)]
            self.prepared.add(name)
            return [*first, bind(statement=name), execute(), SYNC]
        if draw < 0.82:
            return [query(self.random.choice(LEAVES_NOTHING))]
        if draw < 0.88:
            left = self.random.choice(LEFT)
            hidden = left.replace("'", "''")
            if self.random.random() < 0.8:
                return [query(f"SELECT said('{hidden}')")]
            return [query(left)]
        if draw < 0.93:
            self.prepared.clear()
            return [query("DISCARD ALL")]
        return [query(self.random.choice(["BEGIN", "COMMIT", "ROLLBACK"]))]


def test_sessions_at_random(millrace: Millrace, postgres: PostgreSQL) -> None:
    for database in ("words", "twin"):
        postgres.admin("UPDATE words SET word = 'w' || id", database=database)
    with quiet(millrace) as client:
        eventually(lambda: is_hit(millrace, client, READS[0]))
    before = hits(millrace)
    walks = int(os.environ.get("MILLRACE_WALKS", 12))
    for seed in range(walks * 10):
        if seed >= walks and hits(millrace) > before:
            break
        walk = Walk(seed)
        told: list[str] = []
        with quiet(postgres, "twin") as direct, quiet(millrace) as through:
            for _ in range(60):
                batch = walk.step()
                told.append(repr(b"".join(batch)))
                expected, got = ([str(message) for message in one.ask(*batch)] for one in (direct, through))
                assert got == expected, f"seed {seed}:\n" + "\n".join(told)
    assert hits(millrace) > before
