"""Queries as jobs over REST: scheduled, looked at, cancelled, and their results; with turns and without."""

import csv
import functools
import hashlib
import io
import json
import socket
import struct
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from wire import Client, connect, eventually, gives_all_turns_back, query

from harness import Millrace, PostgreSQL
from harness.duckdb_library import duckdb_rows

SCHEMA = "CREATE TABLE gates (id int PRIMARY KEY); INSERT INTO gates VALUES (1); CREATE TABLE done (what text)"
QUERIES = "/api/v1/execution/queries"
ENDED = {"completed", "failed", "cancelled", "timeout"}


@pytest.fixture(scope="module")
def server(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres, {"MAX_CONCURRENT_QUERIES": 1, "POOL_MODE": "transaction"}) as one:
        yield one


@pytest.fixture
def millrace(server: Millrace) -> Iterator[Millrace]:
    yield server
    gives_all_turns_back(server)


def ask(
    millrace: Millrace, method: str, rest: str = "", body: Any = None, **headers: str
) -> tuple[HTTPResponse, bytes]:
    connection = millrace.http_connection()
    text = None if body is None else json.dumps(body)
    connection.request(method, QUERIES + rest, text, {"Content-Type": "application/json"} | headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def schedule(millrace: Millrace, sql: str, **how: Any) -> str:
    answer, content = ask(millrace, "POST", body={"sql": sql} | how)
    assert answer.status == 202, content
    execution = json.loads(content)
    assert answer.headers["Location"] == f"{QUERIES}/{execution['execution_id']}"
    return "/" + execution["execution_id"]


def look(millrace: Millrace, job: str) -> dict[str, Any]:
    answer, content = ask(millrace, "GET", job)
    assert answer.status == 200, content
    return json.loads(content)


def ended(millrace: Millrace, job: str) -> dict[str, Any]:
    eventually(lambda: look(millrace, job)["status"] in ENDED, what="the job to end")
    return look(millrace, job)


def result(millrace: Millrace, job: str, parameters: str = "", **headers: str) -> bytes:
    answer, content = ask(millrace, "GET", f"{job}/result{parameters}", **headers)
    assert answer.status == 200, content
    return content


def sleeping(postgres: PostgreSQL) -> list[list[str | None]]:
    with connect(postgres) as one:
        return one.rows("SELECT application_name FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1000)%' AND state = 'active' AND pid <> pg_backend_pid()")


def test_a_result_in_all_formats(millrace: Millrace) -> None:
    sql = "SELECT n, n % 2 = 0 AS even, n::numeric / 2 AS half, CASE WHEN n = 2 THEN NULL ELSE $1 || n END AS text FROM generate_series(1, 3) n"
    job = schedule(millrace, sql, parameters=['a,"é'])
    execution = ended(millrace, job)
    assert execution["status"] == "completed", execution
    assert (execution["command_tag"], execution["row_count"], execution["progress_percent"]) == ("SELECT 3", 3, 100)
    page = json.loads(result(millrace, job))
    assert [one["name"] for one in page["columns"]] == ["n", "even", "half", "text"]
    assert page["rows"][0] == [1, False, "0.50000000000000000000", 'a,"é1']
    assert page["rows"][1][3] is None
    lines = [json.loads(line) for line in result(millrace, job, Accept="application/x-ndjson").splitlines()]
    assert lines[2] == {"n": 3, "even": False, "half": "1.5000000000000000", "text": 'a,"é3'}
    rows = list(csv.reader(io.StringIO(result(millrace, job, "?format=csv").decode())))
    assert rows == [["n", "even", "half", "text"], ["1", "f", "0.50000000000000000000", 'a,"é1'], ["2", "t", "1.00000000000000000000", ""], ["3", "f", "1.5000000000000000", 'a,"é3']]


# As text of PostgreSQL's, and as DuckDB's of what it finds in the file.
IN_PARQUET = {
    "boolean": ("%::text", "%", "n % 2 = 0"),
    "smallint": ("%", "%", "n - 1000"),
    "integer": ("%", "%", "n * 1000003"),
    "bigint": ("%", "%", "n::bigint * 4611686018427387"),
    "real": ("%", "%", "n / 7.0"),
    "double precision": ("%", "%", "exp(n % 700) * 1e-150"),
    "date": ("%", "%", "'0001-01-01'::date + n * 1826"),
    "time": ("%", "%", "'00:00'::time + n * interval '43.123457 s'"),
    "timestamp": ("%", "%", "'1700-01-01'::timestamp + n * interval '60 days 0.00123 s'"),
    "timestamptz": ("(extract(epoch FROM %) * 1000000)::bigint", "epoch_us(%)", "'1950-01-01 00:00+00'::timestamptz + n * interval '13 days 0.1 s'"),
    "uuid": ("%", "%", "md5(n::text)::uuid"),
    "bytea": ("upper(encode(%, 'hex'))", "hex(%)", "decode(md5(n::text), 'hex')"),
    "numeric(12,3)": ("%", "%", "n * -3.1237"),
    "numeric": ("%", "%", "n / 7.0"),
    "text": ("%", "%", "repeat('é', n % 300)"),
    "jsonb": ("%", "%", "jsonb_build_array(n, 'x')"),
    "int[]": ("%", "%", "ARRAY[n, NULL]"),
}


def test_a_result_as_parquet_says_what_postgresql_says(millrace: Millrace, postgres: PostgreSQL, tmp_path: Path) -> None:
    def value(number: int, kind: str, of: str) -> str:
        return f"(CASE WHEN n % {number + 3} > 0 THEN {of} END)::{kind} AS c{number}"

    source = ", ".join(value(number, kind, of) for number, (kind, (_, _, of)) in enumerate(IN_PARQUET.items()))
    sql = f"SELECT n, {source} FROM generate_series(1, 1500) n ORDER BY n"
    job = schedule(millrace, sql)
    assert ended(millrace, job)["status"] == "completed"
    file = tmp_path / "result.parquet"
    file.write_bytes(result(millrace, job, "?format=parquet"))

    def asked(side: int, kinds: set[str]) -> str:
        return ", ".join(
            f"({how[side].replace('%', f'c{number}')})::varchar"
            for number, (kind, how) in enumerate(IN_PARQUET.items())
            if kind in kinds
        )

    floats = {"real", "double precision"}
    others = IN_PARQUET.keys() - floats
    with connect(postgres) as direct:
        assert duckdb_rows(f"SELECT {asked(1, others)} FROM read_parquet('{file}')") == direct.rows(
            f"SELECT {asked(0, others)} FROM ({sql}) t ORDER BY n"
        )
        types = duckdb_rows(f"SELECT DISTINCT typeof(c10), typeof(c12) FROM read_parquet('{file}')")
        assert types == [["UUID", "DECIMAL(12,3)"]]
        # Two texts may say the same number.
        found = duckdb_rows(f"SELECT {asked(1, floats)} FROM read_parquet('{file}')")
        assert as_numbers(found) == as_numbers(direct.rows(f"SELECT c4, c5 FROM ({sql}) t ORDER BY n"))


def test_a_process_that_ends_does_not_wait_for_a_file(postgres: PostgreSQL) -> None:
    """Nor does it leave its thread in it: AddressSanitizer would say so."""
    server = Millrace(postgres).start()
    job = schedule(server, "SELECT n, md5(n::text), n::numeric(12,2) FROM generate_series(1, 200000) n")
    assert ended(server, job)["status"] == "completed"
    with socket.create_connection((server.host, server.http_port)) as one:
        one.sendall(f"GET {QUERIES}{job}/result?format=parquet HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        time.sleep(0.3)
        assert server.stop() == 0


def as_numbers(rows: list[list[str | None]]) -> list[tuple[bytes | None, float | None]]:
    return [(single and struct.pack("f", float(single)), double and float(double)) for single, double in rows]


def test_a_large_result_by_page_and_as_a_stream(millrace: Millrace) -> None:
    job = schedule(millrace, "SELECT n, repeat('x', 100) FROM generate_series(1, 100000) n")
    assert ended(millrace, job)["row_count"] == 100000
    page = json.loads(result(millrace, job, "?offset=54321&limit=2"))
    assert [row[0] for row in page["rows"]] == [54322, 54323]
    lines = result(millrace, job, "?format=ndjson").splitlines()
    assert len(lines) == 100000
    assert json.loads(lines[-1]) == {"n": 100000, "repeat": "x" * 100}
    ask(millrace, "DELETE", job)
    assert ask(millrace, "GET", job)[0].status == 404


def test_a_result_that_is_too_large_is_not_kept(millrace: Millrace, postgres: PostgreSQL) -> None:
    execution = ended(millrace, schedule(millrace, "SELECT repeat('x', 1000000) FROM generate_series(1, 100000)"))
    assert (execution["status"], execution["error"]["sqlstate"]) == ("failed", "54000")
    assert execution["result_bytes"] == 0


def test_what_writes_is_done(millrace: Millrace, postgres: PostgreSQL) -> None:
    execution = ended(millrace, schedule(millrace, "INSERT INTO done VALUES ($1), (NULL)", parameters=[True]))
    assert (execution["status"], execution["command_tag"], execution["row_count"]) == ("completed", "INSERT 0 2", 0)
    with connect(postgres) as one:
        assert one.rows("SELECT what FROM done ORDER BY what") == [["true"], [None]]


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [("SELECT 1/0", "22012"), ("SELEC", "42601"), ("BEGIN", "0A000"), ("COPY done TO STDOUT", "0A000"), ("SELECT $1::int", None)],
)
def test_what_fails_says_why(millrace: Millrace, sql: str, sqlstate: str | None) -> None:
    job = schedule(millrace, sql)
    execution = ended(millrace, job)
    assert execution["status"] == "failed"
    assert execution["error"]["message"]
    assert sqlstate is None or execution["error"]["sqlstate"] == sqlstate
    answer, content = ask(millrace, "GET", f"{job}/result")
    assert answer.status == 409
    assert "failed" in json.loads(content)["detail"]


def test_one_that_runs_is_cancelled_in_postgresql(millrace: Millrace, postgres: PostgreSQL) -> None:
    job = schedule(millrace, "SELECT pg_sleep(1000)")
    eventually(lambda: sleeping(postgres) == [["millrace job"]], what="it to run")
    execution = look(millrace, job)
    assert execution["status"] == "running"
    assert execution["queue_position"] is None
    assert ask(millrace, "GET", f"{job}/result")[0].status == 409
    ask(millrace, "DELETE", job)
    assert ended(millrace, job)["status"] == "cancelled"
    eventually(lambda: not sleeping(postgres), what="it to end in PostgreSQL")


def test_time_is_limited(millrace: Millrace, postgres: PostgreSQL) -> None:
    execution = ended(millrace, schedule(millrace, "SELECT pg_sleep(1000)", timeout_seconds=0.2))
    assert (execution["status"], execution["error"]["sqlstate"]) == ("timeout", "57014")
    eventually(lambda: not sleeping(postgres), what="it to end in PostgreSQL")


def test_time_is_limited_by_its_text(millrace: Millrace, postgres: PostgreSQL) -> None:
    job = ended(millrace, schedule(millrace, "/* millrace: timeout=200ms */ SELECT pg_sleep(1000)"))
    assert job["status"] == "failed"
    assert job["error"]["sqlstate"] == "57014"
    assert "millrace.timeout" in job["error"]["message"]
    eventually(lambda: not sleeping(postgres), what="PostgreSQL to have cancelled it")


def test_waiting_is_limited_by_its_text(millrace: Millrace, gate: Client) -> None:
    job = ended(millrace, schedule(millrace, "/* millrace: timeout=200ms */ SELECT 1"))
    assert job["error"]["sqlstate"] == "57014"
    assert "millrace.timeout" in job["error"]["message"]


@pytest.fixture
def gate(postgres: PostgreSQL, millrace: Millrace) -> Iterator[Client]:
    """Holds the only slot until it is closed."""
    keeper, holder = connect(postgres), connect(millrace)
    keeper.ask(query("BEGIN"))
    keeper.ask(query("LOCK TABLE gates IN ACCESS EXCLUSIVE MODE"))
    holder.send(query("SELECT FROM gates"))
    eventually(lambda: millrace.metric("queries_running") == 1, what="the gate to be shut")
    yield keeper
    keeper.close()
    holder.close()


def test_what_is_undone_at_its_end_is_not_done(millrace: Millrace, postgres: PostgreSQL) -> None:
    """PostgreSQL says what a statement has done before it commits it."""
    postgres.admin(
        "CREATE TABLE slowly (n int); CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1000); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON slowly DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION waits()"
    )
    execution = ended(millrace, schedule(millrace, "INSERT INTO slowly VALUES (1)", timeout_seconds=1))
    assert execution["status"] == "timeout", execution
    assert postgres.admin("SELECT count(*) FROM slowly") == "0"
    postgres.admin("DROP TABLE slowly; DROP FUNCTION waits")


def test_jobs_wait_for_their_turns_by_priority(millrace: Millrace, gate: Client) -> None:
    low = schedule(millrace, "INSERT INTO done VALUES ('low')", priority=1)
    eventually(lambda: look(millrace, low)["queue_position"] == 1, what="it to wait")
    high = schedule(millrace, "INSERT INTO done VALUES ('high')", priority="high", user_id="42")
    eventually(lambda: look(millrace, high)["queue_position"] == 1, what="it to wait before the other")
    dropped = schedule(millrace, "INSERT INTO done VALUES ('dropped')", priority="low")
    eventually(lambda: look(millrace, dropped)["queue_position"] == 3, what="it to be the last")
    assert look(millrace, low)["status"] == "queued"
    assert look(millrace, low)["queue_position"] == 2
    ask(millrace, "DELETE", dropped)
    assert ended(millrace, dropped)["status"] == "cancelled"
    late = schedule(millrace, "INSERT INTO done VALUES ('late')", timeout_seconds=0.1)
    assert ended(millrace, late)["status"] == "timeout"
    gate.close()
    assert ended(millrace, low)["status"] == ended(millrace, high)["status"] == "completed"
    assert ended(millrace, high)["started_at"] < ended(millrace, low)["started_at"]
    listed = json.loads(ask(millrace, "GET", "?user_id=42")[1])
    assert [one["execution_id"] for one in listed["executions"]] == [high[1:]]


@pytest.mark.parametrize("limit", [{}, {"timeout_seconds": 1}], ids=["cancelled", "late"])
def test_one_that_has_no_turn_is_one_record(millrace: Millrace, gate: Client, limit: dict[str, int]) -> None:
    queries, failed = (millrace.metric(name) for name in ("queries_total", "query_errors_total"))
    for count in (1, 2):
        job = schedule(millrace, "SELECT 'job'", **limit)
        eventually(lambda: millrace.metric("queries_waiting") == 1, what="the job to wait")
        if not limit:
            ask(millrace, "DELETE", job)
        assert ended(millrace, job)["status"] == ("timeout" if limit else "cancelled")
        eventually(lambda: millrace.metric("queries_total") >= queries + count)
    assert millrace.metric("queries_total") == queries + 2
    assert millrace.metric("query_errors_total") == failed + 2


def test_a_quota_that_is_used_up(millrace: Millrace) -> None:
    connection = millrace.http_connection()
    connection.request("PUT", "/api/v1/execution/resource-quota/users/sparing", json.dumps({"hourly_query_limit": 1}), {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()
    assert ended(millrace, schedule(millrace, "SELECT 1", user_id="sparing"))["status"] == "completed"
    refused = ended(millrace, schedule(millrace, "SELECT 1", user_id="sparing"))
    assert (refused["status"], refused["error"]["sqlstate"]) == ("failed", "53400")


@pytest.fixture(scope="module")
def without_turns(postgres: PostgreSQL) -> Iterator[Millrace]:
    """Of the pool's four connections jobs have one."""
    with Millrace(postgres, {"ENABLE_ADAPTIVE_EXECUTOR": "false", "POOL_SIZE": 4}) as one:
        yield one


def test_without_turns_few_jobs_run_at_a_time(without_turns: Millrace, postgres: PostgreSQL) -> None:
    running = schedule(without_turns, "SELECT pg_sleep(1000)")
    eventually(lambda: look(without_turns, running)["status"] == "running", what="the first to run")
    low = schedule(without_turns, "INSERT INTO done VALUES ('low')", priority="low")
    high = schedule(without_turns, "INSERT INTO done VALUES ('high')", priority="high")
    dropped = schedule(without_turns, "INSERT INTO done VALUES ('dropped')")
    late = schedule(without_turns, "INSERT INTO done VALUES ('late')", timeout_seconds=0.1)
    assert ended(without_turns, late)["status"] == "timeout"
    assert [look(without_turns, one)["queue_position"] for one in (high, dropped, low)] == [1, 2, 3]
    ask(without_turns, "DELETE", dropped)
    assert look(without_turns, dropped)["status"] == "cancelled"
    clients = [connect(without_turns) for _ in range(3)]
    assert [one.rows("SELECT 1") for one in clients] == [[["1"]]] * 3
    assert look(without_turns, low)["status"] == "queued"
    for one in clients:
        one.close()
    ask(without_turns, "DELETE", running)
    assert ended(without_turns, low)["status"] == ended(without_turns, high)["status"] == "completed"
    assert look(without_turns, high)["started_at"] < look(without_turns, low)["started_at"]
    with connect(postgres) as one:
        assert one.rows("SELECT count(*) FROM done WHERE what IN ('dropped', 'late')") == [["0"]]


def test_what_needs_turns_says_how_to_have_them(without_turns: Millrace) -> None:
    connection = without_turns.http_connection()
    connection.request("GET", "/api/v1/execution/metrics")
    answer = connection.getresponse()
    assert answer.status == 503
    assert "ENABLE_ADAPTIVE_EXECUTOR" in json.loads(answer.read())["detail"]
    connection.close()


def test_a_client_that_goes_while_it_streams(without_turns: Millrace) -> None:
    job = schedule(without_turns, "SELECT n, repeat('x', 1000) FROM generate_series(1, 50000) n")
    assert ended(without_turns, job)["row_count"] == 50000
    with socket.create_connection((without_turns.host, without_turns.http_port)) as one:
        one.sendall(f"GET {QUERIES}{job}/result?format=csv HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert one.recv(1000).startswith(b"HTTP/1.1 200 OK")
    assert result(without_turns, job, "?format=csv").count(b"\n") == 50001
    ask(without_turns, "DELETE", job)


def test_one_that_is_cancelled_twice(without_turns: Millrace) -> None:
    job = schedule(without_turns, "SELECT pg_sleep(1000)")
    eventually(lambda: look(without_turns, job)["status"] == "running", what="it to run")
    assert ask(without_turns, "DELETE", job)[0].status == 200
    assert ask(without_turns, "DELETE", job)[0].status == 200
    eventually(lambda: ask(without_turns, "DELETE", job)[0].status == 404, what="it to be forgotten")


def test_whoever_runs_a_statement_needs_a_key(postgres: PostgreSQL) -> None:
    body = {"sql": "INSERT INTO done VALUES ('by whom?')"}
    with Millrace(postgres, {"API_KEY_HASHES": hashlib.sha256(b"key").hexdigest()}) as one:
        assert ask(one, "POST", body=body)[0].status == 401
        assert ask(one, "POST", body=body, **{"X-API-Key": "other"})[0].status == 401
        answer, content = ask(one, "POST", body={"sql": "SELECT current_user"}, **{"X-API-Key": "key"})
        assert answer.status == 202
        job = "/" + json.loads(content)["execution_id"]
        for method, rest in (("GET", ""), ("GET", job), ("GET", f"{job}/result"), ("DELETE", job)):
            assert ask(one, method, rest)[0].status == 401
    with Millrace(postgres, {"HTTP_HOST": "0.0.0.0"}) as one:
        answer, content = ask(one, "POST", body=body)
        assert answer.status == 403
        assert "API_KEY_HASHES" in json.loads(content)["detail"]
    with Millrace(postgres) as one:
        assert ask(one, "POST", body=body, Origin="http://elsewhere.test")[0].status == 403
        assert ask(one, "POST", body=body, Host="elsewhere.test")[0].status == 403
    with connect(postgres) as one:
        assert one.rows("SELECT FROM done WHERE what = 'by whom?'") == []


def test_by_command(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"POOL_SIZE": 4}) as one:
        jobs = functools.partial(one.run_command, "jobs")
        assert jobs() == "there is no job\n"
        failed = schedule(one, "SELECT 1/\n0", user_id="a\tb")[1:]
        assert ended(one, f"/{failed}")["status"] == "failed"
        running = schedule(one, "SELECT pg_sleep(1000)", priority="high")[1:]
        eventually(lambda: look(one, f"/{running}")["status"] == "running", what="it to run")
        waiting = schedule(one, "SELECT 2")[1:]
        first, _, second, text, third, _ = jobs("list").splitlines()
        assert first.startswith(f"{waiting}  queued, number 1  normal  ")
        assert second.startswith(f"{running}  running  high  ") and text == "    SELECT pg_sleep(1000)"
        assert third.startswith(f"{failed}  failed  normal  ") and third.endswith("  0 rows")
        assert jobs("--status", "failed", code=2)
        assert jobs("list", "--status", "failed").split()[0] == failed
        shown = jobs("show", failed)
        assert "query       SELECT 1/ 0\n" in shown and "user        a b\n" in shown
        assert "error       division by zero\nsqlstate    22012\n" in shown
        assert json.loads(jobs("show", running, "--json"))["execution_id"] == running
        jobs("cancel", running)
        assert ended(one, f"/{running}")["status"] == "cancelled"
        jobs("cancel", running)
        assert "there is no such execution, or it is no longer kept (HTTP 404)" in jobs("show", running, code=1)
        assert "(HTTP 422)" in jobs("list", "--status", "lost", code=1)


def test_bad_input(millrace: Millrace) -> None:
    answer, content = ask(millrace, "POST", body={"sql": "SELECT 1", "priority": "urgent", "timeout_seconds": -1})
    assert answer.status == 422
    assert [one["loc"] for one in json.loads(content)["detail"]] == [["body", "timeout_seconds"], ["body", "priority"]]
    answer, content = ask(millrace, "POST", body={"sql": "SELECT 1", "colour": "red"})
    assert answer.status == 422
    assert [one["loc"] for one in json.loads(content)["detail"]] == [["body", "colour"]]
    assert ask(millrace, "POST", body={"sql": f"SELECT '{'x' * 2_000_000}'"})[0].status == 413
    for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/result")):
        assert ask(millrace, method, f"/exec_0_1{rest}")[0].status == 404
    job = schedule(millrace, "SELECT n FROM generate_series(1, 3) n")
    ended(millrace, job)
    assert json.loads(result(millrace, job, "?offset=3"))["rows"] == []
    assert json.loads(result(millrace, job, f"?offset={2**64 - 1}"))["rows"] == []
    for parameters in (f"?offset={2**64}", "?offset=-1", "?limit=0", "?limit=100001", "?format=xml"):
        assert ask(millrace, "GET", f"{job}/result{parameters}")[0].status == 422, parameters


def test_the_end_of_millrace_is_the_end_of_jobs(postgres: PostgreSQL) -> None:
    with Millrace(postgres) as one:
        schedule(one, "SELECT pg_sleep(1000)")
        eventually(lambda: bool(sleeping(postgres)), what="it to run")
    eventually(lambda: not sleeping(postgres), what="it to end in PostgreSQL")
