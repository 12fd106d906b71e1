"""Clients that would notice: each puts its id and a counter into all that it asks, and vanishes at random.

All log in with the same parameters, so that they share server connections. A canary checks every answer for its own
mark. It may vanish at any byte that it sends and before any message that it
reads: before it logged in, in a message, in a transaction, in a result, in COPY, with a cancel under way.
"""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from wire import (
    COPY_DONE, SSL, SYNC, TERMINATE, Message, bind, cancel, close, copy_data, copy_fail, describe, execute, packet,
    parse, query, startup,
)  # fmt: skip

PATIENCE = 60.0  # no answer for so long is a failure


class Vanished(Exception):
    """The canary itself left."""


class Foreign(AssertionError):
    """An answer that isn't this canary's."""


@dataclass
class Tally:
    acts: Counter[str] = field(default_factory=Counter)
    vanished: Counter[str] = field(default_factory=Counter)
    queries: int = 0
    foreign: int = 0
    handed_over: int = 0  # how often an answer came from a server connection that another canary had before
    failures: list[str] = field(default_factory=list)
    _last: dict[int, int] = field(default_factory=dict)  # whom a server process answered last

    def served_by(self, process: int, identity: int) -> None:
        self.handed_over += self._last.get(process, identity) != identity
        self._last[process] = identity

    @property
    def connections(self) -> int:
        """How many server connections were seen."""
        return len(self._last)


class Canary:
    def __init__(self, host: str, port: int, identity: int, tally: Tally) -> None:
        self.address = (host, port)
        self.identity = identity
        self.tally = tally
        self.chance = random.Random(identity)
        self._counter = 0
        self._fuse: int | None = None
        self.key = (0, 0)

    # --- the wire ---

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(*self.address)
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def light_fuse(self, steps: int) -> None:
        """To vanish at one of the next `steps` sends and receipts."""
        self._fuse = self.chance.randrange(steps)

    def _burnt(self) -> bool:
        if self._fuse is None:
            return False
        self._fuse -= 1
        return self._fuse < 0

    async def send(self, *messages: bytes) -> None:
        data = b"".join(messages)
        if self._burnt():
            self.writer.write(data[: self.chance.randrange(len(data) + 1)])
            raise Vanished
        self.writer.write(data)

    async def receive(self) -> Message:
        if self._burnt():
            raise Vanished
        head = await asyncio.wait_for(self.reader.readexactly(5), PATIENCE)
        kind, length = struct.unpack("!ci", head)
        return Message(kind.decode("latin1"), await asyncio.wait_for(self.reader.readexactly(length - 4), PATIENCE))

    async def leave(self, *, politely: bool) -> None:
        """With a farewell, with the end of the stream, with a reset, or only after a while."""
        if politely:
            self.writer.write(TERMINATE)
        elif self.chance.random() < 0.5:
            linger = struct.pack("ii", 1, 0)
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        elif self.chance.random() < 0.2:
            await asyncio.sleep(self.chance.random() * 0.3)
        self.writer.close()

    # --- asking and checking ---

    def mark(self) -> str:
        self._counter += 1
        return f"canary {self.identity}.{self._counter}"

    async def answer(self, *, errors: str = "") -> list[Message]:
        """All up to ReadyForQuery; an error is a failure unless its SQLSTATE is among `errors`."""
        got: list[Message] = []
        while not got or got[-1].kind != "Z":
            got.append(await self.receive())
            if got[-1].kind == "E" and got[-1].sqlstate not in errors.split():
                raise Foreign(f"canary {self.identity} did not deserve {got[-1]}")
        self.tally.queries += 1
        return got

    async def hear(self, rows: list[list[str | None]], state: str = "I", *, and_process: bool = False) -> None:
        """The answer must hold exactly these rows; `and_process`: and behind each the server's process."""
        got = await self.answer()
        heard = [[None if value is None else value.decode() for value in one.row] for one in got if one.kind == "D"]
        if and_process:
            for row in heard:
                self.tally.served_by(int(row.pop() or 0), self.identity)
        if heard != rows:
            raise Foreign(f"canary {self.identity} expected {rows}, heard {heard}")
        if got[-1].body.decode() != state:
            raise Foreign(f"canary {self.identity} expected the state {state}, heard {got[-1]}")

    async def log_in(self) -> None:
        await self.send(startup(application_name="canary"))
        while (got := await self.receive()).kind != "Z":
            if got.kind == "K":
                self.key = struct.unpack("!II", got.body)
            if got.kind == "E":
                raise Foreign(f"canary {self.identity} could not log in: {got}")


Act = Callable[[Canary], Awaitable[None]]


async def simple(canary: Canary) -> None:
    mark = canary.mark()
    await canary.send(query(f"SELECT '{mark}', pg_backend_pid()"))
    await canary.hear([[mark]], and_process=True)


async def several(canary: Canary) -> None:
    one, two = canary.mark(), canary.mark()
    await canary.send(query(f"SELECT '{one}'; SELECT '{two}'"))
    await canary.hear([[one], [two]])


