"""Entries that programs make by hand, over REST: what is asked, what is answered, who may."""

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from wire import eventually

from harness import Millrace, PostgreSQL, millrace_binary

ENTRIES = "/api/v1/cache/entries"


@pytest.fixture(scope="module")
def millrace(postgres: PostgreSQL) -> Iterator[Millrace]:
    with Millrace(postgres, {"L1_CACHE_SIZE_MB": 16, "IO_THREADS": 2}) as server:
        yield server


@pytest.fixture
def api(millrace: Millrace) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=millrace.http_url, trust_env=False) as client:
        assert client.post("/api/v1/cache/invalidate", json={"scope": "global"}).status_code == 200
        yield client


def put(api: httpx.Client, key: str, result: Any, **more: Any) -> dict[str, Any]:
    answer = api.put(f"{ENTRIES}/{quote(key, safe='')}", json={"result": result, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(api: httpx.Client, key: str) -> Any:
    answer = api.get(f"{ENTRIES}/{quote(key, safe='')}")
    assert answer.status_code in (200, 404), answer.text
    return answer.json()["data"] if answer.status_code == 200 else None


def impact(api: httpx.Client, scope: str, *patterns: str) -> int:
    answer = api.post("/api/v1/cache/invalidate", json={"scope": scope, "patterns": patterns, "reason": "a test"})
    assert answer.status_code == 200, answer.text
    return answer.json()["estimated_impact"]


@pytest.mark.parametrize("key", ["plain", "a/b?c#d&e=f", "über:✓", "%2F", "a b+c", "x" * 1024, "..%", "~-._"])
def test_any_text_is_a_key(api: httpx.Client, key: str) -> None:
    result = {"rows": [[1, "ü", None, 1.5]]}
    assert put(api, key, result)["cache_key"] == key
    assert get(api, key) == result
    assert get(api, key + "x" if len(key) < 1024 else key[1:]) is None
    path = f"{ENTRIES}/{quote(key, safe='')}"
    assert [api.delete(path).status_code for _ in range(2)] == [204, 404]
    assert get(api, key) is None


def test_time_to_live(api: httpx.Client) -> None:
    put(api, "short", 1, ttl=1)
    put(api, "long", 1, ttl=60)
    assert get(api, "short") == 1
    eventually(lambda: get(api, "short") is None, what="the entry to expire")
    assert get(api, "long") == 1


def test_invalidation(api: httpx.Client) -> None:
    def fill() -> None:
        put(api, "user:123:profile", 1, tags=["profiles"], dependencies=["user:123", "table:users"])
        put(api, "user:123:pages", 1, tags=["pages"], dependencies=["user:123", "project:456"])
        put(api, "user:9:profile", 1, tags=["profiles"])

    for scope, patterns, affected in [
        ("key_exact", ["user:123:pages", "user:123:*"], 1),
        ("key_pattern", ["user:123:*"], 2),
        ("key_pattern", ["*:profile", "user:?:*"], 2),
        ("table_based", ["users"], 1),
        ("project_based", ["456"], 1),
        ("user_based", ["user:123:*"], 2),
        ("tag_based", ["profiles", "nosuch"], 2),
        ("global", [], 3),
    ]:
        fill()
        assert impact(api, scope, *patterns) == affected, scope
        assert impact(api, scope, *patterns) == (0 if scope != "global" else 3 - affected), scope
        left = sum(get(api, key) is not None for key in ("user:123:profile", "user:123:pages", "user:9:profile"))
        assert left == 3 - affected
        impact(api, "global")


def test_statistics_and_optimize(api: httpx.Client) -> None:
    before = api.get("/api/v1/cache/statistics").json()
    for i in range(200):
        put(api, f"key:{i}", "x" * 1000, tags=["odd" if i % 2 else "even"])
    for _ in range(3):
        get(api, "key:7")
    get(api, "nosuch")
    stats = api.get("/api/v1/cache/statistics").json()
    assert stats["total_entries"] == 200
    assert 200_000 < stats["total_size_bytes"] < 600_000
    assert stats["total_size_mb"] == pytest.approx(stats["total_size_bytes"] / 2**20)
    assert stats["top_keys"][0] == {"key": "key:7", "access_count": 3}
    memory, memory_before = stats["level_stats"]["memory"], before["level_stats"]["memory"]
    assert memory["hits"] - memory_before["hits"] == 3
    assert memory["misses"] - memory_before["misses"] == 1
    assert stats["hit_rate"] + stats["miss_rate"] == pytest.approx(100)
    assert impact(api, "tag_based", "odd") == 100
    done = api.post("/api/v1/cache/optimize").json()
    assert done["entries_evicted"] == 100
    assert done["space_saved_bytes"] > 100_000
    assert api.get("/api/v1/cache/statistics").json()["total_entries"] == 100
    assert api.post("/api/v1/cache/optimize").json()["entries_evicted"] == 0


def test_metrics(api: httpx.Client, millrace: Millrace) -> None:
    put(api, "key", 1, tags=["t"])
    hits, stale = millrace.metric("cache_hits_total"), millrace.metric("cache_misses_total", reason="stale")
    get(api, "key")
    impact(api, "tag_based", "t")
    get(api, "key")
    assert millrace.metric("cache_hits_total") == hits + 1
    assert millrace.metric("cache_misses_total", reason="stale") == stale + 1
    assert millrace.metric("cache_capacity_bytes") == 16 * 2**20


def test_what_is_wrong_is_named(api: httpx.Client) -> None:
    def fields(answer: httpx.Response) -> list[list[str | int]]:
        assert answer.status_code == 422, answer.text
        return [one["loc"] for one in answer.json()["detail"]]

    invalidate = "/api/v1/cache/invalidate"
    assert fields(api.put(f"{ENTRIES}/k", json={"ttl": 5})) == [["body", "result"]]
    assert fields(api.put(f"{ENTRIES}/k", json={"result": 1, "ttl": -1})) == [["body", "ttl"]]
    assert fields(api.put(f"{ENTRIES}/k", json={"result": 1, "tags": ["t"] * 65})) == [["body", "tags"]]
    assert fields(api.put(f"{ENTRIES}/{'k' * 1025}", json={"result": 1})) == [["path", "key"]]
    assert fields(api.put(f"{ENTRIES}/%FF", json={"result": 1})) == [["path", "key"]]
    assert fields(api.post(invalidate, json={"patterns": ["*"] * 101})) == [["body", "patterns"]]
    assert fields(api.post(invalidate, json={"patterns": ["x"], "scope": "some"})) == [["body", "scope"]]
    assert fields(api.post(invalidate, json={})) == [["body", "patterns"]]
    assert fields(api.post(invalidate, content=b"patterns=x")) == [["body"]]


def test_large_results(api: httpx.Client) -> None:
    """What fits is kept as it is; what is over the limit of an entry is refused without harm, and over 4 MiB not read."""
    fits = [f"{i:09}" for i in range(70_000)]
    assert put(api, "large", fits)["cached"]
    assert get(api, "large") == fits
    answer = put(api, "large", "x" * 3_000_000)
    assert (answer["cached"], answer["reason"]) == (False, "too_large")
    assert get(api, "large") is None
    try:
        assert api.put(f"{ENTRIES}/large", json={"result": "x" * 5_000_000}).status_code == 413
    except httpx.WriteError:
        pass  # it closed before all was sent
    assert put(api, "large", 1)["cached"]


def test_numbers_stay_what_they_are(api: httpx.Client) -> None:
    text = '{"n":[12345678901234567890123, 1.10, 1e2]}'
    sent = api.put(f"{ENTRIES}/n", content=f'{{"result": {text}}}', headers={"Content-Type": "application/json"})
    assert sent.status_code == 200
    assert f'"data":{text},' in api.get(f"{ENTRIES}/n").text


def test_many_at_once(api: httpx.Client, millrace: Millrace) -> None:
    """While entries are put and found, walks through the cache go on; nobody sees what isn't his."""
    stop = threading.Event()

    def walk() -> None:
        with httpx.Client(base_url=millrace.http_url, trust_env=False, timeout=30) as client:
            while not stop.is_set():
                for answer in (
                    client.post("/api/v1/cache/invalidate", json={"patterns": ["*:1?:*"]}),
                    client.post("/api/v1/cache/optimize"),
                    client.get("/api/v1/cache/statistics"),
                ):
                    assert answer.status_code == 200, answer.text

    def work(worker: int) -> int:
        found = 0
        with httpx.Client(base_url=millrace.http_url, trust_env=False, timeout=30) as client:
            for i in range(100):
                key = f"w:{i % 30}:{worker}"
                put(client, key, [worker, i])
                if (got := get(client, key)) is not None:
                    assert got == [worker, i]
                    found += 1
        return found

    with ThreadPoolExecutor() as pool:
        walker = pool.submit(walk)
        found = list(pool.map(work, range(3)))
        stop.set()
        walker.result()
    assert all(found)


def test_who_may(postgres: PostgreSQL) -> None:
    made = subprocess.run([millrace_binary(), "api-key"], capture_output=True, text=True, check=True, timeout=60).stdout
    (key, digest) = (line.split()[1] for line in made.splitlines())
    other = subprocess.run([millrace_binary(), "api-key"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert key not in other
    with Millrace(postgres, {"API_KEY_HASHES": f"{'0' * 64},{digest.upper()}", "HTTP_HOST": "0.0.0.0"}) as server:
        with httpx.Client(base_url=server.http_url, trust_env=False) as client:
            entry = f"{ENTRIES}/k"
            for headers, status in [
                ({}, 401),
                ({"X-API-Key": key[:-1]}, 401),
                ({"X-API-Key": digest}, 401),
                ({"Authorization": f"Bearer {key}x"}, 401),
                ({"X-API-Key": key}, 200),
                ({"Authorization": f"Bearer {key}"}, 200),
            ]:
                answers = [
                    client.put(entry, json={"result": 1}, headers=headers),
                    client.get(entry, headers=headers),
                    client.post("/api/v1/cache/optimize", headers=headers),
                    client.post("/api/v1/cache/invalidate", json={"scope": "global"}, headers=headers),
                ]
                assert [answer.status_code for answer in answers] == [status] * 4, headers
                if status == 401:
                    assert answers[0].headers["www-authenticate"].startswith("Bearer")
                    assert "key" in answers[0].json()["detail"]
            assert client.get("/api/v1/cache/statistics").status_code == 200
            assert client.get("/api/v1/optimization/status").status_code == 200
        log = server.log
        assert f"key:{digest[:8]}" in log and key not in log


def test_without_keys_only_loopback_may(postgres: PostgreSQL, api: httpx.Client) -> None:
    assert api.post("/api/v1/cache/optimize", headers={"Origin": "http://elsewhere.test"}).status_code == 403
    with Millrace(postgres, {"HTTP_HOST": "0.0.0.0"}) as server, httpx.Client(base_url=server.http_url) as client:
        refused = client.post("/api/v1/cache/optimize")
        assert refused.status_code == 403
        assert "API_KEY_HASHES" in refused.json()["detail"]
        assert client.get("/api/v1/cache/statistics").status_code == 200


def test_switched_off(postgres: PostgreSQL) -> None:
    with Millrace(postgres, {"ENABLE_MULTI_LEVEL_CACHING": "false"}) as server:
        with httpx.Client(base_url=server.http_url, trust_env=False) as client:
            answer = client.get("/api/v1/cache/statistics")
            assert answer.status_code == 503
            assert "ENABLE_MULTI_LEVEL_CACHING" in answer.json()["detail"]
            assert client.put(f"{ENTRIES}/k", json={"result": 1}).status_code == 503
