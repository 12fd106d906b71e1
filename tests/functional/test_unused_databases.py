"""Millrace's own connections to a database are in nobody's way who wants to drop it, rename it or use it as a template."""

import threading
import time
from collections.abc import Iterator

import pytest
from test_change_stream import LOGICAL, hits, is_a_hit, stream
from wire import SYNC, Client, bind, connect, eventually, execute, parse, query

from harness import Millrace, PostgreSQL, ServerError

POSTGRESQL = LOGICAL
SETTINGS = {"AUTH_TYPE": "trust", "CACHE_DEFAULT_TTL_SECONDS": 3600}
TABLE = "CREATE TABLE people (id int PRIMARY KEY, name text); INSERT INTO people VALUES (1, '{}')"
NAME = "SELECT name FROM people WHERE id = 1"
OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'millrace' AND datname = '{}'"
SLOTS = "SELECT count(*) FROM pg_replication_slots WHERE database = '{}'"
A_ROLE = "DO $$ BEGIN CREATE ROLE {0} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
PUBLICATIONS = "SELECT count(*) FROM pg_publication WHERE pubname LIKE 'millrace_%'"


@pytest.fixture(scope="module", params=["session", "transaction"])
def millrace(postgres: PostgreSQL, request: pytest.FixtureRequest) -> Iterator[Millrace]:
    with Millrace(postgres, {**SETTINGS, "POOL_MODE": request.param}) as server:
        yield server


@pytest.fixture
def database(postgres: PostgreSQL, millrace: Millrace) -> Iterator[str]:
    """One with a table, that is followed, and of which something is kept."""
    yield from a_followed_database(postgres, millrace)


def a_followed_database(postgres: PostgreSQL, millrace: Millrace, name: str = "followed") -> Iterator[str]:
    postgres.admin(f"CREATE DATABASE {name}")
    postgres.admin(TABLE.format(name), database=name)
    with connect(millrace, database=name) as client:
        client.one("SELECT 1")
        is_answered_from_memory(millrace, name)
        assert client.one(NAME) == name
    yield name
    for left in (name, "renamed", "copy"):
        with connect(millrace) as client:
            client.rows(f"DROP DATABASE IF EXISTS {left} WITH (FORCE)")


def is_answered_from_memory(millrace: Millrace, database: str) -> None:
    def is_answered() -> bool:
        with connect(millrace, database=database) as client:
            before = hits(millrace)
            for _ in range(50):  # until it is worth waiting for a proof
                client.ask(query(NAME))
            return hits(millrace) > before

    eventually(is_answered)


def run(client: Client, sql: str, *, extended: bool) -> None:
    answer = client.ask(parse(sql), bind(), execute(), SYNC) if extended else client.ask(query(sql))
    assert [one for one in answer if one.kind == "E"] == []


STATEMENTS = {
    "drop": "DROP DATABASE followed",
    "drop with force": "DROP DATABASE followed WITH (FORCE)",
    "rename": "ALTER DATABASE followed RENAME TO renamed",
    "template": "CREATE DATABASE copy TEMPLATE followed",
    "tablespace": "ALTER DATABASE followed SET TABLESPACE pg_default",
}  # fmt: skip


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_it_succeeds_at_the_first_try(postgres: PostgreSQL, millrace: Millrace, database: str, statement: str, extended: bool) -> None:
    assert postgres.admin(SLOTS.format(database)) == "1"
    with connect(millrace) as client:
        run(client, STATEMENTS[statement], extended=extended)
    assert postgres.admin(SLOTS.format(database)) == "0"


def test_a_copy_has_no_publications_and_is_followed_by_itself(postgres: PostgreSQL, millrace: Millrace, database: str) -> None:
    assert postgres.admin(PUBLICATIONS, database=database) == "2"
    with connect(millrace) as client:
        client.rows(f"CREATE DATABASE copy TEMPLATE {database}")
    assert postgres.admin(PUBLICATIONS, database="copy") == "0"
    is_answered_from_memory(millrace, "copy")
    with connect(millrace, database="copy") as client:
        assert client.one(NAME) == database
        postgres.admin("UPDATE people SET name = 'of the copy'", database="copy")
        eventually(lambda: client.one(NAME) == "of the copy")
    with connect(millrace, database=database) as client:
        assert client.one(NAME) == database


def test_publications_in_a_copy_are_used(postgres: PostgreSQL, millrace: Millrace, database: str) -> None:
    """Another Millrace, or one that was killed, may have left them in the template."""
    with connect(millrace) as client:
        client.rows(f"CREATE DATABASE copy TEMPLATE {database}")
    for publication in ("millrace_changes", "millrace_inserts"):
        publish = "insert, update, delete, truncate" if publication == "millrace_changes" else "insert, truncate"
        postgres.admin(f"CREATE PUBLICATION {publication} WITH (publish = '{publish}')", database="copy")
    is_answered_from_memory(millrace, "copy")
    postgres.admin("UPDATE people SET name = 'of the copy'", database="copy")
    with connect(millrace, database="copy") as client:
        eventually(lambda: client.one(NAME) == "of the copy")