async def extended(canary: Canary) -> None:
    mark = canary.mark()
    await canary.send(parse("SELECT $1::text, pg_backend_pid()"), bind([mark]), describe("P"), execute(), SYNC)
    await canary.hear([[mark]], and_process=True)


async def named(canary: Canary) -> None:
    """All use the same names, for texts of their own and for one that they share."""
    name, mark = canary.chance.choice("abc"), canary.mark()
    own = f"SELECT $1::text || '{canary.identity}'" if canary.chance.random() < 0.5 else "SELECT $1::text || ''"
    expected = mark + (str(canary.identity) if str(canary.identity) in own else "")
    await canary.send(close("S", name), parse(own, name), SYNC)
    await canary.answer()
    for _ in range(canary.chance.randrange(1, 4)):
        await canary.send(bind([mark], statement=name), execute(), SYNC)
        await canary.hear([[expected]])
    if canary.chance.random() < 0.5:
        await canary.send(close("S", name), SYNC)
        await canary.answer()


async def pipeline(canary: Canary) -> None:
    marks = [canary.mark() for _ in range(canary.chance.randrange(2, 8))]
    await canary.send(*(part for mark in marks for part in (parse("SELECT $1::text"), bind([mark]), execute(), SYNC)))
    for mark in marks:
        await canary.hear([[mark]])


async def pipeline_with_error(canary: Canary) -> None:
    one, two, three = canary.mark(), canary.mark(), canary.mark()
    await canary.send(
        parse("SELECT $1::text"), bind([one]), execute(),
        parse(f"SELECT '{two}'::int"), bind(), execute(),
        parse("SELECT 'never heard'"), bind(), execute(), SYNC,
        parse("SELECT $1::text"), bind([three]), execute(), SYNC,
    )  # fmt: skip
    got = await canary.answer(errors="22P02")
    (error,) = (one for one in got if one.kind == "E")
    if two not in error.fields["M"]:
        raise Foreign(f"canary {canary.identity} expected an error about {two}, heard {error}")
    await canary.hear([[three]])


async def transaction(canary: Canary) -> None:
    mark = canary.mark()
    await canary.send(query("BEGIN"))
    await canary.hear([], "T")
    await canary.send(query(f"INSERT INTO nest VALUES ('{mark}')"))
    await canary.hear([], "T")
    await canary.send(parse("SELECT mark FROM nest WHERE mark = $1"), bind([mark]), execute(), SYNC)
    await canary.hear([[mark]], "T")
    await canary.send(query("ROLLBACK"))
    await canary.hear([])


async def failed_transaction(canary: Canary) -> None:
    mark = canary.mark()
    await canary.send(query(f"BEGIN; INSERT INTO nest VALUES ('{mark}'); SELECT '{mark}'::int"))
    await canary.answer(errors="22P02")
    await canary.send(query("ROLLBACK"))
    await canary.hear([])


async def copy_in(canary: Canary) -> None:
    mark = canary.mark()
    await canary.send(query("BEGIN"))
    await canary.hear([], "T")
    await canary.send(query("COPY nest FROM STDIN"))
    while (await canary.receive()).kind != "G":
        pass
    count = canary.chance.randrange(1, 30)
    for _ in range(count):
        await canary.send(copy_data(mark + "\n"))
    if canary.chance.random() < 0.2:
        await canary.send(copy_fail(mark))
        await canary.answer(errors="57014")
    else:
        await canary.send(COPY_DONE)
        await canary.hear([], "T")
        await canary.send(query(f"SELECT count(*), min(mark) FROM nest WHERE mark = '{mark}'"))
        await canary.hear([[str(count), mark]], "T")
    await canary.send(query("ROLLBACK"))
    await canary.hear([])


async def copy_out(canary: Canary) -> None:
    mark, count = canary.mark(), canary.chance.randrange(1, 500)
    await canary.send(query(f"COPY (SELECT '{mark}' FROM generate_series(1, {count})) TO STDOUT"))
    heard = [one.body.decode() for one in await canary.answer() if one.kind == "d"]
    if heard != [mark + "\n"] * count:
        raise Foreign(f"canary {canary.identity} expected {count} lines of {mark}, heard {set(heard)}")


async def large_result(canary: Canary) -> None:
    mark, count = canary.mark(), canary.chance.randrange(100, 3000)
    await canary.send(query(f"SELECT '{mark} ' || repeat('.', 200) FROM generate_series(1, {count})"))
    await canary.hear([[f"{mark} {'.' * 200}"]] * count)


async def portal(canary: Canary) -> None:
    mark = canary.mark()
    await canary.send(parse("SELECT $1::text || n FROM generate_series(1, 5) n"), bind([mark]), execute(rows=2),
                      execute(rows=2), SYNC)  # fmt: skip
    await canary.hear([[f"{mark}{n}"] for n in range(1, 5)])


async def setting(canary: Canary) -> None:
    mark = canary.mark()
    await canary.send(query(f"SET application_name = '{mark}'"))
    await canary.hear([])
    await canary.send(query("SHOW application_name"))
    await canary.hear([[mark]])


