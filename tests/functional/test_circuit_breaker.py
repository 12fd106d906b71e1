"""A server that can't be reached: who needs it is told at once, who doesn't is answered, and all goes on when it is back."""

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from test_change_stream import LOGICAL, is_a_hit
from wire import SYNC, Client, Gone, Message, bind, connect, copy_data, eventually, execute, message, parse, query

from harness import Millrace, PostgreSQL, proc

POSTGRESQL = LOGICAL
SCHEMA = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10)"
SETTINGS: dict[str, str | int] = {
    "POOL_MODE": "transaction", "POOL_SIZE": 1, "POOL_WAIT_TIMEOUT_SECONDS": 300, "SERVER_CONNECT_TIMEOUT_SECONDS": 1,
    "CACHE_DEFAULT_TTL_SECONDS": 3600, "ENABLE_EMERGENCY_CIRCUIT_BREAKER": "true", "SERVER_TLS_MODE": "disable",
}  # fmt: skip
READ = "SELECT v FROM t WHERE id = 1"
UNCACHED = "SELECT txid_current() > 0"


@pytest.fixture(scope="module", params=["executor", "no executor"])
def millrace(postgres: PostgreSQL, request: pytest.FixtureRequest) -> Iterator[Millrace]:
    on = request.param == "executor"
    with Millrace(postgres, {**SETTINGS, "ENABLE_ADAPTIVE_EXECUTOR": str(on).lower(), "MAX_CONCURRENT_QUERIES": 50}) as server:
        yield server


def level(millrace: Millrace, name: str, **log_in: str) -> Client:
    return connect(millrace, options=f"-c millrace.consistency={name}", **log_in)


def state(millrace: Millrace) -> str:
    return answer(millrace, "optimization/status")["service_health"]["circuit_breaker_state"]


def is_open(millrace: Millrace) -> bool:
    return state(millrace) != "closed"


def opens(millrace: Millrace, client: Client) -> None:
    """While the server is down: each question that needs it fails, and the client's session goes on."""

    def is_refused() -> bool:
        error = failure(client, UNCACHED)
        assert error.fields["S"] == "ERROR"
        return is_open(millrace)

    eventually(is_refused)


def failure(client: Client, sql: str) -> Message:
    """The one error."""
    (error,) = (one for one in client.ask(query(sql)) if one.kind == "E")
    return error


@contextlib.contextmanager
def killed(postgres: PostgreSQL, millrace: Millrace) -> Iterator[None]:
    """What was open is known to be gone. At its end it is in reach again."""
    postgres.kill()
    try:
        eventually(lambda: millrace.metric("server_connections_idle") == 0)
        yield
    finally:
        postgres.start()
        closes(millrace)