def test_where_it_fails_the_stream_comes_back(postgres: PostgreSQL, millrace: Millrace, database: str) -> None:
    with connect(postgres, database=database), connect(millrace, database=database) as user, connect(millrace) as client:
        answer = client.ask(query(f"DROP DATABASE {database}"))
        assert [one.sqlstate for one in answer if one.kind == "E"] == ["55006"]
        eventually(lambda: stream(millrace, database).get("state") == "live")
        postgres.admin("UPDATE people SET name = 'still here'", database=database)
        eventually(lambda: user.one(NAME) == "still here")
        is_answered_from_memory(millrace, database)


def test_nothing_is_followed_before_the_statement_has_ended(postgres: PostgreSQL, millrace: Millrace, database: str) -> None:
    """A rename in a transaction has ended when that is committed."""
    with connect(millrace) as client:
        client.rows("BEGIN")
        client.rows(f"ALTER DATABASE {database} RENAME TO renamed")
        time.sleep(2)
        assert stream(millrace, database) == {} and postgres.admin(SLOTS.format(database)) == "0"
        client.rows("COMMIT")
    is_answered_from_memory(millrace, "renamed")


def test_two_names_are_exchanged_while_hits_are_had(postgres: PostgreSQL, millrace: Millrace, database: str) -> None:
    """Nobody is shown the other's rows."""
    postgres.admin("CREATE DATABASE copy")
    postgres.admin(TABLE.format("copy"), database="copy")
    is_answered_from_memory(millrace, "copy")
    with connect(millrace) as client:
        client.rows(f"ALTER DATABASE {database} RENAME TO renamed")
        client.rows(f"ALTER DATABASE copy RENAME TO {database}")
        for _ in range(10):
            with connect(millrace, database=database) as user:
                assert user.one(NAME) == "copy"
        is_answered_from_memory(millrace, database)
        with connect(millrace, database=database) as user:
            assert user.one(NAME) == "copy"


def test_other_clients_go_on_meanwhile(postgres: PostgreSQL, millrace: Millrace, database: str) -> None:
    answered = [0]
    done = threading.Event()

    def ask() -> None:
        with connect(millrace) as other:
            while not done.is_set():
                other.one("SELECT 1")
                answered[0] += 1

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        with connect(millrace) as client:
            eventually(lambda: answered[0] > 0)
            before = answered[0]
            client.rows(f"DROP DATABASE {database}")
            meanwhile = answered[0] - before
    finally:
        done.set()
        asker.join()
    assert meanwhile > 1, "one may have been under way"


# So slow that it pays to have it in memory.
SLOW_NAME = f"{NAME} AND (SELECT count(*) FROM generate_series(1, 100000)) > 0"
REFUSED = {
    "drop": "DROP DATABASE followed",
    "rename": "ALTER DATABASE followed RENAME TO renamed",
    "onto its name": "ALTER DATABASE nonsense RENAME TO followed",
    "template": "CREATE DATABASE copy TEMPLATE followed",
    "beside an own one": "DROP DATABASE own_one; DROP DATABASE followed",
}  # fmt: skip


@pytest.mark.parametrize("statement", REFUSED)
def test_who_has_no_right_to_it_switches_nothing_off(postgres: PostgreSQL, millrace: Millrace, database: str, statement: str) -> None:
    """However often it is tried: what is followed, and kept, is for everybody else."""
    postgres.admin(A_ROLE.format("stranger"))
    postgres.admin("CREATE DATABASE own_one OWNER stranger")
    try:
        before = stream(millrace, database)["starts"]
        with connect(millrace, database=database) as user, connect(millrace, user="stranger") as stranger:
            eventually(lambda: is_a_hit(millrace, user, SLOW_NAME))
            answers = hits(millrace)
            for _ in range(10):
                assert any(one.kind == "E" for one in stranger.ask(query(REFUSED[statement])))
                for _ in range(10):
                    assert user.one(SLOW_NAME) == database
            assert hits(millrace) - answers > 50
        now = stream(millrace, database)
        assert now["state"] == "live" and now["starts"] == before
    finally:
        postgres.admin("DROP DATABASE own_one")


def test_it_succeeds_behind_others_that_are_under_way(postgres: PostgreSQL, millrace: Millrace, database: str) -> None:
    """Their answers end no wait."""
    with connect(millrace) as client:
        client.send(query("SELECT 1"), query(f"DROP DATABASE {database}"), query("SELECT 2"))
        answers = [one for _ in range(3) for one in client.until("Z")]
        assert [one for one in answers if one.kind == "E"] == []


def test_an_owner_by_membership_may(postgres: PostgreSQL, millrace: Millrace, database: str) -> None:
    postgres.admin(A_ROLE.format("keeper") + A_ROLE.format("member") + "GRANT keeper TO member;")
    postgres.admin(f"ALTER DATABASE {database} OWNER TO keeper")
    with connect(millrace, user="member") as member:
        run(member, "SET ROLE keeper", extended=False)
        run(member, f"DROP DATABASE {database}", extended=False)


