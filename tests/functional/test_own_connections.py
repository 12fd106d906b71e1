"""Millrace's own queries (who may log in, is the server there) neither need nor take the clients' server connections."""

from collections.abc import Iterator

import pytest
from wire import Client, connect, eventually, query, startup

from harness import Millrace, PostgreSQL

SETTINGS: dict[str, str | int] = {"POOL_MODE": "transaction", "POOL_SIZE": 1, "AUTH_TYPE": "md5", "POOL_WAIT_TIMEOUT_SECONDS": 3}


def health(millrace: Millrace) -> dict[str, object]:
    return millrace.api("GET", "optimization/health")["services"]["postgresql"]


@pytest.fixture(scope="module")
def guarded() -> Iterator[PostgreSQL]:
    with PostgreSQL(auth="md5") as server:
        server.admin("CREATE ROLE ann LOGIN PASSWORD 'secret'")
        yield server


def test_with_the_pool_full_users_log_in_and_the_server_is_healthy(guarded: PostgreSQL) -> None:
    """The pool of DATABASE_URL's user and database is the one that the secrets were asked for on."""
    with Millrace(guarded, SETTINGS) as millrace, connect(millrace, password="millrace") as holds:
        holds.ask(query("BEGIN; SELECT 1"))
        assert holds.one("SELECT 1") == "1"
        assert health(millrace)["available"] is True
        with connect(millrace, user="ann", password="secret") as client:
            assert client.one("SELECT current_user") == "ann"
        assert [one.kind for one in holds.ask(query("COMMIT"))] == ["C", "Z"]


def test_a_probe_takes_nobodys_connection(guarded: PostgreSQL) -> None:
    with Millrace(guarded, SETTINGS) as millrace, connect(millrace, password="millrace") as client:
        pid = client.one("SELECT pg_backend_pid()")
        for _ in range(3):
            assert health(millrace)["available"] is True
            assert client.one("SELECT pg_backend_pid()") == pid


OWN = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'millrace'"


def test_they_are_few_and_kept(guarded: PostgreSQL) -> None:
    with Millrace(guarded, {**SETTINGS, "IO_THREADS": 4}) as millrace:
        clients = [Client(millrace.host, millrace.port) for _ in range(12)]
        for client in clients:
            assert client.log_in(user="ann", password="secret")[-1].kind == "Z"
        assert 1 <= int(guarded.admin(OWN)) <= 2
        before = guarded.admin("SELECT pid FROM pg_stat_activity WHERE application_name = 'millrace' ORDER BY pid")
        health(millrace)
        assert guarded.admin("SELECT pid FROM pg_stat_activity WHERE application_name = 'millrace' ORDER BY pid") == before
        for client in clients:
            client.close()


def test_they_are_opened_again_when_lost(guarded: PostgreSQL) -> None:
    with Millrace(guarded, SETTINGS) as millrace:
        assert health(millrace)["available"] is True
        guarded.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace'")
        eventually(lambda: guarded.admin(OWN) == "0", what="the connections to end")
        eventually(lambda: health(millrace)["available"] is True, what="the server to be found again")
        with connect(millrace, user="ann", password="secret") as client:
            assert client.one("SELECT 1") == "1"


def test_a_log_in_that_waits_in_vain_is_told_why(guarded: PostgreSQL) -> None:
    """Other start-up parameters need a server connection of their own, and there is no place for one."""
    with Millrace(guarded, {**SETTINGS, "POOL_WAIT_TIMEOUT_SECONDS": 0, "LOGIN_TIMEOUT_SECONDS": 1}) as millrace:
        with connect(millrace, password="millrace") as holds, Client(millrace.host, millrace.port) as client:
            holds.ask(query("BEGIN; SELECT 1"))
            answer = client.log_in(password="millrace", options="-c work_mem=3MB")[-1]
            assert (answer.kind, answer.fields["S"], answer.sqlstate) == ("E", "FATAL", "53300")


def test_a_slow_log_in_is_told_as_by_postgresql(guarded: PostgreSQL) -> None:
    with Millrace(guarded, {**SETTINGS, "LOGIN_TIMEOUT_SECONDS": 1}) as millrace, Client(millrace.host, millrace.port) as client:
        client.send(startup())
        errors = [one for one in client.until_closed() if one.kind == "E"]
        assert [(one.sqlstate, one.fields["M"]) for one in errors] == [("57014", "canceling authentication due to timeout")]
