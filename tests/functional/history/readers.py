"""Sessions that read without end, each at its level."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from wire import query

from .connection import Connection, Lost, Refused
from .record import History, Read, Reads, Session
from .registers import QUESTIONS, REGISTERS, ask, prepare, read

BOUND_MS = 100
MOST_AT_ONCE = 12  # reads that are sent before the first is answered
STATEMENT_TIMEOUT = 30.0
LONGEST_SESSION = 8.0  # s


def asked_for(level: str) -> str:
    return f"bounded({BOUND_MS})" if level == "bounded" else level


@dataclass
class Reader:
    """A session after the other, of one level and one style."""

    host: str
    port: int
    level: str
    style: str
    history: History
    reads: Reads
    numbers: Callable[[], int]  # of sessions
    chance: random.Random
    may_read: Callable[[], bool]
    ends: Callable[[], bool]

    async def run(self) -> None:
        while not self.ends():
            try:
                await self.session()
            except (Lost, Refused):
                await asyncio.sleep(0.05)
            except TimeoutError:
                self.history.problems.append(f"{self.level}, {self.style}: no answer within {STATEMENT_TIMEOUT:g} s")

    async def session(self) -> None:
        options = f"-c millrace.consistency={asked_for(self.level)}"
        connection = await Connection.open(self.host, self.port, user="postgres", database="postgres", options=options)
        number = self.numbers()
        how = f"reader, {self.style} messages"
        self.history.sessions[number] = Session(number, self.level, BOUND_MS, how)
        try:
            if self.style == "prepared":
                await connection.do(prepare())
            messages = [[ask(self.style, register, question) for question in range(len(QUESTIONS))] for register in range(REGISTERS)]
            # Who came before the change stream was there may have to ask all of the server, in session mode.
            until = time.monotonic() + LONGEST_SESSION * self.chance.random()
            while not self.ends() and time.monotonic() < until:
                if not self.may_read():
                    await asyncio.sleep(0.01)
                    continue
                await self.batch(connection, number, messages)
                if self.chance.random() < 0.3:
                    await asyncio.sleep(self.chance.random() * 0.01)
        finally:
            connection.close()

    async def batch(self, connection: Connection, session: int, messages: list[list[bytes]]) -> None:
        chance = self.chance
        count = chance.choice((1, 1, 2, MOST_AT_ONCE))
        # Half of the time of one register: what a session saw by one row, it must see by the other.
        register = chance.randrange(REGISTERS)
        same = chance.random() < 0.5
        asked: list[tuple[int, int] | None] = []
        for _ in range(count):
            asked.append((register if same else chance.randrange(REGISTERS), chance.randrange(len(QUESTIONS))))
        said = b"".join(messages[one[0]][one[1]] for one in asked if one)
        if chance.random() < 0.1:  # a transaction that sees what is committed, as without one
            asked = [None, *asked, None]
            said = query("BEGIN") + said + query("COMMIT")
        sent = time.monotonic_ns()
        async with asyncio.timeout(STATEMENT_TIMEOUT):
            answer = await connection.ask(said, len(asked))
        received = time.monotonic_ns()
        for one, values in zip(asked, answers(answer)):
            if one is not None and values is not None:
                self.reads.add(Read(session, one[0], one[1], *read(one[1], values), sent, received))


def answers(answer: bytes) -> list[list[int | None] | None]:
    """Of each statement up to a ReadyForQuery, all its rows' values one after the other; None: it failed."""
    found: list[list[int | None] | None] = []
    values: list[int | None] | None = []
    at, end = 0, len(answer)
    while at < end:
        kind = answer[at]
        if kind == 0x44 and values is not None:  # DataRow
            field = at + 7
            for _ in range(int.from_bytes(answer[at + 5 : at + 7], "big")):
                length = int.from_bytes(answer[field : field + 4], "big", signed=True)
                field += 4
                values.append(int(answer[field : field + length]) if length >= 0 else None)
                field += max(length, 0)
        elif kind == 0x45:  # ErrorResponse
            values = None
        elif kind == 0x5A:  # ReadyForQuery
            found.append(values)
            values = []
        at += 1 + int.from_bytes(answer[at + 1 : at + 5], "big")
    return found
