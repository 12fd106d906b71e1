"""Where no server connection can be had for a query, that is tried again. What was sent: test_sent_again.py."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from wire import Client, Gone, connect, eventually, query

from harness import Millrace, PostgreSQL

POSTGRESQL = {"synchronous_commit": "on"}  # what was there before it is killed is there afterwards
# Each finds out by itself that the server is down.
SETTINGS: dict[str, str | int] = {
    "POOL_MODE": "transaction", "MAX_QUERY_RETRIES": 10, "RETRY_BACKOFF_MULTIPLIER": 3, "ENABLE_EMERGENCY_CIRCUIT_BREAKER": "false",
}  # fmt: skip


@pytest.fixture
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    postgres.admin("DROP TABLE IF EXISTS ledger; CREATE TABLE ledger (who text)")
    with Millrace(postgres, SETTINGS) as server:
        yield server


UNCACHED = "SELECT txid_current() > 0"


def retries(millrace: Millrace) -> float:
    return millrace.metric("retries_total")


@contextmanager
def down(postgres: PostgreSQL, millrace: Millrace, client: Client) -> Iterator[None]:
    """What was open is known to be gone; afterwards PostgreSQL runs again."""
    client.one(UNCACHED)
    postgres.kill()
    try:
        eventually(lambda: millrace.metric("server_connections_idle") == 0)
        yield
    finally:
        postgres.start()


def asks_while_it_is_down(client: Client, millrace: Millrace, *messages: bytes) -> None:
    before = retries(millrace)
    client.send(*messages)
    eventually(lambda: retries(millrace) > before, what="a retry")


def test_a_write_that_wasnt_sent_is_done_once(postgres: PostgreSQL, millrace: Millrace) -> None:
    with connect(millrace) as client:
        with down(postgres, millrace, client):
            asks_while_it_is_down(client, millrace, query("INSERT INTO ledger VALUES ('a')"))
        assert [one.kind for one in client.until("Z")] == ["C", "Z"]
    assert postgres.admin("SELECT count(*) FROM ledger") == "1"


def test_a_transaction_that_wasnt_sent_is_done_once(postgres: PostgreSQL, millrace: Millrace) -> None:
    with connect(millrace) as client:
        with down(postgres, millrace, client):
            assert client.ask(query("BEGIN"))[-1].body == b"T"
            asks_while_it_is_down(client, millrace, query("INSERT INTO ledger VALUES ('a')"))
        assert client.until("Z")[-1].body == b"T"
        client.ask(query("INSERT INTO ledger VALUES ('b')"), query("COMMIT"), times=2)
    assert postgres.admin("SELECT string_agg(who, '' ORDER BY who) FROM ledger") == "ab"


def test_a_write_that_was_sent_is_never_sent_again(postgres: PostgreSQL, millrace: Millrace) -> None:
    """It has waited for a lock when the server died; nobody but the server can say that it wasn't done."""
    with connect(millrace) as client, connect(postgres) as holder:
        holder.ask(query("BEGIN"), query("LOCK ledger"), times=2)
        client.send(query("INSERT INTO ledger VALUES ('a')"))
        eventually(lambda: postgres.admin("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "1")
        before = retries(millrace)
        postgres.kill()
        try:
            with pytest.raises(Gone):
                client.until("Z")
        finally:
            postgres.start()
    with connect(millrace) as client:
        client.one(UNCACHED)
    assert retries(millrace) == before
    assert postgres.admin("SELECT count(*) FROM ledger") == "0"


def test_a_server_that_has_no_connection_left_is_asked_again(postgres: PostgreSQL, millrace: Millrace) -> None:
    postgres.admin("DROP ROLE IF EXISTS one; CREATE ROLE one LOGIN CONNECTION LIMIT 1")
    with connect(millrace, user="one") as client:
        client.one(UNCACHED)
        postgres.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'one'")
        eventually(lambda: millrace.metric("server_connections_idle") == 0)
        with connect(postgres, user="one"):
            asks_while_it_is_down(client, millrace, query(UNCACHED))
        assert any(one.kind == "D" for one in client.until("Z"))
    with connect(millrace, user="one"):
        pass


def test_the_client_may_go_meanwhile(postgres: PostgreSQL, millrace: Millrace) -> None:
    with connect(millrace) as client, down(postgres, millrace, client):
        asks_while_it_is_down(client, millrace, query("INSERT INTO ledger VALUES ('a')"))
        client.close()
        eventually(lambda: millrace.metric("clients_connected") == 0)
    with connect(millrace) as client:
        client.one(UNCACHED)
    assert postgres.admin("SELECT count(*) FROM ledger") == "0"


@pytest.mark.parametrize("setting", [{"ENABLE_AUTOMATIC_RETRY": "false"}, {"MAX_QUERY_RETRIES": 0}], ids=["off", "none"])
def test_switched_off_it_isnt(postgres: PostgreSQL, setting: dict[str, str | int]) -> None:
    with Millrace(postgres, {**SETTINGS, **setting}) as millrace, connect(millrace) as client:
        with down(postgres, millrace, client):
            assert client.ask(query(UNCACHED))[0].sqlstate == "55000"
        assert client.one(UNCACHED) == "t"
        assert retries(millrace) == 0
