"""Start, reload, restart and end of Millrace and of the server behind it; and what REST says meanwhile."""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest
from wire import Client, connect, eventually, message, query

from harness import Millrace, PostgreSQL, free_port, millrace_binary
from harness.temporary import temporary_folder

PREFIXES = ("/api/v1/optimization", "/api/v1/optimization/optimization")


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL, pool_mode: str) -> Iterator[Millrace]:
    with Millrace(postgres, {"POOL_MODE": pool_mode, "SHUTDOWN_TIMEOUT_SECONDS": 10}) as server:
        yield server


def test_what_runs_finishes_before_the_end(postgres: PostgreSQL, pool_mode: str) -> None:
    with Millrace(postgres, {"POOL_MODE": pool_mode, "SHUTDOWN_TIMEOUT_SECONDS": 300}) as millrace:
        busy, idle = connect(millrace), connect(millrace)
        in_transaction = connect(millrace)
        in_transaction.ask(query("BEGIN; SELECT 1"))
        busy.send(query("SELECT pg_sleep(1.5)::text || 'finished'"))
        eventually(lambda: postgres.runs("finished"), what="the query to run")
        millrace.process.send_signal(signal.SIGTERM)
        assert [one.row for one in busy.until("Z") if one.kind == "D"] == [[b"finished"]]
        answer = in_transaction.ask(query("COMMIT"))
        assert [one.kind for one in answer] == ["C", "Z"]
        for client in (idle, busy, in_transaction):
            got = client.until_closed()
            assert [one.sqlstate for one in got if one.kind == "E"] in (["57P01"], [])
        assert millrace.process.wait(60) == 0


def test_the_end_does_not_wait_for_ever(postgres: PostgreSQL, pool_mode: str) -> None:
    with Millrace(postgres, {"POOL_MODE": pool_mode, "SHUTDOWN_TIMEOUT_SECONDS": 1}) as millrace:
        with connect(millrace) as client:
            client.send(query("SELECT pg_sleep(600) /* the end */"))
            eventually(lambda: postgres.runs("/* the end */"), what="the query to run")
            assert millrace.stop() == 0
            assert [one.sqlstate for one in client.until_closed() if one.kind == "E"] in (["57P01"], [])
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%the end */' AND state = 'active' AND pid <> pg_backend_pid()"
    eventually(lambda: postgres.admin(running) == "0", what="the query to be stopped")


def test_reload(postgres: PostgreSQL, pool_mode: str) -> None:
    """New settings for those that come, nothing lost for those that are here."""
    file = temporary_folder("config") / "millrace.toml"
    file.write_text("MAX_CLIENT_CONNECTIONS = 50\n")
    with Millrace(postgres, {"POOL_MODE": pool_mode}, arguments=["--config", str(file)]) as millrace:
        clients = [connect(millrace) for _ in range(3)]
        clients[0].ask(query("BEGIN; SELECT 1"))
        file.write_text("MAX_CLIENT_CONNECTIONS = 3\n")
        millrace.process.send_signal(signal.SIGHUP)

        def refused() -> bool:
            with Client(millrace.host, millrace.port) as client:
                answer = client.log_in()[-1]
                return answer.kind == "E" and answer.sqlstate == "53300"

        eventually(refused, what="the new limit to hold")
        file.write_text("MAX_CLIENT_CONNECTIONS = 'many'\n")
        millrace.process.send_signal(signal.SIGHUP)
        eventually(lambda: "MAX_CLIENT_CONNECTIONS" in millrace.log, what="the mistake to be named")
        assert clients[0].one("SELECT 'still in its transaction'") == "still in its transaction"
        assert [one.kind for one in clients[0].ask(query("COMMIT"))] == ["C", "Z"]
        assert refused()
        for client in clients:
            client.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_server_restarts(pool_mode: str, how: signal.Signals) -> None:
    with PostgreSQL() as postgres, Millrace(postgres, {"POOL_MODE": pool_mode}) as millrace:
        idle, running, open_transaction = connect(millrace), connect(millrace), connect(millrace)
        idle.one("SELECT 1")
        open_transaction.ask(query("BEGIN; SELECT 1"))
        running.send(query("SELECT pg_sleep(60)"))
        eventually(lambda: postgres.admin("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'") == "1")
        if how == signal.SIGKILL:
            postgres.kill()
        else:
            postgres.stop()
        codes = [one.sqlstate for one in running.until_closed() if one.kind == "E"]
        assert codes, "a query that ran must hear an error"
        assert all(code[:2] in ("57", "08") for code in codes), codes
        with Client(millrace.host, millrace.port) as client:  # while it is down
            answer = client.log_in()[-1]
            if answer.kind == "Z":
                answer = client.ask_or_error("SELECT 1")
            assert answer.kind == "E"
            assert answer.sqlstate[:2] in ("08", "57"), str(answer)
        postgres.start()

        def served() -> bool:
            try:
                with connect(millrace) as client:
                    return client.one("SELECT 'again'") == "again"
            except (ConnectionError, RuntimeError):
                return False

        eventually(served, what="new queries to work")
        if pool_mode == "transaction":
            assert idle.one("SELECT 'an idle client noticed nothing'")


