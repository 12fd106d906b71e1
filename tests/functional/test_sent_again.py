"""A read that was sent is sent once more if its server connection is lost before it was answered; nothing else is."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from wire import SYNC, Client, bind, cancel_request, connect, describe, eventually, execute, gives_all_turns_back, parse, query
from test_retries import POSTGRESQL as DURABLE

from harness import Millrace, PostgreSQL, ServerError

POSTGRESQL = DURABLE
SETTINGS: dict[str, str | int] = {
    "POOL_MODE": "transaction", "CACHE_CONSISTENCY_LEVEL": "eventual", "MAX_QUERY_RETRIES": 10, "RETRY_BACKOFF_MULTIPLIER": 3,
    "ENABLE_EMERGENCY_CIRCUIT_BREAKER": "false", "IO_THREADS": 1,
}  # fmt: skip
TABLES = """
CREATE TABLE ledger (who text);
INSERT INTO ledger VALUES ('a'), ('b');
CREATE TABLE kept (who text);
CREATE SEQUENCE numbers;
CREATE FUNCTION write_down() RETURNS int LANGUAGE sql AS $$ INSERT INTO kept VALUES ('f'); SELECT 1 $$;
CREATE FUNCTION says_stable() RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
"""
READ = "/* millrace: cache=off */ SELECT count(*) FROM ledger"
Ask = Callable[[Client, str, "Holder"], None]


@pytest.fixture(scope="module")
def database(postgres: PostgreSQL) -> PostgreSQL:
    postgres.admin("CREATE DATABASE cached")
    postgres.admin(TABLES, database="cached")
    return postgres


@pytest.fixture(scope="module")
def millrace(database: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(database, SETTINGS) as server:
        yield server


@pytest.fixture(autouse=True)
def as_begun(database: PostgreSQL, request: pytest.FixtureRequest) -> None:
    """PostgreSQL has recovered, nothing was written, and the catalogs are known."""
    eventually(lambda: answers(database), what="PostgreSQL to have recovered")
    database.admin("DELETE FROM kept; SELECT setval('numbers', 1)", database="cached")
    if "millrace" in request.fixturenames:
        knows(millrace := request.getfixturevalue("millrace"))
        saves_up(millrace)


def answers(postgres: PostgreSQL) -> bool:
    try:
        return postgres.admin("SELECT 7") == "7"
    except ServerError:
        return False


numbers = itertools.count(100)


def knows(millrace: Millrace) -> None:
    """What its catalogs are: something new is kept."""

    def is_kept() -> bool:
        sql = f"SELECT {next(numbers)}"
        before = millrace.metric("statements_answered_from_memory_total")
        client.one(sql)
        client.one(sql)
        return millrace.metric("statements_answered_from_memory_total") > before

    with connect(millrace, database="cached") as client:
        eventually(is_kept, what="the catalogs to be known")


class Holder:
    """Keeps all others from the ledger until it is let go."""

    def __init__(self, postgres: PostgreSQL) -> None:
        self.postgres = postgres
        self.client = connect(postgres, database="cached")

    def locks(self) -> None:
        self.client.ask(query("BEGIN"), query("LOCK ledger"), times=2)

    def blocks(self, but: int = 0) -> int:
        """The process of who waits, or of one who does; not that one."""
        found: list[str] = []

        def waits() -> bool:
            pids = self.postgres.admin("SELECT pid FROM pg_stat_activity WHERE datname = 'cached' AND wait_event_type = 'Lock'")
            found[:] = [pid for pid in pids.splitlines() if int(pid) != but]
            return bool(found)

        eventually(waits, what="somebody to wait for the lock")
        return int(found[0])

    def lets_go(self) -> None:
        self.client.ask(query("ROLLBACK"))
        self.client.close()


@pytest.fixture
def holder(database: PostgreSQL) -> Iterator[Holder]:
    one = Holder(database)
    yield one
    one.client.close()


def saves_up(millrace: Millrace) -> None:
    """What is asked lets as much be tried again as a test may need."""
    with connect(millrace, database="cached") as client:
        for _ in range(100):
            client.one("/* millrace: cache=off */ SELECT 1")


def retries(millrace: Millrace) -> float:
    return millrace.metric("retries_total")


def queries(millrace: Millrace) -> tuple[float, float]:
    return millrace.metric("queries_total", kind="select"), millrace.metric("query_errors_total")


def simple(client: Client, sql: str, holder: Holder) -> None:
    holder.locks()
    client.send(query(sql))


def extended(client: Client, sql: str, holder: Holder) -> None:
    holder.locks()
    client.send(parse(sql), bind(), describe("P"), execute(), SYNC)


def prepared(client: Client, sql: str, holder: Holder) -> None:
    client.ask(parse(sql, "s"), describe("S", "s"), SYNC)
    holder.locks()
    client.send(bind(statement="s"), execute(), SYNC)


def new_and_named(client: Client, sql: str, holder: Holder) -> None:
    holder.locks()
    client.send(parse(sql, "s"), describe("S", "s"), bind(statement="s"), execute(), SYNC)


PROTOCOLS = pytest.mark.parametrize("ask", [simple, extended, prepared, new_and_named])


def terminated(postgres: PostgreSQL, pid: int) -> None:
    assert postgres.admin(f"SELECT pg_terminate_backend({pid})") == "t"


def hears(client: Client) -> list[list[bytes | None]]:
    answer = client.until("Z")
    assert not [one for one in answer if one.kind == "E"], [str(one) for one in answer]
    return [one.row for one in answer if one.kind == "D"]


def is_lost(client: Client, code: str = "57P01") -> None:
    (error,) = (one for one in client.until_closed() if one.kind == "E")
    assert error.sqlstate == code


@PROTOCOLS
def test_a_read_whose_process_was_terminated(postgres: PostgreSQL, millrace: Millrace, holder: Holder, ask: Ask) -> None:
    with connect(millrace, database="cached") as client:
        before, (selects, errors) = retries(millrace), queries(millrace)
        ask(client, READ, holder)
        first = holder.blocks()
        terminated(postgres, first)
        holder.blocks(but=first)
        holder.lets_go()
        assert hears(client) == [[b"2"]]
        assert retries(millrace) == before + 1
        eventually(lambda: queries(millrace) == (selects + 1, errors), what="one more, which has not failed")
        gives_all_turns_back(millrace)
        assert client.one("SELECT 7") == "7"


@PROTOCOLS
def test_a_read_whose_process_was_killed(postgres: PostgreSQL, millrace: Millrace, holder: Holder, ask: Ask) -> None:
    """So all of PostgreSQL's are, and it recovers."""
    with connect(millrace, database="cached") as client:
        before = retries(millrace)
        ask(client, READ, holder)
        os.kill(holder.blocks(), signal.SIGKILL)
        assert hears(client) == [[b"2"]]
        assert retries(millrace) > before
        gives_all_turns_back(millrace)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_read_while_postgresql_is_restarted(database: PostgreSQL, holder: Holder, end: str) -> None:
    with Millrace(database, {**SETTINGS, "RETRY_BACKOFF_MULTIPLIER": 10}) as millrace:
        knows(millrace)
        saves_up(millrace)
        with connect(millrace, database="cached") as client:
            extended(client, READ, holder)
            holder.blocks()
            getattr(database, end)()
            database.start()
            assert hears(client) == [[b"2"]]