@contextlib.contextmanager
def stopped(postgres: PostgreSQL) -> Iterator[None]:
    """Its processes accept what they are sent, and answer nothing."""
    pids = [postgres.pid, *proc.children(postgres.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def closes(millrace: Millrace) -> None:
    eventually(lambda: state(millrace) == "closed", what="the breaker to close")


def is_kept(millrace: Millrace, client: Client, sql: str) -> None:
    eventually(lambda: is_a_hit(millrace, client, sql))


def test_what_needs_the_server_is_refused_and_the_session_goes_on(postgres: PostgreSQL, millrace: Millrace) -> None:
    with level(millrace, "none") as client:
        assert client.one(UNCACHED) == "t"
        opened = millrace.metric("circuit_breaker_opened_total")
        with killed(postgres, millrace):
            opens(millrace, client)
            error = failure(client, UNCACHED)
            assert (error.sqlstate, error.fields["S"]) == ("55000", "ERROR")
            assert f"{postgres.host}:{postgres.port}" in error.fields["M"]
            assert "hasn't answered for" in error.fields["H"] and "tried" in error.fields["H"]
            assert millrace.metric("circuit_breaker_opened_total") == opened + 1
        assert client.one(UNCACHED) == "t"


def test_what_is_in_memory_is_answered(postgres: PostgreSQL, millrace: Millrace) -> None:
    """At the levels that don't ask the primary: session, what it has seen; strong asks it."""
    with level(millrace, "eventual") as eventual, level(millrace, "session") as session, level(millrace, "strong") as strong:
        for client in (eventual, session, strong):
            is_kept(millrace, client, READ)
        with killed(postgres, millrace):
            opens(millrace, eventual)
            for client in (eventual, session, eventual, session):
                assert client.one(READ) == "10"
            assert failure(strong, READ).sqlstate == "55000"
            answer = session.ask(query("BEGIN"), query(READ), query("COMMIT"), times=3)
            assert [one.kind for one in answer] == list("CZTDCZCZ")
        eventually(lambda: not any(one.kind == "E" for one in strong.ask(query(READ))))


def test_a_batch_and_a_transaction_are_refused_as_others_that_fail(postgres: PostgreSQL, millrace: Millrace) -> None:
    with level(millrace, "none") as client:
        with killed(postgres, millrace):
            opens(millrace, client)
            batch = (parse(UNCACHED), bind(), execute())
            answer = client.ask(*batch, *batch, SYNC, *batch, SYNC, times=2)
            assert [one.kind for one in answer] == list("EZEZ")
            assert {one.sqlstate for one in answer if one.kind == "E"} == {"55000"}
            answer = client.ask(query("BEGIN"), query(UNCACHED), query("SELECT 1"), query("ROLLBACK"), times=4)
            assert [one.kind for one in answer] == list("CZEZEZCZ")
            assert [one.sqlstate for one in answer if one.kind == "E"] == ["55000", "25P02"]
        assert client.one(UNCACHED) == "t"


def test_log_ins_are_refused_at_once(postgres: PostgreSQL, millrace: Millrace) -> None:
    with level(millrace, "none") as client:
        with killed(postgres, millrace):
            opens(millrace, client)
            with Client(millrace.host, millrace.port) as other:
                error = other.log_in()[-1]
                assert (error.kind, error.sqlstate, error.fields["S"]) == ("E", "57P03", "FATAL")
                assert "D" not in error.fields and str(postgres.port) not in str(error.fields)
                with pytest.raises(Gone):
                    other.receive()
    connect(millrace).close()


def test_who_waits_is_told_when_it_opens(postgres: PostgreSQL, millrace: Millrace) -> None:
    """For the pool's only connection, whose client waits for an answer itself; for five minutes if need be."""
    with level(millrace, "none") as holds, level(millrace, "none") as waits:
        holds.ask(query("BEGIN"), query(UNCACHED), times=2)
        waits.send(query(UNCACHED))
        waiting = "queries_waiting" if millrace.settings["ENABLE_ADAPTIVE_EXECUTOR"] == "true" else "clients_waiting"
        eventually(lambda: millrace.metric(waiting) == 1)
        with stopped(postgres):
            holds.send(query("SELECT 'late'"))
            error = waits.until("E")[-1]
            assert (error.sqlstate, error.fields["S"]) == ("55000", "ERROR")
            waits.until("Z")
        # What was on its way is answered, and shows that the server is back.
        assert any(one.kind == "D" for one in holds.until("Z"))
        holds.ask(query("COMMIT"))
        closes(millrace)
        assert waits.one(UNCACHED) == "t"


def test_who_is_refused_by_the_server_doesnt_open_it(postgres: PostgreSQL, millrace: Millrace) -> None:
    answered = millrace.metric("circuit_breaker_attempts_answered_total")
    failed = millrace.metric("circuit_breaker_attempts_failed_total")
    for _ in range(8):
        with Client(millrace.host, millrace.port) as client:
            assert client.log_in(database="nowhere")[-1].sqlstate == "3D000"
        with Client(millrace.host, millrace.port) as client:
            assert client.log_in(user="nobody")[-1].sqlstate == "28000"
    assert state(millrace) == "closed"
    assert millrace.metric("circuit_breaker_attempts_answered_total") >= answered + 16
    assert millrace.metric("circuit_breaker_attempts_failed_total") == failed


USERS = [f"late_{number}" for number in range(6)]


def log_ins_fail(millrace: Millrace, database: str) -> None:
    """Each needs a connection of its own, and hears nothing there."""

    def log_in(user: str) -> None:
        with Client(millrace.host, millrace.port) as client:
            refused.append(client.log_in(user=user, database=database)[-1])

    refused: list[Message] = []
    threads = [threading.Thread(target=log_in, args=(user,)) for user in USERS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(error.kind, error.sqlstate) for error in refused} == {("E", "08006")}


def test_a_database_that_is_locked_doesnt_open_it(postgres: PostgreSQL, millrace: Millrace) -> None:
    """Its log-ins wait, and hear nothing."""
    postgres.admin("DROP DATABASE IF EXISTS locked")
    postgres.admin("CREATE DATABASE locked")
    for user in USERS:
        postgres.admin(f"CREATE ROLE {user} LOGIN")
    failed = millrace.metric("circuit_breaker_attempts_failed_total")
    with connect(postgres) as holder:
        holder.ask(query("BEGIN"), query("ALTER DATABASE locked RENAME TO renamed"), times=2)
        log_ins_fail(millrace, "locked")
        holder.ask(query("ROLLBACK"))
    postgres.admin("DROP DATABASE locked")
    for user in USERS:
        postgres.admin(f"DROP ROLE {user}")
    assert state(millrace) == "closed"
    assert millrace.metric("circuit_breaker_attempts_failed_total") == failed


def test_a_server_that_answers_on_a_connection_that_is_open_isnt_given_up(postgres: PostgreSQL, millrace: Millrace) -> None:
    """Nobody can connect any more; who is connected goes on."""
    opened = millrace.metric("circuit_breaker_opened_total")
    failed = millrace.metric("circuit_breaker_attempts_failed_total")
    with level(millrace, "none") as client:
        assert client.one(UNCACHED) == "t"
        os.kill(postgres.pid, signal.SIGSTOP)
        try:
            log_ins_fail(millrace, "postgres")
            assert millrace.metric("circuit_breaker_attempts_failed_total") >= failed + 6
            log_ins_fail(millrace, "postgres")
            assert client.one(UNCACHED) == "t"
        finally:
            os.kill(postgres.pid, signal.SIGCONT)
    assert state(millrace) == "closed"
    assert millrace.metric("circuit_breaker_opened_total") == opened


def test_a_name_that_cant_be_resolved_doesnt_open_it() -> None:
    settings = {**SETTINGS, "DATABASE_URL": "postgresql://postgres@nowhere.invalid:5432/postgres", "AUTH_TYPE": "trust"}
    with Millrace(None, settings) as millrace:
        for _ in range(8):
            with Client(millrace.host, millrace.port) as client:
                assert client.log_in()[-1].sqlstate == "08000"
        assert state(millrace) == "closed"
        assert millrace.metric("circuit_breaker_attempts_failed_total") == 0


def test_what_pools_do_to_a_connection_finds_it_alive(postgres: PostgreSQL, millrace: Millrace) -> None:
    """They end a transaction that has failed, and ask nothing: so pgjdbc does, as batches, and pgx."""
    with level(millrace, "none") as client:
        with killed(postgres, millrace):
            opens(millrace, client)
            assert client.ask(query("BEGIN"), query(UNCACHED), times=2)[-1].body == b"E"
            answer = client.ask(parse("ROLLBACK"), bind(), execute(), SYNC)
            assert [one.kind for one in answer] == list("12CZ") and answer[-1].body == b"I"
            assert [one.kind for one in client.ask(parse(""), bind(), execute(), SYNC)] == list("12IZ")
            assert [one.kind for one in client.ask(query("-- ping"))] == list("IZ")
        assert client.one(UNCACHED) == "t"


def test_connections_that_are_ended_dont_open_it(postgres: PostgreSQL, millrace: Millrace) -> None:
    lost, opened = (millrace.metric(f"circuit_breaker_{name}_total") for name in ("lost_connections", "opened"))
    for _ in range(6):
        with level(millrace, "none") as client:
            client.ask(query("BEGIN"), query(UNCACHED), times=2)
            postgres.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'")
            client.until_closed()
    assert state(millrace) == "closed"
    assert millrace.metric("circuit_breaker_opened_total") == opened
    assert millrace.metric("circuit_breaker_lost_connections_total") >= lost + 6


def test_what_rest_shows(postgres: PostgreSQL, millrace: Millrace) -> None:
    if millrace.settings["ENABLE_ADAPTIVE_EXECUTOR"] != "true":
        assert answer(millrace, "optimization/status")["service_health"]["circuit_breaker_state"] == "closed"
        return
    (breaker,) = answer(millrace, "execution/metrics")["circuit_breakers"]
    assert (breaker["name"], breaker["state"]) == (f"{postgres.host}:{postgres.port}", "closed")
    assert breaker["next_attempt_time"] is None and breaker["seconds_until_retry"] is None
    with level(millrace, "none") as client:
        with killed(postgres, millrace):
            opens(millrace, client)
            (breaker,) = answer(millrace, "execution/metrics")["circuit_breakers"]
            assert breaker["state"] in ("open", "half_open") and breaker["recent_failures"] >= 5
            assert breaker["next_attempt_time"] and breaker["seconds_until_retry"] <= 10
            assert breaker["config"]["failure_threshold"] == 5 and breaker["config"]["sliding_window_size"] == 10
            metrics = breaker["metrics"]
            assert metrics["failed_requests"] >= 5 and metrics["circuit_open_count"] >= 1
            assert metrics["total_requests"] == metrics["failed_requests"] + metrics["successful_requests"]
            assert 0 < metrics["success_rate"] < 1 and metrics["last_failure_time"]
            assert answer(millrace, "optimization/status")["service_health"]["circuit_breaker_state"] != "closed"


def answer(millrace: Millrace, path: str) -> dict[str, Any]:
    connection = millrace.http_connection()
    try:
        connection.request("GET", f"/api/v1/{path}")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_a_job_is_refused_too(postgres: PostgreSQL, millrace: Millrace) -> None:
    with level(millrace, "none") as client:
        with killed(postgres, millrace):
            opens(millrace, client)
            connection = millrace.http_connection()
            connection.request(
                "POST", "/api/v1/execution/queries", body=json.dumps({"sql": UNCACHED}), headers={"Content-Type": "application/json"}
            )
            job = json.loads(connection.getresponse().read())["execution_id"]
            connection.close()
            eventually(lambda: answer(millrace, f"execution/queries/{job}")["status"] == "failed")
            assert "55000" in json.dumps(answer(millrace, f"execution/queries/{job}")["error"])


def test_switched_off_each_finds_out_by_itself(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {**SETTINGS, "ENABLE_EMERGENCY_CIRCUIT_BREAKER": "false"}) as millrace, level(millrace, "none") as client:
        assert client.one(UNCACHED) == "t"
        with killed(postgres, millrace):
            for _ in range(20):
                error = failure(client, UNCACHED)
                assert error.sqlstate == "55000" and "could not connect" in error.fields["M"]
            assert state(millrace) == "closed"
        assert client.one(UNCACHED) == "t"


@pytest.mark.parametrize("switch", ["true", "false"])
def test_data_sent_ahead_of_a_refusal_is_ignored(postgres: PostgreSQL, switch: str) -> None:
    """And a Sync by itself is answered: as PostgreSQL does after an error."""
    with Millrace(postgres, {**SETTINGS, "ENABLE_EMERGENCY_CIRCUIT_BREAKER": switch}) as millrace, connect(millrace) as client:
        with killed(postgres, millrace):
            for _ in range(8):
                told = client.ask(query("COPY nowhere FROM STDIN"), copy_data("1\n"), message("c"), query(UNCACHED), times=2)
                assert [one.kind for one in told] == ["E", "Z", "E", "Z"]
                assert [str(one) for one in client.ask(SYNC)] == ["ReadyForQuery I"]
        assert client.one(UNCACHED) == "t"
