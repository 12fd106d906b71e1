"""The same page loads directly and through Millrace, in turn, by both drivers: how many of their reads were answered from
memory, and how long it took. What PostgreSQL has run is its own count (pg_stat_statements), not Millrace's."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from application import CONNECTIONS, DRIVERS, READS, Application

ROUNDS = 3
PROJECTS = 100
REQUESTS_PER_WRITE = 50


class CountError(RuntimeError):
    """The reads that PostgreSQL has run directly aren't those that were asked: then a hit ratio would be wrong."""


@dataclass
class Measured:
    """Of one side, its rounds put together."""

    loads: list[float] = field(default_factory=list)  # seconds
    writes: list[float] = field(default_factory=list)
    run_by_postgresql: int = 0  # reads
    requests: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def hit_ratio(self) -> float:
        return 1 - self.run_by_postgresql / max(1, READS * len(self.loads))


@dataclass
class Situation:
    driver: str
    with_writes: bool
    direct: Measured = field(default_factory=Measured)
    through: Measured = field(default_factory=Measured)

    def rows(self) -> list[str]:
        what = f"1 write in {REQUESTS_PER_WRITE}" if self.with_writes else "reads only"
        lines = [_row(f"{self.driver}, {what}", self.direct.loads, self.through.loads, f"{100 * self.through.hit_ratio:.1f} %")]
        if self.with_writes:
            lines.append(_row("  the writes", self.direct.writes, self.through.writes))
        return lines


@dataclass
class Comparison:
    situations: list[Situation]
    same: int  # pages that were the same, of how many
    compared: int

    def table(self) -> str:
        heading = ("", "answered", "median, ms", "", "p99, ms", "")
        under = ("", "from memory", "direct", "Millrace", "direct", "Millrace")
        rows = itertools.chain(*(each.rows() for each in self.situations))
        return "\n".join([_ROW.format(*heading).rstrip(), _ROW.format(*under), *rows])


_ROW = "{:37}{:>12}{:>12}{:>10}{:>10}{:>10}"


def _row(name: str, direct: list[float], through: list[float], hits: str = "") -> str:
    times = (_milliseconds(side, share) for share in (0.5, 0.99) for side in (direct, through))
    return _ROW.format(name, hits, *times)


def _milliseconds(seconds: list[float], share: float) -> str:
    few = len(seconds) * (1 - share) < 1  # then it would be the greatest of them
    return "-" if few else f"{1e3 * percentile(seconds, share):.2f}"


def percentile(values: Sequence[float], share: float) -> float:
    """Of one value at least."""
    return sorted(values)[int(len(values) * share)]


class Turns:
    """`reads_run` says how many of the application's reads PostgreSQL has run so far."""

    def __init__(self, projects: Sequence[int], seed: int, reads_run: Callable[[], int]) -> None:
        self._projects = projects
        self._draw = random.Random(seed)
        self._reads_run = reads_run

    def _project(self) -> int:
        """Skewed: a tenth of them gets about half of the loads."""
        return self._projects[int(len(self._projects) * self._draw.random() ** 3)]

    async def take(self, application: Application, seconds: float, with_writes: bool, into: Measured) -> None:
        """As many requests at once as there are connections; each comes when the one before is done."""
        end = time.perf_counter() + seconds
        run_before = self._reads_run()

        async def requests() -> None:
            while (started := time.perf_counter()) < end:
                writes = with_writes and next(into.requests) % REQUESTS_PER_WRITE == 0
                await (application.review if writes else application.load)(self._project())
                (into.writes if writes else into.loads).append(time.perf_counter() - started)

        await asyncio.gather(*(requests() for _ in range(CONNECTIONS)))
        into.run_by_postgresql += self._reads_run() - run_before

    async def warm_up(self, application: Application) -> None:
        """Each page once; by turns of the connections, so that each has prepared what it will ask."""
        for first in range(0, len(self._projects), CONNECTIONS):
            await asyncio.gather(*(application.load(project) for project in self._projects[first : first + CONNECTIONS]))


async def compare(
    direct_dsn: str, through_dsn: str, projects: Sequence[int], *, seconds: float, seed: int, reads_run: Callable[[], int]
) -> Comparison:
    """`seconds` is for all of it together, warming up excepted."""
    turns = Turns(projects, seed, reads_run)
    result = Comparison([], 0, 0)
    each = seconds / (2 * ROUNDS * 2 * len(DRIVERS))
    for driver, connect in DRIVERS.items():
        async with connect(direct_dsn) as direct, connect(through_dsn) as through:
            for application in (direct, through):
                await turns.warm_up(application)
            for with_writes in (False, True):
                situation = Situation(driver, with_writes)
                for _ in range(ROUNDS):
                    await turns.take(direct, each, with_writes, situation.direct)
                    await turns.take(through, each, with_writes, situation.through)
                if situation.direct.run_by_postgresql != READS * len(situation.direct.loads):
                    raise CountError("PostgreSQL counts other reads than the pages'")
                result.situations.append(situation)
            for project in projects:
                # The second time through Millrace all of it is in memory.
                result.same += await direct.load(project) == await through.load(project) == await through.load(project)
                result.compared += 1
    return result
