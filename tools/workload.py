"""A short mixed workload, as a web application's: run against two addresses in turn and compared."""

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg

from sample_data import NOW

CONNECTIONS = 16
ROUNDS = 3
WARM_UP_SECONDS = 0.5
COMPARED_QUERIES_PER_KIND = 40


@dataclass
class World:
    """What queries can ask for, and the numbers to choose it by."""

    pages: Sequence[uuid.UUID]
    projects: Sequence[int]
    emails: Sequence[str]
    domains: Sequence[int]
    draw: random.Random
    added_pages: list[uuid.UUID] = field(default_factory=list)
    serial: "itertools.count[int]" = field(default_factory=itertools.count)

    @classmethod
    async def look(cls, dsn: str, seed: int) -> "World":
        connection = await asyncpg.connect(dsn)
        try:

            async def column(query: str) -> list[Any]:
                return [row[0] for row in await connection.fetch(query)]

            return cls(
                pages=await column("SELECT id FROM pages_v2 ORDER BY id LIMIT 5000"),
                projects=await column("SELECT project_id FROM project_pages GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 500"),
                emails=await column("SELECT email FROM users ORDER BY id LIMIT 1000"),
                domains=await column("SELECT id FROM domains ORDER BY id LIMIT 2000"),
                draw=random.Random(seed),
            )
        finally:
            await connection.close()

    def one_of(self, choices: Sequence[Any]) -> Any:
        """Skewed: a tenth of the choices gets about half of the questions."""
        return choices[int(len(choices) * self.draw.random() ** 3)]


@dataclass(frozen=True)
class Read:
    name: str
    weight: int
    sql: str
    parameters: Callable[[World], tuple[Any, ...]]

    async def run(self, connection: asyncpg.Connection, world: World) -> None:
        await connection.fetch(self.sql, *self.parameters(world))


@dataclass(frozen=True)
class Write:
    name: str
    weight: int
    body: Callable[[asyncpg.Connection, World], Awaitable[None]]

    async def run(self, connection: asyncpg.Connection, world: World) -> None:
        async with connection.transaction():
            await self.body(connection, world)


async def _review_page(connection: asyncpg.Connection, world: World) -> None:
    project = world.one_of(world.projects)
    row = await connection.fetchrow(
        "SELECT id FROM project_pages WHERE project_id = $1 ORDER BY added_at LIMIT 1 FOR UPDATE SKIP LOCKED", project
    )
    if row:
        status = world.draw.choice(("relevant", "irrelevant", "needs_review"))
        await connection.execute(
            "UPDATE project_pages SET review_status = $2, reviewed_at = now() WHERE id = $1", row["id"], status
        )


async def _add_page(connection: asyncpg.Connection, world: World) -> None:
    page, number = uuid.uuid4(), next(world.serial)
    await connection.execute(
        "INSERT INTO pages_v2 (id, url, unix_timestamp, title, quality_score, status_code) VALUES ($1, $2, $3, $4, $5, $6)",
        page, f"https://demo.example.org/{page}", number, "A page of the demo's", None, 200,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO project_pages (project_id, page_id, tags) VALUES ($1, $2, $3)",
        world.one_of(world.projects), page, ["important"],
    )  # fmt: skip
    world.added_pages.append(page)


READS = (
    Read(
        "point read", 40,
        "SELECT id, url, title, language, quality_score, capture_date FROM pages_v2 WHERE id = $1",
        lambda world: (world.one_of(world.pages),),
    ),
    Read(
        "user by email", 15,
        "SELECT id, email, full_name, is_active, current_plan, last_login FROM users WHERE email = $1",
        lambda world: (world.one_of(world.emails),),
    ),
    Read(
        "join, newest 20", 20,
        """SELECT pp.id, pp.review_status, pp.tags, p.title, p.url, p.quality_score, d.domain_name
           FROM project_pages pp JOIN pages_v2 p ON p.id = pp.page_id LEFT JOIN domains d ON d.id = pp.domain_id
           WHERE pp.project_id = $1 AND pp.review_status = $2 ORDER BY pp.added_at DESC, pp.id LIMIT 20""",
        lambda world: (world.one_of(world.projects), world.draw.choice(("pending", "relevant"))),
    ),
    Read(
        "aggregate, project", 10,
        """SELECT review_status, count(*) AS pages, count(*) FILTER (WHERE is_starred) AS starred
           FROM project_pages WHERE project_id = $1 GROUP BY review_status ORDER BY review_status""",
        lambda world: (world.one_of(world.projects),),
    ),
    Read(
        "aggregate, domains", 5,
        """SELECT d.status, sum(d.scraped_pages) AS scraped, round(avg(d.success_rate)::numeric, 2) AS success
           FROM domains d JOIN projects p ON p.id = d.project_id
           WHERE p.user_id = (SELECT user_id FROM projects WHERE id = $1) AND d.created_at >= $2
           GROUP BY d.status ORDER BY d.status""",
        lambda world: (world.one_of(world.projects), NOW - timedelta(days=world.draw.choice((90, 365)))),
    ),
)  # fmt: skip
WRITES = (Write("write, update", 5, _review_page), Write("write, insert", 5, _add_page))
KINDS: tuple[Read | Write, ...] = (*READS, *WRITES)


