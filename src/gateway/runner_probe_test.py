"""Statements that REST and jobs have run: as a driver at PostgreSQL alone sees them, and nothing of them is left."""

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from harness import PostgreSQL

PROBE = os.environ["RUNNER_PROBE"]
Answer = dict[str, Any]
# Of a result of 200 MB. Where the probe is built with AddressSanitizer, that keeps this much of what is freed.
LITTLE_KB = 60_000
QUARANTINE = "quarantine_size_mb=16"


class Probe:
    """Runs statements by run_query on a pool of `size`."""

    def __init__(self, postgres: PostgreSQL, size: int = 1, wait_ms: int = 30_000, mode: str = "transaction") -> None:
        self._process = subprocess.Popen(
            [PROBE, str(size), str(wait_ms), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "DATABASE_URL": postgres.dsn(), "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:{QUARANTINE}"},
        )  # fmt: skip
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._kept: dict[int, list[Answer]] = {}
        self._runs = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=30) == 0

    def say(self, **line: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def start(self, sql: str, *parameters: str | None, **how: Any) -> int:
        self._runs += 1
        self.say(run=self._runs, sql=sql, parameters=parameters, **how)
        return self._runs

    def next(self, run: int) -> Answer:
        """What comes of this run next: columns, rows, or how it ended."""
        while not self._kept.get(run):
            answer = json.loads(self._lines.get(timeout=60))
            self._kept.setdefault(answer.get("run", 0), []).append(answer)
        return self._kept[run].pop(0)

    def has_more(self, run: int) -> bool:
        """Of what was read until the last `next` of any run."""
        return bool(self._kept.get(run))

    def end(self, run: int, keep: bool = True) -> Answer:
        """All of it in one. `keep`: its rows."""
        whole: Answer = {"rows": []}
        while True:
            answer = self.next(run)
            rows = answer.pop("rows", None)
            whole |= answer
            if rows is not None and keep:
                whole["rows"] += rows
            if answer.keys() & {"tag", "sqlstate", "dropped"}:
                return whole

    def run(self, sql: str, *parameters: str | None, **how: Any) -> Answer:
        return self.end(self.start(sql, *parameters, **how))

    def ask(self) -> Answer:
        self.say(ask="counts")
        return self.next(0)

    def peak_kb(self) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1])


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgreSQL]:
    with PostgreSQL(auth="scram-sha-256", config={"max_prepared_transactions": 2}) as server:
        yield server


@contextmanager
def probing(postgres: PostgreSQL, *arguments: Any) -> Iterator[Probe]:
    one = Probe(postgres, *arguments)
    yield one
    one.close()


@pytest.fixture(params=["transaction", "session"])
def probe(request: pytest.FixtureRequest, postgres: PostgreSQL) -> Iterator[Probe]:
    """A pool of one connection, whatever the wire's clients' pool mode is."""
    with probing(postgres, 1, 30_000, request.param) as one:
        yield one


@pytest.fixture(scope="module")
def direct(postgres: PostgreSQL) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        yield connection


