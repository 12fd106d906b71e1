"""A whole run: servers, processes that read and write, faults, and the verdict."""

import asyncio
import itertools
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.sharedctypes import RawArray, RawValue
from pathlib import Path
from typing import Any

from wire import connect, eventually, query

from harness import Millrace, PostgreSQL, Way

from .faults import FAULTS, Scene
from .judge import Judge
from .readers import Reader
from .record import LEVELS, Event, History, Reads
from .registers import REGISTERS, SCHEMA, STYLES
from .writers import Writer

CONFIG = {
    "wal_level": "logical", "synchronous_commit": "on", "max_prepared_transactions": 2 * REGISTERS,
    "logical_decoding_work_mem": "64kB", "wal_sender_timeout": "5s",
}  # fmt: skip
# Nothing is made right by time.
SETTINGS = {
    "CACHE_DEFAULT_TTL_SECONDS": 86_400, "POOL_SIZE": 60,
    "LOG_CONNECTIONS": "false", "IO_THREADS": 2,
}  # fmt: skip
# s between two writes of a register, about: what is written all the time is hardly ever answered from memory.
PAUSES = (0.02, 0.1, 0.3, 0.7, 1.5, 3.0)
NOBODY, EVERYBODY = -1, len(LEVELS)  # who may read; else the number of a level
TAKE_LONG = ("postgres_restarts", "postgres_is_killed", "network_is_cut", "millrace_is_killed")
WARM_UP = 60.0
ALL_HAVE_READ = 1000
LONGEST_CALM = 10.0


@dataclass(frozen=True)
class Plan:
    reads: int  # the run ends when there are so many,
    least_seconds: float  # but not before, of the part with faults
    most_seconds: float
    calm_seconds: float  # of each level, without faults, before them
    between: float  # seconds from the end of a fault to the next one, about
    recovery: float  # s that are given after a fault until answers come from memory again
    faults: Sequence[str] = (*FAULTS, "commits_are_hidden", "commits_are_hidden", "stream_is_delayed")
    mode: str = "transaction"  # of the pool
    processes: int = 2  # that read; one more writes
    seed: int = 1


@dataclass
class Verdict:
    judge: Judge
    history: History
    hits: int = 0
    calm_reads: dict[str, int] = field(default_factory=dict)
    calm_hits: dict[str, int] = field(default_factory=dict)
    seconds: float = 0

    @property
    def violations(self) -> dict[str, int]:
        found = Counter(violation.level for violation in self.judge.violations)
        return {level: found[level] for level in LEVELS}

    def hit_ratio(self, level: str) -> float:
        """Without faults."""
        return round(self.calm_hits[level] / max(self.calm_reads[level], 1), 4)

    @property
    def writes(self) -> Counter[str]:
        return Counter(f"{write.how}: {write.outcome.name}" for writes in self.history.writes.values() for write in writes[1:])


class Shared:
    """What the processes tell each other; each number is written by one of them."""

    def __init__(self, processes: int) -> None:
        self.may_read = RawValue("q", NOBODY)
        self.ends = RawValue("b", 0)
        self.reads = RawArray("q", processes)


def run(plan: Plan, binary: Path, note: Callable[[str], None] = lambda text: None) -> Verdict:
    with PostgreSQL(config=CONFIG) as postgres, Way(postgres) as way:
        postgres.admin(SCHEMA)
        postgres.admin("ANALYZE")
        settings = {**SETTINGS, "DATABASE_URL": way.url, "AUTH_TYPE": "trust", "POOL_MODE": plan.mode}
        with Millrace(None, settings, binary=binary) as millrace:
            answers(millrace)
            return Run(plan, Scene(postgres, millrace, random.Random(plan.seed), way), note).all()


def answers(millrace: Millrace) -> None:
    """From memory, at a level that needs the change stream."""

    def hit() -> bool:
        before = millrace.metric("statements_answered_from_memory_total")
        with connect(millrace, options="-c millrace.consistency=session") as client:
            for _ in range(2):
                client.ask(query("SELECT v FROM a0 WHERE id = 1"))
        return millrace.metric("statements_answered_from_memory_total") > before

    eventually(hit, WARM_UP, "Millrace to answer from memory")