def test_a_server_connection_that_is_terminated(postgres: PostgreSQL, millrace: Millrace) -> None:
    with connect(millrace) as victim, connect(millrace) as other:
        victim.ask(query("BEGIN; SELECT 1"))
        pid = victim.one("SELECT pg_backend_pid()")
        assert other.one("SELECT 'undisturbed'") == "undisturbed"
        postgres.admin(f"SELECT pg_terminate_backend({pid})")
        got = victim.until_closed()
        assert [one.sqlstate for one in got if one.kind == "E"] == ["57P01"]
        assert other.one("SELECT 'undisturbed'") == "undisturbed"


def test_errors_of_the_configuration() -> None:
    for settings, named in (({"POOL_SIZE": "many"}, "POOL_SIZE"), ({"TLS_CERT_FILE": "/nowhere.crt", "TLS_KEY_FILE": "/nowhere.key"}, "nowhere"),
                            ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL")):  # fmt: skip
        environment = {f"MILLRACE_{name}": value for name, value in settings.items()}
        done = subprocess.run([millrace_binary(), "serve", "--check"], env=environment, capture_output=True, text=True, timeout=10)
        assert done.returncode != 0
        assert named in done.stderr + done.stdout, done


def test_a_port_that_is_taken(postgres: PostgreSQL, millrace: Millrace) -> None:
    environment = {"MILLRACE_DATABASE_URL": postgres.dsn(), "MILLRACE_LISTEN_PORT": str(millrace.port), "MILLRACE_HTTP_PORT": str(free_port())}
    done = subprocess.run([millrace_binary(), "serve"], env=environment, capture_output=True, text=True, timeout=10)
    assert done.returncode != 0
    assert str(millrace.port) in done.stderr + done.stdout


# --- REST ---


def ask(millrace: Millrace, method: str, target: str, body: bytes | None = None, **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = millrace.http_connection()
    try:
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode(), {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()


def test_status(millrace: Millrace) -> None:
    with connect(millrace) as client:
        client.one("SELECT 1")
    for prefix in PREFIXES:
        code, body, headers = ask(millrace, "GET", f"{prefix}/status")
        assert (code, headers["content-type"]) == (200, "application/json")
        status = json.loads(body)
        assert status["status"] == "active"
        assert {"optimization_engine_available", "cache_stats", "optimization_counts", "service_health"} <= status.keys()


def test_health(millrace: Millrace) -> None:
    for prefix in PREFIXES:
        code, body, _ = ask(millrace, "GET", f"{prefix}/health")
        health = json.loads(body)
        assert code == 200
        assert {"overall_status", "health_score", "services", "checked_at"} <= health.keys()
        assert {"optimization_engine", "cache_manager", "performance_monitor", "query_executor", "cache_integration"} <= health["services"].keys()


def test_metrics(millrace: Millrace) -> None:
    with connect(millrace) as client:
        for _ in range(10):
            client.one("SELECT 1")
        code, body, headers = ask(millrace, "GET", "/metrics")
    assert code == 200
    assert headers["content-type"].startswith("text/plain")
    assert "# TYPE millrace_" in body


def test_openapi(millrace: Millrace) -> None:
    code, body, _ = ask(millrace, "GET", "/openapi.json")
    document = json.loads(body)
    assert code == 200
    assert document["openapi"].startswith("3.")
    assert "/api/v1/optimization/status" in document["paths"]


def test_http_errors(millrace: Millrace) -> None:
    code, body, _ = ask(millrace, "GET", "/nowhere")
    assert (code, json.loads(body)) == (404, {"detail": "Not Found"})
    code, body, headers = ask(millrace, "DELETE", "/api/v1/optimization/status")
    assert (code, json.loads(body)) == (405, {"detail": "Method Not Allowed"})
    assert "GET" in headers["allow"]


def test_a_body_that_is_too_large(millrace: Millrace) -> None:
    with Client(millrace.host, millrace.http_port) as client:
        client.socket.sendall(b"POST /api/v1/optimization/status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert client.receive_exactly(12) in (b"HTTP/1.1 413", b"HTTP/1.1 405")


def test_http_that_is_none(millrace: Millrace) -> None:
    for sent in (b"\0\0\0\x08\x04\xd2\x16\x2f", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100000, message("Q", b"SELECT 1\0")):
        with Client(millrace.host, millrace.http_port, seconds=20) as client:
            try:
                client.socket.sendall(sent)
                client.socket.shutdown(1)
                while client.socket.recv(65536):
                    pass
            except OSError:
                pass
    assert ask(millrace, "GET", "/metrics")[0] == 200


def test_rest_answers_while_the_server_is_down(pool_mode: str) -> None:
    with PostgreSQL() as postgres, Millrace(postgres, {"POOL_MODE": pool_mode}) as millrace:
        with connect(millrace) as client:
            client.one("SELECT 1")
        postgres.stop()
        code, body, _ = ask(millrace, "GET", "/api/v1/optimization/health")
        assert code in (200, 503)
        assert json.loads(body)
        postgres.start()


def test_many_start_at_once(millrace: Millrace) -> None:
    """A crowd at the door, in any order."""
    answers: list[str | None] = []

    def one(number: int) -> None:
        with connect(millrace) as client:
            answers.append(client.one(f"SELECT {number}"))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, filter(None, answers))) == list(range(15))