async def temporary_table(canary: Canary) -> None:
    mark = canary.mark()
    await canary.send(query(f"CREATE TEMP TABLE own AS SELECT '{mark}'::text AS mark"))
    await canary.hear([])
    await canary.send(query("SELECT mark FROM own"))
    await canary.hear([[mark]])
    await canary.send(query("DROP TABLE own"))
    await canary.hear([])


async def advisory_lock(canary: Canary) -> None:
    lock = f"{canary.identity}, {canary.chance.randrange(1 << 30)}"
    await canary.send(query(f"SELECT pg_try_advisory_lock({lock})"))
    await canary.hear([["t"]])
    await canary.send(query(f"SELECT pg_advisory_unlock({lock})"))
    await canary.hear([["t"]])


async def listen(canary: Canary) -> None:
    mark = canary.mark()
    await canary.send(query(f'LISTEN "{mark}"'))
    await canary.hear([])
    await canary.send(query(f"NOTIFY \"{mark}\", '{mark}'"))
    got = await canary.answer()
    while got[-1].kind != "A":
        if (late := next((one for one in got if one.kind == "A"), None)) is not None:
            got.append(late)
        else:
            got.append(await canary.receive())
    if got[-1].body[4:] != (mark + "\0" + mark + "\0").encode():
        raise Foreign(f"canary {canary.identity} heard the notification {got[-1]}")
    await canary.send(query("UNLISTEN *"))
    await canary.hear([])


async def own_error(canary: Canary) -> None:
    mark = canary.mark()
    await canary.send(query(f"DO $$BEGIN RAISE EXCEPTION '{mark}'; END$$"))
    got = await canary.answer(errors="P0001")
    if [one.fields["M"] for one in got if one.kind == "E"] != [mark]:
        raise Foreign(f"canary {canary.identity} expected the error {mark}")


async def cancelled(canary: Canary) -> None:
    """The cancel may come too late; then the statement must have ended well. Nobody else may be cancelled."""
    await canary.send(query("SELECT pg_sleep(0.2)"))
    await asyncio.sleep(canary.chance.random() * 0.25)
    if canary.chance.random() < 0.3:
        canary.light_fuse(3)
    reader, writer = await asyncio.open_connection(*canary.address)
    try:
        writer.write(cancel(*canary.key))
        await asyncio.wait_for(reader.read(1), PATIENCE)
    except ConnectionResetError:
        pass
    finally:
        writer.close()
    await canary.answer(errors="57014")
    # As in PostgreSQL, a cancel that came late may hit this client's next statement.
    await canary.send(query("SELECT pg_sleep(0.02)"))
    await canary.answer(errors="57014")


ACTS: list[Act] = [
    simple, several, extended, named, pipeline, pipeline_with_error, transaction, failed_transaction, copy_in, copy_out,
    large_result, portal, setting, temporary_table, advisory_lock, listen, own_error, cancelled,
]  # fmt: skip
FREQUENT: list[Act] = [simple, extended, named, pipeline, transaction]


async def vanish_before_login(canary: Canary) -> None:
    """Nothing, a part of an SSLRequest, or a part of a start-up packet; then gone."""
    opening = canary.chance.choice([b"", packet(SSL), startup(), b"\0\0\0\x08"])
    canary.writer.write(opening[: canary.chance.randrange(len(opening) + 1)])
    canary.tally.vanished["before login"] += 1
    await canary.leave(politely=False)


async def one_life(canary: Canary) -> None:
    """From connecting to leaving."""
    await canary.open()
    if canary.chance.random() < 0.05:
        await vanish_before_login(canary)
        return
    doing = "log_in"
    try:
        if canary.chance.random() < 0.05:
            canary.light_fuse(10)
        await canary.log_in()
        for _ in range(canary.chance.randrange(1, 12)):
            act = canary.chance.choice(ACTS if canary.chance.random() < 0.5 else FREQUENT)
            doing = act.__name__
            if canary.chance.random() < 0.12:
                canary.light_fuse(canary.chance.choice([2, 6, 30]))
            await act(canary)
            canary._fuse = None
            canary.tally.acts[doing] += 1
        await canary.leave(politely=True)
    except Vanished:
        canary._fuse = None
        canary.tally.vanished[doing] += 1
        await canary.leave(politely=False)
    except Exception as error:
        canary.tally.foreign += isinstance(error, Foreign)
        canary.tally.failures.append(f"{doing}: {type(error).__name__}: {error}")
        canary._fuse = None
        canary.writer.transport.abort()


async def flock(host: str, port: int, *, size: int, seconds: float) -> Tally:
    """`size` canaries at a time, each living again and again."""
    tally = Tally()
    end = asyncio.get_running_loop().time() + seconds

    async def lives(identity: int) -> None:
        canary = Canary(host, port, identity, tally)
        while asyncio.get_running_loop().time() < end and len(tally.failures) < 20:
            await one_life(canary)

    await asyncio.gather(*(lives(100 + number) for number in range(size)))
    return tally
