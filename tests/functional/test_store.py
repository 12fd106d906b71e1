"""What survives a restart of figures and slow queries: a DuckDB file in DATA_DIR."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from wire import connect, eventually

from harness import Millrace, PostgreSQL, millrace_binary

SECRET = "kingfisher"
READ = f"SELECT 7 AS kept WHERE '{SECRET}' <> ''"
TEMPLATE = "SELECT ? AS kept WHERE ? <> ?"
SLOW = f"SELECT pg_sleep(0.1) AS slow_kept WHERE '{SECRET}' <> ''"


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str | int]:
    return {"DATA_DIR": str(tmp_path), "SLOW_QUERY_THRESHOLD_MS": 80}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "store/millrace.duckdb"


def get(server: Millrace, path: str) -> dict[str, Any]:
    answer = httpx.get(f"{server.http_url}/api/v1/{path}", trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def store(server: Millrace) -> dict[str, Any]:
    return get(server, "optimization/status")["store"]


def run(server: Millrace, reads: int = 3) -> None:
    with connect(server) as client:
        for _ in range(reads):
            client.rows(READ)
        client.rows(SLOW)


def figures(server: Millrace, window: int = 60) -> dict[str, Any] | None:
    templates = get(server, f"performance/templates?limit=2000&window={window}")["templates"]
    return next((one for one in templates if one["query"] == TEMPLATE), None)


def slow_kept(server: Millrace) -> list[dict[str, Any]]:
    return [one for one in get(server, "performance/slow-queries?min_duration_ms=0")["slow_queries"] if "slow_kept" in one["query"]]


def cli(server: Millrace, *arguments: str) -> str:
    done = subprocess.run(
        [millrace_binary(), *arguments, "--http-port", str(server.http_port)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "no_proxy": "*"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_open(server: Millrace) -> None:
    eventually(lambda: store(server)["state"] == "open", what="the store to be open")


def test_a_restart_keeps_figures_and_slow_queries(postgres: PostgreSQL, settings: dict[str, str | int], file: Path) -> None:
    with Millrace(postgres, settings) as millrace:
        is_open(millrace)
        run(millrace)
        assert store(millrace)["path"] == str(file)
    with Millrace(postgres, settings) as millrace:
        is_open(millrace)
        kept = figures(millrace)
        assert kept is not None
        assert kept["figures"]["calls"] == 3
        assert kept["sample"]["query"] == READ
        (slow,) = slow_kept(millrace)
        assert slow["query"] == SLOW and slow["duration_ms"] >= 100
        number, began = slow["query_id"].removeprefix("q_").split("_")
        assert int(number) >= 1 and int(began) > 1_000_000_000
        # It goes on from there.
        run(millrace, reads=2)
        eventually(lambda: (figures(millrace) or kept)["figures"]["calls"] == 5, what="both processes' calls")
        eventually(lambda: len(slow_kept(millrace)) == 2, what="both processes' slow queries")
        dashboard = get(millrace, "performance/dashboard")
        assert len([one for one in dashboard["top_slow_queries"] if "slow_kept" in one["query"]]) == 2
        detail = get(millrace, f"performance/templates/{kept['template_id']}?window=10080")
        assert detail["performance"]["figures"]["calls"] == 5
        assert sum(bucket["count"] for bucket in detail["durations"]) == 5
        assert TEMPLATE in cli(millrace, "top", "--window", "10080")
        assert cli(millrace, "slow", "--min-duration-ms", "0", "--window", "1440").count("slow_kept") == 2
        assert millrace.metric("store_open") == 1
        assert millrace.metric("store_lost_seconds_total") == 0


def test_a_killed_process_leaves_a_store_that_opens(postgres: PostgreSQL, settings: dict[str, str | int]) -> None:
    with Millrace(postgres, settings) as millrace:
        is_open(millrace)
        run(millrace)
    with Millrace(postgres, settings) as millrace:
        is_open(millrace)
        run(millrace)
        millrace.kill()
    with Millrace(postgres, settings) as millrace:
        is_open(millrace)
        kept = figures(millrace)
        assert kept is not None and kept["figures"]["calls"] in (3, 6), "at most the last batch is lost"
        assert store(millrace)["files_set_aside"] == 0


def test_a_second_process_says_who_has_it_and_goes_on(postgres: PostgreSQL, settings: dict[str, str | int]) -> None:
    with Millrace(postgres, settings) as first, Millrace(postgres, settings) as second:
        eventually(lambda: {store(first)["state"], store(second)["state"]} == {"open", "unavailable"}, what="one to have it")
        late = second if store(second)["state"] == "unavailable" else first
        holder = first if late is second else second
        assert f"PID {holder.process.pid}" in store(late)["reason"]
        assert f"PID {holder.process.pid}" in late.log_path.read_text()
        assert f"PID {holder.process.pid}" in cli(late, "status")
        assert any(warning.startswith("store: it isn't available") for warning in get(late, "optimization/health")["warnings"])
        assert late.metric("store_open") == 0
        run(late)
        eventually(lambda: figures(late) is not None, what="its own figures")


def test_what_cant_be_read_is_set_aside(postgres: PostgreSQL, settings: dict[str, str | int], file: Path) -> None:
    file.parent.mkdir()
    file.write_text("not a database")
    with Millrace(postgres, settings) as millrace:
        is_open(millrace)
        assert store(millrace)["files_set_aside"] == 1
        assert "is set aside" in millrace.log_path.read_text()
    assert Path(f"{file}.unreadable.1").read_text() == "not a database"


def test_where_parameters_arent_captured_none_is_on_disk(postgres: PostgreSQL, settings: dict[str, str | int], file: Path) -> None:
    for capture, is_there in ((True, True), (False, False)):
        if not capture:
            Path(f"{file}.unreadable.1").write_text(SECRET)
        with Millrace(postgres, {**settings, "ENABLE_QUERY_PARAMETER_CAPTURE": str(capture).lower()}) as millrace:
            is_open(millrace)
            run(millrace)
        assert (SECRET.encode() in b"".join(path.read_bytes() for path in file.parent.iterdir())) == is_there
    with Millrace(postgres, {**settings, "ENABLE_QUERY_PARAMETER_CAPTURE": "false"}) as millrace:
        is_open(millrace)
        kept = figures(millrace)
        assert kept is not None
        assert kept["figures"]["calls"] == 6, "figures aren't parameters"
        assert SECRET not in json.dumps(get(millrace, "performance/slow-queries?min_duration_ms=0"))


def test_without_a_folder_there_is_none(postgres: PostgreSQL) -> None:
    with Millrace(postgres) as millrace:
        assert store(millrace)["state"] == "off"
        assert millrace.metric("store_open") == 0
        assert "libduckdb" not in Path(f"/proc/{millrace.process.pid}/maps").read_text(), "who doesn't need it doesn't load it"