def test_where_postgresql_stays_away_it_is_refused(database: PostgreSQL, holder: Holder) -> None:
    """As if it hadn't been sent; the session goes on."""
    with Millrace(database, {**SETTINGS, "MAX_QUERY_RETRIES": 2}) as millrace:
        knows(millrace)
        with connect(millrace, database="cached") as client:
            simple(client, READ, holder)
            holder.blocks()
            database.stop()
            try:
                assert [one.sqlstate for one in client.until("Z") if one.kind == "E"] == ["55000"]
            finally:
                database.start()
            assert client.one("SELECT 7") == "7"
            gives_all_turns_back(millrace)


@pytest.mark.parametrize("first", [READ, "/* millrace: timeout=120s, cache=off */ SELECT count(*) FROM ledger"], ids=["sent", "waiting"])
def test_several_sent_ahead_are_answered_in_their_order(postgres: PostgreSQL, millrace: Millrace, holder: Holder, first: str) -> None:
    """Behind one whose time is limited the others wait, and aren't sent before it is answered."""
    with connect(millrace, database="cached") as client:
        holder.locks()
        client.send(query(first), parse("SELECT $1::int"), bind(["4"]), execute(), SYNC, query("SELECT 5"))
        terminated(postgres, pid := holder.blocks())
        holder.blocks(but=pid)
        holder.lets_go()
        assert [hears(client) for _ in range(3)] == [[[b"2"]], [[b"4"]], [[b"5"]]]


def test_with_what_the_client_has_set(postgres: PostgreSQL, millrace: Millrace, holder: Holder) -> None:
    with connect(millrace, database="cached") as client:
        client.ask(query("SET DateStyle = 'German'"))
        simple(client, "SELECT date '2024-05-17', count(*) FROM ledger", holder)
        terminated(postgres, first := holder.blocks())
        holder.blocks(but=first)
        holder.lets_go()
        assert hears(client) == [[b"17.05.2024", b"2"]]


