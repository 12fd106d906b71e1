"""Connections of the replication protocol, which Millrace passes on without understanding them."""

import re

from wire import cancel_request, connect, eventually, query

from harness import Millrace, PostgreSQL


def failed_log_ins(millrace: Millrace) -> str:
    connection = millrace.http_connection()
    try:
        connection.request("GET", "/metrics")
        (count,) = re.findall(r"^millrace_\w*logins?_failed\w* (\d+)$", connection.getresponse().read().decode(), re.MULTILINE)
        return count
    finally:
        connection.close()


def test_a_replication_clients_query_is_cancelled(postgres: PostgreSQL, pool_mode: str) -> None:
    sleep = "SELECT pg_sleep(60) /* replication */"
    with Millrace(postgres, {"POOL_MODE": pool_mode}) as millrace, connect(millrace, replication="database") as client:
        assert client.key[0] == int(client.one("SELECT pg_backend_pid()") or 0)
        client.send(query(sleep))
        eventually(lambda: postgres.admin(f"SELECT count(*) FROM pg_stat_activity WHERE query = '{sleep}'") == "1")
        cancel_request(millrace.host, millrace.port, client.key)
        (error,) = (one for one in client.until("Z") if one.kind == "E")
        assert error.sqlstate == "57014"
        assert client.one("SELECT 'still there'") == "still there"


def test_a_replication_client_is_no_failed_log_in(postgres: PostgreSQL) -> None:
    with Millrace(postgres) as millrace:
        with connect(millrace, replication="database") as client:
            assert client.one("SELECT 1") == "1"
            pid = client.key[0]
        eventually(lambda: postgres.admin(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == "0")
        assert failed_log_ins(millrace) == "0"
