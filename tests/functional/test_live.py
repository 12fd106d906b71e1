"""Live updates over a WebSocket, as a client of its own kind hears them while statements run."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import websockets
from wire import connect

from harness import Millrace, PostgreSQL

pytestmark = pytest.mark.asyncio

SLOW_FROM_MS = 40
PATIENCE = 60


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Any:
    with Millrace(postgres, {"SLOW_QUERY_THRESHOLD_MS": SLOW_FROM_MS}) as server:
        yield server


def url(millrace: Millrace) -> str:
    return f"ws://{millrace.host}:{millrace.http_port}/api/v1/ws"


@asynccontextmanager
async def listening(millrace: Millrace, *topics: str, **more: Any) -> AsyncIterator[Any]:
    async with websockets.connect(url(millrace), **more) as socket:
        if topics:
            await socket.send(json.dumps({"subscribe": topics}))
            assert (await told(socket, "subscribed"))["subscribe"] == list(topics)
        yield socket


async def next_told(socket: Any) -> tuple[str, Any]:
    async with asyncio.timeout(PATIENCE):
        message = json.loads(await socket.recv())
    assert message.keys() == {"type", "dropped", "data"} and message["dropped"] == 0
    return message["type"], message["data"]


async def told(socket: Any, kind: str) -> Any:
    """The data of the next message of this type."""
    while (message := await next_told(socket))[0] != kind:
        pass
    return message[1]


def be_slow(millrace: Millrace, text: str) -> None:
    with connect(millrace) as client:
        client.rows(f"SELECT pg_sleep({2 * SLOW_FROM_MS / 1000}), '{text}'")


async def test_figures_come_each_second(millrace: Millrace) -> None:
    async with listening(millrace) as socket:
        first = await told(socket, "metrics")
        be_slow(millrace, "figures")
        later = await told(socket, "metrics")
        while later["throughput"] == 0:
            later = await told(socket, "metrics")
        assert later["at"] > first["at"] and later["window_seconds"] > 0
        assert later["p99_ms"] >= 2 * SLOW_FROM_MS * 63 / 64 and later["error_rate"] == 0
        assert later["memory_usage_mb"] > 0


async def test_slow_queries_and_alerts_are_told(millrace: Millrace) -> None:
    async with listening(millrace, "slow_query", "alert") as socket, httpx.AsyncClient(trust_env=False) as client:
        rule = {"metric_type": "execution_time", "threshold_value": SLOW_FROM_MS, "severity": "low"}
        api = f"{millrace.http_url}/api/v1/performance"
        made = (await client.post(f"{api}/create-alert", json=rule)).json()
        be_slow(millrace, "<script>alert(1)</script>")
        query = alert = None
        while not query or not alert:  # in whatever order
            kind, data = await next_told(socket)
            if kind == "alert":
                alert = data
            elif "<script>" in data["query"]:
                query = data
        assert query["query"].endswith("'<script>alert(1)</script>'") and query["duration_ms"] >= 2 * SLOW_FROM_MS
        listed = (await client.get(f"{api}/slow-queries", params={"min_duration_ms": 1})).json()["slow_queries"]
        assert query in listed
        assert alert["rule_id"] == made["rule_id"] and not alert["resolved"]
        await client.post(f"{api}/alerts/{alert['alert_id']}/resolve")
        assert (await told(socket, "alert"))["resolved"]


async def test_what_is_wrong_is_said(millrace: Millrace) -> None:
    async with listening(millrace, "anomaly") as socket:
        await socket.send('{"subscribe": ["nosuch"]}')
        (problem,) = (await told(socket, "error"))["detail"]
        assert problem["loc"] == ["body", "subscribe", 0] and problem["type"] == "enum"
        await socket.send("x" * 10_000)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await told(socket, "error")
        assert closed.value.code == 1009  # too big


async def test_a_key_is_needed_where_there_are_some(postgres: PostgreSQL) -> None:
    key = "mr_key"
    with Millrace(postgres, {"API_KEY_HASHES": hashlib.sha256(key.encode()).hexdigest()}) as millrace:
        for headers in ({}, {"X-API-Key": "other"}):
            with pytest.raises(websockets.InvalidStatusCode) as refused:
                await websockets.connect(url(millrace), extra_headers=headers)
            assert refused.value.status_code == 401
        async with listening(millrace, extra_headers={"X-API-Key": key}) as socket:
            await told(socket, "metrics")
        # As a page does.
        async with listening(millrace, subprotocols=["millrace", f"millrace.key.{key}"], origin="http://else.test") as socket:
            assert socket.subprotocol == "millrace"
            await told(socket, "metrics")


async def test_pages_of_elsewhere_hear_nothing(millrace: Millrace) -> None:
    async with listening(millrace, origin=f"http://{millrace.host}:{millrace.http_port}") as socket:
        await told(socket, "metrics")
    with pytest.raises(websockets.InvalidStatusCode) as refused:
        await websockets.connect(url(millrace), origin="http://elsewhere.test")
    assert refused.value.status_code == 403


async def test_its_end_is_told(postgres: PostgreSQL) -> None:
    with Millrace(postgres) as millrace:
        async with listening(millrace) as socket:
            await told(socket, "metrics")
            await asyncio.to_thread(millrace.stop)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await told(socket, "never")
            assert closed.value.code == 1001


async def test_nobody_watches(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"PERFORMANCE_MONITORING_ENABLED": "false"}) as millrace:
        with pytest.raises(websockets.InvalidStatusCode) as refused:
            await websockets.connect(url(millrace))
        assert refused.value.status_code == 503