def test_once(postgres: PostgreSQL, millrace: Millrace, holder: Holder) -> None:
    """It may be what PostgreSQL dies of."""
    with connect(millrace, database="cached") as client:
        simple(client, READ, holder)
        terminated(postgres, first := holder.blocks())
        terminated(postgres, holder.blocks(but=first))
        is_lost(client)
    gives_all_turns_back(millrace)


NO_READS = [
    "INSERT INTO ledger VALUES ('c')",
    "WITH w AS (INSERT INTO kept VALUES ('w')) SELECT count(*) FROM ledger",
    "SELECT nextval('numbers'), count(*) FROM ledger",
    "SELECT write_down(), count(*) FROM ledger",
    "SELECT says_stable(), count(*) FROM ledger",
    "SELECT count(*), pg_advisory_xact_lock(7) FROM ledger",
    "SELECT * FROM ledger FOR SHARE",
    "CREATE TABLE made AS SELECT * FROM ledger",
]


@pytest.mark.parametrize("sql", NO_READS)
@pytest.mark.parametrize("ask", [simple, extended, prepared])
def test_never_what_may_have_done_more(postgres: PostgreSQL, millrace: Millrace, holder: Holder, ask: Ask, sql: str) -> None:
    """The process has committed, for all that anybody knows."""
    before = retries(millrace)
    with connect(millrace, database="cached") as client:
        ask(client, sql, holder)
        terminated(postgres, holder.blocks())
        is_lost(client)
    holder.lets_go()
    assert retries(millrace) == before
    assert postgres.admin("SELECT count(*) FROM kept", database="cached") == "0"
    assert postgres.admin("SELECT count(*) FROM ledger", database="cached") == "2"
    assert postgres.admin("SELECT last_value FROM numbers", database="cached") == "1"


def test_never_with_a_write_in_the_same_batch(postgres: PostgreSQL, millrace: Millrace, holder: Holder) -> None:
    """The sequence has been advanced by then, which nothing undoes."""
    before = retries(millrace)
    with connect(millrace, database="cached") as client:
        holder.locks()
        client.send(parse("SELECT nextval('numbers')"), bind(), execute(), parse(READ), bind(), execute(), SYNC)
        terminated(postgres, holder.blocks())
        is_lost(client)
    assert retries(millrace) == before
    assert postgres.admin("SELECT last_value FROM numbers", database="cached") == "2"


def test_never_once_rows_have_come(postgres: PostgreSQL, millrace: Millrace) -> None:
    before = retries(millrace)
    with connect(millrace, database="cached") as client:
        client.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"))
        assert [one.kind for one in client.until("D")] == ["T", "D"]
        stuck = "SELECT pid FROM pg_stat_activity WHERE datname = 'cached' AND wait_event = 'ClientWrite'"
        eventually(lambda: postgres.admin(stuck) != "", what="the client's socket to be full")
        os.kill(int(postgres.admin(stuck)), signal.SIGTERM)
        assert "Z" not in [one.kind for one in client.until_closed()]
    assert retries(millrace) == before


def test_never_in_a_transaction(postgres: PostgreSQL, millrace: Millrace, holder: Holder) -> None:
    before = retries(millrace)
    with connect(millrace, database="cached") as client:
        client.ask(query("BEGIN"))
        simple(client, READ, holder)
        terminated(postgres, holder.blocks())
        is_lost(client)
    assert retries(millrace) == before


@pytest.mark.parametrize("holds", ["LISTEN something", "CREATE TEMP TABLE mine (id int)", "SELECT pg_advisory_lock(3)"])
def test_never_for_who_needs_that_connection(postgres: PostgreSQL, millrace: Millrace, holder: Holder, holds: str) -> None:
    before = retries(millrace)
    with connect(millrace, database="cached") as client:
        client.ask(query(holds))
        simple(client, READ, holder)
        terminated(postgres, holder.blocks())
        is_lost(client)
    assert retries(millrace) == before


def test_never_what_the_client_has_cancelled(postgres: PostgreSQL, millrace: Millrace, holder: Holder) -> None:
    """PostgreSQL hasn't come to it yet when the process ends."""
    before = retries(millrace)
    with connect(millrace, database="cached") as client:
        simple(client, READ, holder)
        os.kill(pid := holder.blocks(), signal.SIGSTOP)
        cancel_request(millrace.host, millrace.port, client.key)
        os.kill(pid, signal.SIGKILL)
        is_lost(client, "08006")
    assert retries(millrace) == before


def test_a_cancel_meanwhile_wins(postgres: PostgreSQL, millrace: Millrace, holder: Holder) -> None:
    with connect(millrace, database="cached") as client:
        simple(client, READ, holder)
        terminated(postgres, first := holder.blocks())
        holder.blocks(but=first)
        cancel_request(millrace.host, millrace.port, client.key)
        assert client.until("Z")[0].sqlstate == "57014"


