"""Whoever raises the version of a register, in all the ways that PostgreSQL has to change rows."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from wire import COPY_DONE, SYNC, bind, copy_data, execute, parse, query

from .connection import Connection, Lost, Refused, error_of
from .readers import BOUND_MS, answers, asked_for
from .record import History, Outcome, Read, Reads, Session, Write
from .registers import FIRST, SECOND, ask, is_alone, read, row, table

# Nobody waits for long: if a commit does, somebody left a lock behind.
PATIENCE = 15.0
RARELY = 12.0


class Uncommitted(Exception):
    """It failed before its commit was asked for."""


@dataclass
class Writer:
    """One after the other: versions are in order, also where nobody knows what became of one.

    An UPDATE changes nothing that is newer; all else holds locks, from before its commit is asked for, for which its
    successor waits.
    """

    register: int
    host: str
    port: int
    directly: tuple[str, int]  # PostgreSQL
    level: str  # of its session; empty: it doesn't write through Millrace
    pause: float  # s between two writes, about
    history: History
    reads: Reads
    numbers: Callable[[], int]
    chance: random.Random
    may_read: Callable[[], bool]
    ends: Callable[[], bool]
    connection: Connection = field(init=False)
    session: int = 0
    sent: int = 0  # when the commit at hand was; 0: not yet
    began: int = 0
    not_before: dict[str, float] = field(default_factory=dict)

    @property
    def writes(self) -> list[Write]:
        return self.history.writes[self.register]

    async def run(self) -> None:
        self.history.writes[self.register] = [Write("there from the beginning", 0, 0, 0, Outcome.committed)]
        while not self.ends():
            try:
                await self.one_session()
            except (Lost, TimeoutError):
                await asyncio.sleep(0.05)
                await self.finish_prepared()

    async def one_session(self) -> None:
        options = {"options": f"-c millrace.consistency={asked_for(self.level)}"} if self.level else {}
        self.connection = await Connection.open(self.host, self.port, user="postgres", database="postgres", **options)
        if self.level:
            self.session = self.numbers()
            self.history.sessions[self.session] = Session(self.session, self.level, BOUND_MS, "writer")
        try:
            while not self.ends():
                await self.write(self.way())
                if self.level and self.may_read():
                    await self.look()
                await asyncio.sleep(self.pause * self.chance.random() * 2)
        finally:
            self.connection.close()

    def way(self) -> str:
        """Each in its turn, but the rare ones not before their time."""
        how = self.chance.choice([name for name, way in WAYS.items() if is_alone(self.register) or not way.of_whole_tables])
        now = time.monotonic()
        if now < self.not_before.setdefault(how, now + WAYS[how].seconds * self.chance.random()):
            return "update"
        self.not_before[how] = now + WAYS[how].seconds
        return how

    async def write(self, how: str) -> None:
        """Whatever becomes of it, it is written down."""
        way, version = WAYS[how], len(self.writes)
        self.sent, self.began = 0, time.monotonic_ns()
        outcome, ended = Outcome.unknown, 0
        try:
            async with asyncio.timeout(PATIENCE):
                await way.run(self, version)
            ended = time.monotonic_ns()
            outcome = Outcome.aborted if way.aborts else Outcome.committed
        except Refused as refused:
            outcome = Outcome.unknown if self.sent else Outcome.aborted
            if not refused.args[0].startswith("55000"):  # PostgreSQL is out of reach
                self.history.problems.append(f"register {self.register}, {how}: {refused}")
            raise Lost(str(refused)) from refused
        except (Lost, TimeoutError):
            if not self.sent:
                outcome = Outcome.aborted
            raise
        finally:
            acknowledged = ended if outcome == Outcome.committed else 0
            began = self.began if way.reads_inside else 0
            inside = (ended or time.monotonic_ns()) if way.reads_inside else 0
            made = Write(how, self.session, self.sent or self.began, acknowledged, outcome, began, inside)
            # What a savepoint took back had a version of its own, and came before.
            if way.versions == 2:
                self.writes.append(made._replace(outcome=Outcome.aborted, acknowledged=0))
            self.writes.append(made)

    async def look(self) -> None:
        """The session sees what it has written."""
        for question in (FIRST, SECOND):
            await self.read(question)

    async def read(self, question: int) -> None:
        style = self.chance.choice(("simple", "extended"))
        sent = time.monotonic_ns()
        async with asyncio.timeout(PATIENCE):
            answer = await self.connection.ask(ask(style, self.register, question))
        received = time.monotonic_ns()
        values = answers(answer)[0]
        if values is not None:
            self.reads.add(Read(self.session, self.register, question, *read(question, values), sent, received))

    async def commit(self, said: bytes) -> None:
        self.sent = time.monotonic_ns()
        await self.connection.do(said)

    async def finish_prepared(self) -> None:
        """What was left behind between its two phases is rolled back. Nobody knows whether its end was on its way."""
        begin = self.gid("")
        left = query(f"SELECT substr(gid, {len(begin)} + 1)::bigint FROM pg_prepared_xacts WHERE starts_with(gid, '{begin}')")
        while not self.ends():
            try:
                connection = await Connection.open(*self.directly, user="postgres", database="postgres")
            except Lost:
                await asyncio.sleep(0.1)  # the server is being restarted
                continue
            try:
                for _ in range(3):
                    for version in answers(await connection.ask(left))[0] or []:
                        await connection.ask(query(f"ROLLBACK PREPARED '{self.gid(version)}'"))
                    await asyncio.sleep(0.05)  # a PREPARE may be on its way
                return
            except Lost:
                continue
            finally:
                connection.close()

    def gid(self, version: object) -> str:
        return f"register_{self.register}_{version}"

    def tables(self) -> tuple[str, str]:
        return f"a{table(self.register)}", f"b{table(self.register)}"

    def both(self, version: int) -> str:
        where = f"WHERE id = {row(self.register)} AND v < {version}"
        return "; ".join(f"UPDATE {name} SET v = {version} {where}" for name in self.tables())


# --- the ways to write ---


async def update(writer: Writer, version: int) -> None:
    await writer.commit(query(writer.both(version)))


async def extended(writer: Writer, version: int) -> None:
    one, other = writer.tables()
    where = "WHERE id = $2 AND v < $1"
    sql = f"WITH one AS (UPDATE {one} SET v = $1 {where}) UPDATE {other} SET v = $1 {where}"
    await writer.commit(parse(sql, types=[20, 23]) + bind([str(version), str(row(writer.register))]) + execute() + SYNC)


async def begin(writer: Writer, version: int) -> None:
    await writer.connection.do(query("BEGIN"))
    await writer.connection.do(query(writer.both(version)))
    if writer.level:
        await writer.look()


async def transaction(writer: Writer, version: int) -> None:
    await begin(writer, version)
    await writer.commit(query("COMMIT"))


async def rolled_back(writer: Writer, version: int) -> None:
    await begin(writer, version)
    await writer.connection.do(query("ROLLBACK"))


async def savepoint(writer: Writer, version: int) -> None:
    await writer.connection.do(query("BEGIN"))
    await writer.connection.do(query("SAVEPOINT one"))
    await writer.connection.do(query(writer.both(version)))
    await writer.connection.do(query("ROLLBACK TO one"))
    await writer.connection.do(query(f"SAVEPOINT two; {writer.both(version + 1)}; RELEASE two"))
    await writer.commit(query("COMMIT"))


async def two_phases(writer: Writer, version: int) -> None:
    await begin(writer, version)
    writer.sent = time.monotonic_ns()
    await writer.connection.do(query(f"PREPARE TRANSACTION '{writer.gid(version)}'"))
    await writer.commit(query(f"COMMIT PREPARED '{writer.gid(version)}'"))


async def truncate(writer: Writer, version: int) -> None:
    one, other = writer.tables()
    await writer.connection.do(query("BEGIN"))
    await writer.connection.do(query(f"TRUNCATE {one}, {other}"))
    await writer.connection.do(query(f"INSERT INTO {one} VALUES (1, {version}); INSERT INTO {other} VALUES (1, {version})"))
    await writer.commit(query("COMMIT"))


async def copy(writer: Writer, version: int) -> None:
    one, other = writer.tables()
    await writer.connection.do(query("BEGIN"))
    where = f"WHERE id = {row(writer.register)}"
    await writer.connection.do(query(f"DELETE FROM {one} {where}; DELETE FROM {other} {where}"))
    for name in (one, other):
        await writer.connection.do(query(f"COPY {name} FROM STDIN"))
        await writer.connection.do(copy_data(f"{row(writer.register)}\t{version}\n") + COPY_DONE)
    await writer.commit(query("COMMIT"))


async def large(writer: Writer, version: int) -> None:
    """It is told before it ends."""
    await begin(writer, version)
    await writer.connection.do(query(f"UPDATE filler{writer.register} SET v = {version}"))
    await writer.commit(query("COMMIT"))


@dataclass(frozen=True)
class Way:
    run: Callable[[Writer, int], Awaitable[None]]
    seconds: float = 0  # between two; some make all stale that Millrace keeps
    reads_inside: bool = False
    aborts: bool = False
    of_whole_tables: bool = False
    versions: int = 1


WAYS = {
    "update": Way(update),
    "prepared statement": Way(extended),
    "transaction": Way(transaction, 0.1, reads_inside=True),
    "rolled back transaction": Way(rolled_back, 0.5, reads_inside=True, aborts=True),
    "savepoints": Way(savepoint, 0.5, versions=2),
    "two phases": Way(two_phases, RARELY, reads_inside=True),
    "truncate": Way(truncate, RARELY, of_whole_tables=True),
    "copy": Way(copy, 2),
    "large transaction": Way(large, 3, reads_inside=True),
}