def eventually(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def active(postgres: PostgreSQL, text: str) -> bool:
    return postgres.admin(f"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%{text}%' AND state = 'active' AND pid <> pg_backend_pid()") != "0"


AS_DIRECT = {
    "values": ("SELECT 1, 'ä€😀', NULL, true, 1.50::numeric, ARRAY[1,NULL,3], '{\"a\": 1}'::jsonb, '\\x00ff'::bytea, ''", []),
    "nothing": ("SELECT 1 AS one WHERE false", []),
    "no columns": ("SELECT", []),
    "many columns": ("SELECT " + ", ".join(f"{i} AS c{i}" for i in range(1600)), []),
    "parameters": ("SELECT $1::int + 1, $2::text, $3::timestamptz, $4::int IS NULL", ["41", "it's", "2024-02-29 12:00+00", None]),
    "many parameters": ("SELECT " + " + ".join(f"${i + 1}::int" for i in range(1000)), [str(i) for i in range(1000)]),
    "statement of many kilobytes": ("SELECT " + ", ".join("'" + "x" * 1000 + "'" for _ in range(100)), []),
    "statement over MAX_PARSED_STATEMENT_KB": ("SELECT length('" + "x" * 1_100_000 + "')", []),
    "large row": ("SELECT repeat('x', 3000000), 1", []),
    "large rows": ("SELECT repeat(chr(64 + i), 100000 * i) FROM generate_series(1, 9) AS i", []),
    "VALUES": ("VALUES (1, 'a'), (2, NULL)", []),
    "SHOW": ("SHOW server_version", []),
    "EXPLAIN": ("EXPLAIN (COSTS false) SELECT 1", []),
}  # fmt: skip


@pytest.mark.parametrize("asked", AS_DIRECT.values(), ids=AS_DIRECT)
def test_rows_are_as_a_driver_sees_them(probe: Probe, direct: psycopg.Connection[Any], asked: tuple[str, list[str | None]]) -> None:
    sql, parameters = asked
    result = direct.pgconn.exec_params(sql.encode(), [None if value is None else value.encode() for value in parameters])
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message
    columns = [[result.fname(i).decode(), result.ftype(i)] for i in range(result.nfields)]  # type: ignore[union-attr]
    text = lambda value: None if value is None else value.decode()  # noqa: E731
    rows = [[text(result.get_value(i, j)) for j in range(result.nfields)] for i in range(result.ntuples)]
    answer = probe.run(sql, *parameters)
    assert "sqlstate" not in answer, answer
    assert answer["columns"] == columns
    assert answer["rows"] == rows
    assert (answer["tag"], answer["count"]) == (result.command_status.decode(), len(rows))
    assert probe.ask()["queries"] == 1


def test_statements_without_rows(probe: Probe, postgres: PostgreSQL) -> None:
    assert probe.run("CREATE TABLE shelf (id int PRIMARY KEY, name text NOT NULL)")["tag"] == "CREATE TABLE"
    try:
        inserted = probe.run("INSERT INTO shelf SELECT i, $1 FROM generate_series(1, 5) AS i", "a")
        assert (inserted["tag"], inserted["count"]) == ("INSERT 0 5", 5)
        assert "columns" not in inserted
        returned = probe.run("DELETE FROM shelf WHERE id < $1 RETURNING id", "3")
        assert (returned["rows"], returned["tag"], returned["count"]) == ([["1"], ["2"]], "DELETE 2", 2)
        assert probe.run("  -- nothing\n ")["tag"] == ""
        assert postgres.admin("SELECT count(*) FROM shelf") == "3"
        assert probe.ask()["queries"] == 4
    finally:
        postgres.admin("DROP TABLE shelf")


FAILING = {
    "syntax": ("SELEC 1", []),
    "unknown table": ("SELECT * FROM nosuch", []),
    "unknown column, with a hint": ("SELECT relnam FROM pg_class", []),
    "in the parameters": ("SELECT $1::int", ["x"]),
    "a parameter too few": ("SELECT $1::int, $2::int", ["1"]),
    "at the execution": ("SELECT 1 / $1::int", ["0"]),
    "after rows": ("SELECT 1 / (5000 - i) FROM generate_series(1, 9000) AS i", []),
    "with a detail": ("INSERT INTO pg_class SELECT * FROM pg_class LIMIT 1", []),
    "of a function, all of it": ("DO $$BEGIN RAISE 'no %', 7 USING ERRCODE = 'P7777', DETAIL = 'it is', HINT = 'try'; END$$", []),
    "two statements": ("SELECT 1; SELECT 2", []),
    "two statements, one BEGIN": ("BEGIN; SELECT 1", []),
    "only possible in a transaction": ("DECLARE c CURSOR FOR SELECT 1", []),
}


@pytest.mark.parametrize("asked", FAILING.values(), ids=FAILING)
def test_errors_are_the_servers(probe: Probe, direct: psycopg.Connection[Any], asked: tuple[str, list[str]]) -> None:
    sql, parameters = asked
    result = direct.pgconn.exec_params(sql.encode(), [value.encode() for value in parameters])
    field = psycopg.pq.DiagnosticField
    said = {
        name: (result.error_field(code) or b"").decode()
        for name, code in [("sqlstate", field.SQLSTATE), ("message", field.MESSAGE_PRIMARY), ("hint", field.MESSAGE_HINT), ("detail", field.MESSAGE_DETAIL)]
    }
    answer = probe.run(sql, *parameters)
    assert {name: answer.get(name) for name in said} == said
    seen = probe.ask()
    assert (seen["queries"], seen["failed"]) == (1, 1)
    assert probe.run("SELECT 1")["rows"] == [["1"]]


def test_large_result_in_little_memory(probe: Probe) -> None:
    probe.run("SELECT 1")
    before = probe.peak_kb()
    run = probe.start("SELECT i, repeat('x', 1000) FROM generate_series(1, 200000) AS i")
    assert "columns" in probe.next(run)
    seen = 0
    while "rows" in (answer := probe.next(run)):
        for number, text in answer["rows"]:
            seen += 1
            assert (number, len(text)) == (str(seen), 1000)
    assert (answer["tag"], answer["count"], seen) == ("SELECT 200000", 200_000, 200_000)
    assert probe.peak_kb() - before < LITTLE_KB
    assert probe.ask()["held"] == 0


def test_slow_sink_holds_the_server_up_and_nobody_else(postgres: PostgreSQL) -> None:
    with probing(postgres, 2) as probe:
        probe.run("SELECT 1")
        before = probe.peak_kb()
        run = probe.start("SELECT i, repeat('y', 1000) FROM generate_series(1, 200000) AS i /* slow */", pause=20)
        for _ in range(4):
            probe.next(run)
        assert active(postgres, "slow")
        assert probe.run("SELECT 2")["rows"] == [["2"]]
        time.sleep(1)
        assert probe.peak_kb() - before < LITTLE_KB
        assert active(postgres, "slow")
        probe.say(give_up=run)
        assert probe.end(run)["sqlstate"] == "57014"
        assert probe.ask()["queries"] == 3


def test_last_rows_wait_for_a_slow_sink_without_the_connection(probe: Probe) -> None:
    run = probe.start("SELECT 1", pause=5000)
    probe.next(run), probe.next(run)  # it has them, and pauses
    assert probe.run("SELECT 2")["rows"] == [["2"]]
    assert not probe.has_more(run)
    assert probe.end(run)["tag"] == "SELECT 1"


def test_time_out(probe: Probe, postgres: PostgreSQL) -> None:
    answer = probe.run("SELECT pg_sleep(60) /* overdue */", timeout=300)
    assert answer["sqlstate"] == "57014"
    assert "300 ms" in answer["message"]
    assert not active(postgres, "overdue")
    seen = probe.ask()
    assert (seen["queries"], seen["failed"]) == (1, 1)
    assert probe.run("SELECT 1", timeout=60_000)["rows"] == [["1"]]
    assert probe.ask()["opened"] == 1


def test_time_out_while_a_sink_does_not_take_its_rows(probe: Probe, postgres: PostgreSQL) -> None:
    run = probe.start("SELECT repeat('z', 1000) FROM generate_series(1, 200000) /* untaken */", pause=9000, timeout=3000)
    probe.next(run), probe.next(run)
    eventually(lambda: not active(postgres, "untaken"), "the statement to be cancelled")
    assert probe.end(run)["sqlstate"] == "57014"
    assert probe.run("SELECT 1")["rows"] == [["1"]]


def test_sink_that_stops_early(probe: Probe, postgres: PostgreSQL) -> None:
    answer = probe.run("SELECT generate_series(1, 100000000) /* too many */", stop_after=10)
    assert answer["rows"] == [[str(i)] for i in range(1, 11)]
    assert (answer["tag"], answer["count"], answer["stopped"]) == ("", 10, True)
    assert not active(postgres, "too many")
    assert probe.run("SELECT 1", stop_after=1)["stopped"] is True
    assert probe.run("SELECT 1")["rows"] == [["1"]]
    seen = probe.ask()
    assert (seen["queries"], seen["opened"]) == (3, 1)


def test_cancelled_while_it_runs(probe: Probe, postgres: PostgreSQL) -> None:
    run = probe.start("SELECT pg_sleep(60) /* unwanted */")
    eventually(lambda: active(postgres, "unwanted"), "the statement to run")
    probe.say(give_up=run)
    assert probe.end(run)["sqlstate"] == "57014"
    assert not active(postgres, "unwanted")
    assert probe.run("SELECT 1")["rows"] == [["1"]]


def test_whoever_asked_is_gone(probe: Probe, postgres: PostgreSQL) -> None:
    assert "dropped" in probe.run("SELECT pg_sleep(60) /* forgotten */", drop_after=300)
    eventually(lambda: not active(postgres, "forgotten"), "the statement to be cancelled")
    assert "dropped" in probe.run("SELECT repeat('q', 1000) FROM generate_series(1, 200000) /* forgotten */", drop_after=300, pause=10_000)
    assert probe.run("SELECT 1")["rows"] == [["1"]]
    assert probe.ask()["queries"] == 3


def test_server_process_killed_meanwhile(probe: Probe, postgres: PostgreSQL) -> None:
    run = probe.start("SELECT pg_sleep(60) /* doomed */")
    eventually(lambda: active(postgres, "doomed"), "the statement to run")
    postgres.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%doomed%' AND pid <> pg_backend_pid()")
    assert probe.end(run)["sqlstate"] == "57P01"
    seen = probe.ask()
    assert (seen["queries"], seen["failed"]) == (1, 1)
    assert probe.run("SELECT 1")["rows"] == [["1"]]


def test_server_killed_meanwhile() -> None:
    with PostgreSQL() as server, probing(server) as probe:
        run = probe.start("SELECT i, pg_sleep(0.01) FROM generate_series(1, 100000) AS i")
        probe.next(run)
        server.kill()
        assert probe.end(run)["sqlstate"] in ("08006", "57P02")
        assert probe.ask()["failed"] == 1
        unreachable = probe.run("SELECT 1")
        assert unreachable["sqlstate"] == "55000"
        assert probe.ask()["queries"] == 2


def test_pool_is_full(postgres: PostgreSQL) -> None:
    with probing(postgres, 1, 500) as probe:
        first = probe.start("SELECT pg_sleep(60)")
        eventually(lambda: active(postgres, "pg_sleep(60)"), "the statement to run")
        refused = probe.run("SELECT 1")
        assert refused["sqlstate"] == "53300"
        assert probe.run("SELECT 1", timeout=100)["sqlstate"] == "57014"
        waits = probe.start("SELECT 2")
        probe.say(give_up=waits)
        assert probe.end(waits)["sqlstate"] == "57014"
        waits = probe.start("SELECT 3")
        probe.say(give_up=first)
        assert probe.end(waits)["rows"] == [["3"]]
        probe.end(first)
        seen = probe.ask()
        assert (seen["queries"], seen["failed"], seen["opened"]) == (5, 4, 1)


def test_many_at_once(postgres: PostgreSQL) -> None:
    with probing(postgres, 3) as probe:
        runs = [probe.start("SELECT $1::int, pg_sleep(0.002)", str(i)) for i in range(200)]
        for i, run in enumerate(runs):
            assert probe.end(run)["rows"] == [[str(i), ""]]
        seen = probe.ask()
        assert (seen["queries"], seen["failed"]) == (200, 0)
        assert seen["opened"] <= 3


def test_log_in_refused(postgres: PostgreSQL) -> None:
    with probing(postgres) as probe:
        assert probe.run("SELECT 1", user="nobody")["sqlstate"].startswith("28")
        assert probe.ask()["queries"] == 1


REFUSED = {
    "BEGIN": "BEGIN",
    "START TRANSACTION": "START TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "COMMIT": "COMMIT",
    "ROLLBACK": "ROLLBACK",
    "SAVEPOINT": "SAVEPOINT a",
    "PREPARE TRANSACTION": "PREPARE TRANSACTION 'x'",
    "COPY out": "COPY (SELECT 1) TO STDOUT",
    "COPY in": "COPY pg_class FROM STDIN",
}


@pytest.mark.parametrize("sql", REFUSED.values(), ids=REFUSED)
def test_refused(probe: Probe, sql: str) -> None:
    probe.run("SELECT 1")
    for text in (sql, f"{sql} -- {'x' * 20_000}"):
        refused = probe.run(text)
        assert (refused["sqlstate"], bool(refused["hint"])) == ("0A000", True)
    assert probe.run("SELECT 1")["rows"] == [["1"]]
    seen = probe.ask()
    assert (seen["queries"], seen["failed"], seen["opened"]) == (4, 2, 1)


@pytest.mark.parametrize("sql", ["BEGIN", "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 9000)) TO STDOUT", "COPY nosuch FROM STDIN", "COPY shelf FROM STDIN"])
def test_refused_where_only_the_server_can_tell(probe: Probe, postgres: PostgreSQL, sql: str) -> None:
    """Texts over MAX_PARSED_STATEMENT_KB are passed on unread."""
    postgres.admin("CREATE TABLE IF NOT EXISTS shelf (id int)")
    probe.run("SELECT 1")
    refused = probe.run(sql + " " * 1_100_000)
    assert refused["sqlstate"] == ("42P01" if "nosuch" in sql else "0A000")
    assert probe.run("SELECT 1")["rows"] == [["1"]]
    assert probe.ask()["queries"] == 3


def test_prepared_transactions_can_be_ended(probe: Probe, postgres: PostgreSQL) -> None:
    postgres.admin("BEGIN; CREATE TABLE later (id int); PREPARE TRANSACTION 'later'")
    assert probe.run("COMMIT PREPARED 'later'")["tag"] == "COMMIT PREPARED"
    postgres.admin("DROP TABLE later")


def test_what_the_protocol_cannot_say(probe: Probe) -> None:
    assert probe.run("SELECT 1\0; DROP TABLE x")["sqlstate"] == "22021"
    assert probe.run("SELECT 1", *["x"] * 65_536)["sqlstate"] == "54000"
    assert probe.run("SELECT $1::text", "a\0b")["sqlstate"] == "22021"
    assert probe.ask()["queries"] == 3


LEAVING = {
    "SET": ("SET search_path TO nowhere", "SHOW search_path"),
    "SET of a custom setting": ("SET app.who TO 'me'", "SELECT current_setting('app.who', true) IS NULL"),
    "set_config": ("SELECT set_config('search_path', 'nowhere', false)", "SHOW search_path"),
    "set_config of the encoding": ("SELECT set_config('client_encoding', 'LATIN1', false)", "SELECT 'ä€'"),
    "SET of the encoding": ("SET client_encoding TO LATIN1", "SELECT 'ä€'"),
    "SET ROLE": ("SET ROLE pg_monitor", "SELECT current_user"),
    "standard_conforming_strings": ("SET standard_conforming_strings TO off", "SELECT 'a\\b'"),
    "temporary table": ("CREATE TEMP TABLE mine AS SELECT 1", "SELECT to_regclass('mine')"),
    "PREPARE": ("PREPARE mine AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements"),
    "LISTEN": ("LISTEN mine", "SELECT count(*) FROM pg_listening_channels()"),
    "cursor with hold": ("DECLARE mine CURSOR WITH HOLD FOR SELECT 1", "SELECT count(*) FROM pg_cursors WHERE name = 'mine'"),
    "advisory lock": ("SELECT pg_advisory_lock(77)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"),
    "statement that is prepared without a name": ("SELECT 42", "SELECT count(*) FROM pg_prepared_statements"),
    "application's name": ("SET application_name TO 'other'", "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"),
}  # fmt: skip


@pytest.mark.parametrize("case", LEAVING.values(), ids=LEAVING)
def test_nothing_is_left(probe: Probe, case: tuple[str, str]) -> None:
    leaves, asks = case
    before = probe.run(asks)["rows"]
    assert "tag" in probe.run(leaves)
    assert probe.run(asks)["rows"] == before


def test_application_name(probe: Probe) -> None:
    asks = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    for name, seen in [("job 'a'", "job 'a'"), ("", ""), ("ä" + "x" * 100, "??" + "x" * 61), ("back\\slash", "back\\slash")]:
        assert probe.run(asks, application=name)["rows"] == [[seen]]
    assert probe.ask()["opened"] == 1
