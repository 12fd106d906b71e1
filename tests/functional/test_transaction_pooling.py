"""What makes transaction pooling hard: state that must follow a client, or hold it on its server connection."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from wire import SYNC, Client, bind, close, connect, describe, eventually, execute, parse, query

from harness import PostgreSQL
from harness.wire import Wire

POOL_SIZE = 3


@pytest.fixture(scope="module")
def proxy(postgres: PostgreSQL, through) -> Iterator[Wire]:
    with through(postgres, POOL_MODE="transaction", POOL_SIZE=POOL_SIZE) as server:
        yield server


def pid(client: Client) -> str | None:
    return client.one("SELECT pg_backend_pid()")


@contextmanager
def moved(proxy: Wire, client: Client) -> Iterator[None]:
    """While this lasts, the client's last server connection is somebody else's."""
    before = pid(client)
    with ExitStack() as stack:
        rivals: list[Client] = []
        for _ in range(POOL_SIZE):
            rival = stack.enter_context(connect(proxy))
            rival.ask(query("BEGIN; SELECT 1"))
            rivals.append(rival)
            if pid(rival) == before:
                break
        else:
            pytest.fail("the client's server connection was not given back")
        for rival in rivals[:-1]:
            rival.ask(query("ROLLBACK"))
        yield
        rivals[-1].ask(query("ROLLBACK"))


def errors(answer: list) -> list[str]:
    return [one.sqlstate for one in answer if one.kind == "E"]


def values(answer: list) -> list[bytes | None]:
    return [one.row[0] for one in answer if one.kind == "D"]


def test_a_transaction_keeps_its_connection_and_gives_it_back(proxy: Wire) -> None:
    with connect(proxy) as client:
        client.ask(query("BEGIN"))
        assert len({pid(client) for _ in range(5)}) == 1
        client.ask(query("COMMIT"))
        before = pid(client)
        with moved(proxy, client):
            assert pid(client) != before


def test_many_more_clients_than_connections(postgres: PostgreSQL, proxy: Wire) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(proxy)) for _ in range(50)]
        for number, client in enumerate(clients):
            assert client.one(f"SELECT {number}") == str(number)
        assert postgres.backends() <= POOL_SIZE + 1


def test_named_statements_follow(proxy: Wire) -> None:
    with connect(proxy) as client:
        client.ask(parse("SELECT $1::int * 2", "double"), SYNC)
        with moved(proxy, client):
            assert values(client.ask(bind(["21"], statement="double"), execute(), SYNC)) == [b"42"]
            described = client.ask(describe("S", "double"), SYNC)
            assert [one.kind for one in described] == ["t", "T", "Z"]
        with moved(proxy, client):
            client.ask(close("S", "double"), SYNC)
        with moved(proxy, client):
            assert errors(client.ask(bind(["21"], statement="double"), execute(), SYNC)) == ["26000"]


def test_statements_are_forgotten_by_deallocate_and_discard(proxy: Wire) -> None:
    for forget in ("DEALLOCATE s", "DEALLOCATE ALL", "DISCARD ALL"):
        with connect(proxy) as client:
            client.ask(parse("SELECT 1", "s"), SYNC)
            with moved(proxy, client):
                assert errors(client.ask(query(forget))) == []
            with moved(proxy, client):
                assert errors(client.ask(bind(statement="s"), execute(), SYNC)) == ["26000"], forget
                assert values(client.ask(parse("SELECT 'new'", "s"), bind(statement="s"), execute(), SYNC)) == [b"new"]


def test_one_clients_discard_leaves_the_others_alone(proxy: Wire) -> None:
    with connect(proxy) as one, connect(proxy) as two:
        two.ask(parse("SELECT 'two'", "s"), SYNC)
        for _ in range(5):
            one.ask(query("DISCARD ALL"))
            one.ask(query("DEALLOCATE ALL"))
            assert values(two.ask(bind(statement="s"), execute(), SYNC)) == [b"two"]


def test_a_plan_whose_result_changed(postgres: PostgreSQL, proxy: Wire) -> None:
    """Every client gets what PostgreSQL says, and can prepare again."""
    postgres.admin("DROP TABLE IF EXISTS changing; CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)")
    with connect(proxy) as one, connect(proxy) as two:
        for client in (one, two):
            assert values(client.ask(parse("SELECT * FROM changing", "s"), bind(statement="s"), execute(), SYNC)) == [b"1"]
        postgres.admin("ALTER TABLE changing ADD b int")
        for client in (one, two):
            for _ in range(4):
                answer = client.ask(bind(statement="s"), execute(), SYNC)
                assert errors(answer) in ([], ["0A000"])
            client.ask(close("S", "s"), SYNC)
            answer = client.ask(parse("SELECT * FROM changing", "s"), describe("S", "s"), bind(statement="s"), execute(), SYNC)
            assert errors(answer) == []
            assert values(answer) == [b"1"]


def test_settings_follow(proxy: Wire) -> None:
    with connect(proxy) as client, connect(proxy) as other:
        client.ask(query("SET work_mem = '7MB'; SET lock_timeout = '7s'"))
        client.ask(query("SET TimeZone = 'Asia/Tokyo'"))
        for _ in range(3):
            with moved(proxy, client):
                assert client.rows("SELECT current_setting('work_mem'), current_setting('lock_timeout'), current_setting('TimeZone')") == [["7MB", "7s", "Asia/Tokyo"]]
            assert other.one("SHOW work_mem") == "4MB"
            assert other.one("SHOW lock_timeout") == "0"
            assert other.one("SHOW TimeZone") == "UTC"
        client.ask(query("RESET work_mem"))
        with moved(proxy, client):
            assert client.one("SHOW work_mem") == "4MB"
        client.ask(query("RESET ALL"))
        with moved(proxy, client):
            assert client.one("SHOW TimeZone") == "UTC"


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["BEGIN", "SET work_mem = '6MB'", "COMMIT"], "6MB"),
        (["BEGIN", "SET work_mem = '6MB'", "ROLLBACK"], "5MB"),
        (["BEGIN", "SET LOCAL work_mem = '6MB'", "COMMIT"], "5MB"),
        (["BEGIN", "SET work_mem = '6MB'", "SELECT 1/0", "COMMIT"], "5MB"),
        (["BEGIN", "SET work_mem = '6MB'", "SAVEPOINT a", "SET work_mem = '7MB'", "ROLLBACK TO a", "COMMIT"], "6MB"),
        (["BEGIN; SET work_mem = '6MB'; ROLLBACK"], "5MB"),
        (["BEGIN; SET work_mem = '6MB'", "ROLLBACK"], "5MB"),
        (["SET work_mem = '6MB'; SELECT 1/0"], "5MB"),
    ],
)
def test_settings_follow_the_transactions_end(proxy: Wire, statements: list[str], expected: str) -> None:
    with connect(proxy) as client:
        client.ask(query("SET work_mem = '5MB'"))
        for statement in statements:
            client.ask(query(statement))
        with ExitStack() as stack:  # wherever it is served next
            for _ in range(POOL_SIZE - 1):
                stack.enter_context(connect(proxy)).ask(query("BEGIN; SELECT 1"))
                assert client.one("SHOW work_mem") == expected


def test_roles_do_not_leak(postgres: PostgreSQL, proxy: Wire) -> None:
    with connect(proxy) as client, connect(proxy) as other:
        client.ask(query("SET ROLE pg_monitor"))
        for _ in range(5):
            assert client.one("SELECT current_user") == "pg_monitor"
            assert other.one("SELECT current_user") == "postgres"
    with connect(proxy) as client, connect(proxy) as other:
        client.ask(query("SET SESSION AUTHORIZATION pg_monitor"))
        for _ in range(5):
            assert client.one("SELECT session_user") == "pg_monitor"
            assert other.one("SELECT session_user") == "postgres"


PINS = {
    "a temporary table": ("CREATE TEMP TABLE own AS SELECT 'mine' AS v", "SELECT v FROM own", "mine"),
    "a temporary view": ("CREATE TEMP VIEW own AS SELECT 'mine' AS v", "SELECT v FROM own", "mine"),
    "SELECT INTO TEMP": ("SELECT 'mine' AS v INTO TEMP own", "SELECT v FROM own", "mine"),
    "a cursor with hold": ("DECLARE own CURSOR WITH HOLD FOR SELECT 'mine'", "FETCH ALL FROM own", "mine"),
    "PREPARE": ("PREPARE own AS SELECT 'mine'", "EXECUTE own", "mine"),
    "an advisory lock": ("SELECT pg_advisory_lock(99)", "SELECT pg_advisory_unlock(99)", "t"),
    "LISTEN": ("LISTEN own", "SELECT pg_listening_channels()", "own"),
}


@pytest.mark.parametrize(("make", "use", "expected"), PINS.values(), ids=PINS)
def test_state_that_stays(proxy: Wire, make: str, use: str, expected: str) -> None:
    with connect(proxy) as client, connect(proxy) as other:
        client.ask(query(make))
        with connect(proxy) as rival:
            for holder in (other, rival):  # takes a server connection, whichever is free
                holder.ask(query("BEGIN; SELECT 1"))
            assert client.one(use) == expected
            for holder in (other, rival):
                holder.ask(query("ROLLBACK"))


@pytest.mark.parametrize("make", [make for make, _, _ in PINS.values()], ids=PINS)
def test_state_is_gone_with_its_client(postgres: PostgreSQL, proxy: Wire, make: str) -> None:
    for _ in range(POOL_SIZE):
        with connect(proxy) as client:
            client.ask(query(make))
    eventually(lambda: postgres.admin("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0")
    eventually(lambda: postgres.admin("SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == "0")
    with ExitStack() as stack:
        for _ in range(POOL_SIZE):
            client = stack.enter_context(connect(proxy))
            client.ask(query("BEGIN"))
            assert client.rows("SELECT name FROM pg_cursors WHERE is_holdable") == []
            assert client.rows("SELECT name FROM pg_prepared_statements WHERE from_sql") == []
            assert client.rows("SELECT pg_listening_channels()") == []


def test_notifications_reach_an_idle_listener(proxy: Wire) -> None:
    with connect(proxy) as listener, connect(proxy) as speaker:
        listener.ask(query("LISTEN news"))
        for number in range(3):
            speaker.ask(query(f"NOTIFY news, '{number}'"))
            (heard,) = listener.until("A")
            assert heard.body[4:] == f"news\0{number}\0".encode()
        assert listener.one("SELECT 1") == "1"


def test_unlogged_in_users_have_pools_of_their_own(postgres: PostgreSQL, proxy: Wire) -> None:
    postgres.admin("DROP ROLE IF EXISTS other; CREATE ROLE other LOGIN")
    with connect(proxy) as one, connect(proxy, user="other") as two, connect(proxy, database="template1") as three:
        for _ in range(3):
            assert one.one("SELECT session_user || ' ' || current_database()") == "postgres postgres"
            assert two.one("SELECT session_user || ' ' || current_database()") == "other postgres"
            assert three.one("SELECT session_user || ' ' || current_database()") == "postgres template1"