class Run:
    def __init__(self, plan: Plan, scene: Scene, note: Callable[[str], None]) -> None:
        self.plan, self.scene, self.note = plan, scene, note
        self.shared = Shared(plan.processes)
        self.events: list[Event] = []

    def all(self) -> Verdict:
        began = time.monotonic()
        with self._processes() as collect:
            self.shared.may_read.value = EVERYBODY
            eventually(lambda: self._read() > ALL_HAVE_READ, WARM_UP, "readers to read")
            self.shared.may_read.value = NOBODY
            time.sleep(0.1)
            calm = [self._calm(number) for number in range(len(LEVELS))]
            self.shared.may_read.value = EVERYBODY
            self._faults()
            hits = self.scene.hits()
            self.shared.ends.value = 1
            history = collect()
        history.events = self.events
        seconds = time.monotonic() - began
        self.note(f"{seconds:.0f} s; judging {sum(map(len, history.reads))} reads")
        verdict = Verdict(Judge(history).all(), history, hits, seconds=seconds)
        for level, (reads, level_hits) in zip(LEVELS, calm):
            verdict.calm_reads[level], verdict.calm_hits[level] = reads, level_hits
        return verdict

    def _read(self) -> int:
        return sum(self.shared.reads)

    def _calm(self, level: int) -> tuple[int, int]:
        """How many reads of this level, and how many of them were answered from memory, while nobody else read."""
        reads, hits = self._read(), self.scene.hits()
        self.shared.may_read.value = level
        began = time.monotonic()
        time.sleep(self.plan.calm_seconds)
        while self.scene.hits() == hits and time.monotonic() < began + LONGEST_CALM:
            time.sleep(0.1)  # a slow machine
        self.shared.may_read.value = NOBODY
        time.sleep(0.1)
        reads, hits = self._read() - reads, self.scene.hits() - hits
        self.note(f"{LEVELS[level]}: {reads} reads without faults, {hits} of them from memory")
        return reads, hits

    def _faults(self) -> None:
        """In any order."""
        plan, chance = self.plan, self.scene.chance
        began = time.monotonic()
        order: list[str] = []
        while True:
            passed = time.monotonic() - began
            if passed > plan.most_seconds or (self._read() >= plan.reads and passed > plan.least_seconds and not order):
                return
            if chance.random() < 0.8:
                self._recover(plan.recovery)
            time.sleep(plan.between * (0.5 + chance.random()))
            if not order:
                # Those after which the change stream takes its time to come back are the last.
                order = chance.sample(list(plan.faults), len(plan.faults))
                order.sort(key=lambda fault: fault in TAKE_LONG, reverse=True)
            what = order.pop()
            start = time.monotonic_ns()
            FAULTS[what](self.scene)
            self.events.append(Event(what.replace("_", " "), start, time.monotonic_ns()))
            self.note(f"{passed:6.1f} s: {self._read()} reads, {self.scene.hits()} from memory; {self.events[-1].what}")

    def _recover(self, seconds: float) -> None:
        """Until answers come from memory again at a good rate, but not for ever: what nobody keeps can't be stale."""
        deadline = time.monotonic() + seconds
        hits = self.scene.hits()
        while time.monotonic() < deadline and self.scene.hits() < hits + 200:
            time.sleep(0.05)

    @contextmanager
    def _processes(self) -> Any:
        """Gives a function that waits for them and answers what they have written down."""
        context = multiprocessing.get_context("fork")
        started = []
        for number in range(self.plan.processes + 1):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=self._process, args=(number, theirs), daemon=True)
            process.start()
            theirs.close()
            started.append((process, ours))

        def collect() -> History:
            history = History()
            for _, pipe in started:
                history.add(pipe.recv())
            return history

        try:
            yield collect
        finally:
            self.shared.ends.value = 1
            for process, _ in started:
                process.join(10)
                if process.is_alive():
                    process.kill()

    def _process(self, number: int, pipe: Pipe) -> None:
        history, reads = History(), Reads()
        history.reads.append(reads)
        asyncio.run(self._read_or_write(number, history, reads))
        pipe.send(history)

    async def _read_or_write(self, number: int, history: History, reads: Reads) -> None:
        shared, plan = self.shared, self.plan
        millrace, postgres = self.scene.millrace, self.scene.postgres
        numbers = itertools.count(1 + number * 1_000_000).__next__
        chance = random.Random(plan.seed * 1000 + number)

        def may_read(level: str) -> Callable[[], bool]:
            own = LEVELS.index(level) if level else EVERYBODY
            return lambda: shared.may_read.value in (own, EVERYBODY)

        async def count() -> None:
            while not shared.ends.value:
                shared.reads[number] = len(reads)
                await asyncio.sleep(0.02)

        def ends() -> bool:
            return bool(shared.ends.value)

        common: dict[str, Any] = {"history": history, "reads": reads, "numbers": numbers, "chance": chance, "ends": ends}
        tasks = []
        if number < plan.processes:
            for level, style in itertools.product(LEVELS, STYLES):
                tasks.append(Reader(millrace.host, millrace.port, level, style, may_read=may_read(level), **common).run())
            tasks.append(count())
        else:
            directly = (postgres.host, postgres.port)
            for register in range(REGISTERS):
                # Every other one through Millrace, at each level.
                level = LEVELS[register // 2 % len(LEVELS)] if register % 2 else ""
                host, port = (millrace.host, millrace.port) if level else directly
                pause = PAUSES[register // 2 % len(PAUSES)]
                only_with_faults = lambda: shared.may_read.value == EVERYBODY  # noqa: E731
                tasks.append(Writer(register, host, port, directly, level, pause, may_read=only_with_faults, **common).run())
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)
