"""Every statement ends as one record: also where the server, the queue or the client ends it."""

from collections.abc import Iterator

import pytest
from wire import SYNC, Client, bind, connect, eventually, execute, parse, query

from harness import Millrace, PostgreSQL

SETTINGS: dict[str, str | int] = {"POOL_MODE": "transaction", "POOL_SIZE": 1, "POOL_WAIT_TIMEOUT_SECONDS": 1, "LOG_CONNECTIONS": "false"}
ASKED = {"simple": [query("SELECT pg_sleep(60)")], "extended": [parse("SELECT pg_sleep(60)"), bind(), execute(), SYNC]}


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres, SETTINGS) as server:
        yield server


def errors(millrace: Millrace, sqlstate_class: str) -> float:
    return millrace.metric("query_errors_total", sqlstate_class=sqlstate_class)


def runs(postgres: PostgreSQL) -> bool:
    return postgres.admin("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND state = 'active'") == "1"


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_ended_with_its_server_process(postgres: PostgreSQL, millrace: Millrace, asked: list[bytes]) -> None:
    queries, failed = millrace.metric("queries_total"), errors(millrace, "57")
    with connect(millrace) as client:
        client.send(*asked)
        eventually(lambda: runs(postgres), what="the query to run")
        postgres.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()")
        assert [one.sqlstate for one in client.until_closed() if one.kind == "E"] == ["57P01"]
    assert millrace.metric("queries_total") == queries + 1
    assert errors(millrace, "57") == failed + 1


@pytest.fixture(scope="module")
def with_turns(postgres: PostgreSQL) -> Iterator[Millrace]:
    """Whoever asks waits for a turn before a server connection."""
    with Millrace(postgres, SETTINGS) as server:
        yield server


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_ended_before_its_turn(postgres: PostgreSQL, with_turns: Millrace, asked: list[bytes]) -> None:
    millrace = with_turns
    with connect(millrace) as holds, connect(millrace) as client:
        holds.send(query("SELECT pg_sleep(60)"))
        eventually(lambda: runs(postgres), what="the query to run")
        queries, selects = millrace.metric("queries_total"), millrace.metric("queries_total", kind="select")
        failed = errors(millrace, "53")
        assert [one.sqlstate for one in client.ask(*asked) if one.kind == "E"] == ["53300"]
        assert millrace.metric("queries_total") == queries + 1
        assert millrace.metric("queries_total", kind="select") == selects + 1
        assert errors(millrace, "53") == failed + 1
    eventually(lambda: not runs(postgres), what="the query to end")


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_ended_in_the_queue(millrace: Millrace, asked: list[bytes]) -> None:
    with connect(millrace) as holds, connect(millrace) as client:
        holds.ask(query("BEGIN; SELECT 1"))
        queries, selects = millrace.metric("queries_total"), millrace.metric("queries_total", kind="select")
        failed = errors(millrace, "53")
        client.send(*asked)
        assert client.until("E")[-1].sqlstate == "53300"
        assert millrace.metric("queries_total") == queries + 1
        assert millrace.metric("queries_total", kind="select") == selects + 1
        assert errors(millrace, "53") == failed + 1


REFUSED = {
    "parse": ("42P01", [parse("SELECT * FROM nosuch"), bind(), execute(), SYNC]),
    "parse of a text that isn't SQL": ("42601", [parse("SELEC 1"), bind(), execute(), SYNC]),
    "bind": ("22P02", [parse("SELECT $1::int"), bind(["x"]), execute(), SYNC]),
    "execute": ("22012", [parse("SELECT 1/$1::int"), bind(["0"]), execute(), SYNC]),
    "query": ("42P01", [query("SELECT * FROM nosuch")]),
}


@pytest.mark.parametrize(("sqlstate", "asked"), REFUSED.values(), ids=REFUSED)
def test_ended_before_it_was_executed(millrace: Millrace, sqlstate: str, asked: list[bytes]) -> None:
    queries, failed = millrace.metric("queries_total"), errors(millrace, sqlstate[:2])
    with connect(millrace) as client:
        assert [one.sqlstate for one in client.ask(*asked) if one.kind == "E"] == [sqlstate]
    assert millrace.metric("queries_total") == queries + 1
    assert errors(millrace, sqlstate[:2]) == failed + 1


def test_ended_as_what_it_executes_is_gone(postgres: PostgreSQL, millrace: Millrace) -> None:
    postgres.admin("CREATE TABLE vanishes (a int)")
    with connect(millrace) as client:
        client.ask(parse("SELECT * FROM vanishes", "s"), SYNC)
        postgres.admin("DROP TABLE vanishes")
        queries, failed = millrace.metric("queries_total"), errors(millrace, "42")
        assert [one.sqlstate for one in client.ask(query("EXECUTE s")) if one.kind == "E"] == ["42P01"]
        assert millrace.metric("queries_total") == queries + 1
        assert errors(millrace, "42") == failed + 1


def test_ended_with_a_server_that_vanishes() -> None:
    with PostgreSQL() as postgres, Millrace(postgres, SETTINGS) as millrace, connect(millrace) as client:
        client.send(query("SELECT pg_sleep(60)"))
        eventually(lambda: runs(postgres), what="the query to run")
        failed = errors(millrace, "08")
        postgres.kill()
        assert all(one.sqlstate[:2] in ("08", "57") for one in client.until_closed() if one.kind == "E")
        assert errors(millrace, "08") + errors(millrace, "57") == failed + 1
        assert millrace.metric("queries_total") == 1


def test_server_connections_that_fail_are_counted() -> None:
    """Of a client's log-in, of a later query, for replication, and of Millrace's own queries."""
    # Once the circuit breaker has opened, Millrace's own queries don't try.
    settings = SETTINGS | {"ENABLE_EMERGENCY_CIRCUIT_BREAKER": "false"}
    with PostgreSQL() as server, Millrace(server, settings) as millrace:

        def failed() -> float:
            return millrace.metric("server_connections_failed_total")

        with connect(millrace) as idle:
            assert idle.one("SELECT 1") == "1"
            server.stop()
            seen = failed()
            assert idle.ask_or_error("SELECT 1").kind == "E"
            eventually(lambda: failed() > seen, what="a query's server connection to be counted")
        seen = failed()
        with Client(millrace.host, millrace.port) as client:
            assert client.log_in(replication="database")[-1].kind == "E"
        eventually(lambda: failed() > seen, what="a replication connection to be counted")
        seen = failed()
        connection = millrace.http_connection()
        connection.request("GET", "/api/v1/optimization/health")
        connection.getresponse().read()
        connection.close()
        eventually(lambda: failed() > seen, what="an own connection to be counted")
        server.start()


def test_what_is_counted_outlasts_the_pool(postgres: PostgreSQL) -> None:
    postgres.admin("CREATE ROLE brief LOGIN")
    with Millrace(postgres, {**SETTINGS, "POOL_IDLE_TIMEOUT_SECONDS": 1}) as millrace:
        with connect(millrace, user="brief") as client:
            client.one("SELECT 1")
        eventually(lambda: millrace.metric("server_connections_closed_total") == 1, what="the pool to be swept")
        with connect(millrace) as client:
            client.one("SELECT 1")
            eventually(lambda: millrace.metric("server_connections_opened_total") == 2, what="both connections to be counted")
            assert millrace.metric("server_connections_closed_total") == 1