def test_a_cancel_at_the_moment_of_the_loss_is_not_lost(postgres: PostgreSQL, millrace: Millrace, database: PostgreSQL) -> None:
    """It ends what it was meant for, whether that is lost, rests, or runs again, and nothing that was sent behind it."""
    for _ in range(12):
        holder = Holder(database)
        with connect(millrace, database="cached") as client:
            holder.locks()
            client.send(query("/* millrace: timeout=120s */ " + READ), query("SELECT 5"))
            terminated(postgres, holder.blocks())
            cancel_request(millrace.host, millrace.port, client.key)
            told = client.until("ZE")[-1]
            assert told.sqlstate in ("57014", "57P01"), told
            if told.sqlstate == "57014":
                client.until("Z")
                assert hears(client) == [[b"5"]]
        holder.lets_go()
    gives_all_turns_back(millrace)


def test_its_time_counts_from_when_it_came(postgres: PostgreSQL, millrace: Millrace, holder: Holder) -> None:
    with connect(millrace, database="cached") as client:
        simple(client, "/* millrace: timeout=3s */ " + READ, holder)
        terminated(postgres, holder.blocks())
        assert client.until("Z")[0].sqlstate == "57014"
        assert client.one("SELECT 7") == "7"
    gives_all_turns_back(millrace)


def test_the_client_may_go_meanwhile(postgres: PostgreSQL, millrace: Millrace, holder: Holder) -> None:
    with connect(millrace, database="cached") as client:
        simple(client, READ, holder)
        terminated(postgres, first := holder.blocks())
        holder.blocks(but=first)
    holder.lets_go()
    eventually(lambda: millrace.metric("clients_connected") == 0)
    gives_all_turns_back(millrace)


def test_what_is_kept_is_what_the_second_run_has_read(postgres: PostgreSQL, millrace: Millrace, holder: Holder) -> None:
    """Who asks the same meanwhile has it, too."""
    read = "SELECT count(*) FROM ledger WHERE who <> 'z'"
    try:
        with connect(millrace, database="cached") as client, connect(millrace, database="cached") as other:
            answered = millrace.metric("statements_answered_from_memory_total")
            simple(client, read, holder)
            holder.client.ask(query("INSERT INTO ledger VALUES ('c')"))
            first = holder.blocks()
            other.send(query(read))
            terminated(postgres, first)
            holder.blocks(but=first)
            holder.client.ask(query("COMMIT"))
            assert hears(client) == hears(other) == [[b"3"]]
            assert client.one(read) == "3"
            assert millrace.metric("statements_answered_from_memory_total") > answered
    finally:
        with connect(millrace, database="cached") as client:
            client.ask(query("DELETE FROM ledger WHERE who = 'c'"))


@pytest.mark.parametrize(
    "setting", [{"ENABLE_AUTOMATIC_RETRY": "false"}, {"MAX_QUERY_RETRIES": 0}, {"POOL_MODE": "session"}, {"ENABLE_MULTI_LEVEL_CACHING": "false"}],
    ids=["off", "none", "session", "uncached"],
)  # fmt: skip
def test_not_where_it_is_off(database: PostgreSQL, holder: Holder, setting: dict[str, str | int]) -> None:
    with Millrace(database, {**SETTINGS, **setting}) as millrace:
        if "ENABLE_MULTI_LEVEL_CACHING" not in setting:
            knows(millrace)
        with connect(millrace, database="cached") as client:
            simple(client, READ, holder)
            terminated(database, holder.blocks())
            is_lost(client)
        assert retries(millrace) == 0


def test_only_as_many_as_the_budget_has(database: PostgreSQL, holder: Holder) -> None:
    """The others hear what they would have heard from PostgreSQL."""
    settings = {**SETTINGS, "POOL_SIZE": 40, "MAX_CONCURRENT_QUERIES": 100, "ENABLE_ADAPTIVE_CONCURRENCY": "false", "IO_THREADS": 1}
    with Millrace(database, settings) as millrace:
        knows(millrace)
        clients = [connect(millrace, database="cached") for _ in range(30)]
        holder.locks()
        for at, client in enumerate(clients):
            client.send(query(f"{READ} WHERE who <> '{at}'"))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        eventually(lambda: database.admin(waiting) == "30", what="all to wait")
        database.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        eventually(lambda: retries(millrace) + millrace.metric("query_errors_total") >= 30, what="all to be lost")
        holder.lets_go()
        ends = [client.until("ZE")[-1] for client in clients]
        lost = [one for one in ends if one.kind == "E"]
        assert {one.sqlstate for one in lost} == {"57P01"}
        assert 0 < len(ends) - len(lost) == retries(millrace) < 30
        for client in clients:
            client.close()
        gives_all_turns_back(millrace)
