"""How soon what is written directly at PostgreSQL, past Millrace, is seen through it, at several levels of consistency."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

LEVELS = ["eventual", "session", "strong"]
WRITES = 20
ASKED_BEFORE = 10  # each write, so that what it makes stale is in memory
READ = "SELECT login_count FROM users WHERE id = $1"
WRITE = "UPDATE users SET login_count = login_count + 1 WHERE id = $1 RETURNING login_count"
LIMIT_SECONDS = 5


@dataclass
class Freshness:
    level: str
    seconds: list[float]  # from the commit's answer until the first read that saw it was answered, of each write
    at_once: int  # writes that the next read saw
    reads: int
    run_by_postgresql: int  # of the reads


class StaleError(RuntimeError):
    """A write wasn't seen in time."""


async def measure(direct_dsn: str, through_dsn: str, level: str, reads_run: Callable[[], int]) -> Freshness:
    """Asks through Millrace without a pause until it is seen. `reads_run` is what PostgreSQL has run so far."""
    direct = await asyncpg.connect(direct_dsn)
    through = await asyncpg.connect(through_dsn, server_settings={"options": f"-c millrace.consistency={level}"})
    seconds: list[float] = []
    at_once = reads = 0
    run_before = reads_run()

    async def read() -> int:
        nonlocal reads
        reads += 1
        return await through.fetchval(READ, 1)

    try:
        for _ in range(WRITES):
            for _ in range(ASKED_BEFORE):
                await read()
            written = await direct.fetchval(WRITE, 1)
            committed = time.perf_counter()
            first = reads
            while await read() != written:
                waited = time.perf_counter() - committed
                if level == "strong" or waited > LIMIT_SECONDS:
                    raise StaleError(f"what was written at PostgreSQL wasn't seen through Millrace, {level}, {1e3 * waited:.1f} ms later")
            seconds.append(time.perf_counter() - committed)
            at_once += reads == first + 1
        return Freshness(level, seconds, at_once, reads, reads_run() - run_before)
    finally:
        await direct.close()
        await through.close()
