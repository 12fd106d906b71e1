"""A limit of zero is none."""

import re

import pytest
from wire import connect, eventually, query

from harness import Millrace, PostgreSQL


def metric(millrace: Millrace, name: str) -> int:
    connection = millrace.http_connection()
    try:
        connection.request("GET", "/metrics")
        body = connection.getresponse().read().decode()
    finally:
        connection.close()
    found = re.search(rf"^millrace_{name} (\d+)$", body, re.MULTILINE)
    assert found, body
    return int(found.group(1))


def test_a_client_waits_for_a_server_connection_for_ever(postgres: PostgreSQL) -> None:
    settings = {"POOL_MODE": "transaction", "POOL_SIZE": 1, "POOL_WAIT_TIMEOUT_SECONDS": 0}
    with Millrace(postgres, settings) as millrace, connect(millrace) as holds, connect(millrace) as waits:
        holds.ask(query("BEGIN; SELECT 1"))
        waits.send(query("SELECT 'waited'"))
        eventually(lambda: metric(millrace, "clients_waiting") == 1 or not waits.quiet(0.05), what="the client to wait")
        holds.ask(query("COMMIT"))
        assert [one.row for one in waits.until("ZE") if one.kind == "D"] == [[b"waited"]]


@pytest.mark.parametrize("setting", ["POOL_IDLE_TIMEOUT_SECONDS", "SERVER_LIFETIME_SECONDS"])
def test_a_server_connection_is_kept_for_ever(postgres: PostgreSQL, setting: str) -> None:
    with Millrace(postgres, {"POOL_MODE": "transaction", setting: 0}) as millrace, connect(millrace) as client:
        pid = client.one("SELECT pg_backend_pid()")
        # The count is made by those who look for connections whose time is over, after they have looked.
        eventually(lambda: metric(millrace, "server_connections_idle") > 0, what="the connection to survive")
        assert client.one("SELECT pg_backend_pid()") == pid


def test_no_query_is_slow(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"SLOW_QUERY_THRESHOLD_MS": 0}) as millrace:
        with connect(millrace) as client:
            client.one("SELECT 1")
        eventually(lambda: "client disconnected" in millrace.log, what="the end to be logged")
        assert "slow query" not in millrace.log
