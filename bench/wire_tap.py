"""A proxy that listens in on PostgreSQL's protocol, unencrypted: what clients ask of a server, and how often they wait for it."""

import asyncio
import struct
import threading
from collections import Counter
from types import TracebackType
from typing import Self

_SSL_REQUEST, _GSS_REQUEST, _CANCEL = 80877103, 80877104, 80877102
_ENDS_BATCH = "QSHF"  # Query, Sync, Flush, FunctionCall: what is answered at once


class WireTap:
    """`round_trips` counts the batches that a server was sent, and `batches` by what they were; the log-in isn't counted.

    Connections by the application name `ignored` are passed on, and counted nowhere.
    """

    def __init__(self, host: str, port: int, *, ignored: str = "") -> None:
        self.batches: Counter[str] = Counter()
        self._upstream = (host, port)
        self._ignored = ignored
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def round_trips(self) -> int:
        return self.batches.total()

    def __enter__(self) -> Self:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop).result(10)
        self.port: int = server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(*self._upstream)
        back = asyncio.ensure_future(_pass_on(server, to_client))
        try:
            await self._listen(client, to_server)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            to_server.close()
            await back

    async def _listen(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        """Passes on what was there together: a batch arrives as its client sent it."""
        code, counted = _SSL_REQUEST, True
        while code in (_SSL_REQUEST, _GSS_REQUEST, _CANCEL):
            header = await client.readexactly(8)
            length, code = struct.unpack("!ii", header)
            body = await client.readexactly(length - 8)
            server.write(header + body)
        words = body.split(b"\0")
        if b"application_name" in words[::2]:
            counted = words[2 * words[::2].index(b"application_name") + 1].decode() != self._ignored
        said: list[str] = []
        received = b""
        while data := await client.read(1 << 16):
            received += data
            while len(received) >= 5 and len(received) > (length := struct.unpack_from("!i", received, 1)[0]):
                kind, body, received = chr(received[0]), received[5 : 1 + length], received[1 + length :]
                if counted and kind not in "pX":
                    said.append(_told(kind, body))
                    if kind in _ENDS_BATCH:
                        self.batches[", ".join(said)] += 1
                        said.clear()
            # Told before it is passed on: whoever has the answer finds it counted.
            server.write(data)
            await server.drain()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


def _text(raw: bytes) -> str:
    return " ".join(raw.decode(errors="replace").split())


def _told(kind: str, body: bytes) -> str:
    names = body.split(b"\0")
    match kind:
        case "Q":
            return f"Query({_text(names[0])})"
        case "P":
            return f"Parse({_text(names[0])!r}, {_text(names[1])}, {struct.unpack_from('!h', body, len(names[0]) + len(names[1]) + 2)[0]} types)"
        case "B":
            return f"Bind(portal {_text(names[0])!r}, statement {_text(names[1])!r})"
        case "D" | "C":
            return f"{'Describe' if kind == 'D' else 'Close'}({chr(body[0])} {_text(body[1:-1])!r})"
        case "E":
            return f"Execute({_text(names[0])!r}, {struct.unpack('!i', body[-4:])[0]} rows)"
        case _:
            return {"S": "Sync", "H": "Flush", "F": "FunctionCall"}.get(kind, kind)
