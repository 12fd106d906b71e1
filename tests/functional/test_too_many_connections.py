"""Where PostgreSQL grants no more connections than its pool has, clients share those."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from wire import Client, connect, query

from harness import Millrace, PostgreSQL


@pytest.fixture
def limited(postgres: PostgreSQL) -> Iterator[None]:
    """A role that may have one connection, whatever POOL_SIZE is."""
    postgres.admin("CREATE ROLE limited LOGIN CONNECTION LIMIT 1")
    yield
    postgres.admin("DROP ROLE limited")


def several(server: Millrace, count: int) -> list[Client]:
    return [connect(server, user="limited") for _ in range(count)]


def test_an_idle_connection_is_used_where_postgresql_has_no_more(postgres: PostgreSQL, limited: None) -> None:
    """Also by clients of another I/O thread."""
    with Millrace(postgres, {"POOL_MODE": "transaction", "IO_THREADS": 2, "AUTH_TYPE": "trust"}) as server:
        clients = several(server, 6)
        pids = {client.one("SELECT pg_backend_pid()") for _ in range(3) for client in clients}
        assert len(pids) == 1
        for client in clients:
            client.close()


def test_who_finds_no_more_waits_for_one_that_is_in_use(postgres: PostgreSQL, limited: None) -> None:
    with Millrace(postgres, {"POOL_MODE": "transaction", "IO_THREADS": 1, "AUTH_TYPE": "trust"}) as server:
        holder, *waiting = several(server, 4)
        holder.ask(query("BEGIN"), query("SELECT 1"), times=2)
        for client in waiting:
            client.send(query("SELECT 7"))
        time.sleep(1)  # in which each would have been refused
        holder.ask(query("COMMIT"))
        for client in waiting:
            assert [str(one) for one in client.until("ZE")][1:] == ["DataRow [b'7']", "CommandComplete SELECT 1", "ReadyForQuery I"]
        # It may have more by and by.
        postgres.admin("ALTER ROLE limited CONNECTION LIMIT 3")
        holder.ask(query("BEGIN"), query("SELECT 1"), times=2)
        assert waiting[0].one("SELECT 8") == "8"
        holder.ask(query("COMMIT"))
        for client in (holder, *waiting):
            client.close()


def test_where_there_is_none_at_all_clients_hear_so(postgres: PostgreSQL, limited: None) -> None:
    """Rather than waiting for each other's refusals."""
    postgres.admin("ALTER ROLE limited CONNECTION LIMIT 0")
    with Millrace(postgres, {"POOL_MODE": "transaction", "IO_THREADS": 1, "AUTH_TYPE": "trust"}) as server:
        clients = [Client(server.host, server.port) for _ in range(4)]
        with ThreadPoolExecutor(len(clients)) as pool:
            answers = list(pool.map(lambda client: client.log_in(user="limited")[-1], clients))
        for answer in answers:
            assert answer.sqlstate == "53300"
            assert "for role" in str(answer), "it is PostgreSQL's own"
        assert server.metric("server_connections_failed_total") <= 6 * len(clients)
        for client in clients:
            client.close()
