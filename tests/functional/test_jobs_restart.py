"""Jobs that outlive a restart: in order, by a crash, to another database, and while another process has the store."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_jobs import ask, ended, look, result, schedule
from wire import connect, eventually

from harness import Millrace, PostgreSQL

SCHEMA = """
CREATE TABLE gates (id int);
INSERT INTO gates VALUES (1), (2);
CREATE TABLE ledger (what text);
CREATE SEQUENCE steps;
CREATE FUNCTION step() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('steps') $$;
CREATE VIEW sneaky AS SELECT step() AS step;
"""
READ = "SELECT count(*) FROM gates WHERE id = $1"
TYPES = (
    "SELECT true AS b, 1::int2 AS i, 12345678901234567890.5 AS n, 'NaN'::float8 AS f, 'é\n' AS t, ''::text AS e, NULL::int AS nothing,"
    " '{\"a\": [1, 2]}'::json AS j, '\\x00ff'::bytea AS y, '2024-02-29'::date AS d, ARRAY[1, NULL] AS l"
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | int]:
    # A quarter of the connections is for jobs.
    return {"DATA_DIR": str(tmp_path_factory.mktemp("data")), "POOL_SIZE": 16}


@contextmanager
def locked(postgres: PostgreSQL) -> Iterator[None]:
    """What reads or writes gates waits meanwhile."""
    with connect(postgres) as one:
        one.rows("BEGIN")
        one.rows("LOCK TABLE gates IN ACCESS EXCLUSIVE MODE")
        yield


def runs(millrace: Millrace, *jobs: str) -> None:
    eventually(lambda: all(look(millrace, job)["status"] == "running" for job in jobs), what="them to run")


def knows_reads(millrace: Millrace) -> None:
    """The catalogs are known, and the store is open."""
    def kept() -> bool:
        query = {"query": "SELECT count(*) FROM gates"}
        return millrace.api("POST", "optimization/analyze-query", query)["cache"]["cacheable"]

    eventually(kept, what="the catalogs to be known")
    eventually(lambda: millrace.metric("store_open") == 1, what="the store to be open")


def is_on_disk(millrace: Millrace) -> None:
    """What has happened by now is: a cancellation is, before it is answered."""


    def is_cancelled() -> bool:
        cancelled = schedule(millrace, "SELECT pg_sleep(1000)", priority="emergency")
        answer, content = ask(millrace, "DELETE", cancelled)
        assert answer.status == 200
        return json.loads(content)["warnings"] == []

    eventually(is_cancelled, what="the disk to be quick enough")


def why(millrace: Millrace, job: str) -> str:
    execution = look(millrace, job)
    assert (execution["status"], execution["restored"], execution["error"]["sqlstate"]) == ("failed", True, "57P01")
    return execution["error"]["message"]


def test_what_a_crash_leaves(postgres: PostgreSQL, settings: dict[str, str | int]) -> None:
    with Millrace(postgres, settings) as millrace:
        knows_reads(millrace)
        done = schedule(millrace, TYPES, query_id="mine", project_id="7", priority="high")
        empty = schedule(millrace, "SELECT id FROM gates WHERE id > 10")
        bad = schedule(millrace, "SELECT 1/0")
        wrote = schedule(millrace, "INSERT INTO ledger VALUES ('done')")
        before = {job: ended(millrace, job) for job in (done, empty, bad, wrote)}
        pages = {job: result(millrace, job) for job in (done, empty, wrote)}
        with locked(postgres):
            read, write, sneaky, other = running = [
                schedule(millrace, READ, parameters=[1]),
                schedule(millrace, "INSERT INTO ledger SELECT 'twice?' FROM gates WHERE id = 1"),
                schedule(millrace, "SELECT step FROM sneaky, gates"),
                schedule(millrace, READ, parameters=[2]),
            ]  # fmt: skip
            runs(millrace, *running)
            ask(millrace, "DELETE", other)
            assert ended(millrace, other)["status"] == "cancelled"
            runs(millrace, schedule(millrace, READ, parameters=[2]))
            waits = schedule(millrace, "SELECT id FROM gates WHERE id = $1", parameters=[2])
            waits_to_write = schedule(millrace, "INSERT INTO ledger VALUES ('not begun')")
            assert look(millrace, waits)["queue_position"] == 1
            is_on_disk(millrace)
            millrace.kill()

            millrace.start()
            eventually(lambda: ask(millrace, "GET", done)[0].status == 200, what="the store to be read")
            for job, was in before.items():
                now = look(millrace, job)
                assert now.pop("restored") and not was.pop("restored")
                # Times are by another clock, and of what isn't known to be a read the text is without constants.
                same = now.keys() - {"queue_wait_ms", "duration_ms", "query"}
                assert {name: now[name] for name in same} == {name: was[name] for name in same}
            assert {job: result(millrace, job) for job in pages} == pages
            rows = list(csv.reader(io.StringIO(result(millrace, done, "?format=csv").decode())))
            assert rows[1][4:7] == ["é\n", "", ""]
            assert "ran" in why(millrace, write) and "ran" in why(millrace, sneaky)
            assert look(millrace, write)["query"] == "INSERT INTO ledger SELECT ? FROM gates WHERE id = ?"
            assert "waited" in why(millrace, waits_to_write)
            assert look(millrace, other)["status"] == "cancelled"
            runs(millrace, read, waits)
            assert look(millrace, read)["retry_count"] == 1
            assert look(millrace, waits)["retry_count"] == 0
            assert "run again" in millrace.run_command("jobs", "show", read.removeprefix("/"))
            is_on_disk(millrace)
            millrace.kill()

            millrace.start()
            eventually(lambda: ask(millrace, "GET", read)[0].status == 200, what="the store to be read")
            assert why(millrace, read).endswith("twice")
            runs(millrace, waits)
            assert look(millrace, waits)["retry_count"] == 1
        assert ended(millrace, waits)["status"] == "completed"
        assert json.loads(result(millrace, waits))["rows"] == [[2]]
        eventually(lambda: not postgres.runs("FROM gates"), what="what was left to end")
        with connect(postgres) as one:
            # The server may have done what nobody was there any more to hear of; nobody has done it again.
            assert one.rows("SELECT what, count(*) FROM ledger GROUP BY what ORDER BY what") in (
                [["done", "1"]], [["done", "1"], ["twice?", "1"]],
            )  # fmt: skip
            assert one.one("SELECT last_value FROM steps") == "1"
        # It can be read again, and is gone once it is removed.
        is_on_disk(millrace)
        millrace.kill()
        millrace.start()
        eventually(lambda: ask(millrace, "GET", waits)[0].status == 200, what="the store to be read")
        assert json.loads(result(millrace, waits))["rows"] == [[2]]
        ask(millrace, "DELETE", waits)
        millrace.restart()
        eventually(lambda: ask(millrace, "GET", done)[0].status == 200, what="the store to be read")
        assert ask(millrace, "GET", waits)[0].status == 404


def test_an_orderly_end_and_another_database(postgres: PostgreSQL, settings: dict[str, str | int]) -> None:
    with Millrace(postgres, settings) as millrace:
        knows_reads(millrace)
        with locked(postgres):
            read, elsewhere, write = running = [
                schedule(millrace, READ, parameters=[1]),
                schedule(millrace, READ, parameters=[2]),
                schedule(millrace, "DELETE FROM gates"),
            ]  # fmt: skip
            runs(millrace, *running)
            is_on_disk(millrace)
            millrace.restart()
            eventually(lambda: ask(millrace, "GET", read)[0].status == 200, what="the store to be read")
            assert "ran" in why(millrace, write)
            runs(millrace, read, elsewhere)
        for job in (read, elsewhere):
            assert (ended(millrace, job)["status"], look(millrace, job)["retry_count"]) == ("completed", 1)
        assert json.loads(result(millrace, read))["rows"] == [[1]], "the DELETE was ended with the process"
        with locked(postgres):
            elsewhere = schedule(millrace, READ, parameters=[2])
            runs(millrace, elsewhere)
            millrace.stop()
    postgres.admin("CREATE DATABASE other")
    postgres.admin("CREATE TABLE gates (id int)", database="other")
    with Millrace(postgres, {**settings, "DATABASE_URL": postgres.dsn().replace("/postgres", "/other")}) as millrace:
        eventually(lambda: ask(millrace, "GET", elsewhere)[0].status == 200, what="the store to be read")
        assert "DATABASE_URL is another now" in why(millrace, elsewhere)
        assert json.loads(result(millrace, read))["rows"] == [[1]]


def test_while_another_process_has_the_store(postgres: PostgreSQL, settings: dict[str, str | int]) -> None:
    with Millrace(postgres, settings) as holder:
        eventually(lambda: holder.metric("store_open") == 1, what="the store to be open")
        known = schedule(holder, "SELECT 1")
        ended(holder, known)
        with Millrace(postgres, settings) as late:
            eventually(lambda: ask(late, "GET", known)[0].status == 404, what="it to say that it isn't there")
            assert "can't be read" in json.loads(ask(late, "GET", known)[1])["detail"]
            job = schedule(late, "SELECT 2")
            execution = ended(late, job)
            assert execution["status"] == "completed"
            assert "a restart would lose this" in execution["warnings"][0]
            assert json.loads(result(late, job))["rows"] == [[2]]
            assert "the store is not available" in late.log_path.read_text()


def test_where_constants_may_not_be_kept_nothing_is(postgres: PostgreSQL, tmp_path: Path) -> None:
    secret, kept = "kingfisher", {"DATA_DIR": str(tmp_path), "QUERY_PERFORMANCE_TRACKING_ENABLED": "false"}

    def is_there() -> bool:
        return secret.encode() in b"".join(path.read_bytes() for path in (tmp_path / "store").iterdir())

    def run(extra: dict[str, Any], sql: str, *parameters: str) -> str:
        with Millrace(postgres, kept | extra) as millrace:
            knows_reads(millrace)
            job = schedule(millrace, sql, parameters=parameters)
            ended(millrace, job)
            return job

    run({}, f"INSERT INTO ledger SELECT $1 WHERE '{secret}' = ''", secret)
    assert not is_there()
    job = run({}, "SELECT $1::text", secret)
    assert is_there()
    run({"ENABLE_QUERY_PARAMETER_CAPTURE": "false"}, "SELECT $1::text", secret)
    assert not is_there()
    with Millrace(postgres, kept) as millrace:
        eventually(lambda: millrace.metric("store_open") == 1, what="the store to be open")
        eventually(lambda: ask(millrace, "GET", job)[0].status == 404, what="it to be known that it is gone")
