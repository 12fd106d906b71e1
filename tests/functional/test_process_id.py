"""The key that a client is given at its log-in: its process id, and what a cancel request with it does."""

import struct

from wire import Client, cancel_request, connect, eventually, query

from harness import Millrace, PostgreSQL

LARGEST_PROCESS = 1 << 22
PID = "SELECT pg_backend_pid()"


def running(postgres: PostgreSQL, text: str) -> bool:
    return postgres.admin(f"SELECT count(*) FROM pg_stat_activity WHERE query = '{text}' AND state = 'active'") == "1"


def cancelled(postgres: PostgreSQL, millrace: Millrace, client: Client, key: tuple[int, int]) -> str:
    sleep = f"SELECT pg_sleep(60) /* {key[0]} {key[1]} */"
    client.send(query(sleep))
    eventually(lambda: running(postgres, sleep), what="the query to run")
    cancel_request(millrace.host, millrace.port, (key[0], key[1] ^ 1))
    assert running(postgres, sleep), "another secret cancels nothing"
    cancel_request(millrace.host, millrace.port, key)
    (error,) = (one for one in client.until("Z") if one.kind == "E")
    return error.sqlstate


def test_in_session_mode_it_is_the_servers(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"POOL_MODE": "session", "POOL_SIZE": 2}) as millrace:
        for _ in range(2):
            with connect(millrace) as client, connect(millrace, application_name="other") as other:
                assert [client.key[0], other.key[0]] == [int(client.one(PID) or 0), int(other.one(PID) or 0)]
                client.ask(query("LISTEN birds"))
                told = next(one for one in client.ask(query("NOTIFY birds")) if one.kind == "A")
                assert struct.unpack_from("!I", told.body)[0] == client.key[0]
                assert cancelled(postgres, millrace, client, client.key) == "57014"
                assert other.one(f"SELECT pg_terminate_backend({client.key[0]})") == "t"
                assert [one.sqlstate for one in client.until_closed() if one.kind == "E"] == ["57P01"]


def test_in_session_mode_a_full_pool_lets_in(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"POOL_MODE": "session", "POOL_SIZE": 1}) as millrace, connect(millrace) as waits_for:
        with connect(millrace) as client:
            assert LARGEST_PROCESS < client.key[0] < 1 << 31
            client.send(query("SELECT 'in turn'"))
            waits_for.close()
            assert [one.row for one in client.until("Z") if one.kind == "D"] == [[b"in turn"]]
            assert cancelled(postgres, millrace, client, client.key) == "57014"


def test_in_transaction_mode_it_is_nobodys(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"POOL_MODE": "transaction", "POOL_SIZE": 1}) as millrace:
        with connect(millrace) as client, connect(millrace) as other:
            assert all(LARGEST_PROCESS < one.key[0] < 1 << 31 for one in (client, other))
            assert client.key[0] != other.key[0]
            assert other.one(f"SELECT pg_terminate_backend({client.key[0]})") == "f"
            assert cancelled(postgres, millrace, client, client.key) == "57014"
            assert cancelled(postgres, millrace, other, other.key) == "57014"
