"""What becomes of clients for whom there is no server connection at the moment."""

from collections.abc import Iterator

import pytest
from wire import SYNC, cancel_request, close, connect, eventually, query

from harness import Millrace, PostgreSQL


@pytest.fixture(scope="module")
def full(postgres: PostgreSQL) -> Iterator[Millrace]:
    settings = {"POOL_MODE": "transaction", "POOL_SIZE": 1, "POOL_WAIT_TIMEOUT_SECONDS": 1}
    with Millrace(postgres, settings) as server, connect(server) as holder:
        holder.ask(query("BEGIN"), query("SELECT 1"), times=2)
        yield server


@pytest.mark.parametrize(
    ("messages", "kinds"), [([SYNC], "Z"), ([query("")], "IZ"), ([close("S", "x"), close("S", "y"), SYNC], "33Z")]
)
def test_what_needs_no_server_connection_does_not_wait_for_one(full: Millrace, messages: list[bytes], kinds: str) -> None:
    with connect(full) as client:
        answer = client.ask(*messages)
        assert "".join(one.kind for one in answer) == kinds
        assert answer[-1].body == b"I"


@pytest.mark.parametrize("sql", ["SET extra_float_digits = 3", "SHOW work_mem", "ROLLBACK", "SELECT 1"])
def test_a_session_goes_on_after_a_wait_in_vain(full: Millrace, sql: str) -> None:
    before = full.metric("pool_timeouts_total")
    with connect(full) as client:
        for _ in range(2):
            error, ready = client.ask(query(sql))
            assert (error.fields["S"], error.sqlstate, ready.body) == ("ERROR", "53300", b"I")
    assert full.metric("pool_timeouts_total") == before + 2


def test_who_waits_is_cancelled_whatever_it_is(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"POOL_MODE": "transaction", "POOL_SIZE": 1}) as server, connect(server) as holder:
        holder.ask(query("BEGIN"), query("SELECT 1"), times=2)
        with connect(server) as client:
            client.send(query("SET work_mem = '5MB'"))
            eventually(lambda: server.metric("clients_waiting") == 1, what="it to wait")
            cancel_request(server.host, server.port, client.key)
            error, ready = client.until("Z")
            assert (error.fields["S"], error.sqlstate, ready.body) == ("ERROR", "57014", b"I")
            holder.ask(query("COMMIT"))
            assert client.one("SHOW work_mem") == "4MB"


def test_a_wait_for_what_postgresql_does_not_grant_ends(postgres: PostgreSQL) -> None:
    postgres.admin("CREATE ROLE limited LOGIN CONNECTION LIMIT 1")
    settings = {"POOL_MODE": "transaction", "POOL_WAIT_TIMEOUT_SECONDS": 1, "AUTH_TYPE": "trust"}
    try:
        with Millrace(postgres, settings) as server, connect(server, user="limited") as holder, connect(server, user="limited") as client:
            holder.ask(query("BEGIN"), query("SELECT 1"), times=2)
            error, ready = client.ask(query("SELECT 1"))
            assert (error.fields["S"], error.sqlstate, ready.body) == ("ERROR", "53300", b"I")
            holder.ask(query("COMMIT"))
            assert client.one("SELECT 1") == "1"
    finally:
        postgres.admin("DROP ROLE limited")
