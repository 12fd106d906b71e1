"""What the statistics say of why answers were made stale, and of how fresh they are."""

import hashlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import test_consistency
from test_change_stream import LOGICAL
from test_consistency import SETTINGS, at, begin, is_kept, value
from wire import connect, eventually, query

from harness import Millrace, PostgreSQL

POSTGRESQL, SCHEMA = LOGICAL, test_consistency.SCHEMA


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres, SETTINGS) as server:
        begin(server)
        yield server


def statistics(millrace: Millrace, key: str = "") -> dict[str, Any]:
    answer = httpx.get(f"{millrace.http_url}/api/v1/cache/statistics", headers={"X-API-Key": key} if key else {})
    assert answer.status_code == 200
    return dict(answer.json())


def counted(millrace: Millrace, table: str | None, reason: str) -> int:
    return sum(
        one["count"] for one in statistics(millrace)["invalidations"] if one["table"] == table and one["reason"] == reason
    )


def test_changes_count_by_table_and_reason(millrace: Millrace, postgres: PostgreSQL) -> None:
    with at(millrace) as client, connect(postgres) as direct:
        is_kept(millrace, client, value(1))
        told, written = counted(millrace, "public.t", "change_stream"), counted(millrace, "public.fleeting", "write")
        for step in range(3):
            direct.ask(query(f"UPDATE t SET v = {step} WHERE id = 1"))
            client.ask(query(f"UPDATE t SET v = {step} WHERE id = 2"))  # the change stream will tell
            client.ask(query(f"UPDATE fleeting SET v = {step} WHERE id = 1"))  # unlogged: nothing would
        eventually(lambda: counted(millrace, "public.t", "change_stream") == told + 6)
        assert counted(millrace, "public.fleeting", "write") == written + 3
        assert counted(millrace, "public.t", "write") == 0
        assert counted(millrace, None, "gap") >= 1, "the stream's begin"
        ddl = counted(millrace, None, "catalog")
        client.ask(query("ALTER TABLE u ADD COLUMN w int"))
        eventually(lambda: counted(millrace, None, "catalog") > ddl)
        by_hand = millrace.metric("cache_invalidations_total", reason="by_hand")
        assert httpx.post(f"{millrace.http_url}/api/v1/cache/invalidate", json={"scope": "global"}).status_code == 200
        eventually(lambda: millrace.metric("cache_invalidations_total", reason="by_hand") == by_hand + 1)
        assert millrace.metric("cache_invalidations_total", reason="change_stream") >= 6


def test_the_guarantee_is_told(millrace: Millrace) -> None:
    (guarantee,) = statistics(millrace)["guarantees"]
    assert guarantee["database"] == "postgres"
    assert guarantee["levels"] == ["eventual", "bounded", "session", "read_after_write", "strong"]
    assert guarantee["lag_ms"] is not None and guarantee["proof_ms"] is not None


def test_names_are_for_who_has_a_key(postgres: PostgreSQL) -> None:
    settings = {**SETTINGS, "API_KEY_HASHES": hashlib.sha256(b"key").hexdigest()}
    with Millrace(postgres, settings) as millrace:
        begin(millrace)
        with at(millrace) as client:
            client.ask(query("UPDATE fleeting SET v = 7"))
        eventually(lambda: any(one["reason"] == "write" for one in statistics(millrace)["invalidations"]))
        assert all(one["table"] is None for one in statistics(millrace)["invalidations"])
        assert statistics(millrace)["top_keys"] == statistics(millrace, "another")["top_keys"] == []
        said = statistics(millrace, "key")
        assert {"public.fleeting"} <= {one["table"] for one in said["invalidations"]}
        assert said["top_keys"] != []
