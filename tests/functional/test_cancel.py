"""A cancel request ends what the client waits for, whatever Millrace is at meanwhile. PostgreSQL itself ignores one that
comes before it has read what it is for, so each is tried a few times."""

import itertools
import time
from collections.abc import Callable, Iterator

import pytest
from wire import SYNC, bind, cancel_request, connect, execute, parse, query

from harness import Millrace, PostgreSQL, Way


@pytest.fixture
def way(postgres: PostgreSQL) -> Iterator[Way]:
    with Way(postgres) as way:
        yield way


@pytest.fixture
def millrace(pool_mode: str, way: Way) -> Iterator[Millrace]:
    settings = {"POOL_MODE": pool_mode, "IO_THREADS": 1, "DATABASE_URL": way.url + "?sslmode=disable", "AUTH_TYPE": "trust"}
    with Millrace(None, settings) as server:
        yield server


def is_cancelled(millrace: Millrace, after: float, count: int, messages: Callable[[], list[bytes]]) -> bool:
    """Sent together, `count` ReadyForQuery are the answer; whether one of them fails for the cancel, and only one."""
    with connect(millrace) as client:
        client.one("SELECT 1")
        client.send(*messages())
        time.sleep(after)
        cancel_request(millrace.host, millrace.port, client.key)
        errors = [one.sqlstate for one in client.until("Z", count) if one.kind == "E"]
        assert errors in ([], ["57014"])
        assert [one.sqlstate for one in client.ask(query("ROLLBACK")) if one.kind == "E"] == []
        assert client.one("SELECT 2") == "2"
        return bool(errors)


@pytest.mark.parametrize("after", [0, 0.002, 0.005])
@pytest.mark.parametrize("batch", [False, True])
def test_while_a_long_text_is_parsed(millrace: Millrace, after: float, batch: bool) -> None:
    numbers = ",".join(map(str, range(7, 60007)))
    new = itertools.count()

    def messages() -> list[bytes]:
        sql = f"SELECT pg_sleep(1) WHERE {next(new)} >= 0 AND 1 NOT IN ({numbers})"
        return [parse(sql), bind(), execute(), SYNC] if batch else [query(sql)]

    assert any(is_cancelled(millrace, after, 1, messages) for _ in range(10))


@pytest.mark.parametrize("before", ["BEGIN", "SET work_mem = '5MB'"])
def test_behind_what_is_under_way(millrace: Millrace, way: Way, before: str) -> None:
    """The answer to what was sent before is on its way, or it is Millrace's own."""
    way.takes = 0.05
    sent = [query(before), query("SELECT pg_sleep(1)")]
    assert any(is_cancelled(millrace, 0.02, 2, lambda: sent) for _ in range(5))


@pytest.mark.parametrize("ahead", [False, True], ids=["in turn", "ahead"])
def test_a_later_statement_is_not_cancelled(millrace: Millrace, way: Way, ahead: bool) -> None:
    """What the cancel was for has waited behind something else, and had ended before the server was told. It was sent
    after the answer to that, or as soon as the request to cancel was answered."""
    way.takes = 0.05
    with connect(millrace) as client:
        client.one("SELECT 1")
        for _ in range(3):
            client.send(query("BEGIN"), query("SELECT 1"))
            time.sleep(0.02)
            cancel_request(millrace.host, millrace.port, client.key)
            if not ahead:
                client.until("Z", 2)
                time.sleep(0.2)
            client.send(query("ROLLBACK"), query("SELECT pg_sleep(0.3)"))
            if ahead:
                client.until("Z", 2)
            assert [one.sqlstate for one in client.until("Z", 2) if one.kind == "E"] == []
