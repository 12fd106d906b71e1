"""`millrace serve` before a real PostgreSQL: readiness, ports, reload, and every way to end."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

sys.path.insert(0, str(Path(os.environ["MILLRACE_SOURCE"]) / "tests"))

from harness import Millrace, PostgreSQL, free_port  # noqa: E402


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        yield server


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def connect(millrace: Millrace, **options: object) -> psycopg.Connection:
    return psycopg.connect(millrace.dsn(), **options)


def active(postgres: PostgreSQL, query: str) -> int:
    sql = f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = $q${query}$q$"
    return int(postgres.admin(sql))


@contextmanager
def in_background(work: Callable[[], object]) -> Iterator[list[object]]:
    """Runs `work` beside the block; its result, or exception, is in the list afterwards."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield outcome
    thread.join(20)
    assert not thread.is_alive()


def test_ready_means_that_the_ports_listen(postgres: PostgreSQL, tmp_path: Path) -> None:
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.settimeout(60)
    port, http_port = free_port(), free_port()
    process = subprocess.Popen(
        [os.environ["MILLRACE_BIN"], "serve", "--listen-port", str(port), "--http-port", str(http_port)],
        env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "MILLRACE_CONFIG": "/dev/null"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert told.recv(4096) == b"READY=1"
        for listening in (port, http_port):
            socket.create_connection(("127.0.0.1", listening), timeout=1).close()
    finally:
        process.terminate()
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"listening postgresql=127.0.0.1:{port}" in log
    assert f"http=127.0.0.1:{http_port}" in log


@pytest.mark.parametrize("taken_port", ["--listen-port", "--http-port"])
def test_a_port_in_use_is_a_clear_error(taken_port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = {"--listen-port": "0", "--http-port": "0"} | {taken_port: str(port)}
        done = subprocess.run(
            [os.environ["MILLRACE_BIN"], "serve", *(word for pair in arguments.items() for word in pair)],
            env={"MILLRACE_CONFIG": "/dev/null"}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"could not listen on 127.0.0.1:{port}: Address already in use" in done.stderr


def test_the_limit_of_open_files_is_raised(postgres: PostgreSQL) -> None:
    with Millrace(postgres) as millrace:
        limits = Path(f"/proc/{millrace.pid}/limits").read_text()
        soft, hard = next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3:5]
        assert soft == hard


def test_status_of_a_running_one(postgres: PostgreSQL) -> None:
    with Millrace(postgres) as millrace, connect(millrace) as client:
        client.execute("SELECT 1")
        command = [os.environ["MILLRACE_BIN"], "status", "--http-port", str(millrace.http_port)]
        summary = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert summary.returncode == 0
        assert summary.stdout.startswith("Millrace 0.")
        assert "  clients  1 connected" in summary.stdout
        whole = json.loads(subprocess.run([*command, "--json"], capture_output=True, timeout=60).stdout)
        assert whole["status"] == "active"
        assert whole["wire"]["clients"]["connected"] == 1


def test_top_and_slow_of_a_running_one(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"SLOW_QUERY_THRESHOLD_MS": 50}) as millrace:
        with connect(millrace, autocommit=True) as client:
            client.execute("SELECT pg_sleep(0.1), 'twice' AS \"\x1b[7mnamed\"")

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [os.environ["MILLRACE_BIN"], *arguments, "--http-port", str(millrace.http_port)]
            return subprocess.run(command, capture_output=True, text=True, timeout=60)

        wait_for(lambda: json.loads(run("top", "--json").stdout)["total_count"] == 1)
        top = run("top", "--window", "0", "--sort", "p99").stdout.splitlines()
        assert top[0].split()[:3] == ["total", "%", "calls"]
        assert top[1].endswith('SELECT pg_sleep(?), ? AS " [7mnamed"')
        (slow,) = json.loads(run("slow", "--min-duration-ms", "50", "--json").stdout)["slow_queries"]
        printed = run("slow", "--min-duration-ms", "50").stdout
        assert slow["query_id"] in printed and "SELECT pg_sleep(0.1), 'twice'" in printed
        assert "\x1b" not in printed
        assert run("slow", "--min-duration-ms", "900000").stdout == "no query took so long\n"
        assert run("top", "--sort", "beauty").returncode == 2


def test_top_wants_a_key_where_there_are_keys(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"API_KEY_HASHES": hashlib.sha256(b"mr_key").hexdigest()}) as millrace:
        command = [os.environ["MILLRACE_BIN"], "top", "--http-port", str(millrace.http_port)]
        without = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert without.returncode == 1
        assert "MILLRACE_API_KEY" in without.stderr
        with_key = subprocess.run(command, env={**os.environ, "MILLRACE_API_KEY": "mr_key"}, capture_output=True, timeout=60)
        assert with_key.returncode == 0