def test_it_is_followed_again_once_the_statement_has_failed(postgres: PostgreSQL, millrace: Millrace, database: str) -> None:
    """Not only when its transaction ends, which is for the client to say."""
    with connect(millrace) as client, connect(millrace, database=database):
        client.rows("BEGIN")
        assert [one.sqlstate for one in client.ask(query(f"DROP DATABASE {database}")) if one.kind == "E"] == ["25001"]
        eventually(lambda: stream(millrace, database).get("state") == "live")
        is_answered_from_memory(millrace, database)


def test_one_that_fails_ends_no_other_ones_hold(postgres: PostgreSQL, millrace: Millrace, database: str) -> None:
    with connect(millrace) as client:
        for sql in ("BEGIN", f"ALTER DATABASE {database} RENAME TO renamed", "SAVEPOINT here"):
            run(client, sql, extended=False)
        assert any(one.kind == "E" for one in client.ask(query("DROP DATABASE nonsense")))
        run(client, "ROLLBACK TO here", extended=False)
        time.sleep(2)
        assert stream(millrace, database) == {} and postgres.admin(SLOTS.format(database)) == "0"
        run(client, "COMMIT", extended=False)
    is_answered_from_memory(millrace, "renamed")


def test_a_stream_that_only_begins_is_let_go_too(postgres: PostgreSQL, millrace: Millrace) -> None:
    """Its process waits for a transaction that writes, in another database, and wouldn't notice that its client went."""
    postgres.admin("CREATE TABLE IF NOT EXISTS held (id int)")
    postgres.admin("CREATE DATABASE beginning")
    with connect(postgres) as writer:
        writer.rows("BEGIN")
        writer.rows("INSERT INTO held VALUES (1)")
        with connect(millrace, database="beginning") as user:
            user.one("SELECT 1")
            eventually(lambda: postgres.runs("CREATE_REPLICATION_SLOT"))
        with connect(millrace) as client:
            client.rows("DROP DATABASE beginning")
        writer.rows("ROLLBACK")


def test_a_test_suites_habit(postgres: PostgreSQL, millrace: Millrace) -> None:
    """Each round makes the database of the same name anew, and reads its own rows."""
    answered_before = hits(millrace)
    with connect(millrace) as admin:
        for number in range(10):
            admin.rows("CREATE DATABASE test_x")
            with connect(millrace, database="test_x") as client:
                client.rows(TABLE.format(number))
                assert client.one(NAME) == client.one(NAME) == str(number)
                if number % 5 == 4:  # long enough for the stream
                    is_answered_from_memory(millrace, "test_x")
                    assert client.one(NAME) == str(number)
            admin.rows("DROP DATABASE test_x")
    assert hits(millrace) > answered_before
    eventually(lambda: postgres.admin(OURS.format("test_x")) == "0")


def test_a_database_that_nobody_uses_is_given_up(postgres: PostgreSQL) -> None:
    """Who drops it past Millrace is hindered no longer. What was kept is stale when somebody comes again."""
    with Millrace(postgres, {**SETTINGS, "POOL_IDLE_TIMEOUT_SECONDS": 3}) as millrace:
        for database in a_followed_database(postgres, millrace, "unused"):
            assert postgres.admin(SLOTS.format(database)) == "1"
            eventually(lambda: postgres.admin(OURS.format(database)) == "0")
            assert stream(millrace, database) == {} and postgres.admin(SLOTS.format(database)) == "0"
            assert postgres.admin(PUBLICATIONS, database=database) == "0"
            postgres.admin("UPDATE people SET name = 'while nobody looked'", database=database)
            with connect(millrace, database=database) as client:
                assert client.one(NAME) == "while nobody looked"
            is_answered_from_memory(millrace, database)


def test_a_database_that_is_gone_is_not_looked_for(postgres: PostgreSQL, millrace: Millrace, database: str) -> None:
    """Although a client is still connected to Millrace for it."""
    with connect(millrace, database=database):
        postgres.admin(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        eventually(lambda: is_dropped(postgres, database))
        eventually(lambda: stream(millrace, database) == {})


def is_dropped(postgres: PostgreSQL, database: str) -> bool:
    postgres.admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    try:
        postgres.admin(f"DROP DATABASE {database} WITH (FORCE)")
    except ServerError:
        return False
    return True


def test_a_server_without_logical_decoding_is_told_of_once() -> None:
    with PostgreSQL() as plain, Millrace(plain, SETTINGS) as millrace:
        for _ in range(3):
            with connect(millrace) as client:
                assert client.one("SELECT 1") == "1"
                time.sleep(1)
        lines = [line for line in millrace.log.splitlines() if "no change stream" in line]
        assert len(lines) == 1 and "wal_level" in lines[0]
        assert not any(" WARN" in line or " ERROR" in line for line in millrace.log.upper().splitlines())
        assert millrace.stop() == 0
