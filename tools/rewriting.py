"""What Millrace makes of queries that PostgreSQL is slow with: the same rows, by PostgreSQL itself, and how long both ways take."""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import asyncpg

RUNS = 3
LIMIT_SECONDS = 60.0
LEVEL = 4  # also what can be slower, where PostgreSQL estimates that it isn't

QUERIES = (
    ("Pages captured on a day", "SELECT id, url FROM pages_v2 WHERE capture_date::date = '2025-03-01'"),
    ("Pages of no project", "SELECT id FROM pages_v2 WHERE id NOT IN (SELECT page_id FROM project_pages)"),
    (
        "Projects with a domain that failed",
        "SELECT p.id FROM projects p WHERE (SELECT count(*) FROM domains d WHERE d.project_id = p.id AND d.status = 'error') > 0",
    ),
    (
        "The three newest pages of each project",
        "SELECT p.project_id, p.id FROM project_pages p"
        " WHERE (SELECT count(*) FROM project_pages q WHERE q.project_id = p.project_id AND q.added_at > p.added_at) < 3",
    ),
)


class DifferentRowsError(RuntimeError):
    """Both ways don't say the same."""


@dataclass
class Rewritten:
    name: str
    query: str
    becomes: str
    rules: list[str]
    before_ms: float  # median
    after_ms: float
    rows: int


def asked(query: str) -> dict[str, Any]:
    """The body of a request of optimize-query."""
    return {"query": query, "optimization_level": LEVEL, "time_zone": "UTC"}


async def measure(dsn: str, name: str, query: str, answer: dict[str, Any]) -> Rewritten:
    """Runs both in turn, directly at PostgreSQL."""
    connection = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"}, command_timeout=LIMIT_SECONDS)
    try:
        seconds: dict[str, list[float]] = {query: [], answer["optimized_query"]: []}
        rows: list[list[str]] = []
        for _ in range(RUNS):
            for text in seconds:
                began = time.perf_counter()
                found = await connection.fetch(text)
                seconds[text].append(time.perf_counter() - began)
                rows.append(sorted(map(repr, found)))
        if any(each != rows[0] for each in rows):
            raise DifferentRowsError(f"rewritten, it has other rows: {query}")
        before, after = (1e3 * statistics.median(seconds[text]) for text in (query, answer["optimized_query"]))
        return Rewritten(name, query, answer["optimized_query"], answer["rules"], before, after, len(rows[0]))
    finally:
        await connection.close()