def test_health_answers_soon_when_the_database_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        settings = {"DATABASE_URL": f"postgresql://u@127.0.0.1:{port}/d", "AUTH_TYPE": "trust"}
        with Millrace(None, settings) as millrace:
            with urllib.request.urlopen(f"{millrace.http_url}/api/v1/optimization/health", timeout=60) as answer:
                health = json.load(answer)
            assert health["overall_status"] == "unhealthy"
            assert health["services"]["postgresql"]["available"] is False


def test_a_unix_socket_on_both_sides(postgres: PostgreSQL, tmp_path: Path) -> None:
    url = f"postgresql://postgres@/postgres?host={postgres.socket_folder}&port={postgres.port}"
    settings = {"DATABASE_URL": url, "AUTH_TYPE": "trust", "UNIX_SOCKET_DIR": str(tmp_path)}
    with Millrace(None, settings) as millrace:
        with psycopg.connect(f"host={tmp_path} port={millrace.port} user=postgres dbname=postgres") as client:
            assert client.execute("SELECT 1").fetchone() == (1,)
    assert not list(tmp_path.iterdir()), "the socket is removed at the end"


def test_sighup_changes_what_new_clients_get(postgres: PostgreSQL, tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    users.write_text('"postgres" "old"\n')
    settings = {"AUTH_TYPE": "scram-sha-256", "AUTH_FILE": str(users)}
    with Millrace(postgres, settings) as millrace:
        psycopg.connect(millrace.dsn(password="old")).close()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(millrace.dsn(password="new"))
        users.write_text('"postgres" "new"\n')
        millrace.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "settings were reloaded" in millrace.log)
        psycopg.connect(millrace.dsn(password="new")).close()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(millrace.dsn(password="old"))


def test_sigterm_lets_what_runs_finish(postgres: PostgreSQL, pool_mode: str) -> None:
    with Millrace(postgres, {"POOL_MODE": pool_mode}) as millrace:
        idle, busy = connect(millrace, autocommit=True), connect(millrace, autocommit=True)
        idle.execute("SELECT 1")
        query = "SELECT 'finished', pg_sleep(1.5)"
        with in_background(lambda: busy.execute(query).fetchone()) as outcome:
            wait_for(lambda: active(postgres, query) == 1)
            millrace.process.send_signal(signal.SIGTERM)
            wait_for(lambda: not answers(idle))
            assert not accepts(millrace)
            assert active(postgres, query) == 1, "it still runs"
        assert outcome == [("finished", "")]
        assert millrace.process.wait(30) == 0


def test_sigterm_lets_http_answer_what_was_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as database:
        settings = {"DATABASE_URL": f"postgresql://u@127.0.0.1:{database.getsockname()[1]}/d", "AUTH_TYPE": "trust"}
        with Millrace(None, settings) as millrace:

            def health() -> object:
                with urllib.request.urlopen(f"{millrace.http_url}/health", timeout=60) as answer:
                    return json.load(answer)["services"]["postgresql"]["available"]

            with in_background(health) as outcome:
                database.settimeout(10)
                with database.accept()[0]:
                    millrace.process.send_signal(signal.SIGTERM)
                    wait_for(lambda: not listens(millrace.http_port))
                    database.close()
            assert outcome == [False]
            assert millrace.process.wait(30) == 0


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def answers(client: psycopg.Connection) -> bool:
    try:
        client.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def accepts(millrace: Millrace) -> bool:
    try:
        connect(millrace, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def test_sigterm_waits_for_an_open_transaction(postgres: PostgreSQL, pool_mode: str) -> None:
    with Millrace(postgres, {"POOL_MODE": pool_mode}) as millrace:
        client = connect(millrace)
        client.execute("CREATE TEMPORARY TABLE t (x int) ON COMMIT DROP")
        millrace.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "shutting down" in millrace.log)
        time.sleep(0.7)
        client.execute("INSERT INTO t VALUES (1)")
        client.commit()
        assert millrace.process.wait(30) == 0


@pytest.mark.parametrize("why", ["the time-out", "a second signal"])
def test_what_takes_too_long_is_cut_off(postgres: PostgreSQL, pool_mode: str, why: str) -> None:
    timeout = "1" if why == "the time-out" else "60"
    with Millrace(postgres, {"POOL_MODE": pool_mode, "SHUTDOWN_TIMEOUT_SECONDS": timeout}) as millrace:
        client = connect(millrace, autocommit=True)
        query = f"SELECT pg_sleep(60), '{why} {pool_mode}'"
        with in_background(lambda: client.execute(query)) as outcome:
            wait_for(lambda: active(postgres, query) == 1)
            millrace.process.send_signal(signal.SIGTERM)
            if why == "a second signal":
                wait_for(lambda: "shutting down" in millrace.log)
                millrace.process.send_signal(signal.SIGTERM)
            assert millrace.process.wait(30) == 0
        assert isinstance(outcome[0], psycopg.OperationalError)
        assert why in millrace.log
        wait_for(lambda: active(postgres, query) == 0)


@pytest.fixture(params=["session", "transaction"])
def pool_mode(request: pytest.FixtureRequest) -> str:
    return request.param