@dataclass
class Measured:
    """One side's rounds, put together."""

    seconds: float = 0.0
    latencies: dict[str, list[float]] = field(default_factory=lambda: {kind.name: [] for kind in KINDS})

    def count(self, kind: str) -> int:
        return len(self.latencies[kind])

    def all(self) -> list[float]:
        return [latency for kind in self.latencies.values() for latency in kind]


def percentile(latencies: list[float], share: float) -> float:
    if not latencies:
        return float("nan")
    return sorted(latencies)[min(len(latencies) - 1, int(len(latencies) * share))]


async def _round(pool: asyncpg.Pool, world: World, seconds: float, into: Measured | None) -> None:
    """CONNECTIONS workers, each asking as soon as it has its answer; takes a connection from the pool a question."""
    weights = list(itertools.accumulate(kind.weight for kind in KINDS))
    started = time.perf_counter()
    end = started + seconds

    async def worker() -> None:
        while (before := time.perf_counter()) < end:
            kind = world.draw.choices(KINDS, cum_weights=weights)[0]
            async with pool.acquire() as connection:
                await kind.run(connection, world)
            if into:
                into.latencies[kind.name].append(time.perf_counter() - before)

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    if into:
        into.seconds += time.perf_counter() - started


async def _count_same(pools: Sequence[asyncpg.Pool], world: World) -> tuple[int, int]:
    """Asks both sides the same; returns how many answers were equal, and of how many."""
    same = asked = 0
    for read in READS:
        for _ in range(COMPARED_QUERIES_PER_KIND):
            parameters = read.parameters(world)
            first, second = [[tuple(row) for row in await pool.fetch(read.sql, *parameters)] for pool in pools]
            same += first == second
            asked += 1
    return same, asked


@dataclass
class Comparison:
    direct: Measured
    through: Measured
    same: int
    asked: int
    # Of the proxy, while it was measured.
    cpu_seconds: float

    def table(self) -> str:
        heading = ("", "direct", "Millrace", "direct", "Millrace", "direct", "Millrace")
        rows = [(kind.name, self.direct.latencies[kind.name], self.through.latencies[kind.name]) for kind in KINDS]
        rows.append(("all", self.direct.all(), self.through.all()))
        lines = [
            f"{'':20}{'queries/s':>19}{'p50 ms':>18}{'p99 ms':>18}",
            "{:20}{:>9}{:>10}{:>8}{:>10}{:>8}{:>10}".format(*heading),
        ]
        for name, direct, through in rows:
            lines.append(
                f"{name:20}{len(direct) / self.direct.seconds:9,.0f}{len(through) / self.through.seconds:10,.0f}"
                f"{1e3 * percentile(direct, 0.5):8.2f}{1e3 * percentile(through, 0.5):10.2f}"
                f"{1e3 * percentile(direct, 0.99):8.2f}{1e3 * percentile(through, 0.99):10.2f}"
            )
        return "\n".join(lines)

    def share(self) -> float:
        """Throughput through Millrace as a share of that without it."""
        return (len(self.through.all()) / self.through.seconds) / (len(self.direct.all()) / self.direct.seconds)

    def cpu_ms_per_1000(self) -> float:
        return 1e6 * self.cpu_seconds / max(1, len(self.through.all()))


async def compare(
    direct_dsn: str, through_dsn: str, *, seconds: float, seed: int, proxy_cpu_seconds: Callable[[], float]
) -> Comparison:
    """Runs both sides in turn, ROUNDS times; `seconds` is for all of it together, warming up excepted."""
    world = await World.look(direct_dsn, seed)
    options = {"min_size": CONNECTIONS, "max_size": CONNECTIONS}
    async with asyncpg.create_pool(direct_dsn, **options) as direct, asyncpg.create_pool(through_dsn, **options) as through:
        result = Comparison(Measured(), Measured(), *await _count_same((direct, through), world), cpu_seconds=0.0)
        await _round(direct, world, WARM_UP_SECONDS, None)
        await _round(through, world, WARM_UP_SECONDS, None)
        for _ in range(ROUNDS):
            await _round(direct, world, seconds / (2 * ROUNDS), result.direct)
            before = proxy_cpu_seconds()
            await _round(through, world, seconds / (2 * ROUNDS), result.through)
            result.cpu_seconds += proxy_cpu_seconds() - before
        await direct.execute("DELETE FROM project_pages WHERE page_id = ANY($1)", world.added_pages)
        await direct.execute("DELETE FROM pages_v2 WHERE id = ANY($1)", world.added_pages)
        return result
