"""What a query may use of the memory of PostgreSQL's process, which is on this machine."""

from collections.abc import Iterator
from typing import Any

import pytest
from turns import error_of
from wire import connect, eventually, query

from harness import Millrace, PostgreSQL

SCHEMA = """
CREATE FUNCTION holds(megabytes int, seconds float) RETURNS int LANGUAGE plpgsql VOLATILE AS $$
DECLARE held text := repeat('x', megabytes * 1048576);
BEGIN PERFORM pg_sleep(seconds); RETURN length(held) / 1048576; END $$
"""
LIMIT = 100


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL, pool_mode: str) -> Iterator[Millrace]:
    """The process is found in another way behind a Unix socket: in one of the modes it is asked there."""
    settings = {"POOL_MODE": pool_mode, "MEMORY_LIMIT_PER_QUERY_MB": LIMIT, "POOL_SIZE": 4}
    if pool_mode == "session":
        place = f"host={postgres.socket_folder}&port={postgres.port}"
        settings["DATABASE_URL"] = f"postgresql://{postgres.user}@/{postgres.database}?{place}"
    with Millrace(postgres, settings) as server:
        yield server


def test_a_query_that_uses_too_much_is_cancelled(millrace: Millrace) -> None:
    with connect(millrace) as client:
        process = client.one("SELECT pg_backend_pid()")
        answer = client.ask(query("SELECT holds(150, 600)"))
        assert error_of(answer)["C"] == "53200"
        assert "100 MB of memory that MEMORY_LIMIT_PER_QUERY_MB allows" in error_of(answer)["M"]
        assert str(answer[-1]) == "ReadyForQuery I"
        assert client.one("SELECT holds(10, 0.9)") == "10"
    with connect(millrace) as client:
        assert client.one("SELECT pg_backend_pid()") != process, "whose process may have kept some of it"


def test_in_a_transaction_the_server_rolls_back(millrace: Millrace) -> None:
    with connect(millrace) as client:
        client.ask(query("BEGIN"))
        client.ask(query("CREATE TABLE gone (id int)"))
        assert error_of(client.ask(query("SELECT holds(150, 600)")))["C"] == "53200"
        assert error_of(client.ask(query("SELECT 1")))["C"] == "25P02"
        client.ask(query("ROLLBACK"))
        assert client.one("SELECT to_regclass('gone') IS NULL") == "t"


def test_what_uses_memory_by_its_nature_is_left_alone(millrace: Millrace) -> None:
    with connect(millrace) as client:
        answer = client.ask(query("DO $$ BEGIN PERFORM holds(150, 0.9); END $$"))
        assert answer[0].kind == "C", answer


def test_a_job_has_a_limit_of_its_own(millrace: Millrace) -> None:
    def scheduled(limit: int) -> str:
        body = {"sql": "SELECT holds(30, 0.9)", "memory_limit_mb": limit}
        return str(millrace.api("POST", "execution/queries", body, 202)["execution_id"])

    def ended(job: str) -> dict[str, Any]:
        eventually(lambda: millrace.api("GET", f"execution/queries/{job}")["completed_at"] is not None)
        return dict(millrace.api("GET", f"execution/queries/{job}"))

    small, large = scheduled(20), scheduled(5000)
    error = ended(small)["error"]
    assert (error["sqlstate"], ended(small)["status"]) == ("53200", "failed")
    assert "20 MB of memory that memory_limit_mb allows" in error["message"]
    assert ended(large)["status"] == "completed"
