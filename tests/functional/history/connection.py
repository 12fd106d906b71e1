"""A connection that says whole batches and waits for their end; many of them in a process."""

import asyncio
from typing import Self

from wire import TERMINATE, startup


class Lost(ConnectionError):
    """Who knows what became of what was under way."""


class Refused(RuntimeError):
    """The server said no; the connection lives."""


class Connection(asyncio.Protocol):
    """Answers come as one lot of bytes: what must be quick reads no more of them than it needs."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._received = bytearray()
        self._scanned = 0
        self._ready = 0  # ReadyForQuery or, of COPY, CopyInResponse, that are waited for
        self._waiting: asyncio.Future[bytes] | None = None
        self._lost = False

    @classmethod
    async def open(cls, host: str, port: int, seconds: float = 10, **options: str) -> Self:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                _, made = await loop.create_connection(cls, host, port)
                answer = await made.ask(startup(**options))
        except (OSError, TimeoutError) as error:
            raise Lost(str(error)) from error
        if error := error_of(answer):
            made.close()
            raise Lost(error)
        return made

    def close(self) -> None:
        if not self._lost:
            self._transport.write(TERMINATE)
            self._transport.close()
            self._lost = True

    async def ask(self, messages: bytes, ready: int = 1) -> bytes:
        """All that is answered up to the `ready`-th ReadyForQuery."""
        if self._lost:
            raise Lost("it was lost before")
        self._ready = ready
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(messages)
        return await self._waiting

    async def do(self, messages: bytes) -> None:
        """Must succeed."""
        if error := error_of(await self.ask(messages)):
            raise Refused(error)

    # --- of asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        at, end = self._scanned, len(received)
        while self._ready and at + 5 <= end:
            length = 1 + int.from_bytes(received[at + 1 : at + 5], "big")
            if at + length > end:
                break
            self._ready -= received[at] in b"ZG"
            at += length
        self._scanned = at
        if self._ready == 0 and self._waiting and not self._waiting.done():
            answer = bytes(received[:at])
            del received[:at]
            self._scanned = 0
            self._waiting.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(Lost(str(error or "closed")))
            self._waiting.exception()  # nobody may be waiting any more


def error_of(answer: bytes) -> str:
    """The first error in it; empty: there is none."""
    at = 0
    while at < len(answer):
        length = 1 + int.from_bytes(answer[at + 1 : at + 5], "big")
        if answer[at] == ord("E"):
            fields = {part[:1]: part[1:].decode() for part in answer[at + 5 : at + length].rstrip(b"\0").split(b"\0")}
            return f"{fields.get(b'C')}: {fields.get(b'M')}"
        at += length
    return ""
